package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// errKilled is what a process sees of the world after it has been killed.
var errKilled = errors.New("killed")

// gate counts the calls to all sites and lets something happen at one of them.
type gate struct {
	calls atomic.Int64
	at    int64
	// lost: the call at the gate takes effect, but nobody is left to see it.
	lost bool
	// stop, if set, is called at the gate in place of a kill.
	stop context.CancelFunc
}

// pass reports whether a call takes effect, and what its caller sees.
func (g *gate) pass() (takes bool, err error) {
	n := g.calls.Add(1)
	if g.stop != nil {
		if n == g.at {
			g.stop()
		}
		return true, nil
	}
	if n > g.at || n == g.at && !g.lost {
		return false, errKilled
	}
	if n == g.at {
		return true, errKilled
	}
	return true, nil
}

// gated is a site behind a gate. All that changes a site passes through it,
// and the reads that steps do.
type gated struct {
	orchestrator.Site
	gate *gate
}

func through0(g gated, call func() error) error {
	takes, err := g.gate.pass()
	if takes {
		if failed := call(); failed != nil {
			return failed
		}
	}
	return err
}

func through[T any](g gated, call func() (T, error)) (T, error) {
	takes, err := g.gate.pass()
	var none T
	if !takes {
		return none, err
	}
	value, failed := call()
	if failed != nil || err == nil {
		return value, failed
	}
	return none, err
}

func (g gated) Identity(ctx context.Context) (replay.Identity, error) {
	return through(g, func() (replay.Identity, error) { return g.Site.Identity(ctx) })
}

func (g gated) SiteName(ctx context.Context) (string, error) {
	return through(g, func() (string, error) { return g.Site.SiteName(ctx) })
}

func (g gated) PoolMirroring(ctx context.Context, p replay.Pool) (replay.PoolMirroring, error) {
	return through(g, func() (replay.PoolMirroring, error) { return g.Site.PoolMirroring(ctx, p) })
}

func (g gated) Images(ctx context.Context, p replay.Pool, d replay.Detail) ([]replay.Image, error) {
	return through(g, func() ([]replay.Image, error) { return g.Site.Images(ctx, p, d) })
}

func (g gated) Image(ctx context.Context, r replay.ImageRef) (replay.Image, error) {
	return through(g, func() (replay.Image, error) { return g.Site.Image(ctx, r) })
}

func (g gated) CreateNamespace(ctx context.Context, p replay.Pool) error {
	return through0(g, func() error { return g.Site.CreateNamespace(ctx, p) })
}

func (g gated) SetSiteName(ctx context.Context, name string) error {
	return through0(g, func() error { return g.Site.SetSiteName(ctx, name) })
}

func (g gated) SetPoolMode(ctx context.Context, p replay.Pool, m replay.PoolMode) error {
	return through0(g, func() error { return g.Site.SetPoolMode(ctx, p, m) })
}

func (g gated) CreateBootstrapToken(ctx context.Context, p replay.Pool) (replay.Token, error) {
	return through(g, func() (replay.Token, error) { return g.Site.CreateBootstrapToken(ctx, p) })
}

func (g gated) ImportBootstrapToken(ctx context.Context, p replay.Pool, d replay.Direction, t replay.Token) error {
	return through0(g, func() error { return g.Site.ImportBootstrapToken(ctx, p, d, t) })
}

func (g gated) AddPeer(ctx context.Context, p replay.Pool, peer replay.Peer) (string, error) {
	return through(g, func() (string, error) { return g.Site.AddPeer(ctx, p, peer) })
}

func (g gated) UpdatePeer(ctx context.Context, p replay.Pool, peer replay.Peer) error {
	return through0(g, func() error { return g.Site.UpdatePeer(ctx, p, peer) })
}

func (g gated) RemovePeer(ctx context.Context, p replay.Pool, uuid string) error {
	return through0(g, func() error { return g.Site.RemovePeer(ctx, p, uuid) })
}

func (g gated) CreateImage(ctx context.Context, r replay.ImageRef, s replay.ImageSpec) error {
	return through0(g, func() error { return g.Site.CreateImage(ctx, r, s) })
}

func (g gated) EnableFeatures(ctx context.Context, r replay.ImageRef, f replay.Features) error {
	return through0(g, func() error { return g.Site.EnableFeatures(ctx, r, f) })
}

func (g gated) RemoveImage(ctx context.Context, r replay.ImageRef) error {
	return through0(g, func() error { return g.Site.RemoveImage(ctx, r) })
}

func (g gated) EnableMirroring(ctx context.Context, r replay.ImageRef, m replay.MirrorMode) error {
	return through0(g, func() error { return g.Site.EnableMirroring(ctx, r, m) })
}

func (g gated) DisableMirroring(ctx context.Context, r replay.ImageRef, force bool) error {
	return through0(g, func() error { return g.Site.DisableMirroring(ctx, r, force) })
}

func (g gated) CreateMirrorSnapshot(ctx context.Context, r replay.ImageRef) (uint64, error) {
	return through(g, func() (uint64, error) { return g.Site.CreateMirrorSnapshot(ctx, r) })
}

func (g gated) RemoveSnapshot(ctx context.Context, r replay.ImageRef, name string) error {
	return through0(g, func() error { return g.Site.RemoveSnapshot(ctx, r, name) })
}

func (g gated) AddMirrorSchedule(ctx context.Context, s replay.MirrorSchedule) error {
	return through0(g, func() error { return g.Site.AddMirrorSchedule(ctx, s) })
}

func (g gated) RemoveMirrorSchedule(ctx context.Context, s replay.MirrorSchedule) error {
	return through0(g, func() error { return g.Site.RemoveMirrorSchedule(ctx, s) })
}

// cut puts a gate before all sites of the bed, and answers with how to take it
// away.
func (b *bed) cut(g *gate) (restore func()) {
	open := b.open
	b.open = func(ctx context.Context, s plans.Site) (orchestrator.Site, error) {
		site, err := open(ctx, s)
		return gated{Site: site, gate: g}, err
	}
	return func() { b.open = open }
}

// manners are the ways in which a run ends before its end.
var manners = []string{"killed before", "killed after", "stopped"}

// atEveryCall runs a scenario once for each call that it makes to a site: up
// to that call the run goes well, there it ends; after that the scenario must
// be able to finish from what it finds.
func atEveryCall(t *testing.T, plan string, prepare, run, finish func(b *bed, ctx context.Context)) {
	for _, manner := range manners {
		t.Run(manner, func(t *testing.T) {
			for at := int64(1); ; at++ {
				over := false
				t.Run(fmt.Sprint("call ", at), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						b := newBed(t, plan)
						prepare(b, t.Context())
						ctx, stop := context.WithCancel(t.Context())
						defer stop()
						g := &gate{at: at, lost: manner == "killed after"}
						if manner == "stopped" {
							g.stop = stop
						}
						restore := b.cut(g)
						run(b, ctx)
						restore()
						over = g.calls.Load() < at
						finish(b, t.Context())
					})
				})
				if over || t.Failed() {
					return
				}
			}
		})
	}
}

// TestApplyInterrupted ends an apply at each of its calls, in each manner: the
// next apply finishes what it had begun.
func TestApplyInterrupted(t *testing.T) {
	for _, topology := range topologies {
		t.Run(topology.name, func(t *testing.T) {
			atEveryCall(t, topology.plan,
				func(b *bed, _ context.Context) { b.image(b.plan.Primary, b.ref("volume-7"), plain) },
				func(b *bed, ctx context.Context) {
					sites := b.sites(ctx)
					defer b.close(sites)
					result, err := orchestrator.Apply(ctx, b.plan, sites, orchestrator.Options{Wait: orchestrator.WaitNone})
					if ctx.Err() != nil && !errors.Is(err, orchestrator.ErrInterrupted) {
						b.t.Errorf("stopped, but said %v\n%s", err, outcomes(result))
					}
				},
				func(b *bed, _ context.Context) {
					b.applied()
					b.settled()
					for _, s := range b.plan.Secondaries() {
						if got, want := b.content(s.Name, b.ref("volume-7")), "data of "+b.ref("volume-7").String(); got != want {
							b.t.Errorf("content at %s: %q", s.Name, got)
						}
					}
				})
		})
	}
}

// TestDestroyInterrupted ends a destroy at each of its calls, in each manner:
// the next destroy finishes, and no data is lost on the way.
func TestDestroyInterrupted(t *testing.T) {
	for _, topology := range topologies {
		t.Run(topology.name, func(t *testing.T) {
			atEveryCall(t, topology.plan,
				func(b *bed, _ context.Context) {
					b.image(b.plan.Primary, b.ref("volume-7"), plain)
					b.applied()
				},
				func(b *bed, ctx context.Context) {
					sites := b.sites(ctx)
					defer b.close(sites)
					result, err := orchestrator.Destroy(ctx, b.plan, sites, orchestrator.DestroyOptions{})
					if ctx.Err() != nil && !errors.Is(err, orchestrator.ErrInterrupted) {
						b.t.Errorf("stopped, but said %v\n%s", err, outcomes(result))
					}
				},
				func(b *bed, _ context.Context) {
					b.destroyed(orchestrator.DestroyOptions{})
					for _, s := range b.plan.Sites {
						if got, want := b.content(s.Name, b.ref("volume-7")), "data of "+b.ref("volume-7").String(); got != want {
							b.t.Errorf("content at %s: %q", s.Name, got)
						}
					}
				})
		})
	}
}
