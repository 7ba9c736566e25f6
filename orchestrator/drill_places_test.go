package orchestrator_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// TestDrillPlacesOfAnotherPlan: what a killed drill has left is found where it was made,
// also when the plan has changed since; once nothing is there any more, after the drill's
// expiry, nobody looks there again.
func TestDrillPlacesOfAnotherPlan(t *testing.T) {
	for name, edit := range map[string]func(*plans.Plan){
		"namespace": func(p *plans.Plan) { p.Drills[0].Namespace = "new" },
		"removed":   func(p *plans.Plan) { p.Drills = nil },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, twoWay+"drills: [{name: n, namespace: old}]\n", 1)
				b.killedDrill()
				edited := *b.plan
				edited.Drills = slices.Clone(b.plan.Drills)
				edit(&edited)
				b.plan = &edited
				time.Sleep(2 * time.Minute)

				var looks atomic.Int32
				p := b.immortal()
				p.meanwhile(func(_ int64, c sim.Call) {
					if c.Op == "Images" && c.Site == "b" && c.Object == "rbd/old" {
						looks.Add(1)
					}
				})
				sites := p.sites(t.Context())
				defer b.close(sites)
				status := orchestrator.Status(t.Context(), b.plan, sites, orchestrator.StatusOptions{})
				if !slices.ContainsFunc(status.Problems, func(p orchestrator.StatusProblem) bool {
					return p.Code == orchestrator.ProblemDrillOpen && strings.HasPrefix(p.What, "2 clones and ")
				}) {
					t.Errorf("status tells nothing of the clones: %+v", status.Problems)
				}
				sweep := func() {
					t.Helper()
					_, err := orchestrator.SweepDrills(t.Context(), b.plan, sites)
					b.must(err)
				}
				sweep()
				b.wantClean()

				looks.Store(0)
				sweep()
				if looks.Load() == 0 {
					t.Error("before the expiry nobody looks there: a call may still make a clone")
				}
				time.Sleep(3 * time.Hour)
				sweep()
				looks.Store(0)
				sweep()
				if n := looks.Load(); n > 0 {
					t.Errorf("it is still looked for there, %d times", n)
				}
				time.Sleep(48 * time.Hour)
				b.passes(orchestrator.DrillOptions{})
				for _, r := range b.world.Ledger("a", replay.LedgerRef{Pool: "rbd", Object: "drill.shop"}) {
					if strings.Contains(string(r.Value), `"namespace":"old"`) {
						t.Errorf("it is recorded still: %s", r.Value)
					}
				}
			})
		})
	}
}

// TestDrillPlacesCleared: of a drill that has removed everything nobody looks for more.
func TestDrillPlacesCleared(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay+"drills: [{name: n, namespace: old}]\n", 1)
		b.passes(orchestrator.DrillOptions{})
		edited := *b.plan
		edited.Drills = nil
		b.plan = &edited
		p := b.immortal()
		p.meanwhile(func(_ int64, c sim.Call) {
			if c.Op == "Images" && c.Object == "rbd/old" {
				t.Errorf("it is looked for at %s", c.Site)
			}
		})
		sites := p.sites(t.Context())
		defer b.close(sites)
		_, err := orchestrator.SweepDrills(t.Context(), b.plan, sites)
		b.must(err)
	})
}
