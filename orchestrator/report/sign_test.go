package report_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drover-io/drover/orchestrator/report"
)

// keyFiles writes a key pair as openssl does, and gives where.
func keyFiles(t *testing.T) (private, public string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return keyFile(t, filepath.Join(dir, "private.pem"), "PRIVATE KEY", pkcs8(t, key)), keyFile(t, filepath.Join(dir, "public.pem"), "PUBLIC KEY", pkix(t, pub))
}

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func pkix(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func keyFile(t *testing.T, path, kind string, der []byte) string {
	t.Helper()
	write(t, path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	return path
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// signedReport is a report's file with its signature beside it, and both keys.
func signedReport(t *testing.T) (file string, key ed25519.PrivateKey, public ed25519.PublicKey) {
	t.Helper()
	privateFile, publicFile := keyFiles(t)
	key, err := report.LoadPrivateKey(privateFile)
	if err != nil {
		t.Fatal(err)
	}
	if public, err = report.LoadPublicKey(publicFile); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "report.json")
	write(t, file, []byte(rendered(t, report.FormatJSON, drill(), nil)))
	signature, err := report.SignFile(file, key)
	if err != nil || signature != file+report.SignatureExtension {
		t.Fatalf("%s: %v", signature, err)
	}
	return file, key, public
}

func TestSignedReport(t *testing.T) {
	file, _, public := signedReport(t)
	data, err := report.VerifyFile(file, public)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := report.Parse(data); err != nil || r.ID != drill().ID {
		t.Errorf("what was verified: %v, %v", r, err)
	}
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 2 {
		t.Errorf("beside the report and its signature: %v, %v", entries, err)
	}
}

func TestEachFlippedByteIsSeen(t *testing.T) {
	file, _, public := signedReport(t)
	for _, path := range []string{file, file + report.SignatureExtension} {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		step := max(1, len(whole)/64)
		for i := 0; i < len(whole); i += step {
			changed := bytes.Clone(whole)
			changed[i] ^= 1
			write(t, path, changed)
			if _, err := report.VerifyFile(file, public); !errors.Is(err, report.ErrSignature) {
				t.Fatalf("byte %d of %s: %v", i, filepath.Base(path), err)
			}
		}
		for _, changed := range [][]byte{whole[:len(whole)-1], append(bytes.Clone(whole), '\n'), {}} {
			write(t, path, changed)
			if _, err := report.VerifyFile(file, public); !errors.Is(err, report.ErrSignature) {
				t.Fatalf("%d of %d bytes of %s: %v", len(changed), len(whole), filepath.Base(path), err)
			}
		}
		write(t, path, whole)
	}
	if _, err := report.VerifyFile(file, public); err != nil {
		t.Errorf("put back: %v", err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	file, _, public := signedReport(t)
	_, other := keyFiles(t)
	stranger, err := report.LoadPublicKey(other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := report.VerifyFile(file, stranger); !errors.Is(err, report.ErrSignature) || !strings.Contains(err.Error(), file) {
		t.Errorf("another's key: %v", err)
	}
	if _, err := report.VerifyFile(file, nil); !errors.Is(err, report.ErrSignature) {
		t.Errorf("no key: %v", err)
	}
	if err := os.Remove(file + report.SignatureExtension); err != nil {
		t.Fatal(err)
	}
	if _, err := report.VerifyFile(file, public); err == nil || !strings.Contains(err.Error(), "it is not signed") {
		t.Errorf("no signature: %v", err)
	}
	if _, err := report.VerifyFile(filepath.Dir(file), public); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
}

func TestPrivateKeyOfOthersIsRefused(t *testing.T) {
	private, _ := keyFiles(t)
	for _, mode := range []os.FileMode{0o644, 0o604, 0o602, 0o601, 0o660, 0o620, 0o666} {
		if err := os.Chmod(private, mode); err != nil {
			t.Fatal(err)
		}
		_, err := report.LoadPrivateKey(private)
		if !errors.Is(err, report.ErrKey) || !strings.Contains(err.Error(), "chmod 600 "+private) {
			t.Errorf("%04o: %v", mode, err)
		}
	}
	for _, mode := range []os.FileMode{0o600, 0o400} {
		if err := os.Chmod(private, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := report.LoadPrivateKey(private); err != nil {
			t.Errorf("%04o: %v", mode, err)
		}
	}
	// What a group may read is root's alone to decide, as for the daemon's user.
	if err := os.Chmod(private, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := report.LoadPrivateKey(private); (err == nil) != (os.Getuid() == 0) {
		t.Errorf("0640 of user %d: %v", os.Getuid(), err)
	}
}

func TestWrongKeysAreRefused(t *testing.T) {
	dir := t.TempDir()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, public := keyFiles(t)
	wholePrivate, _ := os.ReadFile(private)
	wholePublic, _ := os.ReadFile(public)
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		write(t, path, data)
		return path
	}
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	loadPrivate := func(path string) error { _, err := report.LoadPrivateKey(path); return err }
	loadPublic := func(path string) error { _, err := report.LoadPublicKey(path); return err }
	for _, c := range []struct {
		load func(string) error
		path string
		want string
	}{
		{loadPrivate, file("ec", block("PRIVATE KEY", pkcs8(t, ec))), "wrong kind (ECDSA)"},
		{loadPublic, file("ec.pub", block("PUBLIC KEY", pkix(t, &ec.PublicKey))), "wrong kind (ECDSA)"},
		{loadPrivate, public, "it is a public key"},
		{loadPublic, private, "it is a private key"},
		{loadPrivate, file("locked", block("ENCRYPTED PRIVATE KEY", []byte("x"))), "passphrase"},
		{loadPrivate, file("ssh", block("OPENSSH PRIVATE KEY", []byte("x"))), "openssl genpkey"},
		{loadPublic, file("cert", block("CERTIFICATE", []byte("x"))), `a "CERTIFICATE"`},
		{loadPrivate, file("text", []byte("hello")), "not a PEM file"},
		{loadPrivate, file("empty", nil), "not a PEM file"},
		{loadPrivate, file("two", append(bytes.Clone(wholePrivate), wholePrivate...)), "more than one key"},
		{loadPublic, file("two.pub", append(bytes.Clone(wholePublic), wholePublic...)), "more than one key"},
		{loadPrivate, file("cut", block("PRIVATE KEY", []byte{0x30})), "cut"},
		{loadPublic, file("large", make([]byte, 70<<10)), "larger than 64 KiB"},
		{loadPrivate, filepath.Join(dir, "none"), "no such file"},
		{loadPrivate, "/dev/zero", "not a regular file"},
	} {
		if err := c.load(c.path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", filepath.Base(c.path), err, c.want)
		}
	}
}

// TestOpenSSL: keys that openssl makes can be used, and it can check what Drover signs
// and makes what Drover can check.
func TestOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed: nothing but Drover has checked its signatures")
	}
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	call := func(args ...string) (string, error) {
		out, err := exec.Command(openssl, args...).CombinedOutput()
		return string(out), err
	}
	must := func(args ...string) {
		t.Helper()
		if out, err := call(args...); err != nil {
			t.Fatalf("openssl %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	must("genpkey", "-algorithm", "ed25519", "-out", in("private.pem"))
	must("pkey", "-in", in("private.pem"), "-pubout", "-out", in("public.pem"))
	key, err := report.LoadPrivateKey(in("private.pem"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := report.LoadPublicKey(in("public.pem"))
	if err != nil {
		t.Fatal(err)
	}
	file := in("report.json")
	write(t, file, []byte(rendered(t, report.FormatJSON, failedDrill(), nil)))
	if _, err := report.SignFile(file, key); err != nil {
		t.Fatal(err)
	}
	verify := []string{"pkeyutl", "-verify", "-pubin", "-inkey", in("public.pem"), "-rawin", "-in", file, "-sigfile", file + ".sig"}
	must(verify...)
	must("pkeyutl", "-sign", "-inkey", in("private.pem"), "-rawin", "-in", file, "-out", file+".sig")
	if _, err := report.VerifyFile(file, public); err != nil {
		t.Errorf("what openssl signed: %v", err)
	}
	write(t, file, []byte(rendered(t, report.FormatJSON, drill(), nil)))
	if out, err := call(verify...); err == nil {
		t.Errorf("openssl takes another file for the signed one: %s", out)
	}
}
