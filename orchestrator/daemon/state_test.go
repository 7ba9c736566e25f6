package daemon

import (
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator/serve"
)

// TestHaltedSplitStaysShown: Prometheus hears of a halted split-brain also while a site
// of it is silent.
func TestHaltedSplitStaysShown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 2)
		o := s.options()
		o.Metrics = serve.NewMetrics(serve.Build{})
		_, halt := s.beginWith(o)
		defer halt()
		time.Sleep(time.Minute)
		s.must(s.world.Site("b").Promote(t.Context(), s.refs[1], true))
		time.Sleep(time.Minute)
		const state = "drover_image_state"
		if _, ok := gauge(t, o.Metrics, state, "state", "split-brain"); !ok {
			t.Fatal("no split-brain is shown")
		}
		s.world.Vanish("b")
		time.Sleep(5 * time.Minute)
		if _, ok := gauge(t, o.Metrics, state, "state", "split-brain"); !ok {
			t.Error("no split-brain is shown while b is silent")
		}
		if _, ok := gauge(t, o.Metrics, state, "state", "unknown"); !ok {
			t.Error("the other image is not shown to be unknown")
		}
	})
}
