package orchestrator

import (
	"testing"
	"testing/synctest"
	"time"
)

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
	})
}
