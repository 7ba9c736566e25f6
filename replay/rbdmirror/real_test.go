package rbdmirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// bareConf is a conf that tells nothing but where the cluster is: keyrings are
// given apart.
func bareConf(t *testing.T, s *lab.Site) string {
	t.Helper()
	return writeFile(t, filepath.Join(t.TempDir(), "bare.conf"), fmt.Sprintf(
		"[global]\nfsid = %s\nmon host = %s\nauth allow insecure global id reclaim = false\n[client]\nrbd mirror pool replayers refresh interval = 2\n",
		s.FSID(), s.MonHost()))
}

// TestRealDaemon runs a real rbd-mirror for a pool whose peer came by token and
// for one whose peer is found by conf file.
func TestRealDaemon(t *testing.T) {
	l := realLab(t)
	a, b := l.Site("site-a"), l.Site("site-b")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	must := func(out []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, s := range []*lab.Site{a, b} {
		if err := s.CreatePool(ctx, "byconf"); err != nil {
			t.Fatal(err)
		}
		for _, pool := range []string{"rbd", "byconf"} {
			must(s.Rbd(ctx, "mirror", "pool", "enable", pool, "image", "--site-name", s.Name))
		}
	}
	token := must(a.Rbd(ctx, "mirror", "pool", "peer", "bootstrap", "create", "rbd"))
	must(b.Rbd(ctx, "mirror", "pool", "peer", "bootstrap", "import", "rbd", writeFile(t, filepath.Join(t.TempDir(), "token"), string(token)), "--direction", "rx-only"))
	must(b.Rbd(ctx, "mirror", "pool", "peer", "add", "byconf", "client.admin@site-a", "--direction", "rx-only"))

	p := &Process{
		Site: "site-b", Plan: "test", User: "client.rbd-mirror.site-b",
		Conf: bareConf(t, b), Keyring: b.Keyring("client.rbd-mirror.site-b"),
		Peers: []PeerConf{{Cluster: "site-a", Conf: bareConf(t, a), Keyring: a.Keyring("client.admin"), User: "client.admin"}},
		Dir:   filepath.Join(t.TempDir(), "run"), StopTimeout: 20 * time.Second,
	}
	t.Cleanup(func() {
		if err := p.Remove(context.Background()); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(p.Dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("left behind: %v", err)
		}
	})
	st, err := p.Ensure(ctx)
	if err != nil || !st.Running {
		t.Fatalf("%+v, %v", st, err)
	}
	for _, pool := range []string{"rbd", "byconf"} {
		must(a.Rbd(ctx, "create", "--size", "16M", "--image-feature", "exclusive-lock,journaling", pool+"/vm"))
		must(a.Rbd(ctx, "mirror", "image", "enable", pool+"/vm", "journal"))
	}
	state := func(image string) string {
		out, err := b.Rbd(ctx, "mirror", "image", "status", image, "--format", "json")
		var report struct{ State, Description string }
		if err != nil || json.Unmarshal(out, &report) != nil {
			return "none"
		}
		return report.State
	}
	for _, image := range []string{"rbd/vm", "byconf/vm"} {
		eventually(t, time.Minute, image+" replays", func() bool { return state(image) == "up+replaying" })
	}

	steer(ctx, t, p, state)

	// Killed: seen as such, started again, its leftovers cleared away.
	if err := syscall.Kill(st.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the daemon is seen to be gone", func() bool {
		st, err := p.Status(ctx)
		return err == nil && !st.Running
	})
	again, err := p.Ensure(ctx)
	if err != nil || again.PID == st.PID {
		t.Fatalf("%+v, %v", again, err)
	}
	sockets, err := filepath.Glob(filepath.Join(p.Dir, fmt.Sprintf("%d.*.asok", st.PID)))
	if err != nil || len(sockets) != 0 {
		t.Errorf("sockets of the dead daemon: %v, %v", sockets, err)
	}
}

// steer tries the admin socket on one replaying image.
func steer(ctx context.Context, t *testing.T, p *Process, state func(image string) string) {
	t.Helper()
	var socket AdminSocket
	eventually(t, 10*time.Second, "the socket knows the image", func() bool {
		var err error
		if socket, err = FindAdminSocket(ctx, p.Dir); err != nil {
			return false
		}
		commands, err := socket.Commands(ctx)
		_, knows := commands["rbd mirror status rbd/vm"]
		return err == nil && knows
	})
	for _, target := range []Target{{}, PoolTarget("rbd", "site-a"), ImageTarget("rbd/vm")} {
		if out, err := socket.Status(ctx, target); err != nil || !strings.Contains(string(out), "state") && !strings.Contains(string(out), "replayer") {
			t.Errorf("status of %+v: %s, %v", target, out, err)
		}
		if err := socket.Flush(ctx, target); err != nil {
			t.Errorf("flush of %+v: %v", target, err)
		}
	}
	if err := socket.Stop(ctx, ImageTarget("rbd/vm")); err != nil {
		t.Error(err)
	}
	eventually(t, 30*time.Second, "replay is stopped", func() bool { return state("rbd/vm") == "up+stopped" })
	if err := socket.Start(ctx, ImageTarget("rbd/vm")); err != nil {
		t.Error(err)
	}
	// Asked of the daemon itself: its report takes up to half a minute to follow.
	replays := func() bool {
		out, err := socket.Status(ctx, ImageTarget("rbd/vm"))
		return err == nil && strings.Contains(string(out), `"Replaying"`)
	}
	eventually(t, 30*time.Second, "replay goes on", replays)
	if err := socket.Restart(ctx, PoolTarget("rbd", "site-a")); err != nil {
		t.Error(err)
	}
	eventually(t, 30*time.Second, "replay goes on after a restart", replays)
	if err := socket.Stop(ctx, ImageTarget("rbd/nobody")); !errors.Is(err, ErrNoTarget) {
		t.Errorf("an image that is not there: %v", err)
	}
}

// TestRealDaemonDies: a user that the cluster does not know, and a conf that
// does not say where it is.
func TestRealDaemonDies(t *testing.T) {
	b := realLab(t).Site("site-b")
	for name, spoil := range map[string]func(p *Process){
		"user without a key": func(p *Process) { p.User = "client.nobody" },
		"conf without mons": func(p *Process) {
			p.Conf = writeFile(t, filepath.Join(t.TempDir(), "x.conf"), "[global]\nkeyring = /nowhere\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := &Process{Site: "site-b", User: "client.rbd-mirror.site-b", Conf: b.Conf(), Dir: filepath.Join(t.TempDir(), "run"), StartTimeout: 20 * time.Second}
			spoil(p)
			_, err := p.Ensure(t.Context())
			if !errors.Is(err, ErrDied) || !strings.Contains(err.Error(), "it said: ") {
				t.Errorf("error %v", err)
			}
			t.Log(err)
			if err := p.Remove(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}
