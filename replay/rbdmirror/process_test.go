package rbdmirror

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeProcess runs the test binary in place of rbd-mirror.
func fakeProcess(t *testing.T, mode string) *Process {
	t.Helper()
	t.Setenv(fakeMode, mode)
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{
		Site: "site-b", Plan: "p", User: "client.rbd-mirror.site-b",
		Conf:   writeFile(t, filepath.Join(dir, "b.conf"), "[global]\nmon host = 127.0.0.1\n"),
		Dir:    filepath.Join(dir, "run"),
		Binary: self, StartTimeout: 300 * time.Millisecond, StopTimeout: 500 * time.Millisecond,
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestProcessLife(t *testing.T) {
	ctx := context.Background()
	t.Setenv("CEPH_CONF", "/elsewhere")
	p := fakeProcess(t, "run")
	expectRunning(t, p, false)
	first, err := p.Ensure(ctx)
	if err != nil || !first.Running || first.PID == 0 || first.Outdated || time.Since(first.Since).Abs() > time.Minute {
		t.Fatalf("started: %+v, %v", first, err)
	}
	var note []string
	eventually(t, 5*time.Second, "the daemon's note", func() bool {
		data, err := os.ReadFile(filepath.Join(p.Dir, "note"))
		note = strings.Split(string(data), "\n")
		return err == nil && len(note) == 3
	})
	if note[0] != first.Folder || note[1] != "" || !strings.Contains(note[2], "--cluster site-b --id rbd-mirror.site-b") {
		t.Errorf("home, CEPH_CONF and options: %q", note)
	}
	const laid = "\n[client.rbd-mirror.site-b]\n\trbd_mirror_journal_poll_age = 1\n"
	if conf, err := os.ReadFile(filepath.Join(p.Dir, "site-b.conf")); err != nil || !strings.HasSuffix(string(conf), laid) {
		t.Errorf("conf %q, %v", conf, err)
	}

	other := *p // another drover, later
	again, err := other.Ensure(ctx)
	if err != nil || again.PID != first.PID {
		t.Errorf("found: %+v, %v", again, err)
	}
	other.Options = map[string]string{"debug_rbd_mirror": "20"}
	if st, err := other.Status(ctx); err != nil || !st.Outdated || !st.Running {
		t.Errorf("with other options: %+v, %v", st, err)
	}
	restarted, err := other.Restart(ctx)
	if err != nil || restarted.PID == first.PID || restarted.Outdated {
		t.Errorf("restarted: %+v, %v", restarted, err)
	}
	if err := p.Remove(ctx); err != nil {
		t.Fatal(err)
	}
	expectRunning(t, p, false)
	entries, err := os.ReadDir(p.Dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "note" {
		t.Errorf("only what is not ours may be left: %v, %v", entries, err)
	}
}

// TestOutdated: whatever the daemon has read or been given at its start counts; a
// restart makes it current, and one that could not be made leaves it running.
func TestOutdated(t *testing.T) {
	ctx := context.Background()
	p := fakeProcess(t, "run")
	keyring := writeFile(t, filepath.Join(t.TempDir(), "key"), "[client.rbd-mirror.site-b]\n\tkey = x\n")
	peer := writeFile(t, filepath.Join(t.TempDir(), "a.conf"), "[global]\n")
	p.Keyring, p.Peers = keyring, []PeerConf{{Cluster: "remote", Conf: peer}}
	st, err := p.Ensure(ctx)
	if err != nil || st.Outdated {
		t.Fatalf("started: %+v, %v", st, err)
	}
	link := filepath.Join(t.TempDir(), "another-name")
	if err := os.Symlink(p.Binary, link); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(p *Process){
		"option":  func(p *Process) { p.Options = map[string]string{"debug_rbd_mirror": "20"} },
		"user":    func(p *Process) { p.User = "client.other" },
		"keyring": func(*Process) { writeFile(t, keyring, "[client.rbd-mirror.site-b]\n\tkey = y\n") },
		"conf":    func(p *Process) { writeFile(t, p.Conf, "[global]\nmon host = 127.0.0.2\n") },
		"peer":    func(*Process) { writeFile(t, peer, "[global]\nmon host = 127.0.0.3\n") },
	} {
		changed := *p
		change(&changed)
		st, err := changed.Status(ctx)
		if err != nil || !st.Running || !st.Outdated {
			t.Errorf("%s changed: %+v, %v", name, st, err)
		}
		if st, err = changed.Restart(ctx); err != nil || !st.Running || st.Outdated {
			t.Errorf("%s changed, restarted: %+v, %v", name, st, err)
		}
		if st, err = p.Restart(ctx); err != nil || st.Outdated {
			t.Fatalf("%s changed back: %+v, %v", name, st, err)
		}
	}
	renamed := *p
	renamed.Binary = link
	if st, err := renamed.Status(ctx); err != nil || st.Outdated {
		t.Errorf("the program by another name: %+v, %v", st, err)
	}
	c, err := p.complete()
	if err != nil {
		t.Fatal(err)
	}
	if !c.outdated(processFacts{command: append([]string{"/bin/true"}, c.args()...)}) {
		t.Error("another program counts as the plan's")
	}

	before, err := p.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(p *Process){
		"no program": func(p *Process) { p.Binary = "rbd-mirror-that-is-not" },
		"no keyring": func(p *Process) { p.Keyring += ".not" },
	} {
		spoilt := *p
		spoil(&spoilt)
		if _, err := spoilt.Restart(ctx); err == nil {
			t.Errorf("%s: restarted", name)
		}
		if st, err := p.Status(ctx); err != nil || st.PID != before.PID {
			t.Errorf("%s: %+v, %v; it ran as %d", name, st, err, before.PID)
		}
	}
}

func expectRunning(t *testing.T, p *Process, want bool) {
	t.Helper()
	if st, err := p.Status(context.Background()); err != nil || st.Running != want {
		t.Errorf("status %+v, %v", st, err)
	}
}

func TestOneDaemonForManyDrovers(t *testing.T) {
	p := fakeProcess(t, "run")
	pids := make([]int, 8)
	var all sync.WaitGroup
	for i := range pids {
		mine := *p
		all.Go(func() {
			st, err := mine.Ensure(context.Background())
			if err != nil {
				t.Error(err)
			}
			pids[i] = st.PID
		})
	}
	all.Wait()
	if len(slices.Compact(pids)) != 1 {
		t.Errorf("pids %v", pids)
	}
}

func TestStubbornDaemonIsKilled(t *testing.T) {
	p := fakeProcess(t, "stubborn")
	st, err := p.Ensure(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if facts, err := inspect(st.PID); !errors.Is(err, errGone) && !facts.zombie {
		t.Errorf("process %d: %+v, %v", st.PID, facts, err)
	}
}

// TestFoundWithoutPidFile: a drover that is killed between starting the daemon
// and writing its pid file leaves one that the next still finds.
func TestFoundWithoutPidFile(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"none":      os.Remove,
		"no folder": func(path string) error { return os.RemoveAll(filepath.Dir(path)) },
		"garbage":   func(path string) error { return os.WriteFile(path, []byte(`{"pid":`), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			p := fakeProcess(t, "run")
			st, err := p.Ensure(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if err := spoil(filepath.Join(p.Dir, recordFile)); err != nil {
				t.Fatal(err)
			}
			again, err := p.Ensure(context.Background())
			if err != nil || again.PID != st.PID {
				t.Errorf("%+v, %v; first %+v", again, err, st)
			}
		})
	}
}

// TestStrangerIsLeftAlone: a process that has the recorded pid but is not the
// daemon is neither taken for it nor ended.
func TestStrangerIsLeftAlone(t *testing.T) {
	p := fakeProcess(t, "run")
	st, err := p.Ensure(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(p.Dir, recordFile)
	r, err := readRecord(path)
	if err != nil || r == nil {
		t.Fatal(r, err)
	}
	if err := p.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*record){
		"another process": func(r *record) { r.PID = os.Getpid() },
		"another start":   func(r *record) { mine, _ := inspect(os.Getpid()); r.PID, r.Start = os.Getpid(), mine.start },
		"gone":            func(r *record) { r.PID = st.PID },
	} {
		stale := *r
		spoil(&stale)
		if err := writeRecord(path, stale); err != nil {
			t.Fatal(err)
		}
		if st, err := p.Status(context.Background()); err != nil || st.Running {
			t.Errorf("%s: %+v, %v", name, st, err)
		}
		if err := p.Stop(context.Background()); err != nil { // this very process survives it
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStartErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, p *Process)
		mode  string
		want  error
		text  string
	}{
		{"no binary", func(_ *testing.T, p *Process) { p.Binary = "rbd-mirror-that-is-not" }, "run", ErrNoBinary, "apt-get install rbd-mirror"},
		{"ends at once", func(*testing.T, *Process) {}, "die", ErrDied, "unable to connect to local cluster"},
		{"conf missing", func(_ *testing.T, p *Process) { p.Conf += ".not" }, "run", ErrConf, "no such file"},
		{"keyring missing", func(_ *testing.T, p *Process) { p.Keyring = "/nowhere/keyring" }, "run", ErrConf, "check keyring:"},
		{"folder is a file", func(t *testing.T, p *Process) { writeFile(t, p.Dir, "") }, "run", ErrFolder, "not a directory"},
		{"folder's path too long", func(_ *testing.T, p *Process) {
			p.Dir = filepath.Join(p.Dir, strings.Repeat("x", 90))
		}, "run", ErrFolder, "too long for an admin socket"},
		{"no user", func(_ *testing.T, p *Process) { p.User = "" }, "run", ErrConf, "are needed"},
		{"cluster name with a slash", func(_ *testing.T, p *Process) { p.Cluster = "../x" }, "run", ErrConf, "cannot be a cluster name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := fakeProcess(t, c.mode)
			spoilt := *p
			c.spoil(t, &spoilt)
			st, err := spoilt.Ensure(context.Background())
			var typed *Error
			if !errors.Is(err, c.want) || !errors.As(err, &typed) || typed.Site != "site-b" || !strings.Contains(err.Error(), c.text) || st.Running || strings.Contains(err.Error(), "\n") {
				t.Errorf("%+v, %q", st, err)
			}
			if spoilt.Dir != p.Dir || errors.Is(c.want, ErrFolder) {
				*p = Process{Site: p.Site, Dir: t.TempDir(), Conf: p.Conf, User: "client.x"} // nothing to clean up
			}
		})
	}
}

// TestReadOnlyFolder: the kernel's word for it comes through, with a next step.
// /proc is a folder in which not even root can make anything.
func TestReadOnlyFolder(t *testing.T) {
	p := fakeProcess(t, "run")
	spoilt := *p
	spoilt.Dir = "/proc/drover"
	if _, err := spoilt.Ensure(context.Background()); !errors.Is(err, ErrFolder) {
		t.Errorf("error %v", err)
	}
}

// TestDiskFull: /dev/full answers ENOSPC to every write.
func TestDiskFull(t *testing.T) {
	p := fakeProcess(t, "run")
	if err := os.Mkdir(p.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	_, full := f.Write([]byte("x"))
	if hint := folderHint(full); !strings.Contains(hint, "disk is full") {
		t.Errorf("%v: hint %q", full, hint)
	}
}

func TestKeyringApart(t *testing.T) {
	p := fakeProcess(t, "run")
	p.Keyring = writeFile(t, filepath.Join(t.TempDir(), "key"), "[client.rbd-mirror.site-b]\n\tkey = x\n")
	p.Peers = []PeerConf{{Cluster: "remote", Conf: p.Conf}}
	p.Options = map[string]string{"rbd-mirror-journal-poll-age": "7", "debug_rbd_mirror": "0/5; no comment"}
	if _, err := p.Ensure(context.Background()); err != nil {
		t.Fatal(err)
	}
	conf, err := os.ReadFile(filepath.Join(p.Dir, "site-b.conf"))
	if err != nil || !strings.Contains(string(conf), "mon host = 127.0.0.1") ||
		!strings.HasSuffix(string(conf), "[client.rbd-mirror.site-b]\n\tkeyring = "+p.Keyring+"\n\tdebug_rbd_mirror = \"0/5; no comment\"\n\trbd_mirror_journal_poll_age = 7\n") {
		t.Errorf("conf %q, %v", conf, err)
	}
	if _, err := os.Readlink(filepath.Join(p.Dir, "remote.conf")); err != nil {
		t.Error(err)
	}
}

func TestParseStat(t *testing.T) {
	const tail = " S 1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0"
	if f, err := parseStat(7, "7 (a b) c) (d)"+tail); err != nil || f.start != 4242 || f.zombie {
		t.Errorf("%+v, %v", f, err)
	}
	if f, err := parseStat(7, "7 (x)"+strings.Replace(tail, "S", "Z", 1)); err != nil || !f.zombie {
		t.Errorf("%+v, %v", f, err)
	}
	for _, bad := range []string{"", "7 (x", "7 (x) S 1", "7 (x)" + strings.Replace(tail, "4242", "x", 1)} {
		if _, err := parseStat(7, bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestObserved(t *testing.T) {
	var r Runner = Observed{Site: "site-b"}
	if st, err := r.Status(context.Background()); err != nil || st.Running {
		t.Errorf("%+v, %v", st, err)
	}
	_, ensured := r.Ensure(context.Background())
	_, restarted := r.Restart(context.Background())
	for _, err := range []error{ensured, restarted, r.Stop(context.Background())} {
		if !errors.Is(err, ErrNotOurs) || !strings.Contains(err.Error(), "run: none") {
			t.Errorf("error %v", err)
		}
	}
}

// TestOptionsOfTheConf: what the conf sets itself, however it writes that, is not
// set by default.
func TestOptionsOfTheConf(t *testing.T) {
	for conf, want := range map[string]bool{
		"[global]\nmon host = 127.0.0.1\n":                             true,
		"[client]\n\trbd mirror journal poll age = 3\n":                false,
		"[global]\nrbd-mirror-journal-poll-age=3\n":                    false,
		"[global]\nmon host = 127.0.0.1 # rbd_mirror_journal_poll_age": true,
	} {
		p := fakeProcess(t, "run")
		writeFile(t, p.Conf, conf)
		if err := os.MkdirAll(p.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		c, err := p.complete()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.prepare(); err != nil {
			t.Fatal(err)
		}
		laid, err := os.ReadFile(filepath.Join(c.Dir, "site-b.conf"))
		if err != nil || strings.Contains(string(laid), "rbd_mirror_journal_poll_age = 1\n") != want {
			t.Errorf("%q: laid %q, %v", conf, laid, err)
		}
	}
	p := &Process{Options: map[string]string{"rbd mirror journal poll age": "7"}}
	if got := p.ConfLines(); len(got) != 1 || got[0] != "rbd_mirror_journal_poll_age = 7" {
		t.Errorf("lines %q", got)
	}
}
