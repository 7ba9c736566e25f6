package serve

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
)

// certificate is read from its files, and anew when one of them has changed. It
// is looked for at each handshake, which costs far more than that.
type certificate struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	loaded  *tls.Certificate
	of      [2]os.FileInfo // the files that were last read
	refused [2]os.FileInfo // the files that could not be used, so that this is logged once
}

// load reads the files for the first time.
func (c *certificate) load() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	files, err := c.look()
	if err != nil {
		return err
	}
	return c.read(files)
}

// get gives the certificate. While new files cannot be used (one of the two has
// not been replaced yet, or is gone) the old one is good.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	files, err := c.look()
	if err != nil || same(files, c.of) || same(files, c.refused) {
		return c.loaded, nil
	}
	if err := c.read(files); err != nil {
		c.refused = files
		c.log.Error("new certificate cannot be used, the old one stays", "certificate", c.cert, "error", err)
		return c.loaded, nil
	}
	c.log.Info("certificate read anew", "certificate", c.cert)
	return c.loaded, nil
}

func (c *certificate) read(files [2]os.FileInfo) error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return err
	}
	c.loaded, c.of, c.refused = &pair, files, [2]os.FileInfo{}
	return nil
}

func (c *certificate) look() (files [2]os.FileInfo, err error) {
	for i, path := range []string{c.cert, c.key} {
		if files[i], err = os.Stat(path); err != nil {
			return files, err
		}
	}
	return files, nil
}

// same reports whether both files are those of before, unchanged.
func same(a, b [2]os.FileInfo) bool {
	for i := range a {
		if b[i] == nil || !os.SameFile(a[i], b[i]) || !a[i].ModTime().Equal(b[i].ModTime()) || a[i].Size() != b[i].Size() {
			return false
		}
	}
	return true
}
