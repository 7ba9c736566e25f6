package e2e

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// background is a command that runs beside the test.
type background struct{ ended chan result }

func begin(t *testing.T, limit time.Duration, args ...string) background {
	t.Helper()
	b := background{make(chan result, 1)}
	go func() { b.ended <- callFor(t, limit, args...) }()
	return b
}

// demoted waits until an image is primary nowhere: a hand-over is in flight.
func demoted(t *testing.T, s *lab.Site, image string) {
	t.Helper()
	eventually(t, time.Minute, image+" demoted at "+s.Name, func() (bool, string) {
		i, there := lookup(t, s, image)
		return there && !i.Mirroring.Primary, ""
	})
}

// completed goes on with a run until it is over, as somebody does who reads what
// it says.
func completed(t *testing.T, file string) {
	t.Helper()
	eventually(t, 4*time.Minute, "run that comes to its end", func() (bool, string) {
		if len(runsOf(t, file).open()) == 0 {
			return true, ""
		}
		r := callFor(t, 4*time.Minute, "runs", "resume", "--yes", file)
		return r.code == 0, r.String()
	})
}

// TestSwitchoverThroughFaults breaks one thing after the other while images are
// moved from site to site, and has a person meddle.
func TestSwitchoverThroughFaults(t *testing.T) {
	t.Parallel()
	l, a, b := mirroredBothWays(t)
	all, images := herds(t, l, 1)
	file := all[0].file
	before := images.digests(t, a)
	const image, other = "rbd/herd0-journal-1", "rbd/herd0-snapshot-0"
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// caught begins a switchover that cannot be proven, and waits until it is in
	// the middle: nobody replays at its target.
	caught := func(from, to *lab.Site) background {
		t.Helper()
		eventually(t, 3*time.Minute, "herd that is fit to move to "+to.Name, func() (bool, string) {
			r := call(t, "switchover", "--dry-run", "--to", to.Name, file)
			return r.code == 0, r.String()
		})
		must(to.Freeze(lab.Mirror))
		run := begin(t, 4*time.Minute, "switchover", "--yes", "--to", to.Name, file)
		demoted(t, from, image)
		return run
	}

	// rbd-mirror is killed where the images go.
	run := caught(a, b)
	must(b.Kill(lab.Mirror))
	startMirror(t, b)
	if r := <-run.ended; r.code != 0 {
		t.Logf("rbd-mirror killed: %s", r)
	}
	completed(t, file)
	images.want(t, b, a, before)

	// The OSD of the site that they come from goes down, and comes back.
	run = caught(b, a)
	must(b.StopDaemon(lab.OSD))
	must(a.Thaw(lab.Mirror))
	time.Sleep(5 * time.Second) // an outage, not a hiccup
	must(b.Restart(t.Context(), lab.OSD))
	if r := <-run.ended; r.code != 0 {
		t.Logf("OSD down and back: %s", r)
	}
	completed(t, file)
	images.want(t, a, b, before)

	// A person promotes one image again where it has just been demoted.
	run = caught(a, b)
	rbd(t, a, "mirror", "image", "promote", image)
	must(b.Thaw(lab.Mirror))
	r := <-run.ended
	if r.code == 0 || !strings.Contains(r.stdout, image) || !strings.Contains(r.stdout, "primary at site-a") {
		t.Errorf("want the image named that a person has promoted\n%s", r)
	}
	wantRole(t, a, image, true, "journal")
	wantRole(t, b, image, false, "journal")
	wantRole(t, b, other, true, "snapshot")
	if len(runsOf(t, file).open()) > 0 {
		r := call(t, "runs", "resume", "--yes", file)
		t.Logf("resumed: %s", r)
	}
	switched(t, file, b)
	images.want(t, b, a, before)

	if os.Getuid() != 0 {
		t.Log("not root: the way between the sites is not cut")
		return
	}
	// The way between the sites is cut, while Drover sees both.
	run = caught(b, a)
	must(l.Cut("site-a", "site-b"))
	must(a.Thaw(lab.Mirror))
	time.Sleep(5 * time.Second) // as above
	must(l.Heal("site-a", "site-b"))
	if r := <-run.ended; r.code != 0 {
		t.Logf("way cut and healed: %s", r)
	}
	completed(t, file)
	images.want(t, a, b, before)
	images.wantCopies(t, a, b)
}
