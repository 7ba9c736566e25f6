package e2e

import (
	"strings"
	"testing"
)

const splitImages = `pools:
  - name: rbd
    images:
      - glob: journal-*
      - glob: snapshot-*
        mode: snapshot
        schedules: [{every: 1m}]
`

// TestSplitBrainMadeByHand has a person promote copies by force while both
// sites are up, which Ceph calls healthy, and chooses a side for each image.
func TestSplitBrainMadeByHand(t *testing.T) {
	t.Parallel()
	l, a, b := mirroredBothWays(t)
	images := moving{"rbd/journal-a": "journal", "rbd/journal-b": "journal", "rbd/snapshot-b": "snapshot"}
	images.make(t, a)
	file := plan(t, l, "rbd", twoWay(splitImages))
	applied(t, file)
	awaitHealthy(t, file)

	// Both sides write to each image after the split: no two contents are equal.
	at := map[string]map[string]string{"site-a": {}, "site-b": {}}
	for image := range images {
		forced(t, b, image)
		for _, s := range l.Sites() {
			if err := scribble(t, s, image); err != nil {
				t.Fatal(err)
			}
			at[s.Name][image] = digest(t, s, image)
		}
	}
	s := statusOf(t, file)
	for image := range images {
		if i := s.image(t, strings.TrimPrefix(image, "rbd/")); i.State != "split-brain" {
			t.Errorf("%s is said to be %s", image, i.State)
		}
	}
	refused := fails(t, 11, []string{"split-brain"}, "switchover", "--yes", "--to", "site-b", file)
	if !strings.Contains(refused.stdout+refused.stderr, "drover resync") {
		t.Errorf("want the next step\n%s", refused)
	}

	// The halt has paused what took snapshots of the image on its own.
	for _, s := range l.Sites() {
		if schedulesOf(t, s, "rbd")["snapshot-b"] {
			t.Errorf("the schedule of snapshot-b at %s is not paused", s.Name)
		}
	}
	if list := ok(t, "halt", "list", file); strings.Count(list.stdout, "paused: the schedule every 1m of rbd/snapshot-b at site-") != 2 {
		t.Errorf("want both paused schedules\n%s", list)
	}

	// A person keeps site-a's of one image and site-b's of the others.
	keeps := map[string][]string{"site-a": {"rbd/journal-a"}, "site-b": {"rbd/journal-b", "rbd/snapshot-b"}}
	want := map[string]string{}
	for _, keep := range []string{"site-a", "site-b"} {
		keeper, loser := l.Site(keep), b
		if keep == "site-b" {
			loser = a
		}
		args := append([]string{"resync", "--keep", keep, "--reason", "it served the users", "-o", "json", file}, keeps[keep]...)
		fails(t, 12, nil, append(args, "--yes", "--approved", strings.Repeat("0", 64))...)
		carryOut(t, args...)
		lost := map[string]string{}
		for _, image := range keeps[keep] {
			wantRole(t, keeper, image, true, images[image])
			wantRole(t, loser, image, false, images[image])
			want[image], lost[image] = at[keep][image], at[loser.Name][image]
			if got := digest(t, keeper, image); got != want[image] {
				t.Errorf("%s, kept at %s, has changed", image, keep)
			}
			wantSame(t, keeper, loser, image)
		}
		wantPreserved(t, file, lost, loser)
		kept, run := moving{}, shownRun(t, file)
		for _, image := range keeps[keep] {
			kept[image] = images[image]
			run.wantStep(t, "recopy-compare/"+image, "identical at ")
		}
		run.wantDiscards(t, loser, kept)
	}
	for _, s := range l.Sites() {
		if !schedulesOf(t, s, "rbd")["snapshot-b"] {
			t.Errorf("the schedule of snapshot-b at %s is not back", s.Name)
		}
	}
	awaitHealthy(t, file)

	// Nothing is halted any more.
	switched(t, file, a)
	images.want(t, a, b, want)
	images.wantCopies(t, a, b)
}
