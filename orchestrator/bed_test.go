package orchestrator_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// bed is a simulated world and a plan for it. It must be made inside of a
// synctest bubble: the world follows the bubble's clock.
type bed struct {
	t     testing.TB
	world *sim.World
	plan  *plans.Plan
	// open may be replaced to get between the orchestrator and a site.
	open orchestrator.Opener
	// wrap, if set, is put around each site that a watch opens.
	wrap func(orchestrator.Site) orchestrator.Site
	// outdated are the sites whose daemon runs as an earlier plan said.
	outdated map[string]bool
	// killed are those whose daemon has died, of which the service map does not
	// know yet. stuck: a restart has no effect.
	killed map[string]bool
	stuck  bool
	// elsewhere: the daemons run on another host.
	elsewhere atomic.Bool
	// restarts counts them.
	restarts int
	// runnerErr is why it cannot be told whether a daemon runs.
	runnerErr error
	// control steers the replay of single images at a site; nil: nobody can.
	control func(site string) orchestrator.ReplayControl
}

func newBed(t testing.TB, plan string) *bed {
	t.Helper()
	b := &bed{t: t, plan: parsePlan(t, plan), outdated: map[string]bool{}, killed: map[string]bool{}}
	b.world = sim.New(sim.Options{Seed: 7, Clock: time.Now, Pace: sim.Instant})
	for _, s := range b.plan.Sites {
		b.world.AddSite(s.Name)
		for _, p := range b.plan.Pools {
			b.world.AddPool(s.Name, p.Name)
		}
	}
	if b.plan.Peers.By == plans.PeerByConf {
		for _, s := range b.plan.Sites {
			b.world.AddUser(s.Name, b.plan.Peers.ClientAt(s.Name))
			for _, other := range b.plan.Sites {
				b.world.AddConf(other.Name, s.Cluster, s.Name)
			}
		}
	}
	b.open = func(_ context.Context, s plans.Site) (orchestrator.Site, error) { return b.world.Site(s.Name), nil }
	return b
}

func parsePlan(t testing.TB, text string) *plans.Plan {
	t.Helper()
	plan, err := plans.Parse("plan.yaml", []byte(text))
	if err != nil {
		t.Fatalf("plan:\n%s\n%v", text, err)
	}
	return plan
}

// simRunner runs the daemon of a simulated site.
type simRunner struct {
	b    *bed
	site string
}

func (r simRunner) State(context.Context) (orchestrator.DaemonState, error) {
	running := r.b.world.DaemonRuns(r.site) && !r.b.killed[r.site] && !r.b.elsewhere.Load()
	return orchestrator.DaemonState{Running: running, Detail: "simulated", Outdated: running && r.b.outdated[r.site], Died: r.b.killed[r.site]}, r.b.runnerErr
}

func (r simRunner) Restart(ctx context.Context) error {
	if err := r.Stop(ctx); err != nil {
		return err
	}
	r.b.restarts++
	if !r.b.stuck {
		delete(r.b.outdated, r.site)
	}
	return r.Start(ctx)
}

func (r simRunner) RestartCommand() string { return r.Command(false) + " && " + r.Command(true) }

func (r simRunner) Start(context.Context) error {
	r.b.world.StartDaemon(r.site)
	return nil
}

func (r simRunner) Stop(context.Context) error {
	r.b.world.StopDaemon(r.site)
	return nil
}

func (r simRunner) Command(start bool) string {
	if start {
		return "rbd-mirror --cluster " + r.site
	}
	return "kill $(cat rbd-mirror.pid)"
}

// handsOf are the hands on a site's daemon, where the plan has Drover run it.
func handsOf(s plans.Site, r orchestrator.Runner) orchestrator.Hands {
	if s.Daemon.Run == plans.RunNone || s.Daemon.Run == "" {
		return orchestrator.Hands{}
	}
	return orchestrator.Hands{Runner: r}
}

// handsOf are those that also steer the replay of single images, where the bed can.
func (b *bed) handsOf(s plans.Site, r orchestrator.Runner) orchestrator.Hands {
	h := handsOf(s, r)
	if b.control != nil {
		h.Replay = b.control(s.Name)
	}
	return h
}

func (b *bed) sites(ctx context.Context) *orchestrator.Sites {
	hands := func(_ *plans.Plan, s plans.Site, _ orchestrator.Site) (orchestrator.Hands, error) {
		return b.handsOf(s, simRunner{b: b, site: s.Name}), nil
	}
	return orchestrator.OpenSites(ctx, b.plan, b.open, hands)
}

func (b *bed) apply(o orchestrator.Options) (*orchestrator.Result, error) {
	b.t.Helper()
	sites := b.sites(b.t.Context())
	defer b.close(sites)
	return orchestrator.Apply(b.t.Context(), b.plan, sites, o)
}

func (b *bed) destroy(o orchestrator.DestroyOptions) (*orchestrator.Result, error) {
	b.t.Helper()
	sites := b.sites(b.t.Context())
	defer b.close(sites)
	return orchestrator.Destroy(b.t.Context(), b.plan, sites, o)
}

func (b *bed) diff(o orchestrator.DiffOptions) *orchestrator.Difference {
	b.t.Helper()
	return orchestrator.Diff(b.plan, b.observe(), o)
}

func (b *bed) observe() *orchestrator.Observation {
	b.t.Helper()
	sites := b.sites(b.t.Context())
	defer b.close(sites)
	return orchestrator.Observe(b.t.Context(), b.plan, sites, orchestrator.ObserveOptions{Detail: replay.WithHeader, Reports: true, Neighbours: true})
}

func (b *bed) close(sites *orchestrator.Sites) {
	b.t.Helper()
	if err := sites.Close(); err != nil {
		b.t.Errorf("close: %v", err)
	}
}

// applied applies and wants it to succeed.
func (b *bed) applied() *orchestrator.Result {
	b.t.Helper()
	result, err := b.apply(orchestrator.Options{Wait: orchestrator.WaitReplaying})
	if err != nil {
		b.t.Fatalf("apply: %v\n%s", err, outcomes(result))
	}
	return result
}

// settled wants a further apply to change nothing and to write nothing.
func (b *bed) settled() {
	b.t.Helper()
	b.world.ForgetCalls()
	result, err := b.apply(orchestrator.Options{})
	if err != nil || !result.Unchanged() {
		b.t.Fatalf("a further apply: %v\n%s", err, outcomes(result))
	}
	if writes := b.world.Writes(); len(writes) > 0 {
		b.t.Fatalf("a further apply wrote: %v", writes)
	}
}

// image makes an image with some data at a site.
func (b *bed) image(site string, ref replay.ImageRef, features replay.Features) {
	b.t.Helper()
	s := b.world.Site(site)
	if ref.Namespace != "" {
		b.must(s.CreateNamespace(b.t.Context(), ref.Pool))
	}
	b.must(s.CreateImage(b.t.Context(), ref, replay.ImageSpec{Size: 8 << 20, Features: features}))
	b.must(b.world.Write(site, ref, 4096, []byte("data of "+ref.String())))
}

// role is the role of an image at a site; "absent" when there is none.
func (b *bed) role(site string, ref replay.ImageRef) replay.Role {
	b.t.Helper()
	image, err := b.world.Site(site).Image(b.t.Context(), ref)
	if errors.Is(err, replay.ErrNotFound) {
		return "absent"
	}
	b.must(err)
	return image.Role
}

// content reads the beginning of an image.
func (b *bed) content(site string, ref replay.ImageRef) string {
	b.t.Helper()
	reader, err := b.world.Site(site).OpenSnapshot(b.t.Context(), ref, "")
	b.must(err)
	data := make([]byte, 64)
	_, err = reader.ReadAt(b.t.Context(), data, 4096)
	b.must(err)
	b.must(reader.Close())
	return strings.TrimRight(string(data), "\x00")
}

func (b *bed) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func outcomes(r *orchestrator.Result) string {
	var lines []string
	for i := range r.Changes {
		line := string(r.Changes[i].Outcome) + " " + r.Changes[i].Change.Title()
		if r.Changes[i].Fault != nil {
			line += ": " + r.Changes[i].Fault.Error()
		}
		lines = append(lines, line)
	}
	for i := range r.Notices {
		lines = append(lines, string(r.Notices[i].Code)+" "+r.Notices[i].String())
	}
	return strings.Join(lines, "\n")
}

func hasNotice(notices []orchestrator.Notice, code orchestrator.NoticeCode) bool {
	return slices.ContainsFunc(notices, func(n orchestrator.Notice) bool { return n.Code == code })
}

func ref(name string) replay.ImageRef { return replay.Pool{Name: "rbd"}.Image(name) }

// bubble runs f in a synctest bubble. What a silent site is still asked in the background
// when f is done ends by its own time limit, for which a bubble does not wait.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		f(t)
	})
}
