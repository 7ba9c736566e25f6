package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// watched is a plan that is checked every ten seconds.
const watched = twoWay + "checks: {schedule: '@every 10s', timeout: 5s}\n"

// watchman is a watch in a process, and what it has told.
type watchman struct {
	t     *testing.T
	p     *process
	watch *orchestrator.Watch
	stop  func()

	mu      sync.Mutex
	results []orchestrator.CheckResult
	stood   []orchestrator.Role
}

// watchman sets a process to watch.
func (b *bed) watchman(t *testing.T, p *process) *watchman {
	t.Helper()
	return b.watchmanBehind(t, p, p.gate)
}

// watchmanBehind is one whose calls go through a gate.
func (b *bed) watchmanBehind(t *testing.T, p *process, gate sim.Gate) *watchman {
	t.Helper()
	m := &watchman{t: t, p: p}
	m.watch = orchestrator.NewWatch(b.plan, orchestrator.WatchOptions{
		Open: func(ctx context.Context, s plans.Site) (orchestrator.Site, error) {
			if _, err := b.open(ctx, s); err != nil {
				return nil, err
			}
			if b.wrap != nil {
				return b.wrap(b.world.Client(s.Name, gate)), nil
			}
			return b.world.Client(s.Name, gate), nil
		},
		Hands: func(_ *plans.Plan, s plans.Site, _ orchestrator.Site) (orchestrator.Hands, error) {
			return b.handsOf(s, processRunner{simRunner{b: b, site: s.Name}, p}), nil
		},
		Checked: func(r orchestrator.CheckResult) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.results = append(m.results, r)
		},
		Stood: func(s orchestrator.Standing) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.stood = append(m.stood, s.Role)
		},
		Panicked: func(value any, stack []byte) { t.Errorf("panic: %v\n%s", value, stack) },
		Now:      func() time.Time { return time.Now().Add(time.Duration(p.skew.Load())) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := m.watch.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("watch: %v", err)
		}
	}()
	m.stop = func() {
		cancel()
		<-ended
	}
	return m
}

// since are the results of the checks that have ended by now, but for the first n.
func (m *watchman) since(n int) []orchestrator.CheckResult {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.results[min(n, len(m.results)):])
}

func (m *watchman) count() int { return len(m.since(0)) }

func (m *watchman) last() orchestrator.CheckResult {
	m.t.Helper()
	all := m.since(0)
	if len(all) == 0 {
		m.t.Fatal("no check")
	}
	return all[len(all)-1]
}

// transitions are those of an image.
func (m *watchman) transitions(image string) []string {
	var out []string
	for _, r := range m.since(0) {
		for _, c := range r.Transitions {
			if c.Image.Name == image {
				out = append(out, fmt.Sprintf("%s>%s", c.Event, c.To))
			}
		}
	}
	return out
}

// signals are those of a code in the last check.
func (m *watchman) signals(code string) []alert.Signal { return signalsOf(m.last(), code) }

func signalsOf(r orchestrator.CheckResult, code string) []alert.Signal {
	return slices.DeleteFunc(slices.Clone(r.Signals), func(s alert.Signal) bool { return s.Code != code })
}

func codes(r orchestrator.CheckResult) string {
	var out []string
	for _, s := range r.Signals {
		out = append(out, s.Code+"@"+s.Site+" "+s.Image)
	}
	return strings.Join(out, ", ")
}

func (b *bed) history(t *testing.T, q orchestrator.HistoryQuery) *orchestrator.History {
	t.Helper()
	sites := b.sites(t.Context())
	defer b.close(sites)
	h, err := orchestrator.ReadHistory(t.Context(), b.plan, sites, q)
	b.must(err)
	return h
}

// TestWatchTransitions follows an image from before it is mirrored, through the
// loss of a site, to its return.
func TestWatchTransitions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, watched)
		b.image("a", ref("volume-0"), plain)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(time.Minute)
		b.applied()
		time.Sleep(5 * time.Minute)
		if s := m.last().Signals; len(s) > 0 {
			t.Errorf("signals of healthy images: %s", codes(m.last()))
		}
		b.world.Vanish("b")
		time.Sleep(time.Minute)
		if r := m.last(); !slices.Equal(r.Blind, []string{"b"}) || len(signalsOf(r, "site-unknown")) == 0 {
			t.Errorf("blind %v, signals %s", r.Blind, codes(r))
		}
		b.world.Return("b")
		time.Sleep(5 * time.Minute)
		got := strings.Join(m.transitions("volume-0"), " ")
		want := "seen>unprotected caught-up>replaying out-of-sight>unknown seen>replaying"
		short := strings.ReplaceAll(strings.ReplaceAll(got, "enable>enabling ", ""), "copying>syncing ", "")
		// A check that comes in the middle of the apply sees an image without its copy.
		if short = strings.Replace(short, "unprotected broken>degraded ", "unprotected ", 1); short != want {
			t.Errorf("transitions: %s", got)
		}
		var recorded []string
		for _, c := range b.history(t, orchestrator.HistoryQuery{Image: "volume-0"}).Changes {
			recorded = append(recorded, fmt.Sprintf("%s>%s", c.Event, c.To))
			if c.Why == "" || c.At.IsZero() || c.Roles["a"] == "" {
				t.Errorf("recorded: %+v", c)
			}
		}
		if all := strings.Join(recorded, " "); all != got {
			t.Errorf("recorded: %s\ntold:     %s", all, got)
		}
	})
}

// TestWatchRestart: a restart tells of nothing that has not changed, and of all
// that has.
func TestWatchRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		m := b.watchman(t, b.immortal())
		time.Sleep(time.Minute)
		m.stop()
		again := b.watchman(t, b.immortal())
		time.Sleep(time.Minute)
		if got := append(again.transitions("volume-0"), again.transitions("vm-1")...); len(got) > 0 {
			t.Errorf("after a restart: %v", got)
		}
		if again.count() == 0 {
			t.Error("no check after a restart")
		}
		again.stop()
		b.must(b.world.Site("a").Demote(t.Context(), ref("vm-1")))
		time.Sleep(time.Hour)
		third := b.watchman(t, b.immortal())
		defer third.stop()
		time.Sleep(time.Minute)
		if got := third.transitions("vm-1"); len(got) != 1 || got[0] != "both-down>stranded" {
			t.Errorf("what happened meanwhile: %v", got)
		}
		if got := third.transitions("volume-0"); len(got) > 0 {
			t.Errorf("the other image: %v", got)
		}
		h := b.history(t, orchestrator.HistoryQuery{Image: "rbd/vm-1", Limit: 1})
		if len(h.Changes) != 1 || h.Changes[0].From != replay.Replaying || !strings.HasPrefix(h.Changes[0].Why, "seen after a restart: ") {
			t.Errorf("history: %+v", h.Changes)
		}
	})
}

// TestWatchSplitBrain: a second primary is halted once, within two checks, with a
// signal that says what to do; and a resync ends it.
func TestWatchSplitBrain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(time.Minute)
		before := m.count()
		b.must(b.world.Site("b").Promote(t.Context(), ref("volume-0"), true))
		time.Sleep(25 * time.Second)
		first := m.since(before)
		if len(first) == 0 || len(signalsOf(first[0], orchestrator.SignalSplitBrain)) != 1 {
			t.Fatalf("%d checks, the first: %s", len(first), codes(first[0]))
		}
		s := signalsOf(first[0], orchestrator.SignalSplitBrain)[0]
		if s.Severity != alert.Critical || s.Image != "rbd/volume-0" || s.Key != first[0].Halts[0].ID || len(s.Details) < 4 ||
			s.Next != "drover resync plan.yaml rbd/volume-0 --keep a\ndrover resync plan.yaml rbd/volume-0 --keep b" {
			t.Errorf("signal: %+v", s)
		}
		if s.Asks == nil || s.Asks.Subject != s.Key || s.Asks.Evidence == "" || !slices.Equal(s.Asks.Options, []string{"a", "b"}) {
			t.Errorf("asks: %+v", s.Asks)
		}
		if two := signalsOf(first[0], string(replay.ProblemTwoPrimaries)); len(two) > 0 {
			t.Errorf("told twice: %+v", two)
		}
		time.Sleep(10 * time.Minute)
		r := m.last()
		if later := signalsOf(r, orchestrator.SignalSplitBrain); len(r.Halts) != 1 || len(later) != 1 || later[0].Asks == nil || later[0].Asks.Evidence != s.Asks.Evidence || later[0].Next != s.Next {
			t.Errorf("after ten minutes: %d halts, %+v", len(r.Halts), later)
		}
		p := b.immortal()
		if _, report, err := p.start(t.Context(), recopying("a", "volume-0"), orchestrator.RunOptions{}); err != nil {
			t.Fatalf("%v\n%s", err, story(report))
		}
		time.Sleep(5 * time.Minute)
		if r := m.last(); len(r.Halts) > 0 || len(r.Signals) > 0 {
			t.Errorf("after the resync: %s", codes(r))
		}
		got := m.transitions("volume-0")
		if len(got) < 3 || got[1] != "diverged>split-brain" || got[len(got)-1] != "caught-up>replaying" || strings.Count(strings.Join(got, " "), "split-brain") != 1 {
			t.Errorf("transitions: %v", got)
		}
	})
}

// TestWatchSplitBrainSoon: checked each second, a second primary is told of, halted,
// within three.
func TestWatchSplitBrainSoon(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, strings.Replace(watched, "@every 10s", "@every 1s", 1), 10)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(time.Minute)
		for i := range 10 {
			time.Sleep(time.Duration(i)*100*time.Millisecond + time.Millisecond)
			began := time.Now()
			b.must(b.world.Site("b").Promote(t.Context(), ref(fmt.Sprintf("volume-%d", i)), true))
			for len(m.signals(orchestrator.SignalSplitBrain)) <= i {
				time.Sleep(10 * time.Millisecond)
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("%d: told after %v", i, took)
			}
		}
	})
}

// TestWatchResync: a resync is seen from the person's word to its end.
func TestWatchResync(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, strings.Replace(watched, "@every 10s", "@every 1s", 1), 1)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		b.must(b.world.Site("b").Promote(t.Context(), ref("volume-0"), true))
		time.Sleep(time.Minute)
		p := b.immortal()
		p.meanwhile(func(_ int64, c sim.Call) {
			if c.Write && c.Op != "AcquireLease" {
				time.Sleep(2 * time.Second)
			}
		})
		if _, report, err := p.start(t.Context(), recopying("a", "volume-0"), orchestrator.RunOptions{}); err != nil {
			t.Fatalf("%v\n%s", err, story(report))
		}
		time.Sleep(5 * time.Minute)
		got := strings.Join(m.transitions("volume-0"), " ")
		want := "seen>split-brain keep>resync-requested re-copying>resyncing caught-up>replaying"
		if got != want {
			t.Errorf("transitions: %s", got)
		}
	})
}

// TestWatchPanic: a panic in whoever is told is contained, and the next check comes.
func TestWatchPanic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		var told, panics atomic.Int64
		w := orchestrator.NewWatch(b.plan, orchestrator.WatchOptions{
			Open: b.open,
			Checked: func(orchestrator.CheckResult) {
				told.Add(1)
				panic("no such channel")
			},
			Panicked: func(any, []byte) { panics.Add(1) },
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Second)
		defer cancel()
		if err := w.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if told.Load() < 6 || told.Load() != panics.Load() {
			t.Errorf("told %d times, %d panics", told.Load(), panics.Load())
		}
	})
}

// TestWatchFrozenSite: a site that does not answer costs each check its timeout,
// and no more, from the first on; checks do not overlap.
func TestWatchFrozenSite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(time.Minute)
		before := m.count()
		b.world.Freeze("b")
		time.Sleep(10 * time.Minute)
		frozen := m.since(before)
		if len(frozen) < 59 {
			t.Errorf("%d checks in ten minutes", len(frozen))
		}
		for _, r := range frozen {
			if r.Took > 5*time.Second+100*time.Millisecond || !slices.Equal(r.Blind, []string{"b"}) {
				t.Errorf("a check took %v, blind: %v", r.Took, r.Blind)
			}
			for i := range r.Report.Images {
				if r.Report.Images[i].Roles["a"] != "primary" {
					t.Errorf("roles: %v", r.Report.Images[i].Roles)
				}
			}
		}
		b.world.Thaw("b")
		time.Sleep(time.Minute)
		if r := m.last(); len(r.Blind) > 0 || r.Role != orchestrator.RoleActing {
			t.Errorf("%s, blind %v", r.Role, r.Blind)
		}
	})
}

// TestWatchSiteOpensLater: a site that cannot be opened at the start is watched once
// it can be.
func TestWatchSiteOpensLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		open := b.open
		var mu sync.Mutex
		shut := true
		b.open = func(ctx context.Context, s plans.Site) (orchestrator.Site, error) {
			mu.Lock()
			defer mu.Unlock()
			if shut && s.Name == "b" {
				return nil, errors.New("no route to host")
			}
			return open(ctx, s)
		}
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(time.Minute)
		if r := m.last(); !slices.Equal(r.Blind, []string{"b"}) || r.Role != orchestrator.RoleActing {
			t.Errorf("%s, blind %v", r.Role, r.Blind)
		}
		mu.Lock()
		shut = false
		mu.Unlock()
		time.Sleep(30 * time.Second)
		if r := m.last(); len(r.Blind) > 0 || r.Role != orchestrator.RoleActing {
			t.Errorf("%s, blind %v", r.Role, r.Blind)
		}
	})
}

// TestWatchTellsBeforeEvidence: of a great many split-brains people are told at once,
// though a site falls silent right after the halts; the evidence follows.
func TestWatchTellsBeforeEvidence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const images = 60
		b := moving(t, strings.Replace(watched, "@every 10s", "@every 1s", 1), images)
		p := b.immortal()
		m := b.watchman(t, p)
		defer m.stop()
		time.Sleep(time.Minute)
		frozen := make(chan struct{})
		p.meanwhile(func(_ int64, c sim.Call) {
			time.Sleep(20 * time.Millisecond)
			if c.Op == "AppendRecords" {
				select {
				case <-frozen:
				default:
					close(frozen)
					time.AfterFunc(300*time.Millisecond, func() { b.world.Freeze("b") })
				}
			}
		})
		for i := range images {
			b.must(b.world.Site("b").Promote(t.Context(), ref(fmt.Sprintf("volume-%d", i)), true))
		}
		began := time.Now()
		told := func() (n int, evidence int) {
			for _, s := range m.last().Signals {
				if s.Code == orchestrator.SignalSplitBrain {
					n++
				}
			}
			for _, h := range m.last().Halts {
				if len(h.Evidence) > 0 {
					evidence++
				}
			}
			return n, evidence
		}
		for n, _ := told(); n < images; n, _ = told() {
			time.Sleep(100 * time.Millisecond)
			if time.Since(began) > 5*time.Minute {
				t.Fatalf("only %d of %d are told after %v", n, images, time.Since(began))
			}
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("told after %v", took)
		}
		b.world.Thaw("b")
		time.Sleep(3 * time.Minute)
		if _, evidence := told(); evidence != images {
			t.Errorf("%d of %d halts have evidence", evidence, images)
		}
	})
}
