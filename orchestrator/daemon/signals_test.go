package daemon

import (
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
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
