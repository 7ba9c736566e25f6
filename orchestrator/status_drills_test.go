package orchestrator_test

import (
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
