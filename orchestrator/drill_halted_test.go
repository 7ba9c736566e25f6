package orchestrator_test

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// touched notes which calls have changed snapshots of an image of the plan.
type touched struct {
	mu    sync.Mutex
	calls []string
}

func (n *touched) note(_ int64, c sim.Call) {
	if slices.Contains([]string{"CreateMirrorSnapshot", "CreateSnapshot", "RemoveSnapshot"}, c.Op) && !strings.Contains(c.Object, "drover-drill/") {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.calls = append(n.calls, c.Op+" "+c.Object)
	}
}

// of are the calls since it was asked last, of one image.
func (n *touched) of(image string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	of := slices.DeleteFunc(n.calls, func(c string) bool { return !strings.Contains(c, image) })
	n.calls = nil
	return of
}

// TestDrillSparesHalted: what a halt keeps from the other site is not carried over by a
// drill that it breaks off, nor by a sweep: the clones go, the snapshots once it ends.
func TestDrillSparesHalted(t *testing.T) {
	for name, plan := range map[string]string{"journal": twoWay, "snapshot": snapshotsTwoWay} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, plan, 1)
				var seen touched
				var once atomic.Bool
				p, halt := b.immortal(), (*orchestrator.Halt)(nil)
				p.meanwhile(func(n int64, c sim.Call) {
					seen.note(n, c)
					if c.Op != "OpenSnapshot" {
						return
					}
					if once.CompareAndSwap(false, true) {
						var err error
						halt, err = b.halt("vm-1")
						b.must(err)
						seen.of("vm-1")
						time.Sleep(10 * time.Second)
					}
				})
				r, err := p.drill(t.Context(), orchestrator.DrillOptions{})
				if err == nil || r.Verdict != report.Aborted || halt == nil {
					t.Fatalf("%v\n%s", err, shown(r))
				}
				untouched := func(what string) {
					t.Helper()
					if calls := seen.of("vm-1"); len(calls) > 0 {
						t.Errorf("%s has changed a halted image: %v", what, calls)
					}
					if clones := b.clones("b"); len(clones) > 0 {
						t.Errorf("%s has left clones: %v", what, clones)
					}
				}
				untouched("the tear-down")
				if len(r.Left) != 1 || !strings.Contains(r.Left[0], "it goes when the halt ends") {
					t.Errorf("left: %q", r.Left)
				}
				sites := p.sites(t.Context())
				defer b.close(sites)
				sweep := func() []orchestrator.DrillLeft {
					t.Helper()
					swept, err := orchestrator.SweepDrills(t.Context(), b.plan, sites)
					b.must(err)
					return swept.Left
				}
				for _, l := range sweep() {
					if l.Removed || !strings.Contains(l.Note, "it goes when the halt ends") {
						t.Errorf("%+v", l)
					}
				}
				untouched("a sweep")
				b.clear(halt.ID)
				if left := sweep(); len(left) == 0 {
					t.Error("the sweep after the halt has found nothing")
				}
				b.wantClean()
			})
		})
	}
}

// TestSweepRecordsUnreadable: where it is not known what is halted, a sweep removes the
// clones alone.
func TestSweepRecordsUnreadable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, snapshotsTwoWay, 1)
		b.killedDrill()
		time.Sleep(2 * time.Minute)
		var seen touched
		p := b.immortal()
		p.meanwhile(seen.note)
		sites := p.sites(t.Context())
		defer b.close(sites)
		fault := noRecords["I/O error"]
		fault.Object = "rbd/drover/ledger.shop"
		see := b.world.Inject(fault)
		swept, err := orchestrator.SweepDrills(t.Context(), b.plan, sites)
		b.must(err)
		if calls := seen.of(""); len(calls) > 0 || len(b.clones("b")) > 0 {
			t.Errorf("changed: %v, left: %v", calls, b.clones("b"))
		}
		if !slices.ContainsFunc(swept.Left, func(l orchestrator.DrillLeft) bool {
			return strings.Contains(l.Note, "not known whether the image is halted")
		}) {
			t.Errorf("%+v", swept.Left)
		}
		see()
		_, err = orchestrator.SweepDrills(t.Context(), b.plan, sites)
		b.must(err)
		b.wantClean()
	})
}

// TestVerifySparesHalted: in snapshot mode a halted image is not compared, as that takes a
// mirror snapshot.
func TestVerifySparesHalted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, snapshotsTwoWay, 1)
		halt, err := b.halt("vm-1")
		b.must(err)
		var seen touched
		p := b.immortal()
		p.meanwhile(seen.note)
		sites := p.sites(t.Context())
		defer b.close(sites)
		verify := func() *orchestrator.VerifyReport {
			t.Helper()
			r, err := orchestrator.Verify(t.Context(), b.plan, sites, orchestrator.VerifyOptions{Clean: true})
			b.must(err)
			return r
		}
		r := verify()
		if calls := seen.of("vm-1"); len(calls) > 0 {
			t.Errorf("a halted image was changed: %v", calls)
		}
		for _, i := range r.Images {
			if halted := i.Ref == (replay.ImageRef{Pool: rbd, Name: "vm-1"}); halted != strings.Contains(i.Error, "halted") || i.Identical == halted {
				t.Errorf("%+v", i)
			}
		}
		b.clear(halt.ID)
		if r = verify(); r.Err() != nil {
			t.Error(r.Err())
		}
	})
}
