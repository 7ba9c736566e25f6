package orchestrator_test

import (
	"errors"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// TestFrozenSite wants a site that hangs to be given up in time, whenever it
// begins to hang, and to hide nothing of the other.
func TestFrozenSite(t *testing.T) {
	for _, op := range []string{"", "Images", "PoolMirroring", "MirrorDaemons"} {
		t.Run("hangs at "+op, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, oneWay)
				b.applied()
				if op == "" {
					b.world.Freeze("b")
				} else {
					b.world.Inject(sim.Fault{Site: "b", Op: op, Hang: true})
					go func() {
						time.Sleep(time.Second)
						b.world.Freeze("b")
					}()
				}
				began := time.Now()
				obs := b.observe()
				if took := time.Since(began); took > 6*time.Second {
					t.Errorf("took %v", took)
				}
				if s := obs.Site("b"); s.Fault == nil && s.DaemonsFault == nil && s.Pool(rbd).Fault == nil {
					t.Errorf("nothing shows of it: %+v", s)
				}
				if s := obs.Site("a"); s.Fault != nil || len(s.Pool(rbd).Images) != 1 {
					t.Errorf("the other site: %+v", s)
				}
				b.world.Thaw("b")
			})
		})
	}
}

// TestHangingCall wants a single call that hangs, at a site that else lives, to
// spoil no more than what it was to tell.
func TestHangingCall(t *testing.T) {
	cases := []struct {
		op   string
		want func(s *orchestrator.SiteObservation) *orchestrator.Fault
	}{
		{"SiteName", func(s *orchestrator.SiteObservation) *orchestrator.Fault { return s.Fault }},
		{"ListPools", func(s *orchestrator.SiteObservation) *orchestrator.Fault { return s.Fault }},
		{"MirrorDaemons", func(s *orchestrator.SiteObservation) *orchestrator.Fault { return s.DaemonsFault }},
		{"PoolMirroring", func(s *orchestrator.SiteObservation) *orchestrator.Fault { return s.Pool(rbd).Fault }},
		{"MirrorSchedules", func(s *orchestrator.SiteObservation) *orchestrator.Fault { return s.Pool(rbd).SchedulesFault }},
		{"Namespaces", func(s *orchestrator.SiteObservation) *orchestrator.Fault {
			return s.Pool(replay.Pool{Name: "rbd", Namespace: "tenant"}).Fault
		}},
	}
	for _, c := range cases {
		t.Run(c.op, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, namespaces)
				b.applied()
				b.world.Inject(sim.Fault{Site: "b", Op: c.op, Hang: true})
				began := time.Now()
				obs := b.observe()
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("took %v", took)
				}
				if fault := c.want(obs.Site("b")); fault == nil || !errors.Is(fault, replay.ErrTimeout) {
					t.Errorf("fault: %v", fault)
				}
				if obs.Site("a").Fault != nil || len(obs.Site("a").Pool(rbd).Images) != 1 {
					t.Errorf("the other site: %+v", obs.Site("a"))
				}
			})
		})
	}
}

// TestSilentNeighbours wants a namespace outside the plan that does not answer
// to be given up after the check timeout.
func TestSilentNeighbours(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, namespaceOnly)
		b.applied()
		for _, op := range []string{"PoolMirroring", "Images"} {
			b.world.Inject(sim.Fault{Site: "b", Op: op, Object: "rbd", Hang: true})
		}
		began := time.Now()
		obs := b.observe()
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("took %v", took)
		}
		if fault := obs.Site("b").NeighboursFault; fault == nil || !errors.Is(fault, replay.ErrTimeout) {
			t.Errorf("fault: %v", fault)
		}
	})
}
