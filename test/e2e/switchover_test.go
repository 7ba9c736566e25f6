package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drover-io/drover/test/lab"
)

// mirroredBothWays is a lab of two sites, each with its rbd-mirror.
func mirroredBothWays(t *testing.T) (l *lab.Lab, a, b *lab.Site) {
	t.Helper()
	l = ownLab(t, "site-a", "site-b")
	a, b = l.Site("site-a"), l.Site("site-b")
	startMirror(t, a)
	startMirror(t, b)
	return l, a, b
}

// TestSwitchover moves images in both modes there and back and there again, and
// has the runbook refuse what it must.
func TestSwitchover(t *testing.T) {
	t.Parallel()
	l, a, b := mirroredBothWays(t)
	twelve.make(t, a)
	file := plan(t, l, "rbd", twoWay(twelveImages))
	applied(t, file)
	awaitHealthy(t, file)
	before := twelve.digests(t, a)

	// A dry run shows it and changes nothing.
	dry := ok(t, "switchover", "--dry-run", "--to", "site-b", file)
	for _, words := range []string{"both-modes", "wave second", "demote at site-a", "dry run: nothing was changed"} {
		if !strings.Contains(dry.stdout+dry.stderr, words) {
			t.Errorf("want %q\n%s", words, dry)
		}
	}

	// Somebody writes: refused, with the client named, and nothing demoted.
	stop, ended := busy(t, a, "rbd/journal-6")
	refused := fails(t, 13, []string{"rbd/journal-6", "in use by client."}, "switchover", "--yes", "--to", "site-b", file)
	if !strings.Contains(refused.stdout, "--fence") {
		t.Errorf("want the remedy\n%s", refused)
	}
	twelve.wantPrimaries(t, a)

	// Shut out on demand. The writer cannot go on, and what it had been told is
	// written is there.
	fenced := ok(t, "switchover", "--yes", "--fence", "-o", "json", "--to", "site-b", "--image", "rbd/journal-6", file)
	if got := carried(t, fenced); got.Summary.Moved != 1 || got.Outcome != "done" {
		t.Fatalf("want one image moved\n%s", fenced)
	}
	select {
	case said := <-ended:
		t.Logf("the writer: %s", said[max(0, len(said)-200):])
	case <-time.After(time.Minute):
		t.Error("the fenced writer goes on")
	}
	stop()
	wantRole(t, b, "rbd/journal-6", true, "journal")
	wantRole(t, a, "rbd/journal-6", false, "journal")
	before["rbd/journal-6"] = digest(t, a, "rbd/journal-6")

	runReported(t, file)

	// The rest follows: written to until just before.
	for _, image := range []string{"rbd/journal-0", "rbd/snapshot-0", "rbd/journal-1", "rbd/snapshot-3"} {
		if err := scribble(t, a, image); err != nil {
			t.Fatal(err)
		}
		before[image] = digest(t, a, image)
	}
	there := carried(t, switched(t, file, b))
	if there.Summary.Moved != 11 || there.Summary.Left != 1 {
		t.Errorf("want 11 moved and one left: %+v", there)
	}
	twelve.want(t, b, a, before)
	wantSchedules(t, b)

	back := carried(t, switched(t, file, a))
	if back.Summary.Moved != 12 {
		t.Errorf("want 12 moved: %+v", back)
	}
	twelve.want(t, a, b, before)
	wantSchedules(t, a)

	// Two at once: one of them does it, the other keeps away.
	awaitHealthy(t, file)
	var (
		both sync.WaitGroup
		ends [2]result
	)
	for i := range ends {
		both.Go(func() { ends[i] = call(t, "switchover", "--yes", "--to", "site-b", file) })
	}
	both.Wait()
	one, other := ends[0], ends[1]
	if one.code != 0 {
		one, other = other, one
	}
	if one.code != 0 || other.code != 10 && other.code != 13 {
		t.Fatalf("want one to do it and one to keep away\n%s\n%s", one, other)
	}
	twelve.want(t, b, a, before)
	twelve.wantCopies(t, b, a)
	if open := runsOf(t, file).open(); len(open) > 0 {
		t.Errorf("runs that are not over: %v", open)
	}
}

// wantPrimaries fails the test unless all images are primary at a site at this
// moment.
func (m moving) wantPrimaries(t *testing.T, s *lab.Site) {
	t.Helper()
	for image := range m {
		if i, there := lookup(t, s, image); !there || !i.Mirroring.Primary {
			t.Errorf("%s is not primary at %s: %+v", image, s.Name, i.Mirroring)
		}
	}
}

func wantSchedules(t *testing.T, s *lab.Site) {
	t.Helper()
	at := schedulesOf(t, s, "rbd")
	for image, mode := range twelve {
		if name := strings.TrimPrefix(image, "rbd/"); mode == "snapshot" && !at[name] {
			t.Errorf("%s has no schedule for %s: %v", s.Name, name, at)
		}
	}
}

// numbered is a plan over many images that it creates itself.
func numbered(n int) string {
	var images strings.Builder
	for i := range n {
		fmt.Fprintf(&images, "      - name: image-%02d\n        create: {size: 16MiB}\n", i)
	}
	return twoWay("pools:\n  - name: rbd\n    images:\n" + images.String())
}

// TestSwitchoverOfImagesInFirstSync is the trap of the bulk demote: it strands
// images whose copies are not whole. Refused at once, or only what is fit moves,
// and at no time is there an image without a primary that stays so.
func TestSwitchoverOfImagesInFirstSync(t *testing.T) {
	t.Parallel()
	const ready, rest = 15, 75
	const all = rest + 1
	l, a, b := mirroredBothWays(t)
	applied(t, plan(t, l, "rbd", numbered(ready)))
	awaitHealthy(t, plan(t, l, "rbd", numbered(ready)))
	// The daemon makes one copy after the other. That of the ocean takes many
	// minutes, though nothing is in it: without an object map each of its objects is
	// asked for.
	ceph(t, b, "config", "set", "client", "rbd_mirror_concurrent_image_syncs", "1")
	rbd(t, a, "create", "--size", "4T", "--image-feature", "exclusive-lock,journaling", "rbd/ocean")
	file := plan(t, l, "rbd", numbered(rest)+"      - name: ocean\n")
	ok(t, "plan", "apply", "--yes", "--wait", "none", file)
	eventually(t, 2*time.Minute, "copies in the making", func() (bool, string) {
		out := rbd(t, b, "ls", "rbd")
		return strings.Contains(out, "ocean") && strings.Count(out, "image-") >= rest/2, out
	})

	refused := fails(t, 13, []string{"nothing was changed"}, "switchover", "--yes", "--to", "site-b", file)
	if !strings.Contains(refused.stdout, "first sync to site-b is not over") {
		t.Errorf("want the reason\n%s", refused)
	}
	if at := primaries(t, a); at != all {
		t.Fatalf("%d of %d images are primary at site-a after a refusal", at, all)
	}

	moved := call(t, "switchover", "--yes", "--only-ready", "-o", "json", "--to", "site-b", file)
	if moved.code != 0 {
		t.Fatalf("want exit 0\n%s", moved)
	}
	got := carried(t, moved)
	if got.Summary.Moved < ready || got.Summary.Left == 0 || got.Summary.Moved+got.Summary.Left != all {
		t.Errorf("want some moved and some left, of %d: %+v", all, got.Summary)
	}
	t.Logf("%d moved, %d left", got.Summary.Moved, got.Summary.Left)
	if here, there := primaries(t, a), primaries(t, b); there != got.Summary.Moved || here+there != all {
		t.Errorf("primary at site-a: %d, at site-b: %d, of %d", here, there, all)
	}

	// The others, once they are fit.
	ceph(t, b, "config", "rm", "client", "rbd_mirror_concurrent_image_syncs")
	switched(t, plan(t, l, "rbd", numbered(rest)), b)
	if at := primaries(t, b); at != rest {
		t.Errorf("%d of %d images are primary at site-b", at, rest)
	}
}

// primaries counts the primary images of the pool rbd at a site, as rbd tells.
func primaries(t *testing.T, s *lab.Site) (n int) {
	t.Helper()
	var names []string
	if err := json.Unmarshal([]byte(rbd(t, s, "ls", "--format", "json", "rbd")), &names); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if i, there := lookup(t, s, "rbd/"+name); there && i.Mirroring.Primary {
			n++
		}
	}
	return n
}
