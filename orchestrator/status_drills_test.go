package orchestrator_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// TestStatusOfDrills: what a killed drill has left is shown until it is swept: as what
// may still be needed, and as what should be gone.
func TestStatusOfDrills(t *testing.T) {
	for name, plan := range map[string]string{"journal": twoWay, "snapshot": snapshotsTwoWay} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, plan, 2)
				sites := b.sites(t.Context())
				defer b.close(sites)
				shown := func(code replay.ProblemCode, words ...string) {
					t.Helper()
					var at []string
					for _, p := range orchestrator.Status(t.Context(), b.plan, sites, orchestrator.StatusOptions{}).Problems {
						if p.Code != orchestrator.ProblemDrillOpen && p.Code != orchestrator.ProblemDrillLeft {
							continue
						}
						for _, word := range words {
							if p.Code != code || !strings.Contains(p.What+" "+p.Next, word) {
								t.Errorf("%+v; want %s, with %q", p, code, word)
							}
						}
						at = append(at, p.Site)
					}
					if want := map[bool][]string{true: {"a", "b"}}[code != ""]; !slices.Equal(at, want) {
						t.Errorf("shown of %v, want %v", at, want)
					}
				}
				shown("")
				p := b.immortal()
				p.meanwhile(func(_ int64, c sim.Call) {
					if c.Op == "RemoveImage" {
						p.dead.Store(true)
					}
				})
				_, _ = p.drill(t.Context(), orchestrator.DrillOptions{})
				shown(orchestrator.ProblemDrillOpen, "snapshot", "drill-20", "or was killed", "drover drill sweep")
				time.Sleep(7 * 24 * time.Hour)
				shown(orchestrator.ProblemDrillLeft, "snapshot", "drill-20", "should be gone since", "drover drill sweep")
				_, err := orchestrator.SweepDrills(t.Context(), b.plan, sites)
				b.must(err)
				time.Sleep(time.Minute)
				shown("")
			})
		})
	}
}

// TestStatusOfHeldGroups: a group whose writers a drill has held back, and nobody is known
// to have let go, is shown until somebody has.
func TestStatusOfHeldGroups(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, log := heldBack(t, "")
		sites := b.sites(t.Context())
		defer b.close(sites)
		shown := func(severity replay.Severity, words ...string) {
			t.Helper()
			var held []orchestrator.StatusProblem
			for _, p := range orchestrator.Status(t.Context(), b.plan, sites, orchestrator.StatusOptions{}).Problems {
				if p.Code == orchestrator.ProblemDrillHeld {
					held = append(held, p)
				}
			}
			if len(held) != 1 && severity != "" || len(held) > 0 && (held[0].Severity != severity || held[0].Site != "a") {
				t.Fatalf("%+v; want %s", held, severity)
			}
			for _, word := range words {
				if !strings.Contains(held[0].What+" "+held[0].Next, word) {
					t.Errorf("%+v does not say %q", held[0], word)
				}
			}
		}
		shown(replay.SeverityInfo, "group db are held back", "or was killed", "drover drill sweep")
		time.Sleep(27 * time.Hour)
		shown(replay.SeverityCritical, "group db may still be held back", "--released db")
		b.sweepHeld("db")
		shown("")

		b.must(os.WriteFile(log+".dead", nil, 0o600)) // the hook fails
		_, _ = b.immortal().drill(t.Context(), orchestrator.DrillOptions{})
		shown(replay.SeverityCritical, "hook thaw", "--released db")
		b.must(os.Remove(log + ".dead"))
		if _, removed := b.sweepHeld(); !removed {
			t.Error("it is not made up for")
		}
		shown("")
	})
}
