package orchestrator_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// blindRunner finds no daemon in its own folder, whatever runs.
type blindRunner struct {
	simRunner
	started *bool
}

func (r blindRunner) State(context.Context) (orchestrator.DaemonState, error) {
	return orchestrator.DaemonState{Detail: "no run folder"}, nil
}

func (r blindRunner) Start(ctx context.Context) error {
	*r.started = true
	return r.simRunner.Start(ctx)
}

// TestDaemonElsewhere wants a daemon that somebody else has started found out: an
// apply starts no second one, and a destroy says where it has to be stopped.
func TestDaemonElsewhere(t *testing.T) {
	cases := []struct {
		name      string
		change    func(b *bed)
		elsewhere bool
	}{
		{"runs elsewhere", func(*bed) {}, true},
		{"killed a moment ago", func(b *bed) { b.world.KillDaemon("b") }, false},
		{"stopped", func(b *bed) { b.world.StopDaemon("b") }, false},
		{"of another user", func(b *bed) { b.plan.Site("b").Daemon.User = "client.other" }, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, oneWay)
				b.applied()
				time.Sleep(time.Minute)
				c.change(b)
				started := false
				open := func() *orchestrator.Sites {
					return orchestrator.OpenSites(t.Context(), b.plan, b.open, func(_ *plans.Plan, s plans.Site, _ orchestrator.Site) (orchestrator.Hands, error) {
						return handsOf(s, blindRunner{simRunner{b: b, site: s.Name}, &started}), nil
					})
				}
				sites := open()
				observation := orchestrator.Observe(t.Context(), b.plan, sites, orchestrator.ObserveOptions{Detail: replay.WithHeader, Elsewhere: true})
				const words = "rbd-mirror of b runs at host-b (16.2.15), not from this host's folder"
				difference := orchestrator.Diff(b.plan, observation, orchestrator.DiffOptions{})
				if hasNotice(difference.Notices, orchestrator.NoticeDaemonByOthers) != c.elsewhere || difference.Err() != nil {
					t.Errorf("diff: %v", difference.Notices)
				}
				for i := range difference.Changes {
					if c.elsewhere && difference.Changes[i].Kind == orchestrator.KindDaemonStart {
						t.Errorf("a second daemon is to be started")
					}
				}
				if c.elsewhere {
					if _, err := orchestrator.Apply(t.Context(), b.plan, sites, orchestrator.Options{Wait: orchestrator.WaitNone}); err != nil || started {
						t.Errorf("apply: %v; started %t", err, started)
					}
				}
				for range 2 { // the second has nothing to do but to say it again
					result, err := orchestrator.Destroy(t.Context(), b.plan, sites, orchestrator.DestroyOptions{})
					if hasNotice(result.Notices, orchestrator.NoticeDaemonElsewhere) != c.elsewhere || errors.Is(err, orchestrator.ErrRefused) != c.elsewhere ||
						c.elsewhere != strings.Contains(outcomes(result), words) {
						t.Errorf("destroy: %v\n%s", err, outcomes(result))
					}
				}
				b.close(sites)
				if c.elsewhere {
					b.world.StopDaemon("b")
					b.destroyed(orchestrator.DestroyOptions{})
				}
			})
		})
	}
}

// TestStoppedDaemonIsNotElsewhere wants no word of the daemon that a destroy has
// just stopped, however long the service map keeps it.
func TestStoppedDaemonIsNotElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, oneWay)
		b.applied()
		sites := orchestrator.OpenSites(t.Context(), b.plan, b.open, func(_ *plans.Plan, s plans.Site, _ orchestrator.Site) (orchestrator.Hands, error) {
			return handsOf(s, killingRunner{simRunner{b: b, site: s.Name}}), nil
		})
		defer b.close(sites)
		for range 2 {
			result, err := orchestrator.Destroy(t.Context(), b.plan, sites, orchestrator.DestroyOptions{})
			if err != nil {
				t.Errorf("%v\n%s", err, outcomes(result))
			}
		}
	})
}

// killingRunner leaves the daemons that it stops in the service map.
type killingRunner struct{ simRunner }

func (r killingRunner) Stop(context.Context) error {
	r.b.world.KillDaemon(r.site)
	return nil
}
