package orchestrator_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// discardOf is what became of an image's copy.
func discardOf(t *testing.T, all []orchestrator.Discard, image replay.ImageRef) *orchestrator.Discard {
	t.Helper()
	for i := range all {
		if all[i].Image == image {
			return &all[i]
		}
	}
	t.Fatalf("nothing is said of %s: %+v", image, all)
	return nil
}

// TestDiscardsOfFailoverAndFailback has in the reports what the old site alone
// held, and where it is.
func TestDiscardsOfFailoverAndFailback(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 2)
		b.world.Sever("b", "a")
		b.must(b.world.Write("a", ref("volume-1"), 4096, []byte("only at a")))
		time.Sleep(time.Minute)
		_, r, err := b.failover(orchestrator.FailoverOptions{To: "b", From: "a", Reason: "fire"})
		b.must(err)
		d := discardOf(t, r.Discards, ref("volume-1"))
		if d.Site != "a" || d.State != orchestrator.DiscardGivenUp || d.Kept != nil || d.Held == nil || d.Held.Entries == nil || *d.Held.Entries == 0 {
			t.Errorf("given up: %+v", d)
		}
		// a lives and was not seen demoted: that b had all of volume-0 when it was
		// looked at is not that it has all.
		if d := discardOf(t, r.Discards, ref("volume-0")); d.State != orchestrator.DiscardGivenUp || !d.LaterUnknown() || d.Held == nil || *d.Held.Entries != 0 || !strings.Contains(d.Held.Why, "what was written after this look is not known") {
			t.Errorf("nothing was seen of: %+v %+v", d, d.Held)
		}
		b.world.Mend("b", "a")
		b.must(b.world.Write("b", ref("volume-1"), 8192, []byte("only at b")))
		time.Sleep(5 * time.Minute)
		_, r, err = b.failback(orchestrator.FailbackOptions{Reason: "a is back", Deep: true})
		b.must(err)
		d = discardOf(t, r.Discards, ref("volume-1"))
		if d.Site != "a" || d.State != orchestrator.DiscardDone || d.Held == nil || !strings.Contains(d.Held.Why, "what a wrote") {
			t.Fatalf("discarded: %+v", d)
		}
		if d.Held.Ranges == nil || *d.Held.Ranges != 1 || d.Held.RangeBytes == nil || *d.Held.RangeBytes != 8192 {
			t.Errorf("compared before: %+v", d.Held)
		}
		if kept := b.preserved("a"); d.Kept == nil || d.Kept.Run != r.Run.ID || len(kept) == 0 || !strings.HasPrefix(d.Kept.Name, "volume-1.preserved-") {
			t.Errorf("kept: %+v of %v", d.Kept, kept)
		}
		runs := b.runs()
		last := &runs[len(runs)-1]
		if last.End == nil || len(last.End.Discards) != len(r.Discards) {
			t.Errorf("recorded: %+v", last.End)
		}
		last.Account(b.read())
		if len(last.Kept) != len(b.preserved("a")) || discardOf(t, last.Discards, ref("volume-1")).Kept == nil {
			t.Errorf("the story: %+v", last)
		}
	})
}

// TestNothingGivenUpOfDemoted leaves out of the report only what was seen demoted
// at the old site, and whole at the other.
func TestNothingGivenUpOfDemoted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 2)
		b.must(b.world.Site("a").Demote(t.Context(), ref("volume-1")))
		time.Sleep(time.Minute)
		_, r, err := b.failover(orchestrator.FailoverOptions{To: "b", From: "a", Reason: "drill"})
		b.must(err)
		for _, d := range r.Discards {
			if d.Image == ref("volume-1") {
				t.Errorf("given up though it was demoted and whole: %+v", d.Held)
			}
		}
		if d := discardOf(t, r.Discards, ref("volume-0")); !d.LaterUnknown() {
			t.Errorf("it could be written to: %+v", d)
		}
	})
}

// TestUnfinishedPromotionGivesUpMaybe has in the report that what the old site
// alone held is still there, where a promotion over it did not come back.
func TestUnfinishedPromotionGivesUpMaybe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 1)
		b.world.Sever("b", "a")
		b.must(b.world.Write("a", ref("volume-0"), 4096, []byte("only at a")))
		time.Sleep(time.Minute)
		b.world.Inject(sim.Fault{Site: "b", Op: "Promote", Object: "rbd/volume-0", Hang: true})
		_, r, err := b.failover(orchestrator.FailoverOptions{To: "b", From: "a", Reason: "fire"})
		if err == nil {
			t.Fatalf("nothing hung\n%s", story(r))
		}
		if d := discardOf(t, r.Discards, ref("volume-0")); d.Site != "a" || d.State != orchestrator.DiscardMayBeGivenUp || !d.LaterUnknown() {
			t.Errorf("in the report: %+v", d)
		}
		last := b.runs()[0]
		last.Account(b.read())
		if d := discardOf(t, last.Discards, ref("volume-0")); d.State != orchestrator.DiscardMayBeGivenUp {
			t.Errorf("in the story: %+v", d)
		}
	})
}

// TestDiscardsOfDeadProcess has what an earlier process discarded in the report
// of the one that took the run up, and of who ends it by hand.
func TestDiscardsOfDeadProcess(t *testing.T) {
	for _, how := range []string{"resumed", "ended"} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b, halt := splitBed(t, twoWay)
				p := b.immortal()
				ctx, cancel := context.WithCancel(t.Context())
				p.between = func(_ int64, c sim.Call) {
					if c.Op == "Resync" {
						b.world.StopDaemon("a") // it will not be copied anew
						cancel()
					}
				}
				_, r, err := p.start(ctx, recopying("b", "volume-1"), orchestrator.RunOptions{})
				if err == nil {
					t.Fatalf("it was not stopped\n%s", story(r))
				}
				d := discardOf(t, r.Discards, ref("volume-1"))
				if d.State != orchestrator.DiscardAsked || d.Kept == nil {
					t.Errorf("of the first: %+v", d)
				}
				// The halt's own list has the copy, too.
				book := b.read()
				if h := book.Halted(ref("volume-1")); h == nil || h.ID != halt || len(orchestrator.HaltedCopies(book, h)) != 1 {
					t.Errorf("halt: %+v", h)
				}
				b.world.StartDaemon("a")
				sites := b.sites(t.Context())
				defer b.close(sites)
				if how == "ended" {
					id := b.runs()[0].Run.ID
					time.Sleep(orchestrator.LeaseTTL)
					b.must(orchestrator.EndRun(t.Context(), b.plan, sites, id, "by hand", func(string) {}))
				} else {
					b.finish(b.immortal(), recopying("b", "volume-1"), nil)
				}
				end := b.runs()[0].End
				want := map[string]orchestrator.DiscardState{"resumed": orchestrator.DiscardDone, "ended": orchestrator.DiscardAsked}[how]
				if d := discardOf(t, end.Discards, ref("volume-1")); d.State != want || d.Kept == nil || d.Held == nil {
					t.Errorf("in the end: %+v", d)
				}
			})
		})
	}
}

// TestHaltedCopies are those of the halt's images and group only.
func TestHaltedCopies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, grouped, 3)
		split := func(name string, others ...string) {
			for _, image := range append(others, name) {
				b.must(b.world.Site("b").Promote(t.Context(), ref(image), true))
			}
			time.Sleep(5 * time.Minute)
			_, _, err := b.resync(orchestrator.ResyncOptions{Keep: "a", Scope: orchestrator.Scope{Images: []string{name}}, Force: true})
			b.must(err)
		}
		split("volume-0")
		split("volume-1", "volume-2") // which is volume-2, of its group
		book := b.read()
		for _, c := range []struct {
			halt orchestrator.Halt
			want int
		}{
			{orchestrator.Halt{Images: []replay.ImageRef{ref("volume-0")}}, 1},
			{orchestrator.Halt{Images: []replay.ImageRef{ref("volume-2")}}, 2},
			{orchestrator.Halt{Group: "db"}, 2},
			{orchestrator.Halt{Images: []replay.ImageRef{ref("vm-1")}}, 0},
			{orchestrator.Halt{Reason: "cannot be read"}, 3},
		} {
			if got := orchestrator.HaltedCopies(book, &c.halt); len(got) != c.want {
				t.Errorf("%+v: %d copies, want %d", c.halt, len(got), c.want)
			}
		}
	})
}
