package serve_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator/serve"
	"github.com/drover-io/drover/plans"
)

func files(t *testing.T) (cert, key string) {
	folder := t.TempDir()
	return filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
}

// pair makes a certificate of that name for loopback, and its key.
func pair(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// replace puts a file in place at once, as certbot and systemd do.
func replace(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func writePair(t *testing.T, cert, key, name string) {
	t.Helper()
	c, k := pair(t, name)
	replace(t, cert, c)
	replace(t, key, k)
}

// trusting is a client that trusts exactly what is in the file.
func trusting(t *testing.T, cert string) *http.Client {
	t.Helper()
	text, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}}
}

// presented is the name of the certificate that a client is shown.
func presented(t *testing.T, s *serve.Server) string {
	t.Helper()
	conn, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{InsecureSkipVerify: true}) // #nosec G402 -- the test looks at what it is shown
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, conn)
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestTLS(t *testing.T) {
	cert, key := files(t)
	writePair(t, cert, key, "first")
	token, _ := secret(t, "s3cret")
	// Beyond loopback: with TLS and a token that is allowed.
	s := begin(t, serve.Options{HTTP: plans.HTTP{Listen: "0.0.0.0:0", TLSCert: cert, TLSKey: key, Token: token}})
	_, port, _ := net.SplitHostPort(s.Addr().String())
	base := "https://127.0.0.1:" + port
	client := trusting(t, cert)
	if resp, body := ask(t, client, http.MethodGet, base+"/metrics", "Bearer s3cret"); resp.StatusCode != http.StatusOK || !strings.Contains(body, "drover_build_info") {
		t.Errorf("%s", resp.Status)
	}
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/"} {
		if resp, _ := ask(t, client, http.MethodGet, base+path, ""); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without the token: %s", path, resp.Status)
		}
	}
	if resp, body := ask(t, http.DefaultClient, http.MethodGet, "http://127.0.0.1:"+port+"/metrics", "Bearer s3cret"); resp.StatusCode != http.StatusBadRequest || strings.Contains(body, "drover_") {
		t.Errorf("without TLS: %s", resp.Status)
	}
	old := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11} // #nosec G402 -- to see it refused
	if conn, err := tls.Dial("tcp", "127.0.0.1:"+port, old); err == nil {
		closed(t, conn)
		t.Error("TLS 1.1 is spoken")
	}
}

// TestCertificateReplaced: new files are used from the next handshake on; half
// of a new pair, or none, leaves the old one good.
func TestCertificateReplaced(t *testing.T) {
	cert, key := files(t)
	writePair(t, cert, key, "first")
	s := begin(t, serve.Options{HTTP: plans.HTTP{TLSCert: cert, TLSKey: key}})
	if got := presented(t, s); got != "first" {
		t.Fatalf("at first: %s", got)
	}
	writePair(t, cert, key, "second")
	if got := presented(t, s); got != "second" {
		t.Errorf("after the files were replaced: %s", got)
	}
	c, k := pair(t, "third")
	replace(t, cert, c)
	if got := presented(t, s); got != "second" {
		t.Errorf("with half of a new pair: %s", got)
	}
	replace(t, key, k)
	if got := presented(t, s); got != "third" {
		t.Errorf("with the other half: %s", got)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if got := presented(t, s); got != "third" {
		t.Errorf("with a file gone: %s", got)
	}
}
