package daemon

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/serve"
	"github.com/drover-io/drover/replay/sim"
)

// TestSignalsShown: Prometheus hears of what only the watch finds, and that it is over.
func TestSignalsShown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 2)
		o := s.options()
		o.Metrics = serve.NewMetrics(serve.Build{})
		_, end := s.beginWith(o)
		defer end()
		time.Sleep(time.Minute)
		if _, ok := gauge(t, o.Metrics, "drover_signals", "plan", "shop"); ok {
			t.Error("something is shown of a world that is well")
		}
		mend := s.world.Inject(sim.Fault{Op: "AcquireLease", Errno: syscall.EPERM})
		time.Sleep(10 * time.Minute)
		if n, ok := gauge(t, o.Metrics, "drover_signals", "code", orchestrator.SignalCannotAct); !ok || n != 1 {
			t.Errorf("shown: %g, %t", n, ok)
		}
		mend()
		time.Sleep(5 * time.Minute)
		if _, ok := gauge(t, o.Metrics, "drover_signals", "code", orchestrator.SignalCannotAct); ok {
			t.Error("it is shown when it is over")
		}
	})
}

// TestReadyWithoutChecks: where checks have stopped coming to their ends, readiness
// says so.
func TestReadyWithoutChecks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 1)
		d, end := s.begin()
		defer end()
		time.Sleep(time.Minute)
		check := func() (c serve.Condition) {
			for _, c = range d.Ready() {
				if c.Kind == "check" {
					return c
				}
			}
			return serve.Condition{}
		}
		if c := check(); !c.OK {
			t.Fatalf("checks end: %+v", c)
		}
		// The last check ended well, and none since.
		g := d.guards["shop"]
		g.mu.Lock()
		g.life.last = time.Now().Add(-time.Hour)
		g.life.again = false
		g.mu.Unlock()
		if c := check(); c.OK || c.State != "stopped" || c.Why == "" {
			t.Errorf("checks have stopped: %+v", c)
		}
		time.Sleep(time.Minute)
		if c := check(); !c.OK {
			t.Errorf("checks end again: %+v", c)
		}
	})
}

// TestNoBeatUnheard: whoever waits for the heartbeat hears where the only channel takes
// nothing and something is to be told; and that it does again.
func TestNoBeatUnheard(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 1)
		_, end := s.begin()
		defer end()
		beats := func(d time.Duration) int {
			s.mu.Lock()
			before := s.beats
			s.mu.Unlock()
			time.Sleep(d)
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.beats - before
		}
		down := func(err error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.down = err
		}
		down(alert.Permanent(errors.New("the token was revoked")))
		if n := beats(30 * time.Minute); n < 25 {
			t.Errorf("%d heartbeats in half an hour in which nothing is to be told", n)
		}
		s.world.Vanish("b")
		if n := beats(9 * time.Minute); n < 7 {
			t.Errorf("%d heartbeats in the first nine minutes", n)
		}
		time.Sleep(5 * time.Minute)
		if n := beats(2 * time.Hour); n > 0 {
			t.Errorf("%d heartbeats though nobody can be told", n)
		}
		down(nil)
		time.Sleep(11 * time.Minute)
		if n := beats(10 * time.Minute); n < 8 {
			t.Errorf("%d heartbeats once the channel works again", n)
		}
	})
}
