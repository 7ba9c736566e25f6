package sim_test

import (
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// TestPromotionNeedsTheLink hands an image over before and after the old
// primary's rbd-mirror has registered in the copy's journal: before, it reports
// a split-brain for ever, as on 16.2.15.
func TestPromotionNeedsTheLink(t *testing.T) {
	for name, c := range map[string]struct {
		wait  time.Duration // between the end of the first sync and the demotion
		stays bool          // the split-brain report
	}{
		"at once":                  {0, true},
		"after the daemon's check": {31 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, a, b := pair(t, sim.Options{})
			token, err := b.CreateBootstrapToken(t.Context(), vm.Pool)
			must(t, err)
			must(t, a.ImportBootstrapToken(t.Context(), vm.Pool, replay.RxTx, token))
			w.StartDaemon("a")
			w.Advance(61 * time.Second) // right behind a check of a's
			protect(t, a, vm, replay.ModeJournal)
			w.Advance(5 * time.Second)
			img, err := b.Image(t.Context(), vm)
			must(t, err)
			if img.State != replay.StateEnabled {
				t.Fatalf("no copy yet: %+v", img)
			}
			w.Advance(c.wait)
			must(t, a.Demote(t.Context(), vm))
			w.Advance(time.Second)
			must(t, b.Promote(t.Context(), vm, false))
			must(t, w.Write("b", vm, 0, []byte("new")))
			for range 3 {
				w.Advance(2 * time.Minute)
				reports, err := a.Reports(t.Context(), vm.Pool)
				must(t, err)
				split := false
				for _, r := range reports {
					split = split || r.MirrorUUID == "" && r.Has(replay.CondSplitBrain)
				}
				if split != c.stays {
					t.Fatalf("split-brain report: %v; %+v", split, reports)
				}
			}
			if c.stays {
				// Only a resync ends it.
				must(t, a.Resync(t.Context(), vm))
				w.Advance(2 * time.Minute)
			}
			r, err := a.OpenSnapshot(t.Context(), vm, "")
			must(t, err)
			got := make([]byte, 3)
			_, err = r.ReadAt(t.Context(), got, 0)
			must(t, err)
			if string(got) != "new" {
				t.Fatalf("the old primary holds %q", got)
			}
		})
	}
}
