package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// ownLab boots a lab for one test, for what would disturb others on the shared
// one; the lab runs no rbd-mirror of its own.
func ownLab(t *testing.T, sites ...string) *lab.Lab {
	t.Helper()
	return startLab(t, lab.Options{Sites: sites})
}

func startLab(t *testing.T, o lab.Options) *lab.Lab {
	t.Helper()
	l, err := lab.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Stop(); err != nil {
			t.Errorf("stop the lab: %v", err)
		}
	})
	return l
}

// runFolder is a folder for a daemon that Drover starts. Whatever becomes of
// the test, no daemon of it outlives it.
func runFolder(t *testing.T) string {
	t.Helper()
	// t.TempDir is too long a path for an admin socket.
	parent, err := os.MkdirTemp("", "drover-run-")
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(parent, "mirror")
	t.Cleanup(func() {
		if r, there := daemonIn(t, folder); there && runsIn(r.PID, folder) {
			_ = syscall.Kill(r.PID, syscall.SIGKILL) // it may end by itself meanwhile
		}
		if err := os.RemoveAll(parent); err != nil {
			t.Error(err)
		}
	})
	return folder
}

// pidRecord is the part of the daemon's pid file that the tests read.
type pidRecord struct {
	PID int `json:"pid"`
}

func daemonIn(t *testing.T, folder string) (r pidRecord, there bool) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "rbd-mirror.json"))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return r, false
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatalf("pid file: %v", err)
	}
	return r, true
}

// runsIn reports whether a process works in a folder, as the daemons of Drover
// do in theirs.
func runsIn(pid int, folder string) bool {
	at, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	return err == nil && at == folder
}

// TestGuide takes the walk of the guide with the example plan as it is shipped:
// clusters local and remote, conf files, client.admin@remote, image-1.
func TestGuide(t *testing.T) {
	t.Parallel()
	l := ownLab(t, "local", "remote")
	local, remote := l.Site("local"), l.Site("remote")
	folder := runFolder(t)
	file := guidePlan(t, l, folder)

	applied(t, file)
	if _, there := daemonIn(t, folder); !there {
		t.Fatalf("no pid file in %s", folder)
	}
	// The receiver's peer is the guide's; the sender has since learned from the
	// receiver's daemon who receives, and receives nothing itself.
	wantPeer(t, remote, "rbd", "local", "client.admin", "rx-only")
	wantPeer(t, local, "rbd", "remote", "", "tx-only")
	image, there := lookup(t, local, "rbd/image-1")
	if !there || image.Size != 1<<30 || !slices.Contains(image.Features, "exclusive-lock") || !slices.Contains(image.Features, "journaling") {
		t.Fatalf("image-1 at local: there %t, %+v", there, image)
	}
	wantRole(t, local, "rbd/image-1", true, "journal")
	wantRole(t, remote, "rbd/image-1", false, "journal")
	wantReplaying(t, remote, "rbd/image-1")

	write(t, local, "rbd/image-1", "8M")
	ok(t, "verify", file)
	before := fingerprint(t, local, "rbd/image-1")
	if at := fingerprint(t, remote, "rbd/image-1"); at != before {
		t.Fatalf("verify said identical, but rbd export differs: %s at local, %s at remote", before, at)
	}

	ok(t, "plan", "destroy", "--yes", file)
	for _, s := range l.Sites() {
		wantUnmirrored(t, s, "rbd", "rbd/image-1")
		if after := fingerprint(t, s, "rbd/image-1"); after != before {
			t.Errorf("destroy changed the data at %s", s.Name)
		}
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("destroy left %s: %v", folder, err)
	}
}

// guidePlan is the shipped example with the paths of the lab.
func guidePlan(t *testing.T, l *lab.Lab, folder string) string {
	t.Helper()
	text, err := os.ReadFile("../../examples/guide-lab8106-lab8107.yaml")
	if err != nil {
		t.Fatal(err)
	}
	yaml := string(text)
	replace := func(from, to string) {
		if !strings.Contains(yaml, from) {
			t.Fatalf("the example does not say %q", from)
		}
		yaml = strings.ReplaceAll(yaml, from, to)
	}
	for _, s := range l.Sites() {
		replace("/etc/ceph/"+s.Name+".conf", s.Conf())
		replace("/etc/ceph/"+s.Name+".client.admin.keyring", s.Keyring("client.admin"))
	}
	replace("run: process\n", "run: process\n      directory: "+folder+"\n")
	file := filepath.Join(t.TempDir(), "guide.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// fingerprint is the hash of all bytes of an image, by rbd export.
func fingerprint(t *testing.T, s *lab.Site, image string) string {
	t.Helper()
	// A file, where the holes stay holes: a pipe would carry every zero.
	path := filepath.Join(t.TempDir(), "export")
	rbd(t, s, "export", "--no-progress", image, path)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	if err := errors.Join(err, f.Close(), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// poolInfo is what rbd says of a pool's mirroring.
type poolInfo struct {
	Mode  string `json:"mode"`
	Site  string `json:"site_name"`
	Peers []struct {
		UUID      string `json:"uuid"`
		Direction string `json:"direction"`
		Site      string `json:"site_name"`
		Client    string `json:"client_name"`
	} `json:"peers"`
}

func mirrorInfo(t *testing.T, s *lab.Site, pool string) (i poolInfo) {
	t.Helper()
	if err := json.Unmarshal([]byte(rbd(t, s, "mirror", "pool", "info", "--format", "json", pool)), &i); err != nil {
		t.Fatal(err)
	}
	return i
}

// wantPeer fails the test unless the pool has exactly that peer.
func wantPeer(t *testing.T, s *lab.Site, pool, peer, client, direction string) {
	t.Helper()
	info := mirrorInfo(t, s, pool)
	if len(info.Peers) != 1 || info.Peers[0].Site != peer || info.Peers[0].Client != client || info.Peers[0].Direction != direction {
		t.Fatalf("want the peer %s@%s (%s) at %s, got %+v", client, peer, direction, s.Name, info)
	}
}

// wantUnmirrored fails the test unless neither the pool nor the image is
// mirrored, while the image exists.
func wantUnmirrored(t *testing.T, s *lab.Site, pool string, images ...string) {
	t.Helper()
	if info := mirrorInfo(t, s, pool); info.Mode != "disabled" || len(info.Peers) != 0 {
		t.Errorf("pool %s at %s is still mirrored: %+v", pool, s.Name, info)
	}
	for _, image := range images {
		i, there := lookup(t, s, image)
		if !there {
			t.Errorf("%s is gone at %s", image, s.Name)
		} else if i.Mirroring.State == "enabled" {
			t.Errorf("%s is still mirrored at %s: %+v", image, s.Name, i.Mirroring)
		}
	}
}

func wantReplaying(t *testing.T, s *lab.Site, image string) {
	t.Helper()
	eventually(t, 2*time.Minute, "replay of "+image+" at "+s.Name, func() (bool, string) {
		out, err := s.Rbd(t.Context(), "mirror", "image", "status", image)
		if err != nil {
			return false, err.Error()
		}
		return strings.Contains(string(out), "up+replaying"), string(out)
	})
}
