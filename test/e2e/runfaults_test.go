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
	switched(t, file, b) // what had no time to follow, and was left as it was
	images.want(t, b, a, before)

	// The OSD of the site that they come from goes down, and comes back.
	run = caught(b, a)
	must(b.StopDaemon(lab.OSD))
	must(a.Thaw(lab.Mirror))
	pause(t, 5*time.Second)
	must(b.Restart(t.Context(), lab.OSD))
	if r := <-run.ended; r.code != 0 {
		t.Logf("OSD down and back: %s", r)
	}
	completed(t, file)
	switched(t, file, a)
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
	pause(t, 5*time.Second)
	must(l.Heal("site-a", "site-b"))
	if r := <-run.ended; r.code != 0 {
		t.Logf("way cut and healed: %s", r)
	}
	completed(t, file)
	switched(t, file, a)
	images.want(t, a, b, before)
	images.wantCopies(t, a, b)
}

// TestOtherRunbooksThroughFaults breaks something in the middle of a failover, a
// failback and a resync: each comes to its end, and every byte is where it belongs.
func TestOtherRunbooksThroughFaults(t *testing.T) {
	t.Parallel()
	l, a, b := mirroredBothWays(t)
	all, images := herds(t, l, 1)
	file := all[0].file
	const image = "rbd/herd0-journal-1"
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// through begins a runbook, breaks something once it is in the middle, and has
	// it brought to its end.
	through := func(what string, amid, breaks func(), runbook string, args ...string) {
		t.Helper()
		run := begin(t, 5*time.Minute, onApproval(runbook, args...)(t, all[0])...)
		amid()
		breaks()
		r := <-run.ended
		if r.code != 0 {
			t.Logf("%s: %s", what, r)
		}
		if r.code != 0 && len(runsOf(t, file).open()) == 0 {
			ok(t, onApproval(runbook, args...)(t, all[0])...) // it had not even begun
		}
		completed(t, file)
	}
	givenUp := func() { demoted(t, a, image) } // its copy at site-a is about to be made anew

	given := images.digests(t, a)

	// The old site is frozen, and the OSD of the new one goes down and comes back.
	withoutMirror(t, b)
	must(a.FreezeAll())
	t.Cleanup(func() { _ = a.ThawAll() }) // it may have been thawed before
	through("failover", func() {}, func() { must(b.Restart(t.Context(), lab.OSD)) }, "failover", "--to", "site-b")
	for image := range images {
		wantRoleNow(t, b, image, true)
	}
	must(a.ThawAll())
	startMirror(t, b)
	kept := scribbledAll(t, b, images)

	// rbd-mirror is killed that makes the copies anew.
	through("failback", givenUp, func() {
		must(a.Kill(lab.Mirror))
		startMirror(t, a)
	}, "failback")
	images.want(t, a, b, kept)
	images.wantCopies(t, a, b)
	wantPreserved(t, file, given, a)
	dropPreserved(t, file)

	// Somebody promotes by force; in the resync the way between the sites is cut.
	for image := range images {
		forced(t, b, image)
	}
	lost := scribbledAll(t, a, images)
	kept = scribbledAll(t, b, images)
	through("resync", givenUp, func() {
		if os.Getuid() != 0 {
			t.Log("not root: the way between the sites is not cut")
			return
		}
		must(l.Cut("site-a", "site-b"))
		pause(t, 5*time.Second)
		must(l.Heal("site-a", "site-b"))
	}, "resync", "--all", "--keep", "site-b")
	images.want(t, b, a, kept)
	images.wantCopies(t, b, a)
	wantPreserved(t, file, lost, a)
}

// withoutMirror ends the rbd-mirror of a site and waits until nobody takes it for
// running any more.
func withoutMirror(t *testing.T, s *lab.Site) {
	t.Helper()
	if err := s.StopMirror(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 3*time.Minute, "service map without an rbd-mirror", func() (bool, string) {
		out := ceph(t, s, "service", "dump")
		return !strings.Contains(out, "rbd-mirror"), out
	})
}

// pause lets an outage last, so that it is one and not a hiccup.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}
