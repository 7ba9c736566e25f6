package lab

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/drover-io/drover/replay"
)

const adminUser = "client.admin"

// layKeyrings makes every user's key and keyring file, and one keyring of all
// for `ceph-mon --mkfs`: a mon that is born with its users needs no `ceph auth`
// command afterwards.
func (s *Site) layKeyrings() error {
	var all strings.Builder
	for _, u := range s.daemonUsers() {
		entry := keyringEntry(u, newKey())
		all.WriteString(entry)
		if path, ok := s.daemonKeyring(u.Name); ok {
			if err := os.WriteFile(path, []byte(entry), 0o600); err != nil {
				return err
			}
		}
	}
	for _, u := range s.users() {
		key := newKey()
		all.WriteString(keyringEntry(u, key))
		if err := s.writeKeyring(u.Name, key); err != nil {
			return err
		}
	}
	return os.WriteFile(s.birthKeyring(), []byte(all.String()), 0o600)
}

// writeKeyring writes a client's keyring file, for its owner and for the lab's
// rbd-mirror daemons. The caps stand in the cluster; the file holds the key
// alone, as `ceph auth get-or-create` prints it.
func (s *Site) writeKeyring(user, key string) error {
	path := s.Keyring(user)
	entry := keyringEntry(replay.CephUser{Name: user}, key)
	if err := writeWhole(path, []byte(entry), 0o640); err != nil {
		return err
	}
	if os.Getuid() != 0 {
		return nil
	}
	return os.Chown(path, 0, MirrorGroup)
}

// Allow gives the site a cephx user with these capabilities, or changes them
// for a user that it has, and writes the user's keyring file.
func (s *Site) Allow(ctx context.Context, u replay.CephUser) error {
	// Not `auth get-or-create`, which refuses to change capabilities.
	entry := keyringEntry(u, newKey())
	if key, err := s.Ceph(ctx, "auth", "print-key", u.Name); err == nil {
		entry = keyringEntry(u, string(key))
	}
	path := filepath.Join(s.dir, "import.keyring")
	if err := os.WriteFile(path, []byte(entry), 0o600); err != nil {
		return fmt.Errorf("site %s: user %s: %w", s.Name, u.Name, err)
	}
	if _, err := s.Ceph(ctx, "auth", "import", "-i", path); err != nil {
		return fmt.Errorf("site %s: user %s: %w", s.Name, u.Name, err)
	}
	key, err := s.Ceph(ctx, "auth", "print-key", u.Name)
	if err == nil {
		err = errors.Join(s.writeKeyring(u.Name, string(key)), os.Remove(path))
	}
	if err != nil {
		return fmt.Errorf("site %s: user %s: %w", s.Name, u.Name, err)
	}
	return nil
}

// birthKeyring is what the mon's store is made with.
func (s *Site) birthKeyring() string { return filepath.Join(s.dir, "birth.keyring") }

func (s *Site) daemonUsers() []replay.CephUser {
	return []replay.CephUser{
		{Name: "mon.", Mon: "allow *"},
		{Name: "mgr." + daemonID, Mon: "profile mgr", OSD: "allow *"},
		{Name: "osd.0", Mon: "profile osd", Mgr: "profile osd", OSD: "allow *"},
	}
}

// daemonKeyring is where a daemon's own keyring lies; the mon makes its own.
func (s *Site) daemonKeyring(entity string) (string, bool) {
	switch entity {
	case "mgr." + daemonID:
		return s.Keyring(entity), true
	case "osd.0":
		return filepath.Join(s.dir, "osd", "keyring"), true
	}
	return "", false
}

// keyringEntry renders one section of a keyring file.
func keyringEntry(u replay.CephUser, key string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[%s]\n\tkey = %s\n", u.Name, key)
	for _, c := range []struct{ service, caps string }{{"mon", u.Mon}, {"mgr", u.Mgr}, {"osd", u.OSD}} {
		if c.caps != "" {
			fmt.Fprintf(&b, "\tcaps %s = \"%s\"\n", c.service, strings.ReplaceAll(c.caps, `"`, `\"`))
		}
	}
	return b.String()
}

// newKey makes a cephx key as `ceph-authtool --gen-print-key` does: type 1
// (AES), creation time as seconds and nanoseconds, length, 16 random bytes,
// all little-endian (ceph src/auth/Crypto.cc, CryptoKey::encode).
func newKey() string {
	const secretLength = 16
	now := time.Now()
	key := binary.LittleEndian.AppendUint16(nil, 1)
	key = binary.LittleEndian.AppendUint32(key, uint32(now.Unix()))
	key = binary.LittleEndian.AppendUint32(key, uint32(now.Nanosecond()))
	key = binary.LittleEndian.AppendUint16(key, secretLength)
	secret := make([]byte, secretLength)
	_, _ = rand.Read(secret) // documented never to fail
	return base64.StdEncoding.EncodeToString(append(key, secret...))
}
