package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// processPlan has Drover run the daemon of site-b itself, as the user that the
// README tells people to create.
const processPlan = `version: 1
name: e2e
primary: site-a
sites:
  - name: site-a
    conf: site-a.conf
  - name: site-b
    conf: site-b.conf
    daemon:
      run: process
      keyring: site-b.mirror-keyring
      directory: RUN
pools:
  - name: POOL
    images:
      - name: disk
        create: {size: 64MiB}
`

func TestRunProcess(t *testing.T) {
	t.Parallel()
	l := ownLab(t, "site-a", "site-b")
	a, b := l.Site("site-a"), l.Site("site-b")
	folder := runFolder(t)
	file := plan(t, l, "rbd", strings.ReplaceAll(processPlan, "RUN", folder))

	// Started detached, found by the next drover, not started twice.
	applied(t, file)
	first := running(t, folder)
	if sid := sessionOf(t, first); sid != first {
		t.Errorf("the daemon %d is in the session %d, not its own", first, sid)
	}
	unchanged(t, file)
	if again := running(t, folder); again != first {
		t.Fatalf("started again: %d, was %d", again, first)
	}
	replicates(t, file, a, "rbd/disk", b)

	// An option that the plan changes, and then a keyring that has changed, are
	// changes: the daemon is restarted, and only then as the plan says.
	pid := first
	key := b.Keyring("client.rbd-mirror.site-b")
	for what, change := range map[string]func(){
		"option":  func() { edit(t, file, "run: process", "run: process\n      options: {debug_rbd_mirror: 1/5}") },
		"keyring": func() { edit(t, key, "[client", "# rotated\n[client") },
	} {
		change()
		if r := call(t, "plan", "diff", "--detailed-exitcode", file); r.code != 2 || !strings.Contains(r.stdout, "restart rbd-mirror (process)") {
			t.Fatalf("%s changed: want the daemon's restart as the change\n%s", what, r)
		}
		applied(t, file)
		again := running(t, folder)
		if again == pid {
			t.Fatalf("%s changed: the daemon %d was not restarted", what, pid)
		}
		pid = again
	}
	if command, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline")); err != nil || !strings.Contains(string(command), "--debug-rbd-mirror=1/5") {
		t.Errorf("it runs as %q, %v", command, err)
	}
	first = pid

	// Killed: status tells at once, while the service map still lists it.
	kill(t, first, folder)
	told := ok(t, "status", file)
	if !strings.Contains(told.stdout, "rbd-mirror at site-b, which Drover runs, does not run") || !strings.Contains(told.stdout, "drover plan apply "+file+" starts it") {
		t.Errorf("status does not tell of the daemon that was killed\n%s", told)
	}
	if told = ok(t, "status", "-o", "json", file); !strings.Contains(told.stdout, `"code": "daemon-stopped"`) {
		t.Errorf("nor as data\n%s", told)
	}

	// It is started again by the next apply, though its pid is another process's
	// by then.
	bystander := startBystander(t)
	record := filepath.Join(folder, "rbd-mirror.json")
	setPid(t, record, bystander.pid)
	if r := call(t, "plan", "diff", "--detailed-exitcode", file); r.code != 2 || !strings.Contains(r.stdout, "start rbd-mirror (process)") {
		t.Fatalf("want the daemon's start as the change\n%s", r)
	}
	applied(t, file)
	second := running(t, folder)
	if second == first || second == bystander.pid {
		t.Fatalf("the pid file names %d; the dead daemon was %d, the bystander is %d", second, first, bystander.pid)
	}

	// A dry run stops nothing.
	ok(t, "plan", "destroy", "--dry-run", file)
	if still := running(t, folder); still != second {
		t.Fatalf("a dry run of destroy touched the daemon: %d, was %d", still, second)
	}

	// A destroy stops it, though the pid file is wrong, and leaves nothing.
	setPid(t, record, bystander.pid)
	ok(t, "plan", "destroy", "--yes", file)
	if runsIn(second, folder) {
		t.Errorf("destroy left the daemon %d running", second)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("destroy left %s: %v", folder, err)
	}
	if again := ok(t, "plan", "destroy", "--yes", file); !strings.Contains(again.stdout, "No changes") {
		t.Errorf("a second destroy found something to do\n%s", again)
	}
	bystander.wantAlive(t)
}

// bystander is a process that is none of Drover's business.
type bystander struct {
	pid   int
	ended chan struct{}
}

func startBystander(t *testing.T) *bystander {
	t.Helper()
	cmd := exec.Command("sleep", "3600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b := &bystander{pid: cmd.Process.Pid, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // it never ends well
		close(b.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have been ended, which the test has told
		<-b.ended
	})
	return b
}

func (b *bystander) wantAlive(t *testing.T) {
	t.Helper()
	select {
	case <-b.ended:
		t.Error("the process that had the daemon's pid was ended")
	default:
	}
}

// setPid changes the pid in a pid file, as if it had been given to another
// process since.
func setPid(t *testing.T, path string, pid int) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	record := map[string]any{}
	if err := json.Unmarshal(text, &record); err != nil {
		t.Fatal(err)
	}
	record["pid"] = pid
	if text, err = json.Marshal(record); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRunProcessRefused: where the daemon cannot be started, the error says at
// which site, why, and what to do.
func TestRunProcessRefused(t *testing.T) {
	t.Parallel()
	folder := runFolder(t)
	blocked := filepath.Join(filepath.Dir(folder), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := pool(t, shared)
	for name, c := range map[string]struct {
		folder, more string
		words        []string
	}{
		"no binary":             {folder, "binary: /nowhere/rbd-mirror", []string{"site-b", "/nowhere/rbd-mirror", "rbd-mirror is not installed", "apt-get install rbd-mirror"}},
		"folder in a file":      {filepath.Join(blocked, "mirror"), "", []string{"site-b", "run folder cannot be used", blocked}},
		"read-only file system": {"/proc/drover/mirror", "", []string{"site-b", "run folder cannot be used", "/proc/drover"}},
		"path too long":         {filepath.Join(folder, strings.Repeat("x", 90)), "", []string{"site-b", "too long"}},
		"daemon dies at once":   {folder, "binary: /bin/false", []string{"site-b", "rbd-mirror ended at once"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.ReplaceAll(processPlan, "directory: RUN", "directory: "+c.folder+"\n      "+c.more)
			text = strings.Replace(text, "name: e2e", "name: e2e-refused", 1)
			// By a user of whom no daemon runs: the lab's own would be one that runs elsewhere.
			text = strings.Replace(text, "keyring: site-b.mirror-keyring", "user: client.drover\n      keyring: site-b.keyring", 1)
			file := plan(t, shared, p, text)
			r := fails(t, 1, c.words, "plan", "apply", "--yes", "--wait", "none", file)
			if !strings.Contains(r.stdout, "1 image: 1 ") {
				t.Errorf("the summary does not show what became of the image\n%s", r)
			}
			if _, there := daemonIn(t, c.folder); there {
				t.Errorf("a pid file is left in %s", c.folder)
			}
		})
	}
	// All that needs no daemon of Drover's was done.
	wantRole(t, shared.Site("site-a"), p+"/disk", true, "journal")
}

// running answers with the daemon's pid, and fails the test unless the daemon
// that the pid file names runs.
func running(t *testing.T, folder string) int {
	t.Helper()
	r, there := daemonIn(t, folder)
	if !there || !runsIn(r.PID, folder) {
		t.Fatalf("no daemon runs in %s (pid file there: %t, pid %d)", folder, there, r.PID)
	}
	return r.PID
}

// kill ends a daemon by SIGKILL and waits for its end. What is left of it until
// its parent has noticed works in no folder any more.
func kill(t *testing.T, pid int, folder string) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "end of the killed daemon", func() (bool, string) { return !runsIn(pid, folder), "it still exists" })
}

func sessionOf(t *testing.T, pid int) int {
	t.Helper()
	sid, err := unix.Getsid(pid)
	if err != nil {
		t.Fatal(err)
	}
	return sid
}
