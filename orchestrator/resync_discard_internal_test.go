package orchestrator

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-io/drover/replay"
)

// leaving is a site where rbd-mirror is removing its copies.
type leaving struct{ Site }

func (l leaving) LookAt(ctx context.Context, pool replay.Pool, names []string, d replay.Detail, tell func(string, replay.Image, error)) error {
	return l.Site.LookAt(ctx, pool, names, d, func(name string, image replay.Image, err error) {
		image.State, image.Role = replay.StateDisabling, replay.RolePrimary
		tell(name, image, err)
	})
}

// TestResyncIsNotAskedForAgain: a copy that was made anew between two looks is not
// discarded in its turn.
func TestResyncIsNotAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSplit(t, splitPlan)
		sites := s.open()
		defer s.close(sites)
		history, err := newPast(nil, "resync-1")
		s.must(err)
		history.note(&StepRecord{Step: recopyStep(StepGuard, s.image("vm")), Phase: PhaseDone})
		c := &crew{
			plan: s.plan, sites: sites, run: &Run{ID: "resync-1", Runbook: Resync, From: "b", To: "a", Approved: "yes"}, past: history,
			seen: newLookout(sites, "a", "b"), soft: t.Context(), hard: t.Context(), slots: make(chan struct{}, 1), callTime: time.Minute,
		}
		image, err := s.world.Site("b").Image(t.Context(), s.image("vm"))
		s.must(err)
		asked := func(oldID string) (n int) {
			s.world.ForgetCalls()
			s.must(resyncAct{exchange{s.image("vm"), "b", "a"}, oldID, recopyStep(StepGuard, s.image("vm"))}.do(t.Context(), c))
			for _, call := range s.world.Calls() {
				if call.Op == "Resync" {
					n++
				}
			}
			return n
		}
		if n := asked("an older one"); n != 0 {
			t.Errorf("asked for %d times", n)
		}
		if n := asked(image.ID); n != 1 {
			t.Errorf("the old copy: asked for %d times", n)
		}
		history.note(&StepRecord{Step: recopyStep(StepResync, s.image("vm")), Phase: PhaseIntent})
		for i := range sites.entries {
			if e := &sites.entries[i]; e.plan.Name == "b" {
				e.site = leaving{e.site}
			}
		}
		if n := asked(image.ID); n != 0 {
			t.Errorf("a copy that is being removed: asked for %d times", n)
		}
	})
}
