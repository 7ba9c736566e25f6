package daemon

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/notify"
	"github.com/drover-io/drover/orchestrator/serve"
	"github.com/drover-io/drover/plans"
)

// counted is the sum of a counter's series that have all these labels.
func counted(t *testing.T, m *serve.Metrics, name string, labels map[string]string) (n float64) {
	t.Helper()
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, series := range f.GetMetric() {
			has := 0
			for _, l := range series.GetLabel() {
				if labels[l.GetName()] == l.GetValue() {
					has++
				}
			}
			if f.GetName() == name && has == len(labels) {
				n += series.GetCounter().GetValue()
			}
		}
	}
	return n
}

// move moves all images to a site, as the command line does.
func (s *stage) move(to string) {
	s.t.Helper()
	sites := orchestrator.OpenSites(s.t.Context(), s.plan, s.options().Open, nil)
	defer func() { s.must(sites.Close()) }()
	p, err := orchestrator.PrepareSwitchover(s.t.Context(), s.plan, sites, orchestrator.SwitchoverOptions{To: to})
	s.must(err)
	s.must(p.Refused)
	report, err := orchestrator.Start(s.t.Context(), s.plan, sites, p, orchestrator.RunOptions{Word: true})
	s.must(err)
	if report.Outcome != orchestrator.RunDone {
		s.t.Fatalf("moved: %+v", report)
	}
}

// TestRunsCounted: runs of the command line are counted once each, by the daemon that
// acts as they end, and not by one that begins later.
func TestRunsCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 2)
		s.move("b")
		time.Sleep(5 * time.Minute)
		o := s.options()
		o.Metrics = serve.NewMetrics(serve.Build{})
		_, end := s.beginWith(o)
		time.Sleep(time.Minute)
		runs := func() float64 { return counted(t, o.Metrics, "drover_runs_total", nil) }
		if n := runs(); n != 0 {
			t.Errorf("%g runs that ended before the daemon began", n)
		}
		s.move("a")
		time.Sleep(5 * time.Minute)
		if n := counted(t, o.Metrics, "drover_runs_total", map[string]string{"runbook": "switchover", "outcome": "done"}); n != 1 || runs() != 1 {
			t.Errorf("%g switchovers of %g runs", n, runs())
		}
		s.world.Vanish("a")
		time.Sleep(5 * time.Minute)
		s.world.Return("a")
		s.move("b")
		time.Sleep(5 * time.Minute)
		if n := runs(); n != 2 {
			t.Errorf("%g runs after the second", n)
		}
		end()
		o.Metrics = serve.NewMetrics(serve.Build{})
		_, end = s.beginWith(o)
		defer end()
		time.Sleep(5 * time.Minute)
		if n := runs(); n != 0 {
			t.Errorf("the next daemon counts %g runs once more", n)
		}
	})
}

// TestButtonRunCounted: a resync by a button is counted once.
func TestButtonRunCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 2)
		o := s.options()
		o.Metrics = serve.NewMetrics(serve.Build{})
		d, end := s.beginWith(o)
		defer end()
		time.Sleep(time.Minute)
		s.must(s.world.Site("b").Promote(t.Context(), s.refs[1], true))
		s.must(s.world.Write("b", s.refs[1], 4096, []byte("written at b")))
		time.Sleep(2 * time.Minute)
		all, short := s.take()
		if short != "opened split-brain" {
			t.Fatalf("told: %s", short)
		}
		asks := all[0].Asks
		_, err := d.press(notify.Press{
			Plan: "shop", Channel: "oncall", IncidentID: all[0].ID, User: "U1", Action: notify.Choose,
			Kind: asks.Kind, Subject: asks.Subject, Option: "a", Evidence: asks.Evidence, At: time.Now(),
		})
		s.must(err)
		time.Sleep(10 * time.Minute)
		if n := counted(t, o.Metrics, "drover_runs_total", map[string]string{"runbook": "resync"}); n != 1 {
			t.Errorf("%g resyncs", n)
		}
	})
}

// TestFaultyCheckIsTold: that checks end in a panic is told once, and no more is told to
// be over than can be seen; and when they are well again, that.
func TestFaultyCheckIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 2)
		d, err := New([]*plans.Plan{s.plan}, s.options())
		s.must(err)
		g := d.guards["shop"]
		var faulty atomic.Bool
		g.watch = orchestrator.NewWatch(s.plan, orchestrator.WatchOptions{
			Open: g.o.Open, Hands: g.o.Hands, Checked: g.look, Stood: g.stood, Now: g.o.Now, Panicked: g.panicked,
			Newer: func(*orchestrator.CheckResult, string) *orchestrator.SplitEvidence {
				if faulty.Load() {
					panic("a fault of the program")
				}
				return nil
			},
		})
		end := s.running(d)
		defer func() { end() }()
		time.Sleep(time.Minute)
		s.must(s.world.Site("b").Promote(t.Context(), s.refs[1], true))
		time.Sleep(2 * time.Minute)
		if _, short := s.take(); short != "opened split-brain" {
			t.Fatalf("told: %s", short)
		}
		faulty.Store(true)
		time.Sleep(20 * time.Minute)
		all, short := s.take()
		if short != "opened watch-faulty" || all[0].Severity != alert.Critical || strings.Contains(all[0].What, "a fault of the program:") {
			t.Errorf("told of checks that fail: %s %+v", short, all)
		}
		faulty.Store(false)
		time.Sleep(5 * time.Minute)
		if _, short := s.take(); short != "resolved watch-faulty" {
			t.Errorf("told of checks that are well: %s", short)
		}
		// Other work of the watch, once.
		g.panicked("again", nil)
		time.Sleep(5 * time.Minute)
		if _, short := s.take(); short != "opened watch-faulty, resolved watch-faulty" {
			t.Errorf("told of other work: %s", short)
		}
	})
}

// deadRunner is a daemon that dies after each start.
type deadRunner struct{ orchestrator.Runner }

func (deadRunner) State(context.Context) (orchestrator.DaemonState, error) {
	return orchestrator.DaemonState{Died: true}, nil
}

func (deadRunner) Start(context.Context) error { return nil }
func (deadRunner) Command(bool) string         { return "rbd-mirror" }
func (deadRunner) RestartCommand() string      { return "rbd-mirror" }

// TestStartsCounted: each start of a daemon is counted.
func TestStartsCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 1)
		for i := range s.plan.Sites {
			s.plan.Sites[i].Daemon.Run = plans.RunProcess
		}
		o := s.options()
		o.Metrics = serve.NewMetrics(serve.Build{})
		o.Hands = func(_ *plans.Plan, site plans.Site, _ orchestrator.Site) (orchestrator.Hands, error) {
			if site.Name != "b" {
				return orchestrator.Hands{}, nil
			}
			return orchestrator.Hands{Runner: deadRunner{}}, nil
		}
		_, end := s.beginWith(o)
		defer end()
		time.Sleep(5 * time.Minute)
		if n := counted(t, o.Metrics, "drover_daemon_starts_total", map[string]string{"site": "b"}); n < 5 {
			t.Errorf("%g starts", n)
		}
		if n := counted(t, o.Metrics, "drover_daemon_starts_total", map[string]string{"site": "a"}); n != 0 {
			t.Errorf("%g starts at a", n)
		}
	})
}
