package orchestrator_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// TestResumedAfterCutShort has a process die in the middle of a change of roles,
// and leave the image as librbd does then: so that the other side never hears of
// the demotion, or so that nobody can write to the new primary. Who resumes mends
// that, and moves the image, rather than to wait in vain or to call it done.
func TestResumedAfterCutShort(t *testing.T) {
	for i := range runScenes[:2] {
		for _, c := range []struct {
			op    string
			death death
			cut   sim.Cut
		}{
			{"Demote", diesBefore, sim.CutMarked},
			{"Demote", diesAfter, sim.CutUnfinished},
			{"Demote", diesAfter, sim.CutUntold},
			{"CreateMirrorSnapshot", diesAfter, sim.CutUnfinished},
			{"CreateMirrorSnapshot", diesAfter, sim.CutUntold},
			{"Promote", diesAfter, sim.CutMarked},
			{"Promote", diesAfter, sim.CutMarked | sim.CutUnfinished},
		} {
			if i == 0 && c.op == "CreateMirrorSnapshot" {
				continue // in journal mode there is none
			}
			scene := &runScenes[i]
			t.Run(fmt.Sprintf("%s/%s/%s/%d", scene.name, c.op, c.death, c.cut), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					st := scene.stage(t)
					p := &process{b: st.bed, at: -1, op: c.op, death: c.death, cut: c.cut}
					_, _, err := p.start(t.Context(), scene.prepare, orchestrator.RunOptions{Parallel: 1})
					if !p.dead.Load() {
						t.Fatalf("it did not die: %v", err)
					}
					time.Sleep(2 * orchestrator.LeaseTTL)
					r, err := st.immortal().resume(t.Context(), orchestrator.RunOptions{})
					if err != nil || r.Outcome != orchestrator.RunDone {
						t.Fatalf("resumed: %v\n%s", err, story(r))
					}
					for _, u := range r.Units {
						if u.Outcome != orchestrator.UnitMoved {
							t.Errorf("%s is %s: %s", u.Unit.Name, u.Outcome, u.Why)
						}
					}
					st.ends(nil)
				})
			})
		}
	}
}

// TestFailoverToWhatRefusesWrites: somebody has promoted the surviving copy by
// hand, and that was killed. A failover does not take that for what was wanted.
func TestFailoverToWhatRefusesWrites(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, snapshotsTwoWay, 1)
		b.world.Vanish("a")
		for _, name := range []string{"vm-1", "volume-0"} {
			b.must(b.world.Site("b").Promote(t.Context(), ref(name), true))
		}
		b.must(b.world.CutShort("b", ref("volume-0"), sim.CutMarked))
		_, r, err := b.immortal().start(t.Context(), overToB, orchestrator.RunOptions{})
		if err != nil || r.Outcome != orchestrator.RunDone {
			t.Fatalf("%v\n%s", err, story(r))
		}
		b.must(b.world.Write("b", ref("volume-0"), 0, []byte("x")))
	})
}

// TestFreedOnlyWhereNoneElseServes: plan apply lets clients write to a primary that
// refuses it, but not where somebody has made another one primary meanwhile.
func TestFreedOnlyWhereNoneElseServes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, snapshotsTwoWay, 1)
		b.must(b.world.CutShort("a", ref("volume-0"), sim.CutMarked))
		b.applied()
		b.must(b.world.Write("a", ref("volume-0"), 0, []byte("x")))

		b.must(b.world.CutShort("a", ref("volume-0"), sim.CutMarked))
		b.world.Vanish("b")
		sites := b.sites(t.Context())
		defer b.close(sites)
		_, err := orchestrator.Apply(t.Context(), b.plan, sites, orchestrator.Options{})
		if err == nil {
			t.Error("applied, though a site is silent")
		}
		if err := b.world.Write("a", ref("volume-0"), 0, []byte("y")); !errors.Is(err, replay.ErrReadOnly) {
			t.Errorf("a write: %v", err)
		}
	})
}
