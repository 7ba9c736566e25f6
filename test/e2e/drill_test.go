package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/test/lab"
)

// drillReport is what scripts read of a report.
type drillReport struct {
	ID       string `json:"id"`
	Verdict  string `json:"verdict"`
	Why      string `json:"why"`
	From     string `json:"from"`
	To       string `json:"to"`
	Achieved struct {
		RPO *float64 `json:"rpo_seconds"`
		RTO *float64 `json:"rto_seconds"`
	} `json:"achieved"`
	Images []struct {
		Image   string `json:"image"`
		Verdict string `json:"verdict"`
		Why     string `json:"why"`
	} `json:"images"`
	Checks []struct {
		Name    string `json:"name"`
		Of      string `json:"of"`
		Verdict string `json:"verdict"`
		Why     string `json:"why"`
		Output  string `json:"output"`
	} `json:"checks"`
	Left []string `json:"left"`
}

// check finds one check.
func (r *drillReport) check(t *testing.T, name, of string) (verdict, why string) {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name && c.Of == of {
			return c.Verdict, c.Why + c.Output
		}
	}
	t.Fatalf("no check %s of %s: %+v", name, of, r.Checks)
	return "", ""
}

const drilledImages = `pools:
  - name: rbd
    images:
      - {name: files}
      - {name: by-journal}
      - {name: by-snapshot, mode: snapshot, schedules: [{every: 1h}]}
groups:
  - name: both
    wave: first
    images: [{pool: rbd, name: by-journal}, {pool: rbd, name: by-snapshot}]
waves: [{name: first, priority: 1}]
drills:
  - name: nightly
    user: client.drill
    keyring: DRILL-KEYRING
    checks:
      - {name: readable, builtin: readable}
      - {name: same, builtin: hash}
      - {name: size, builtin: size}
      - {name: clean, builtin: filesystem}
      - name: used
        command:
          - /bin/sh
          - -ec
          - |
            as() { rbd -c "$DROVER_CEPH_CONF" --id drill --keyring "$DROVER_CEPH_KEYRING" "$@"; }
            as bench --io-type write --io-size 64K --io-total 1M "$DROVER_CLONE" >/dev/null
            if as bench --io-type write --io-size 64K --io-total 64K rbd/files; then echo wrote to the original; exit 1; fi 2>/dev/null
            if as create rbd/mine --size 1M; then echo made an image of its own; exit 1; fi 2>/dev/null
            own() { "$@" -c "$DROVER_CEPH_CONF" --id drill --keyring "$DROVER_CEPH_KEYRING"; }
            records=$(own rados -p rbd -N drover ls 2>/dev/null) && test -n "$records" && { echo "listed Drover's records"; exit 1; }
            if own rados -p rbd -N drover listomapvals "drill.$DROVER_PLAN"; then echo "read Drover's records"; exit 1; fi >/dev/null 2>&1
            if own ceph osd blocklist add 192.0.2.1:0/1; then echo shut a client out; exit 1; fi 2>/dev/null
            echo used
`

// wantNoDrill waits until neither site has anything of a drill.
func wantNoDrill(t *testing.T, images moving, sites ...*lab.Site) {
	t.Helper()
	for _, s := range sites {
		eventually(t, 2*time.Minute, "end of the drill at "+s.Name, func() (bool, string) {
			var all strings.Builder
			for image := range images {
				all.WriteString(rbd(t, s, "snap", "ls", "--all", image))
			}
			clones, _ := s.Rbd(t.Context(), "ls", "rbd/drover-drill") // none where there is no namespace
			all.Write(clones)
			return !strings.Contains(all.String(), "drover-drill-"), all.String()
		})
	}
}

// TestDrill drills images of both modes, a group of both and a file system, while all
// of them are written, by a user that can reach the clones only; finds a copy that is
// not as it should be; and leaves nothing, also when it is killed.
func TestDrill(t *testing.T) {
	t.Parallel()
	l, a, b := mirroredBothWays(t)
	images := moving{"rbd/files": "journal", "rbd/by-journal": "journal", "rbd/by-snapshot": "snapshot"}
	makeFiles(t, a, "rbd/files")
	for _, image := range []string{"rbd/by-journal", "rbd/by-snapshot"} {
		createImage(t, a, image, "layering,exclusive-lock")
		write(t, a, image, "8M")
	}
	if err := b.Allow(t.Context(), replay.DrillCaps("client.drill", []replay.Pool{{Name: "rbd", Namespace: "drover-drill"}}, []replay.Pool{{Name: "rbd"}})); err != nil {
		t.Fatal(err)
	}
	file := plan(t, l, "rbd", strings.ReplaceAll(twoWay(drilledImages), "DRILL-KEYRING", b.Keyring("client.drill")))
	ok(t, "plan", "apply", "--yes", file)
	awaitHealthy(t, file)

	stop, ended := busy(t, a, "rbd/by-journal", steady...)
	var r drillReport
	said := ok(t, "drill", "-o", "json", file)
	said.decode(t, &r)
	stop()
	<-ended
	if r.Verdict != "passed" || r.From != "site-a" || r.To != "site-b" || len(r.Images) != 3 || r.Achieved.RPO == nil || r.Achieved.RTO == nil || len(r.Left) > 0 {
		t.Errorf("the report: %s", said)
	}
	if verdict, why := r.check(t, "clean", "rbd/files"); verdict != "passed" || !strings.Contains(why, "ext") {
		t.Errorf("the file system: %s %s", verdict, why)
	}
	drillReported(t, file, r.ID)
	wantNoDrill(t, images, a, b)
	for image := range images {
		wantReplaying(t, b, image)
	}

	drillKilledWhileHeld(t, file, images, a, b)
	corrupt(t, b, "rbd", "by-snapshot", 1<<20)
	r = drillReport{}
	fails(t, 1, []string{"drill"}, "drill", "-o", "json", "--group", "both", file).decode(t, &r)
	if verdict, _ := r.check(t, "same", "rbd/by-snapshot"); r.Verdict != "failed" || verdict != "failed" {
		t.Errorf("the damage was not found: %+v", r)
	}
	if verdict, why := r.check(t, "same", "rbd/by-journal"); verdict != "passed" {
		t.Errorf("the copy that is whole: %s %s", verdict, why)
	}

	drillKilled(t, file, images, a, b)
	drillOfTheLost(t, file, images, a, b)
}

// steady holds a writer back to what replay keeps up with, also on a machine that has
// other things to do.
var steady = []string{"--rbd-qos-write-iops-limit", "100"}

// makeFiles makes an image with a file system.
func makeFiles(t *testing.T, s *lab.Site, image string) {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "disk")
	for _, argv := range [][]string{{"truncate", "-s", "32M", disk}, {"mkfs.ext4", "-q", "-F", "-d", "/etc/ceph", disk}} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", argv, err, out)
		}
	}
	rbd(t, s, "import", "--image-feature", "layering,exclusive-lock", disk, image)
}

// drillKilled kills drills: one at some moment, and one of a group when both its clones
// are there. The next sweeps what is left, and so does drover drill sweep.
func drillKilled(t *testing.T, file string, images moving, a, b *lab.Site) {
	t.Helper()
	if r := cut(t, 9, 1500*time.Millisecond, "drill", "--image", "rbd/files", file); r.code != killed {
		t.Errorf("the drill was not killed: %s", r)
	}
	sweptSoon(t, file)
	drillOfGroupKilled(t, file, b)
	for _, image := range []string{"rbd/by-journal", "rbd/by-snapshot"} {
		if snaps := rbd(t, a, "snap", "ls", image); !strings.Contains(snaps, "drover-drill-") {
			t.Errorf("the killed drill has left no snapshot of %s: %s", image, snaps)
		}
	}
	sweptSoon(t, file)
	wantNoDrill(t, images, a, b)
	for image := range images {
		wantReplaying(t, b, image)
	}
}

// drillOfGroupKilled kills a drill of a group as soon as all its clones are there.
func drillOfGroupKilled(t *testing.T, file string, b *lab.Site) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), drover, "drill", "--group", "both", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = cmd.Wait() // it is killed
	}()
	eventually(t, time.Minute, "clones of both images", func() (bool, string) {
		clones, err := b.Rbd(t.Context(), "ls", "rbd/drover-drill")
		return strings.Count(string(clones), "drover-drill-") == 2, fmt.Sprint(string(clones), err)
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Errorf("the drill was over already: %v", err)
	}
	<-gone
}

// drillOfTheLost drills what the secondary holds while the primary is away.
func drillOfTheLost(t *testing.T, file string, images moving, a, b *lab.Site) {
	t.Helper()
	if err := a.Vanish(); err != nil {
		t.Fatal(err)
	}
	var r drillReport
	said := ok(t, "drill", "-o", "json", file)
	said.decode(t, &r)
	if verdict, why := r.check(t, "same", "rbd/files"); r.Verdict != "passed" || verdict != "skipped" || !strings.Contains(why, "site-a does not answer") {
		t.Errorf("with the primary gone: %s", said)
	}
	if verdict, why := r.check(t, "clean", "rbd/files"); verdict != "passed" {
		t.Errorf("the file system: %s %s", verdict, why)
	}
	failoverOverKilled(t, file, images, b)
	if err := a.Return(t.Context()); err != nil {
		t.Fatal(err)
	}
	sweptSoon(t, file)
	wantNoDrill(t, images, a, b)
}

// failoverOverKilled fails over, with the primary gone, while what a killed drill has
// brought up is there: that goes first, or is told of where the dead one's lease has not
// ended by then, and keeps nothing from being promoted.
func failoverOverKilled(t *testing.T, file string, images moving, b *lab.Site) {
	t.Helper()
	drillOfGroupKilled(t, file, b)
	args := []string{"failover", "--to", "site-b", "--reason", "site-a is lost", "--unfenced", "--leave-daemon", file}
	_, shown := approvedBy(t, time.Minute, args...)
	if !strings.Contains(shown.stdout+shown.stderr, "of drills at site-b") {
		t.Errorf("the clones are not shown\n%s", shown)
	}
	said := carryOut(t, args...)
	for image := range images {
		wantRoleNow(t, b, image, true)
	}
	clones, err := b.Rbd(t.Context(), "ls", "rbd/drover-drill")
	left := strings.Contains(string(clones), "drover-drill-")
	if told := strings.Contains(said.stdout+said.stderr, "clones of drills may be left at site-b"); err != nil || left != told {
		t.Errorf("clones: %q, %v\n%s", clones, err, said)
	}
}

// sweptSoon sweeps once the lease of a killed drill has ended.
func sweptSoon(t *testing.T, file string) {
	t.Helper()
	eventually(t, time.Minute, "sweep", func() (bool, string) {
		r := call(t, "drill", "sweep", file)
		return r.code == 0, r.String()
	})
}
