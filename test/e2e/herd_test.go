package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// killSeed chooses the moments at which runbooks are killed; a failing run names
// the moments, which say more than the seed.
const killSeed = 20251122

// killed is the exit code of a process that SIGKILL has ended.
const killed = 137

// herdImages is a plan of its own with a group of both modes and an image more.
const herdImages = `runbooks: {proof_timeout: 1m}
pools:
  - name: rbd
    images:
      - glob: HERD-journal-*
      - glob: HERD-snapshot-*
        mode: snapshot
        schedules: [{every: 1h}]
groups:
  - name: both
    images:
      - {pool: rbd, name: HERD-journal-0}
      - {pool: rbd, name: HERD-snapshot-0}
`

// herd is the images of one of several plans over the same pool, so that their
// runs go side by side.
type herd struct {
	file   string
	images moving
	sites  []*lab.Site
}

// herds makes some, replaying from site-a to site-b and fit to move.
func herds(t *testing.T, l *lab.Lab, n int) (all []herd, images moving) {
	t.Helper()
	images = moving{}
	for i := range n {
		name := fmt.Sprintf("herd%d", i)
		mine := moving{}
		for image, mode := range map[string]string{"-journal-0": "journal", "-journal-1": "journal", "-snapshot-0": "snapshot"} {
			mine["rbd/"+name+image], images["rbd/"+name+image] = mode, mode
		}
		text := strings.Replace(twoWay(herdImages), "name: e2e", "name: "+name, 1)
		all = append(all, herd{file: plan(t, l, "rbd", strings.ReplaceAll(text, "HERD", name)), images: mine, sites: l.Sites()})
	}
	images.make(t, l.Site("site-a"))
	for _, h := range all {
		ok(t, "plan", "apply", "--yes", "--wait", "none", h.file)
	}
	for _, h := range all {
		eventually(t, 3*time.Minute, "herd that is fit to move", func() (bool, string) {
			r := call(t, "switchover", "--dry-run", "--to", "site-b", h.file)
			return r.code == 0, r.String()
		})
	}
	return all, images
}

// killing says how a runbook is begun and killed.
type killing struct {
	// begin are the words of a runbook that no process has begun yet.
	begin func(t *testing.T, h herd) []string
	// span is about what it takes while all herds are at it.
	span time.Duration
	// limit is for the process that is left alone.
	limit time.Duration
}

// mostKills is how often one herd's run is killed at most.
const mostKills = 6

// all carries the runbook out for all herds at once, and kills it, and the
// processes that take it up, until leastKills of all have died; what is left is
// brought to its end by one more process each. It answers with how many died.
func (k killing) all(t *testing.T, moments *rand.Rand, herds []herd) int {
	t.Helper()
	var (
		wg    sync.WaitGroup
		kills atomic.Int64
	)
	for i, h := range herds {
		after := k.moments(moments)
		wg.Go(func() {
			lived := k.untilEnough(t, h, after, &kills)
			t.Logf("herd %d: killed after %s", i, lived)
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return int(kills.Load())
}

// moments chooses when to kill: a faster machine is through before the later
// ones, so that they come closer and closer to the beginning.
func (k killing) moments(random *rand.Rand) (after []time.Duration) {
	for i := range mostKills {
		span := k.span >> max(0, i-1)
		after = append(after, time.Duration(random.Int64N(int64(span))))
	}
	return after
}

// untilEnough is one herd's part; it answers with how long each process lived that
// was killed.
func (k killing) untilEnough(t *testing.T, h herd, after []time.Duration, kills *atomic.Int64) (lived []time.Duration) {
	t.Helper()
	for i, moment := range after {
		// Everyone dies twice, if there is time; more often only where others did not.
		if i >= 2 && kills.Load() >= leastKills {
			break
		}
		r := k.goOn(t, h, moment)
		switch {
		case r.code == 0:
			return lived
		case r.code == killed:
			kills.Add(1)
			lived = append(lived, moment.Round(time.Millisecond))
		case !h.returned(t, r):
			t.Errorf("want it killed, or done\n%s", r)
			return lived
		}
	}
	r := k.goOn(t, h, k.limit)
	if h.returned(t, r) {
		r = k.goOn(t, h, k.limit)
	}
	if r.code != 0 {
		t.Errorf("want the run completed\n%s\n%s", r, h.account(t))
	}
	return lived
}

// returned reports whether a switchover is over, and has taken an image back: where
// rbd-mirror does not read on after a client was killed at the wrong moment, the
// proof does not come, and the image stays where it was until the next attempt.
func (h herd) returned(t *testing.T, r result) bool {
	t.Helper()
	if r.code != 1 || !strings.Contains(r.stdout+r.stderr, "returned") || len(runsOf(t, h.file).open()) > 0 {
		return false
	}
	t.Logf("an image was taken back\n%s\n%s", r, h.account(t))
	return true
}

// account is what Ceph itself says of the herd's images.
func (h herd) account(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for image, mode := range h.images {
		history := []string{"journal", "status", "--image", image}
		if mode == "snapshot" {
			history = []string{"snap", "ls", "--all", image}
		}
		for _, s := range h.sites {
			for _, args := range [][]string{{"mirror", "image", "status", image}, history, {"status", image}} {
				said, err := s.Rbd(t.Context(), args...)
				fmt.Fprintf(&out, "%s: rbd %s: %v\n%s\n", s.Name, strings.Join(args, " "), err, said)
			}
		}
	}
	return out.String()
}

// goOn takes up the herd's run, or begins it where none is recorded, and kills
// that process after a time.
func (k killing) goOn(t *testing.T, h herd, after time.Duration) (r result) {
	t.Helper()
	eventually(t, 3*time.Minute, "process that gets to work", func() (bool, string) {
		var args []string
		if len(runsOf(t, h.file).open()) > 0 {
			args = []string{"runs", "resume", "--yes", h.file}
		} else {
			args = k.begin(t, h)
		}
		// Refused or kept away (13, 10) for as long as reports are old, and the
		// dead process's lease is good; what was approved may be stale (12) by now.
		r = cut(t, syscall.SIGKILL, after, args...)
		return r.code != 10 && r.code != 12 && r.code != 13, r.String()
	})
	return r
}
