package orchestrator_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// TestDrillRoom: a drill is skipped where a pool is nearly full in which one of its
// snapshots makes what is overwritten take room: that of an image or of its data, at
// either site. With the primary gone there is no snapshot.
func TestDrillRoom(t *testing.T) {
	plan := strings.Replace(twoWay, "{size: 8MiB}", "{size: 8MiB, data_pool: data}", 1) + "drills: [{name: n, pool: spare}]\n"
	for _, c := range []struct{ site, pool string }{{"a", "rbd"}, {"b", "rbd"}, {"a", "data"}, {"b", "data"}, {"b", "spare"}, {"a", "spare"}} {
		t.Run(c.site+" "+c.pool, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, plan)
				for _, site := range []string{"a", "b"} {
					for _, pool := range []string{"data", "spare"} {
						b.world.AddPool(site, pool)
						other := replay.Pool{Name: pool}.Image("other")
						b.image(site, other, plain)
						b.must(b.world.Write(site, other, 0, []byte("takes room")))
					}
				}
				b.image("a", ref("volume-0"), plain)
				b.applied()
				time.Sleep(10 * time.Minute)
				b.world.SetQuota(c.site, c.pool, 1)
				r, err := b.immortal().drill(t.Context(), orchestrator.DrillOptions{})
				if c.site == "a" && c.pool == "spare" {
					if err != nil {
						t.Errorf("nothing of a drill lies there: %v", err)
					}
					return
				}
				why := fmt.Sprintf("there is no room for the drill: pool %s at %s is nearly full", c.pool, c.site)
				if !errors.Is(err, orchestrator.ErrRefused) || r.Verdict != report.Skipped || strings.Count(r.Why, "no room") != 1 || !strings.Contains(r.Why, why) {
					t.Errorf("want %q: %v\n%s", why, err, shown(r))
				}
				b.world.SetQuota(c.site, c.pool, 0)
				b.passes(orchestrator.DrillOptions{})
				b.world.SetQuota("b", "data", 1)
				b.world.Vanish("a")
				if r, err := b.immortal().drill(t.Context(), orchestrator.DrillOptions{}); err != nil {
					t.Errorf("with the primary gone: %v\n%s", err, shown(r))
				}
			})
		})
	}
}

// TestDrillResized: an image that is resized after a drill has looked at it, and before
// its snapshot or its copy, has a clone of that size.
func TestDrillResized(t *testing.T) {
	for name, plan := range map[string]string{"journal": twoWay, "snapshot": snapshotsTwoWay} {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " lost ", lost), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					b := moving(t, plan+"drills: [{name: n, checks: [{name: size, builtin: size}]}]\n", 1)
					if lost {
						b.world.Vanish("a")
					}
					p := b.immortal()
					var resized atomic.Bool
					p.between = func(_ int64, c sim.Call) {
						if c.Op != "CreateSnapshot" && c.Op != "OpenSnapshot" || !resized.CompareAndSwap(false, true) {
							return
						}
						for _, site := range []string{"a", "b"} {
							b.must(b.world.Resize(site, ref("volume-0"), 16<<20))
						}
					}
					r, err := p.drill(t.Context(), orchestrator.DrillOptions{})
					if err != nil || !resized.Load() {
						t.Errorf("resized: %t; %v\n%s", resized.Load(), err, shown(r))
					}
				})
			})
		}
	}
	t.Run("at one site only", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := moving(t, twoWay+"drills: [{name: n, checks: [{name: size, builtin: size}]}]\n", 1)
			b.must(b.world.Resize("a", ref("volume-0"), 16<<20))
			b.fails(orchestrator.DrillOptions{}, "the clone has 8388608 bytes, and the snapshot at a 16777216")
		})
	})
}

// TestDrillPools: two images of one name in two pools come up side by side in one place.
func TestDrillPools(t *testing.T) {
	bubble(t, func(t *testing.T) {
		plan := twoWay + "  - {name: ssd, images: [{name: vm-1, create: {size: 4MiB}}]}\n  - {name: rbd, namespace: blue, images: [{name: vm-1, create: {size: 4MiB}}]}\n"
		b := moving(t, plan+"drills: [{name: nightly, pool: rbd, checks: [{name: same, builtin: hash}, {name: size, builtin: size}]}]\n", 0)
		r := b.passes(orchestrator.DrillOptions{})
		var of []string
		for _, i := range r.Images {
			_, last, _ := strings.Cut(i.Clone, "Z.")
			of = append(of, last)
		}
		if want := []string{"rbd.blue.vm-1", "rbd.vm-1", "ssd.vm-1"}; !slices.Equal(slices.Sorted(slices.Values(of)), want) {
			t.Errorf("clones of %q\n%s", of, shown(r))
		}
	})
}
