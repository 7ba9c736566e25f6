package orchestrator_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay/sim"
)

// TestPreserveReplaysTheJournal takes, and removes, a snapshot of a primary in
// journal mode before it is copied: that replays what a dead client has left in
// the journal. A client that has just died holds the lock for a while.
func TestPreserveReplaysTheJournal(t *testing.T) {
	for _, form := range []struct {
		name, plan string
		want       bool
	}{{"journal", twoWay, true}, {"snapshots", snapshotsTwoWay, false}} {
		t.Run(form.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b, _ := splitBed(t, form.plan)
				b.world.Inject(sim.Fault{Site: "a", Op: "CreateSnapshot", Object: "rbd/volume-1", Errno: syscall.EBUSY, Count: 3})
				b.world.ForgetCalls()
				_, r, err := b.immortal().start(t.Context(), recopying("b", "volume-1"), orchestrator.RunOptions{})
				if err != nil || r.Outcome != orchestrator.RunDone {
					t.Fatalf("%v\n%s", err, story(r))
				}
				var order []string
				for _, c := range b.world.Calls() {
					if c.Site != "a" || c.Err != nil || !strings.HasPrefix(c.Object, "rbd/volume-1") {
						continue
					}
					switch c.Op {
					case "CreateSnapshot", "RemoveSnapshot", "OpenSnapshot", "Demote":
						order = append(order, c.Op)
					}
				}
				got := strings.Join(order, " ")
				// The first is only for the estimate.
				if want := "OpenSnapshot CreateSnapshot RemoveSnapshot OpenSnapshot OpenSnapshot Demote"; strings.HasPrefix(got, want) != form.want || strings.Count(got, "CreateSnapshot") > 1 {
					t.Errorf("at the loser: %s", got)
				}
			})
		})
	}
}

// TestPreserveGivesUpOnALock leaves the image as it is when its lock cannot be
// had.
func TestPreserveGivesUpOnALock(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, _ := splitBed(t, twoWay)
		heal := b.world.Inject(sim.Fault{Site: "a", Op: "CreateSnapshot", Object: "rbd/volume-1", Errno: syscall.EBUSY})
		began := time.Now()
		_, r, err := b.immortal().start(t.Context(), recopying("b", "volume-1"), orchestrator.RunOptions{})
		if err == nil || r.Count(orchestrator.UnitUntouched) != 1 || !strings.Contains(r.Units[0].Why, "replay the journal of rbd/volume-1 at a") {
			t.Fatalf("%v\n%s", err, story(r))
		}
		if took := time.Since(began); took < 50*time.Second || took > 3*time.Minute {
			t.Errorf("after %v", took)
		}
		if kept := b.preserved("a"); len(kept) > 0 {
			t.Errorf("kept: %v", kept)
		}
		heal()
		if _, r, err := b.resync(orchestrator.ResyncOptions{Keep: "b", Scope: orchestrator.Scope{Images: []string{"volume-1"}}}); err != nil {
			t.Errorf("once more: %v\n%s", err, story(r))
		}
	})
}
