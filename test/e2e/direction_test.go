package e2e

import (
	"strings"
	"testing"

	"github.com/drover-io/drover/test/lab"
)

// TestSwitchoverOneWay is refused while the plan has no way back, and sets that
// up where the plan allows it: the images come back as they were.
func TestSwitchoverOneWay(t *testing.T) {
	t.Parallel()
	l := ownLab(t, "site-a", "site-b")
	a, b := l.Site("site-a"), l.Site("site-b")
	images := moving{"rbd/journal-0": "journal", "rbd/snapshot-0": "snapshot"}
	images.make(t, a)
	// Drover runs the daemons itself, so that it can start one for the way back.
	text := strings.NewReplacer("two-way", "one-way", "RUN-A", runFolder(t), "RUN-B", runFolder(t)).Replace(failoverPlan)
	file := plan(t, l, "rbd", text)
	applied(t, file)
	awaitHealthy(t, file)
	before := images.digests(t, a)

	refused := fails(t, 13, []string{"nothing was changed"}, "switchover", "--yes", "--to", "site-b", file)
	if !strings.Contains(refused.stdout, "the plan is one-way") {
		t.Errorf("want the reason\n%s", refused)
	}
	images.wantPrimaries(t, a)

	allowed := plan(t, l, "rbd", text+"runbooks: {reverse: allow}\n")
	if got := carried(t, switched(t, allowed, b)); got.Summary.Moved != len(images) {
		t.Fatalf("want all moved: %+v", got)
	}
	images.want(t, b, a, before)
	for image := range images {
		if err := scribble(t, b, image); err != nil {
			t.Fatal(err)
		}
	}
	after := images.digests(t, b)
	switched(t, allowed, a)
	images.want(t, a, b, after)
	images.wantCopies(t, a, b)
}

// TestRunbooksOfThreeSites moves images from the one site to either of the two
// that hold their copies: planned, and when that site is gone.
func TestRunbooksOfThreeSites(t *testing.T) {
	t.Parallel()
	l := ownLab(t, "site-a", "site-b", "site-c")
	a, b, c := l.Site("site-a"), l.Site("site-b"), l.Site("site-c")
	for _, s := range []*lab.Site{b, c} {
		startMirror(t, s)
	}
	planned := moving{"rbd/journal-0": "journal", "rbd/snapshot-0": "snapshot"}
	lost := moving{"rbd/journal-1": "journal", "rbd/snapshot-1": "snapshot"}
	planned.make(t, a)
	lost.make(t, a)
	file := plan(t, l, "rbd", oneWay("  - name: site-c\n    conf: site-c.conf\n"+splitImages))
	applied(t, file)
	awaitHealthy(t, file)
	planned.wantCopies(t, a, c)
	lost.wantCopies(t, a, c)
	before, kept := planned.digests(t, a), lost.digests(t, a)

	some := []string{"--no-way-back"}
	for image := range planned {
		some = append(some, "--image", image)
	}
	moved := switched(t, file, b, some...)
	if got := carried(t, moved); got.Summary.Moved != len(planned) {
		t.Fatalf("want %d moved\n%s", len(planned), moved)
	}
	planned.want(t, b, a, before)
	planned.want(t, b, c, before)
	lost.wantPrimaries(t, a)

	if err := a.Vanish(); err != nil {
		t.Fatal(err)
	}
	args := []string{"failover", "--to", "site-c", "--reason", "site-a is lost", "--leave-daemon", "--only-ready", "-o", "json", file}
	if got := carried(t, carryOut(t, args...)); got.Summary.Moved != len(lost) {
		t.Fatalf("want %d moved: %+v", len(lost), got.Summary)
	}
	lost.want(t, c, b, kept)
	planned.want(t, b, c, before)
}
