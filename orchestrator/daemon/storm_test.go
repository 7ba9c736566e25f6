package daemon

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// The plans of a storm: one that is looked at all the time, and one by the
// clock on the wall of a place where clocks change.
const (
	stormHead = `version: 1
direction: two-way
primary: a
rpo: 2m
sites:
  - {name: a, conf: /etc/ceph/a.conf}
  - {name: b, conf: /etc/ceph/b.conf}
notifications:
  channels:
    - {name: log, type: slack-webhook, url: {env: LOG}}
    - {name: oncall, type: slack-webhook, url: {env: ONCALL}}
  routes:
    - {severity: [info, warning, critical], channels: [log]}
    - {severity: [warning, critical], channels: [oncall]}
`
	stormShop = stormHead + `name: shop
checks: {schedule: "@every 30s"}
pools:
  - name: rbd
    images: [{glob: "volume-*"}]
`
	stormVault = stormHead + `name: vault
checks: {schedule: "* * * * *", time_zone: Europe/Berlin}
verification: {schedule: "30 2 * * *", time_zone: Europe/Berlin}
pools:
  - name: cold
    images: [{glob: "volume-*"}]
`
)

// stormStarts are when the days begin: one on which clocks go ahead in Berlin, one on
// which they go back, and one like another.
var stormStarts = []time.Time{
	time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC),
	time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC),
	time.Date(2026, 6, 10, 12, 0, 0, 0, time.UTC),
}

// stormDay is how long a day is: where time is short, a quarter of one.
func stormDay() time.Duration {
	if testing.Short() && os.Getenv("DROVER_DAYS") == "" {
		return 6 * time.Hour
	}
	return 24 * time.Hour
}

const (
	// stormCalm is how long nothing happens at the end of a day: after it all must
	// be over, also what has flapped.
	stormCalm = 2*time.Hour + 30*time.Minute
)

// trouble is one fault, from its beginning to its end.
type trouble struct {
	kind     string
	at       string // of which site, host or channel
	image    replay.ImageRef
	from, to time.Time // to is zero while it lasts
	end      func()
	until    time.Time // when it is ended
}

// heard is a message that a channel has taken.
type heard struct {
	alert.Message
	channel string
	when    time.Time
	host    string // whose daemon has sent it
}

// storm is a day in the life of two daemons on two hosts that look after two plans,
// on which all kinds of things go wrong.
type storm struct {
	t     *testing.T
	rng   *rand.Rand
	plans []*plans.Plan
	// together: the plans tell the same people in the same way, and so what is one loss
	// for both is told by one of them.
	together bool
	world    *sim.World
	ahead    atomic.Int64 // of the clock of the world, before the bubble's
	hosts    []*stormHost
	refs     []replay.ImageRef
	began    time.Time

	troubles []*trouble
	// blurred are the seconds of the day in which nobody may have been there to look.
	blurred []bool
	words   map[string]time.Time // when a person answers an incident
	resync  *resyncing

	mu    sync.Mutex
	heard []heard
	mute  map[string]bool // channels that take nothing
}

// resyncing is the resync that a person has asked for, which nothing disturbs.
type resyncing struct {
	ref   replay.ImageRef
	since time.Time
}

// clock is the right time.
func (s *storm) clock() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

func newStorm(t *testing.T, seed uint64) *storm {
	s := &storm{t: t, rng: rand.New(rand.NewPCG(seed, 1)), words: map[string]time.Time{}, mute: map[string]bool{}, together: seed%2 == 1}
	for _, text := range []string{stormShop, stormVault} {
		plan, err := plans.Parse("plan.yaml", []byte(text))
		s.must(err)
		if !s.together {
			plan.Notifications.Dashboard = "https://dashboard.test/" + plan.Name
		}
		s.plans = append(s.plans, plan)
	}
	s.ahead.Store(int64(time.Until(stormStarts[seed%uint64(len(stormStarts))])))
	s.world = sim.New(sim.Options{Seed: seed, Clock: s.clock, Pace: sim.Pace{Discovery: -1, Bootstrap: -1, Throttle: -1, Rate: -1}})
	ctx := t.Context()
	for _, site := range []string{"a", "b"} {
		s.world.AddSite(site)
	}
	for n, name := range []string{"rbd", "cold"} {
		pool := replay.Pool{Name: name}
		for _, site := range []string{"a", "b"} {
			s.world.AddPool(site, name)
			s.must(s.world.Site(site).SetSiteName(ctx, site))
			s.must(s.world.Site(site).SetPoolMode(ctx, pool, replay.PoolImage))
		}
		token, err := s.world.Site("a").CreateBootstrapToken(ctx, pool)
		s.must(err)
		s.must(s.world.Site("b").ImportBootstrapToken(ctx, pool, replay.RxTx, token))
		for i := range 4 - 2*n {
			ref := pool.Image(fmt.Sprintf("volume-%d", i))
			features := replay.FeatureLayering | replay.FeatureExclusiveLock | replay.FeatureJournaling
			s.must(s.world.Site("a").CreateImage(ctx, ref, replay.ImageSpec{Size: 1 << 20, Features: features}))
			s.must(s.world.Site("a").EnableMirroring(ctx, ref, replay.ModeJournal))
			s.refs = append(s.refs, ref)
		}
	}
	s.world.StartDaemon("a")
	s.world.StartDaemon("b")
	time.Sleep(2 * time.Minute)
	s.hosts = []*stormHost{{s: s, name: "one"}, {s: s, name: "two"}}
	return s
}

func (s *storm) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// slowness is how long a call to a site takes.
func (s *storm) slowness(site string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mute["slow "+site] {
		return 150 * time.Millisecond
	}
	return 0
}

func (s *storm) set(what string, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mute[what] = on
}

// since is how far into the day it is.
func (s *storm) since() time.Duration { return time.Since(s.began) }

// lasting is a trouble of a kind and place that lasts; any where they are "".
func (s *storm) lasting(kind, at string) *trouble {
	for _, f := range s.troubles {
		if f.to.IsZero() && (kind == "" || f.kind == kind) && (at == "" || f.at == at) {
			return f
		}
	}
	return nil
}

// day lets a day pass.
func (s *storm) day() {
	s.began = time.Now()
	for _, h := range s.hosts {
		h.start()
	}
	next := s.between(5*time.Minute, 10*time.Minute)
	for s.since() < stormDay() {
		time.Sleep(time.Second)
		s.blur()
		for _, f := range s.troubles {
			if f.to.IsZero() && f.end != nil && !time.Now().Before(f.until) {
				f.end()
				f.to = time.Now()
			}
		}
		if s.since()%(97*time.Second) < time.Second {
			s.write()
		}
		if s.since()%(10*time.Minute) < time.Second {
			s.world.ForgetCalls()
		}
		s.answer()
		if s.since() >= next && s.since() < stormDay()-stormCalm && s.resync == nil {
			s.strike()
			next = s.since() + s.between(time.Second, 20*time.Minute)
		}
	}
	for _, h := range s.hosts {
		h.now.end()
		<-h.now.over
	}
}

// between is a random time; the shorter the likelier.
func (s *storm) between(low, high time.Duration) time.Duration {
	x := s.rng.Float64()
	return low + time.Duration(x*x*float64(high-low))
}

// handover is how long it takes at most until another daemon looks: the lease has to
// run out, and to be tried for; and a check has to come, of either plan.
const handover = orchestrator.LeaseTTL + orchestrator.LeaseTTL/3 + 20*time.Second

// blur notes up to now whether somebody was there to look.
func (s *storm) blur() {
	now := int(s.since() / time.Second)
	hidden := s.hosts[0].now == nil && s.hosts[1].now == nil
	for _, f := range s.troubles {
		switch f.kind {
		case "killed", "stopped", "clock", "leap":
			moment := func(t time.Time) bool { return !t.IsZero() && time.Since(t) < handover }
			hidden = hidden || moment(f.from) || moment(f.to)
			hidden = hidden || f.kind == "stopped" && f.to.IsZero() && (s.lasting("killed", "") != nil || s.bothStopped())
		}
	}
	for len(s.blurred) <= now {
		s.blurred = append(s.blurred, hidden)
	}
}

func (s *storm) bothStopped() bool {
	return s.lasting("stopped", "one") != nil && s.lasting("stopped", "two") != nil
}

// write has the clients at a write a little to each image.
func (s *storm) write() {
	for _, ref := range s.refs {
		_ = s.world.Write("a", ref, uint64(s.rng.IntN(200))*4096, []byte(fmt.Sprint("written at ", s.since()))) // it may not answer
	}
}

// strike has something go wrong.
func (s *storm) strike() {
	site := []string{"a", "b"}[s.rng.IntN(2)]
	host := s.hosts[s.rng.IntN(2)]
	f := &trouble{from: time.Now()}
	lasts := s.between(5*time.Second, 40*time.Minute)
	silent := func() bool { return s.lasting("gone", site) != nil || s.lasting("frozen", site) != nil }
	switch kind := s.rng.IntN(12); kind {
	case 0, 1:
		if silent() {
			return
		}
		f.kind, f.at = "gone", site
		s.world.Vanish(site)
		f.end = func() { s.world.Return(site) }
	case 2:
		if silent() {
			return
		}
		f.kind, f.at = "frozen", site
		s.world.Freeze(site)
		f.end = func() { s.world.Thaw(site) }
	case 3:
		if s.lasting("slow", site) != nil {
			return
		}
		f.kind, f.at = "slow", site
		s.set("slow "+site, true)
		f.end = func() { s.set("slow "+site, false) }
	case 4:
		if s.lasting("mirror", site) != nil {
			return
		}
		f.kind, f.at = "mirror", site
		s.world.KillDaemon(site)
		f.end = func() { s.world.StartDaemon(site) }
	case 5:
		f.image = s.refs[s.rng.IntN(len(s.refs))]
		if s.lasting("gone", "b") != nil || s.lasting("frozen", "b") != nil || len(s.world.Primaries(f.image)) != 1 || s.splits(f.image) {
			return
		}
		f.kind, f.at = "split", "b"
		s.must(s.world.Site("b").Promote(s.t.Context(), f.image, true))
		for _, site := range []string{"a", "b"} {
			_ = s.world.Write(site, f.image, 4096, []byte("this is written at "+site)) // it may not answer
		}
	case 6:
		if s.lasting("lag", "") != nil {
			return
		}
		f.kind, f.at = "lag", "b"
		s.world.SetReplayRate("b", 1)
		f.end = func() { s.world.SetReplayRate("b", 0) }
	case 7, 8:
		if host.now == nil || s.lasting("stopped", host.name) != nil {
			return
		}
		f.kind, f.at = "killed", host.name
		host.kill()
		f.end = host.start
		lasts = s.between(5*time.Second, 15*time.Minute)
	case 9:
		if host.now == nil || s.lasting("stopped", host.name) != nil {
			return
		}
		f.kind, f.at = "stopped", host.name
		p := host.now
		p.stop()
		f.end = p.resume
	case 10:
		if s.lasting("mute", "oncall") != nil {
			return
		}
		f.kind, f.at = "mute", "oncall"
		s.set("oncall", true)
		f.end = func() { s.set("oncall", false) }
	case 11:
		switch {
		case s.rng.IntN(3) == 0:
			// All clocks were wrong.
			f.kind = "leap"
			s.ahead.Add(int64(s.between(time.Minute, 5*time.Hour)))
			f.end, lasts = func() {}, 0
		case s.lasting("clock", host.name) != nil:
			return
		default:
			f.kind, f.at = "clock", host.name
			d := s.between(time.Second, 6*time.Hour)
			if s.rng.IntN(2) == 0 {
				d = -d
			}
			host.skew.Store(int64(d))
			f.end = func() { host.skew.Store(0) }
		}
	}
	f.until = f.from.Add(lasts)
	if limit := s.began.Add(stormDay() - stormCalm); f.until.After(limit) {
		f.until = limit
	}
	s.troubles = append(s.troubles, f)
}

// splits reports whether an image is in a split-brain that has not come to its end.
func (s *storm) splits(ref replay.ImageRef) bool {
	return slices.ContainsFunc(s.troubles, func(f *trouble) bool { return f.kind == "split" && f.image == ref && f.to.IsZero() })
}

// calm reports whether nothing is wrong but split-brains.
func (s *storm) calm() bool {
	return !slices.ContainsFunc(s.troubles, func(f *trouble) bool {
		return f.kind != "split" && (f.to.IsZero() || time.Since(f.to) < 2*time.Minute)
	})
}

// stormDays is how many days there are: as DROVER_DAYS says.
func stormDays() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("DROVER_DAYS"), 10, 32); err == nil {
		return n
	}
	if testing.Short() {
		return 1
	}
	return 2
}

// TestStorm has days pass on which everything goes wrong, and holds what was told
// against what has happened: nothing missed, nothing false, nothing twice, nothing
// left open.
func TestStorm(t *testing.T) {
	for seed := range stormDays() {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := newStorm(t, seed)
				s.day()
				for _, line := range s.judge() {
					t.Error(line)
				}
				if t.Failed() {
					t.Log(s.chronicle())
				}
			})
		})
	}
}
