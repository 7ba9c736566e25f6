package orchestrator_test

import (
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
)

// A mgr that fails over or is busy forgets daemons that live: their reports show it.

func TestSwitchoverUnlisted(t *testing.T) {
	for name, plan := range map[string]string{"journal": twoWay, "snapshots": snapshotsTwoWay} {
		for _, dies := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					b := moving(t, plan, 2)
					b.world.Unlist("a")
					b.world.Unlist("b")
					if dies {
						b.world.KillDaemon("a")
						time.Sleep(time.Minute)
					}
					r, err := b.switchover(orchestrator.SwitchoverOptions{To: "b"}, orchestrator.RunOptions{})
					if (err == nil) == dies || dies && !strings.Contains(err.Error(), "no rbd-mirror serves") {
						t.Fatalf("%v\n%s", err, story(r))
					}
				})
			})
		}
	}
}

func TestWatchUnlisted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 2)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(time.Minute)
		before := m.count()
		b.world.Unlist("a")
		b.world.Unlist("b")
		time.Sleep(5 * time.Minute)
		checks := m.since(before)
		if len(checks) < 10 {
			t.Errorf("%d checks", len(checks))
		}
		for _, r := range checks {
			if len(r.Signals) > 0 || len(r.Transitions) > 0 {
				t.Fatalf("%+v, %+v", r.Signals, r.Transitions)
			}
		}
	})
}

func TestResyncUnlisted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 2)
		b.must(b.world.Site("b").Promote(t.Context(), ref("volume-1"), true))
		b.must(b.world.Write("b", ref("volume-1"), 4096, []byte("this is lost")))
		time.Sleep(time.Minute)
		b.world.Unlist("b")
		_, r, err := b.immortal().start(t.Context(), recopying("a", "volume-1"), orchestrator.RunOptions{})
		if err != nil {
			t.Fatalf("%v\n%s", err, story(r))
		}
	})
}

// TestFailoverUnlisted: where others run rbd-mirror, a failover waits until it has ended,
// also where the mgr has forgotten it.
func TestFailoverUnlisted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 2)
		b.plan = parsePlan(t, strings.ReplaceAll(twoWay, ", daemon: {run: process}", ""))
		b.world.Vanish("a")
		b.world.Unlist("b")
		ended := make(chan time.Time, 1)
		go func() {
			time.Sleep(3 * time.Minute)
			ended <- time.Now()
			b.world.StopDaemon("b")
		}()
		_, r, err := b.failover(orchestrator.FailoverOptions{To: "b", Reason: "fire"})
		over := time.Now()
		if at := <-ended; err != nil || over.Before(at) {
			t.Fatalf("over %v before rbd-mirror had ended: %v\n%s", at.Sub(over), err, story(r))
		}
	})
}

// TestWatchStartsNoSecond: a daemon that runs on another host, and that the mgr has
// forgotten, is not started here as well.
func TestWatchStartsNoSecond(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 2)
		b.elsewhere.Store(true)
		b.world.Unlist("a")
		b.world.Unlist("b")
		p := b.immortal()
		m := b.watchman(t, p)
		defer m.stop()
		time.Sleep(10 * time.Minute)
		if n := p.starts.Load(); n > 0 || len(m.last().Signals) > 0 {
			t.Errorf("%d started, %+v", n, m.last().Signals)
		}
	})
}
