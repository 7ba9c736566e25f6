package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
	"github.com/drover-io/drover/test/slackfake"
)

// ownSnapshots is a plan whose mirror snapshots the daemon takes.
const ownSnapshots = `checks: {schedule: "@every 10s", timeout: 2s}
http: {listen: "127.0.0.1:0"}
snapshots: {by: BY}
pools:
  - name: rbd
    images:
      - glob: snapshot-*
        mode: snapshot
        schedules: [{every: 1m}]
`

// TestDaemonTakesSnapshots has the mgr of the primary's site dead: the daemon keeps
// the schedule, the copies follow, also after the daemon was killed and started
// again, and at the new primary after a switchover.
func TestDaemonTakesSnapshots(t *testing.T) {
	t.Parallel()
	l, a, b := mirroredBothWays(t)
	moving{"rbd/snapshot-a": "snapshot", "rbd/snapshot-b": "snapshot"}.make(t, a)
	byCeph := plan(t, l, "rbd", twoWay(strings.Replace(ownSnapshots, "BY", "ceph", 1)))
	applied(t, byCeph)
	file := plan(t, l, "rbd", twoWay(strings.Replace(ownSnapshots, "BY", "drover", 1)))
	if r := call(t, "plan", "diff", "--detailed-exitcode", file); r.code != 2 || !strings.Contains(r.stdout, "remove the mirror snapshot schedule every 1m") {
		t.Fatalf("want the mgr's schedules removed\n%s", r)
	}
	applied(t, file)
	for _, s := range l.Sites() {
		if left := rbd(t, s, "mirror", "snapshot", "schedule", "ls", "--recursive"); strings.Contains(left, "snapshot-") {
			t.Errorf("schedules are left at %s:\n%s", s.Name, left)
		}
	}
	awaitHealthy(t, file)
	if err := a.Kill(lab.Mgr); err != nil {
		t.Fatal(err)
	}

	w := watching(t, slackfake.New(t), file)
	follows(t, a, b, "first")
	first := newestMark(t, a, "rbd/snapshot-b")

	if err := w.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-w.done
	w = watching(t, slackfake.New(t), file)
	follows(t, a, b, "second")
	if later := newestMark(t, a, "rbd/snapshot-b"); later <= first {
		t.Errorf("of the image that nobody writes to: %d, then %d", first, later)
	}

	if err := a.Restart(t.Context(), lab.Mgr); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Minute, "switchover", func() (bool, string) {
		r := call(t, "switchover", "--yes", "--to", "site-b", file)
		return r.code == 0, r.String()
	})
	if err := b.Kill(lab.Mgr); err != nil {
		t.Fatal(err)
	}
	follows(t, b, a, "third")
	w.end()
}

// follows writes at the primary, and waits until the copy holds that: nobody but the
// daemon takes the mirror snapshot that it comes with.
func follows(t *testing.T, from, to *lab.Site, text string) {
	t.Helper()
	const image = "rbd/snapshot-a"
	before := newestMark(t, from, image)
	if err := scribble(t, from, image); err != nil {
		t.Fatal(err)
	}
	want := digest(t, from, image)
	eventually(t, 3*time.Minute, text+" write at the copy", func() (bool, string) {
		newest := newestMark(t, from, image)
		return newest > before && digest(t, to, image) == want, fmt.Sprintf("newest mirror snapshot %d, before %d", newest, before)
	})
}

// newestMark is the id of the newest mirror snapshot of an image.
func newestMark(t *testing.T, s *lab.Site, image string) (newest int) {
	t.Helper()
	var all []struct {
		ID        int
		Namespace struct{ Type string }
	}
	if err := json.Unmarshal([]byte(rbd(t, s, "snap", "ls", "--all", "--format", "json", image)), &all); err != nil {
		t.Fatal(err)
	}
	for _, sn := range all {
		if sn.Namespace.Type == "mirror" {
			newest = max(newest, sn.ID)
		}
	}
	return newest
}

// TestDaemonSleepsOverSnapshots stops the daemon in the middle of its mirror
// snapshots, has the images moved to the other site meanwhile, and wakes it: it is
// shut out first, and makes no image primary again.
func TestDaemonSleepsOverSnapshots(t *testing.T) {
	t.Parallel()
	l, a, b := mirroredBothWays(t)
	images := moving{}
	for i := range 24 {
		images[fmt.Sprintf("rbd/snapshot-%d", i)] = "snapshot"
	}
	images.make(t, a)
	file := plan(t, l, "rbd", twoWay(strings.Replace(ownSnapshots, "BY", "drover", 1)))
	applied(t, file)
	awaitHealthy(t, file)
	w := watching(t, slackfake.New(t), file)
	stopped := false
	for deadline := time.Now().Add(4 * time.Minute); !stopped && time.Now().Before(deadline); {
		before := newestMark(t, a, "rbd/snapshot-0")
		listed, err := a.Rados(t.Context(), "-p", "rbd", "-N", "drover", "listomapkeys", "visits.e2e")
		if err != nil || len(listed) == 0 || before == 0 {
			continue // there is none yet, or none at present
		}
		if err := w.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		listed, err = a.Rados(t.Context(), "-p", "rbd", "-N", "drover", "listomapkeys", "visits.e2e")
		if stopped = err == nil && len(listed) > 0; !stopped { // it had just ended
			if err := w.cmd.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !stopped {
		t.Fatal("the daemon was never seen taking mirror snapshots")
	}
	var moved result
	eventually(t, 3*time.Minute, "switchover", func() (bool, string) {
		moved = call(t, "switchover", "--yes", "--to", "site-b", file)
		return moved.code == 0, moved.String()
	})
	if !strings.Contains(moved.stdout+moved.stderr, "(mirror snapshots)") {
		t.Errorf("want the daemon's client shut out\n%s", moved)
	}
	if err := w.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, 3*time.Minute, "mirror snapshot at the new primary", func() (bool, string) {
		listed, err := b.Rados(t.Context(), "-p", "rbd", "-N", "drover", "listomapkeys", "visits.e2e")
		return err == nil && len(listed) > 0, fmt.Sprint(string(listed), err)
	})
	for image := range images {
		wantRole(t, a, image, false, "snapshot")
		wantRole(t, b, image, true, "snapshot")
	}
	w.end()
}
