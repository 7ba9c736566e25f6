package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/test/lab"
)

// cephadmPlan has the orchestrator of site-b's mgr run the daemon there.
const cephadmPlan = `version: 1
name: e2e
primary: site-a
sites:
  - name: site-a
    conf: site-a.conf
  - name: site-b
    conf: site-b.conf
    daemon: {run: cephadm}
pools:
  - name: POOL
    images:
      - name: disk
        create: {size: 16MiB}
`

// TestRunCephadm goes through the mgr's own orchestrator for tests. It takes
// services from a file, says "done" to orders, and cannot make an rbd-mirror;
// the daemon that serves is the lab's.
func TestRunCephadm(t *testing.T) {
	t.Parallel()
	l := mirroredLab(t)
	a, b := l.Site("site-a"), l.Site("site-b")
	file := plan(t, l, "rbd", cephadmPlan)

	// The plain user may not ask the orchestrator: told, and the rest is done.
	fails(t, 1, []string{"site-b", `allow command "orch ls"`, "drover plan users"}, "plan", "apply", "--yes", file)
	wantRole(t, a, "rbd/disk", true, "journal")
	if users := ok(t, "plan", "users", file); !strings.Contains(users.stdout, `allow command "orch ls"`) {
		t.Errorf("plan users does not tell of the caps\n%s", users)
	}
	if err := b.Allow(t.Context(), replay.DroverCaps().WithOrchestrator()); err != nil {
		t.Fatal(err)
	}

	// No orchestrator.
	fails(t, 1, []string{"site-b", "has no orchestrator"}, "plan", "apply", "--yes", file)

	// One that has no such service and cannot make it.
	ceph(t, b, "mgr", "module", "enable", "test_orchestrator")
	eventually(t, time.Minute, "test orchestrator", func() (bool, string) {
		_, err := b.Ceph(t.Context(), "orch", "set", "backend", "test_orchestrator")
		return err == nil, fmt.Sprint(err)
	})
	shows(t, file, []string{"start rbd-mirror (cephadm)", "orch apply rbd-mirror"})
	fails(t, 1, []string{"site-b", "not supported by this orchestrator", "by hand"}, "plan", "apply", "--yes", file)

	// A service that stands still, and stays so whatever it is told: an order
	// that was taken is not taken for done.
	const unproven = "it was done, but looking again it is still wanted"
	loadService(t, b, 0)
	shows(t, file, []string{"start rbd-mirror (cephadm)"})
	fails(t, 1, []string{"start rbd-mirror (cephadm)", unproven}, "plan", "apply", "--yes", file)

	// A service that runs.
	loadService(t, b, 1)
	applied(t, file)
	replicates(t, file, a, "rbd/disk", b)
	if status := ok(t, "status", file); !strings.Contains(status.stdout, "serves rbd") {
		t.Errorf("status does not tell of the daemon\n%s", status)
	}

	// The way back is gone to its end, but for the daemon that does not stop.
	fails(t, 1, []string{"stop rbd-mirror (cephadm)", unproven}, "plan", "destroy", "--yes", file)
	wantUnmirrored(t, a, "rbd", "rbd/disk")
	wantUnmirrored(t, b, "rbd", "rbd/disk")
	loadService(t, b, 0)
	if again := ok(t, "plan", "destroy", "--yes", file); !strings.Contains(again.stdout, "No changes") {
		t.Errorf("a second destroy found something to do\n%s", again)
	}
}

// loadService has the test orchestrator tell of one rbd-mirror service.
func loadService(t *testing.T, s *lab.Site, running int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "services.json")
	text := fmt.Sprintf(`{
		"services": [{"service_name": "rbd-mirror", "service_type": "rbd-mirror", "placement": {"count": 1}, "status": {"running": %d, "size": 1}}],
		"daemons": [{"daemon_type": "rbd-mirror", "daemon_id": "h1.abcdef", "hostname": "h1", "status": %[1]d, "status_desc": "running"}]
	}`, running)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ceph(t, s, "test_orchestrator", "load_data", "-i", path)
}

// systemdPlan has a unit of this host run the daemon of site-b.
const systemdPlan = `version: 1
name: e2e
primary: site-a
sites:
  - name: site-a
    conf: site-a.conf
  - name: site-b
    conf: site-b.conf
    daemon: {run: systemd}
pools:
  - name: POOL
    images:
      - name: disk
        create: {size: 16MiB}
`

// fakeSystemctl stands in for systemctl where no systemd runs: it writes down
// each call and keeps one unit's state in a file, which is enough for what
// Drover asks of it.
const fakeSystemctl = `#!/bin/sh
echo "$*" >> FOLDER/calls
case " $* " in
*" start "*) echo active > FOLDER/state ;;
*" stop "*) echo inactive > FOLDER/state ;;
*" show "*)
	state=$(cat FOLDER/state)
	echo "LoadState=LOAD"
	echo "ActiveState=$state"
	echo "SubState=$(test "$state" = active && echo running || echo dead)"
	echo "MainPID=0"
	echo "Result=success"
	;;
esac
`

func TestRunSystemd(t *testing.T) {
	l := mirroredLab(t)
	file := plan(t, l, "rbd", systemdPlan)
	folder := t.TempDir()
	install := func(load string) {
		t.Helper()
		script := strings.NewReplacer("FOLDER", folder, "LOAD", load).Replace(fakeSystemctl)
		for name, content := range map[string]string{"systemctl": script, "state": "inactive\n", "calls": ""} {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	orders := func() (out []string) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(folder, "calls"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if !strings.Contains(line, " show ") {
				out = append(out, strings.TrimSpace(line))
			}
		}
		return out
	}
	path := os.Getenv("PATH")
	const unit = "ceph-rbd-mirror@rbd-mirror.site-b.service"

	// No systemctl at all: told, and the rest is done.
	t.Setenv("PATH", t.TempDir())
	fails(t, 1, []string{"site-b", "there is no systemctl on this host"}, "plan", "apply", "--yes", file)
	t.Setenv("PATH", folder+string(os.PathListSeparator)+path)
	wantRole(t, l.Site("site-a"), "rbd/disk", true, "journal")

	// A unit that is not installed.
	install("not-found")
	fails(t, 1, []string{"site-b", unit, "no such systemd unit"}, "plan", "apply", "--yes", file)

	// One that stands still: shown with its command, and started once.
	install("loaded")
	shows(t, file, []string{"start rbd-mirror (systemd)", "systemctl start " + unit})
	applied(t, file)
	wantOrders(t, orders(), "start", unit)

	// Stopped by the way back, once.
	ok(t, "plan", "destroy", "--yes", file)
	ok(t, "plan", "destroy", "--yes", file)
	wantOrders(t, orders()[1:], "stop", unit)
}

// wantOrders fails the test unless systemd was told one thing alone.
func wantOrders(t *testing.T, orders []string, verb, unit string) {
	t.Helper()
	want := "--no-pager --no-ask-password " + verb + " -- " + unit
	if len(orders) != 1 || orders[0] != want {
		t.Fatalf("orders to systemd: %q, want one: %q", orders, want)
	}
}

// mirroredLab is a lab of one test's own, with a daemon of the lab's at site-b.
func mirroredLab(t *testing.T) *lab.Lab {
	t.Helper()
	l, err := lab.Start(t.Context(), lab.Options{Mirrors: []string{"site-b"}})
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
