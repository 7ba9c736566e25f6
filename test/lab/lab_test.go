package lab_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/test/lab"
)

// boot starts a lab for one test and ends it with the test.
func boot(t *testing.T, o lab.Options) (context.Context, *lab.Lab) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	o.Log = t.Output()
	l, err := lab.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return ctx, l
}

// eventually waits until cond holds, and fails the test with what when it does
// not in time.
func eventually(t *testing.T, within time.Duration, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// must gives a command's trimmed output and fails the test on its error.
func must(t *testing.T) func(out []byte, err error) string {
	return func(out []byte, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
}

func TestLabBootsAndLeavesNothing(t *testing.T) {
	began := time.Now()
	ctx, l := boot(t, lab.Options{
		Pools: []string{"rbd", "volumes"}, Mirrors: []string{"site-b"},
		Dir: filepath.Join(t.TempDir(), strings.Repeat("a deep folder/", 10), "lab"),
	})
	t.Logf("two sites and a daemon booted in %s", time.Since(began))
	a, b := l.Site("site-a"), l.Site("site-b")
	if l.Site("site-c") != nil {
		t.Error("site-c exists")
	}
	for _, s := range []*lab.Site{a, b} {
		if got := must(t)(s.As("client.drover").Ceph(ctx, "fsid")); got != s.FSID() {
			t.Errorf("%s: fsid %q, want %q", s.Name, got, s.FSID())
		}
		pools := strings.Fields(must(t)(s.As("client.drover").Rados(ctx, "lspools")))
		if want := []string{"rbd", "volumes"}; !slices.Equal(pools, want) {
			t.Errorf("%s: pools %q, want %q", s.Name, pools, want)
		}
		if health := must(t)(s.Ceph(ctx, "health")); health != "HEALTH_OK" {
			t.Errorf("%s: %s", s.Name, health)
		}
		if !strings.HasPrefix(s.Address(), "127.") || !strings.Contains(s.MonHost(), s.Address()) {
			t.Errorf("%s: address %s, mon host %s", s.Name, s.Address(), s.MonHost())
		}
	}
	if a.FSID() == b.FSID() {
		t.Error("both sites have one fsid")
	}
	for _, d := range []lab.Daemon{lab.Mon, lab.Mgr, lab.OSD, lab.Mirror} {
		socket, err := b.AdminSocket(d)
		if err != nil {
			t.Error(err)
			continue
		}
		commands := must(t)(shell(ctx, b, "ceph daemon "+socket+" help"))
		if d == lab.Mirror && !strings.Contains(commands, "rbd mirror status") {
			t.Errorf("%s takes no rbd mirror status", socket)
		}
	}
	if _, err := a.AdminSocket(lab.Mirror); !errors.Is(err, lab.ErrNotRunning) {
		t.Errorf("admin socket of no daemon: %v, want ErrNotRunning", err)
	}
	if a.Running(lab.Mirror) || !b.Running(lab.Mirror) {
		t.Errorf("rbd-mirror runs at site-a: %v, at site-b: %v; want it at site-b alone",
			a.Running(lab.Mirror), b.Running(lab.Mirror))
	}

	pids := []int{a.Pid(lab.Mon), a.Pid(lab.Mgr), a.Pid(lab.OSD), b.Pid(lab.Mirror)}
	for range 2 { // a second Stop is no error
		if err := l.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	for _, pid := range pids {
		if pid == 0 || exists(pid) {
			t.Errorf("process %d: want it to have run and ended", pid)
		}
	}
	if _, err := os.Stat(l.Dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("folder after Stop: %v", err)
	}
}

func TestLabsSideBySide(t *testing.T) {
	type started struct {
		l   *lab.Lab
		err error
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	results := make(chan started)
	for range 2 {
		go func() {
			l, err := lab.Start(ctx, lab.Options{Sites: []string{"site-a"}, Log: t.Output()})
			results <- started{l, err}
		}()
	}
	one, other := <-results, <-results
	for _, s := range []started{one, other} {
		if s.err != nil {
			t.Errorf("start: %v", s.err)
			continue
		}
		defer func() {
			if err := s.l.Stop(); err != nil {
				t.Errorf("stop: %v", err)
			}
		}()
	}
	if t.Failed() {
		return
	}
	a, b := one.l.Site("site-a"), other.l.Site("site-a")
	if a.Address() == b.Address() || a.FSID() == b.FSID() {
		t.Fatalf("both labs at %s, fsids %s and %s", a.Address(), a.FSID(), b.FSID())
	}
	// One lab's end leaves the other whole.
	if err := one.l.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := must(t)(b.Ceph(ctx, "fsid")); got != b.FSID() {
		t.Errorf("fsid %q, want %q", got, b.FSID())
	}
}

func TestFourSitesOnBlueStoreKeepDataAfterKill(t *testing.T) {
	names := []string{"lab8106", "lab8107", "west", "east"}
	ctx, l := boot(t, lab.Options{Sites: names, Store: lab.BlueStore})
	s := l.Site("east")
	content := []byte("written before the power went")
	must(t)(s.As("client.admin").RbdInput(ctx, content, "import", "-", "rbd/image"))
	if err := s.Kill(lab.OSD); err != nil {
		t.Fatal(err)
	}
	if s.Running(lab.OSD) {
		t.Fatal("the OSD runs after Kill")
	}
	if err := s.Kill(lab.OSD); !errors.Is(err, lab.ErrNotRunning) {
		t.Errorf("second Kill: %v, want ErrNotRunning", err)
	}
	if err := s.Restart(ctx, lab.OSD); err != nil {
		t.Fatal(err)
	}
	if got := must(t)(s.Rbd(ctx, "export", "rbd/image", "-")); got != string(content) {
		t.Errorf("image holds %q, want %q", got, content)
	}
}

func TestVanishAndReturn(t *testing.T) {
	ctx, l := boot(t, lab.Options{})
	a, b := l.Site("site-a"), l.Site("site-b")
	content := []byte("must come back")
	must(t)(a.As("client.admin").RbdInput(ctx, content, "import", "-", "rbd/image"))

	if err := a.Vanish(); err != nil {
		t.Fatal(err)
	}
	if c, err := dialMon(ctx, a); err == nil {
		t.Errorf("a vanished site accepts connections at %s", a.MonHost())
		_ = c.Close()
	}
	must(t)(b.Ceph(ctx, "fsid")) // the other site is as before
	if err := a.Return(ctx); err != nil {
		t.Fatal(err)
	}
	if got := must(t)(a.Rbd(ctx, "export", "rbd/image", "-")); got != string(content) {
		t.Errorf("image holds %q, want %q", got, content)
	}
}

func TestFreezeAndThaw(t *testing.T) {
	ctx, l := boot(t, lab.Options{Sites: []string{"site-a"}})
	a := l.Site("site-a")
	if err := a.FreezeAll(); err != nil {
		t.Fatal(err)
	}
	// The kernel still accepts: this is a dead line, not a closed port.
	c, err := dialMon(ctx, a)
	if err != nil {
		t.Fatalf("a frozen site refuses connections: %v", err)
	}
	_ = c.Close()
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := a.Rados(short, "lspools"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen site answered: %v", err)
	}
	if !a.Running(lab.Mon) {
		t.Error("a frozen mon counts as ended")
	}
	if err := a.ThawAll(); err != nil {
		t.Fatal(err)
	}
	must(t)(a.Rados(ctx, "lspools"))
	if err := a.Freeze(lab.Mirror); !errors.Is(err, lab.ErrNotRunning) {
		t.Errorf("freeze of no daemon: %v, want ErrNotRunning", err)
	}
}

func TestRestartOfEachDaemon(t *testing.T) {
	ctx, l := boot(t, lab.Options{Sites: []string{"site-a"}, Mirrors: []string{"site-a"}})
	a := l.Site("site-a")
	for _, d := range []lab.Daemon{lab.Mon, lab.Mgr, lab.OSD, lab.Mirror} {
		before := a.Pid(d)
		if err := a.Restart(ctx, d); err != nil {
			t.Fatal(err)
		}
		if after := a.Pid(d); after == before || after == 0 {
			t.Errorf("%s: process %d before the restart, %d after", d, before, after)
		}
	}
	if err := a.StopMirror(); err != nil {
		t.Fatal(err)
	}
	if err := a.StartMirror(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestStartRefuses(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "mine"), []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]lab.Options{
		"five sites":    {Sites: []string{"a", "b", "c", "d", "e"}},
		"a name twice":  {Sites: []string{"a", "a"}},
		"an odd name":   {Sites: []string{"../a"}},
		"no such site":  {Mirrors: []string{"site-x"}},
		"no such store": {Store: "filestore"},
		"a full folder": {Dir: full},
		"a long name":   {Sites: []string{"a-name-of-thirty-two-characters-x"[:32]}},
	} {
		l, err := lab.Start(t.Context(), o)
		if !errors.Is(err, lab.ErrOptions) {
			t.Errorf("%s: %v, want ErrOptions", name, err)
		}
		if err == nil {
			t.Error(l.Stop())
		}
	}
	if _, err := os.Stat(filepath.Join(full, "mine")); err != nil {
		t.Errorf("a refused folder's content is gone: %v", err)
	}
}

func TestOpenFindsNoLab(t *testing.T) {
	if _, err := lab.Open(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want not exist", err)
	}
}

func TestAllowChangesCaps(t *testing.T) {
	ctx, l := boot(t, lab.Options{Sites: []string{"site-a"}})
	a := l.Site("site-a")
	reader := replay.CephUser{Name: "client.reader", Mon: "allow r"}
	if err := a.Allow(ctx, reader); err != nil {
		t.Fatal(err)
	}
	must(t)(a.As(reader.Name).Ceph(ctx, "health"))
	if _, err := a.As(reader.Name).Ceph(ctx, "service", "dump"); err == nil {
		t.Error("client.reader may do what its caps do not say")
	}
	reader.Mgr = `allow command "service dump"`
	if err := a.Allow(ctx, reader); err != nil {
		t.Fatal(err)
	}
	must(t)(a.As(reader.Name).Ceph(ctx, "service", "dump"))
}

func dialMon(ctx context.Context, s *lab.Site) (net.Conn, error) {
	address := strings.TrimSuffix(strings.TrimPrefix(s.MonHost(), "[v2:"), "/0]")
	return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "tcp", address)
}

// exists tells whether a process of that id runs. A zombie does not: whoever
// inherits an orphan may be slow to collect it.
func exists(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, state, found := strings.Cut(string(stat), ") ")
	return found && !strings.HasPrefix(state, "Z")
}

// shell runs a line as an administrator at the site would type it.
func shell(ctx context.Context, s *lab.Site, line string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Env = append(lab.CleanEnv(os.Environ()), "CEPH_CONF="+s.Conf())
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", line, err, out)
	}
	return out, nil
}
