package report

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// SignatureExtension is what the name of a signature's file ends with, after the name
// of the file that it is of.
const SignatureExtension = ".sig"

// ErrSignature says that a file is not what was signed, or not by that key.
var ErrSignature = errors.New("the signature does not hold")

// maxFile bounds what is read to be signed or checked: a wrong path may name a disk.
const maxFile = 256 << 20

// Sign gives the Ed25519 signature of a file's exact bytes: 64 bytes, as they are in
// the signature's file. Nothing of Drover is needed to check them:
//
//	openssl pkeyutl -verify -pubin -inkey PUBLIC.pem -rawin -in FILE -sigfile FILE.sig
func Sign(file []byte, key ed25519.PrivateKey) []byte { return ed25519.Sign(key, file) }

// Verify says whether a signature is of these bytes and by this key: nil, or an
// ErrSignature.
func Verify(file, signature []byte, key ed25519.PublicKey) error {
	switch {
	case len(key) != ed25519.PublicKeySize:
		return fmt.Errorf("%w: the key is not an Ed25519 public key", ErrSignature)
	case len(signature) != ed25519.SignatureSize:
		return fmt.Errorf("%w: it has %d bytes, and those of Ed25519 have %d", ErrSignature, len(signature), ed25519.SignatureSize)
	case !ed25519.Verify(key, file, signature):
		return fmt.Errorf("%w: the file was changed after it was signed, or another key signed it", ErrSignature)
	}
	return nil
}

// SignFile signs a file and writes the signature beside it, and gives where.
func SignFile(path string, key ed25519.PrivateKey) (string, error) {
	data, err := readFile(path, maxFile)
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", path, err)
	}
	to := path + SignatureExtension
	if err := replaceFile(to, Sign(data, key)); err != nil {
		return "", fmt.Errorf("write the signature %s: %w", to, err)
	}
	return to, nil
}

// VerifyFile checks a file by the signature beside it, and gives the bytes that were
// checked, so that nobody reads the file again to find another one.
func VerifyFile(path string, key ed25519.PublicKey) ([]byte, error) {
	data, err := readFile(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", path, err)
	}
	signature, err := readFile(path+SignatureExtension, 4<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("verify %s: it is not signed: there is no %s beside it", path, path+SignatureExtension)
	}
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", path, err)
	}
	if err := Verify(data, signature, key); err != nil {
		return nil, fmt.Errorf("verify %s: %w", path, err)
	}
	return data, nil
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".signature-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if _, err = f.Write(data); err == nil {
		err = f.Chmod(0o644)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// readFile reads a regular file of bounded size.
func readFile(path string, limit int64) ([]byte, error) {
	f, _, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return readBounded(f, limit)
}

func readBounded(f *os.File, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is larger than %s", f.Name(), size(uint64(limit)))
	}
	return data, err
}

// openRegular opens what is no pipe and no device, which might never end.
func openRegular(path string) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err != nil { // of what was opened, whatever has come in between
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}
