package report

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

// ErrKey is in the chain of what is wrong with a key file.
var ErrKey = errors.New("the key cannot be used")

// maxKey bounds a key file, in bytes.
const maxKey = 64 << 10

// What a person does to get a key that can be used.
const (
	makeKey     = "openssl genpkey -algorithm ed25519 -out PRIVATE.pem makes one"
	publishKey  = "openssl pkey -in PRIVATE.pem -pubout -out PUBLIC.pem gives it"
	blockLocked = "ENCRYPTED PRIVATE KEY"
)

// LoadPrivateKey reads an Ed25519 key as openssl genpkey writes it: PEM with PKCS #8,
// without a passphrase. A file that others than its owner may read is refused, but
// for one of root's that a group may read.
func LoadPrivateKey(path string) (ed25519.PrivateKey, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return nil, fmt.Errorf("read the private key: %w", err)
	}
	defer func() { _ = f.Close() }()
	if why := exposed(info); why != "" {
		return nil, fmt.Errorf("read the private key: %w: %s %s (mode %04o): chmod 600 %s, and make a new key if somebody may have read this one",
			ErrKey, path, why, info.Mode().Perm(), path)
	}
	data, err := readBounded(f, maxKey)
	if err != nil {
		return nil, fmt.Errorf("read the private key: %w", err)
	}
	key, err := parsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("read the private key: %w: %s: %w", ErrKey, path, err)
	}
	return key, nil
}

// LoadPublicKey reads an Ed25519 key as openssl pkey -pubout writes it: PEM with PKIX.
func LoadPublicKey(path string) (ed25519.PublicKey, error) {
	data, err := readFile(path, maxKey)
	if err != nil {
		return nil, fmt.Errorf("read the public key: %w", err)
	}
	key, err := parsePublicKey(data)
	if err != nil {
		return nil, fmt.Errorf("read the public key: %w: %s: %w", ErrKey, path, err)
	}
	return key, nil
}

// exposed says who else may use a private key.
func exposed(info fs.FileInfo) string {
	mode := info.Mode().Perm()
	stat, known := info.Sys().(*syscall.Stat_t)
	ofRoot := known && stat.Uid == 0
	switch {
	case mode&0o007 != 0:
		return "can be reached by anybody"
	case mode&0o030 != 0, mode&0o040 != 0 && !ofRoot:
		return "can be reached by its group"
	}
	return ""
}

func parsePrivateKey(data []byte) (ed25519.PrivateKey, error) {
	block, err := onlyBlock(data)
	if err != nil {
		return nil, fmt.Errorf("%w; %s", err, makeKey)
	}
	switch block.Type {
	case "PRIVATE KEY":
	case blockLocked:
		return nil, errors.New("it is locked by a passphrase, which nobody is there to type: openssl pkey -in FILE -out UNLOCKED unlocks it")
	case "PUBLIC KEY":
		return nil, errors.New("it is a public key: give the private one that belongs to it")
	default:
		return nil, fmt.Errorf("it holds a %q, not a PKCS #8 private key; %s", line(block.Type), makeKey)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("it is of the wrong kind (%s), not Ed25519; %s", kindOf(parsed), makeKey)
	}
	return key, nil
}

func parsePublicKey(data []byte) (ed25519.PublicKey, error) {
	block, err := onlyBlock(data)
	if err != nil {
		return nil, fmt.Errorf("%w; %s", err, publishKey)
	}
	switch {
	case block.Type == "PUBLIC KEY":
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return nil, errors.New("it is a private key, which stays where it signs; " + publishKey)
	default:
		return nil, fmt.Errorf("it holds a %q, not a public key; %s", line(block.Type), publishKey)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("it is of the wrong kind (%s), not Ed25519", kindOf(parsed))
	}
	return key, nil
}

// onlyBlock is the PEM block of a key file; of two nobody could say which counts.
func onlyBlock(data []byte) (*pem.Block, error) {
	block, rest := pem.Decode(data)
	if block == nil {
		return nil, errors.New("it is not a PEM file")
	}
	if second, _ := pem.Decode(rest); second != nil {
		return nil, errors.New("it holds more than one key")
	}
	return block, nil
}

// kindOf is what a key is, without its package's name.
func kindOf(key any) string {
	name := strings.TrimPrefix(fmt.Sprintf("%T", key), "*")
	name, _, _ = strings.Cut(name, ".")
	return strings.ToUpper(name)
}
