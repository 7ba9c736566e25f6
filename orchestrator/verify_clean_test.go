package orchestrator_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay/sim"
)

// Whatever interrupts a verification, its snapshot is removed.
func TestVerifyCleansUpWhenCancelled(t *testing.T) {
	for _, step := range []orchestrator.VerifyStep{"snapshot", "await", "compare"} {
		t.Run(string(step), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, statusPlan)
				b.applied()
				ctx, cancel := context.WithCancel(t.Context())
				_, err := b.verify(ctx, orchestrator.VerifyOptions{Images: []string{"vm-1"}, Progress: func(e orchestrator.VerifyEvent) {
					if e.Step == step {
						cancel()
					}
				}})
				if !errors.Is(err, orchestrator.ErrInterrupted) {
					t.Errorf("error: %v", err)
				}
				if left := b.userSnapshots("vm-1"); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		})
	}
}

// What a killed run has left behind, the next one removes; what a run may
// still be at work with, it leaves.
func TestVerifySweepsLeftovers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.applied()
		old := "drover-verify-19991201T000000Z-00000000-00000000-00000000-1-1"
		foreign := "drover-verify-" + time.Now().UTC().Format("20060102T150405Z") + "-00000000-00000000-00000000-1-1"
		for _, name := range []string{old, foreign, "somebody-elses", "drover-verify-of-a-person"} {
			b.must(b.world.Site("site-a").CreateSnapshot(t.Context(), ref("vm-1"), name))
		}
		time.Sleep(time.Minute)
		r, err := b.verify(t.Context(), orchestrator.VerifyOptions{})
		if err != nil || r.Err() != nil {
			t.Fatalf("%v, %v", err, r.Err())
		}
		time.Sleep(time.Minute)
		left := strings.Join(b.userSnapshots("vm-1"), " ")
		if strings.Contains(left, old) || strings.Count(left, foreign) != 2 || strings.Count(left, "somebody-elses") != 2 || strings.Count(left, "of-a-person") != 2 {
			t.Errorf("left: %s", left)
		}
		removed := map[string]bool{}
		for _, l := range r.Leftovers {
			removed[l.Snapshot] = l.Removed
		}
		if len(removed) != 2 || !removed[old] || removed[foreign] {
			t.Errorf("leftovers: %+v", r.Leftovers)
		}
	})
}

// What the last verification has removed at the primary, and is still at the
// secondary, is no leftover for the next one.
func TestVerifyRightAfterAnother(t *testing.T) {
	for mode, plan := range map[string]string{"journal": statusPlan, "snapshot": verifySnapshotPlan} {
		t.Run(mode, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, plan)
				b.applied()
				made := map[string]int{}
				b.world.Observe(func(c sim.Call) {
					if c.Op == "CreateSnapshot" {
						made[c.Object]++
					}
				})
				for range 3 {
					time.Sleep(1100 * time.Millisecond) // names go by the second
					r, err := b.verify(t.Context(), orchestrator.VerifyOptions{Images: []string{"vm-1"}})
					if err != nil || r.Err() != nil || len(r.Leftovers) > 0 {
						t.Errorf("%v, %v, leftovers %+v", err, r.Err(), r.Leftovers)
					}
				}
				if len(made) != 1 || made["rbd/vm-1"] != 3 {
					t.Errorf("snapshots made: %v", made)
				}
				if left := b.userSnapshots("vm-1"); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		})
	}
}

// A leftover that only the secondary has, though all is replayed, goes from there
// too.
func TestVerifySweepsTheSecondary(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.applied()
		const old = "drover-verify-19991201T000000Z-00000000-00000000-00000000-1-1"
		b.must(b.world.Site("site-a").CreateSnapshot(t.Context(), ref("vm-1"), old))
		time.Sleep(time.Minute)
		open := b.open
		b.open = func(ctx context.Context, s plans.Site) (orchestrator.Site, error) {
			site, err := open(ctx, s)
			if s.Name == "site-a" {
				site = forgetful{site, old}
			}
			return site, err
		}
		r, err := b.verify(t.Context(), orchestrator.VerifyOptions{Images: []string{"vm-1"}})
		if err != nil || r.Err() != nil {
			t.Fatalf("%v, %v", err, r.Err())
		}
		if len(r.Leftovers) != 1 || r.Leftovers[0].Snapshot != old || !r.Leftovers[0].Removed {
			t.Errorf("leftovers: %+v", r.Leftovers)
		}
		if left := b.userSnapshots("vm-1"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

// A leftover counts as removed once it is seen to be gone at the secondary too.
func TestVerifySweepAwaitsTheSecondary(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.applied()
		old := "drover-verify-19991201T000000Z-00000000-00000000-00000000-1-1"
		b.must(b.world.Site("site-a").CreateSnapshot(t.Context(), ref("vm-1"), old))
		time.Sleep(time.Minute)
		b.world.StopDaemon("site-b")
		r, err := b.verify(t.Context(), orchestrator.VerifyOptions{Images: []string{"vm-1"}, Wait: time.Second})
		b.must(err)
		var found *orchestrator.LeftoverSnapshot
		for i := range r.Leftovers {
			if r.Leftovers[i].Snapshot == old {
				found = &r.Leftovers[i]
			}
		}
		if found == nil || found.Removed || found.Site != "site-b" || !strings.Contains(found.Note, "removed at the primary; goes here") {
			t.Errorf("leftover: %+v", found)
		}
		b.world.StartDaemon("site-b")
		time.Sleep(time.Minute)
		if left := b.userSnapshots("vm-1"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

// What a run left behind of which nothing can be known is removed when somebody
// asks for it.
func TestVerifyCleansForeignLeftovers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.applied()
		foreign := "drover-verify-" + time.Now().UTC().Format("20060102T150405Z") + "-00000000-00000000-00000000-1-1"
		b.must(b.world.Site("site-a").CreateSnapshot(t.Context(), ref("vm-1"), foreign))
		time.Sleep(time.Minute)
		for _, clean := range []bool{false, true} {
			r, err := b.verify(t.Context(), orchestrator.VerifyOptions{Clean: clean})
			if err != nil || r.Err() != nil {
				t.Fatalf("%v, %v", err, r.Err())
			}
			if len(r.Leftovers) != 1 || r.Leftovers[0].Removed != clean || !clean && !strings.Contains(r.Leftovers[0].Note, "drover verify --clean") {
				t.Errorf("clean %v: %+v", clean, r.Leftovers)
			}
			if left := b.userSnapshots("vm-1"); (len(left) == 0) != clean {
				t.Errorf("clean %v: left %v", clean, left)
			}
		}
	})
}
