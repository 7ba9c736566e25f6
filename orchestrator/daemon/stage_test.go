package daemon

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/notify"
	"github.com/drover-io/drover/orchestrator/serve"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

const shop = `version: 1
name: shop
direction: two-way
primary: a
sites:
  - {name: a, conf: /etc/ceph/a.conf}
  - {name: b, conf: /etc/ceph/b.conf}
checks: {schedule: "@every 10s"}
pools:
  - name: rbd
    images: [{glob: "volume-*"}]
notifications:
  channels:
    - {name: oncall, type: slack-webhook, url: {env: ONCALL}}
    - {name: pulse, type: heartbeat, url: {env: PULSE}}
  routes:
    - {severity: [warning, critical], channels: [oncall]}
`

var pool = replay.Pool{Name: "rbd"}

// stage is a simulated world with people who are told of it.
type stage struct {
	t     *testing.T
	plan  *plans.Plan
	world *sim.World
	refs  []replay.ImageRef

	mu    sync.Mutex
	told  []alert.Message // on the channel oncall
	beats int
	down  error // why the channel takes nothing
	// unheard: what is told of buttons counts, too. There is no Slack to hear them.
	unheard bool
}

// bubble runs a test in a time of its own, which does not end before what a silent site is
// still asked in the background has.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		f(t)
	})
}

func newStage(t *testing.T, images int) *stage {
	t.Helper()
	return newStageOf(t, shop, images)
}

// newStageOf is the stage of a plan for the pool rbd of sites a and b.
func newStageOf(t *testing.T, text string, images int) *stage {
	t.Helper()
	plan, err := plans.Parse("plan.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, plan: plan, world: sim.New(sim.Options{Seed: 1, Clock: time.Now, Pace: sim.Instant})}
	ctx := t.Context()
	for _, name := range []string{"a", "b"} {
		s.world.AddSite(name)
		s.world.AddPool(name, pool.Name)
		s.must(s.world.Site(name).SetSiteName(ctx, name))
		s.must(s.world.Site(name).SetPoolMode(ctx, pool, replay.PoolImage))
	}
	token, err := s.world.Site("a").CreateBootstrapToken(ctx, pool)
	s.must(err)
	s.must(s.world.Site("b").ImportBootstrapToken(ctx, pool, replay.RxTx, token))
	s.world.StartDaemon("a")
	s.world.StartDaemon("b")
	for i := range images {
		ref := pool.Image(fmt.Sprintf("volume-%d", i))
		features := replay.FeatureLayering | replay.FeatureExclusiveLock | replay.FeatureJournaling
		s.must(s.world.Site("a").CreateImage(ctx, ref, replay.ImageSpec{Size: 1 << 20, Features: features}))
		s.must(s.world.Site("a").EnableMirroring(ctx, ref, replay.ModeJournal))
		s.refs = append(s.refs, ref)
	}
	time.Sleep(2 * time.Minute)
	return s
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// taker is the channel of people, or of the heartbeat.
type taker struct {
	s    *stage
	name string
}

func (c taker) Name() string { return c.name }

func (c taker) Send(_ context.Context, m alert.Message, _ alert.Receipt) (alert.Receipt, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.name == "pulse" {
		c.s.beats++
		return "", nil
	}
	if c.s.down != nil {
		return "", c.s.down
	}
	if m.Code != ButtonsUnheard || c.s.unheard {
		c.s.told = append(c.s.told, m)
	}
	return "thread", nil
}

func (s *stage) options() Options {
	return Options{
		Open: func(_ context.Context, site plans.Site) (orchestrator.Site, error) {
			return s.world.Site(site.Name), nil
		},
		Hands: func(*plans.Plan, plans.Site, orchestrator.Site) (orchestrator.Hands, error) {
			return orchestrator.Hands{}, nil
		},
		Channel: func(c plans.Channel, _ notify.Options) (alert.Channel, error) { return taker{s, c.Name}, nil },
	}
}

// begin starts a daemon, and ends it when end is called.
func (s *stage) begin() (d *Daemon, end func()) { return s.beginWith(s.options()) }

func (s *stage) beginWith(o Options) (d *Daemon, end func()) {
	s.t.Helper()
	d, err := New([]*plans.Plan{s.plan}, o)
	s.must(err)
	return d, s.running(d)
}

// running has a daemon run until end is called.
func (s *stage) running(d *Daemon) (end func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// take answers with what was told since the last time, in short: kind and code.
func (s *stage) take() (all []alert.Message, short string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, s.told = s.told, nil
	var words []string
	for _, m := range all {
		words = append(words, string(m.Kind)+" "+m.Code)
	}
	return all, strings.Join(words, ", ")
}

// gauge is the value of a metric's series with a label; ok is false without one.
func gauge(t *testing.T, m *serve.Metrics, name, label, value string) (n float64, ok bool) {
	t.Helper()
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, series := range f.GetMetric() {
			for _, l := range series.GetLabel() {
				if f.GetName() == name && l.GetName() == label && l.GetValue() == value {
					return series.GetGauge().GetValue(), true
				}
			}
		}
	}
	return 0, false
}
