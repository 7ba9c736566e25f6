package orchestrator_test

import (
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
)

// TestResumedAfterDemotionCutShort has a process die in the middle of a demotion,
// which the other side then never hears of. Who resumes mends that, and moves the
// image, rather than to wait for the proof in vain.
func TestResumedAfterDemotionCutShort(t *testing.T) {
	for i := range runScenes[:2] {
		scene := &runScenes[i]
		t.Run(scene.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := scene.stage(t)
				p := &process{b: st.bed, at: -1, op: "Demote", death: diesAfter}
				_, _, err := p.start(t.Context(), scene.prepare, orchestrator.RunOptions{Parallel: 1})
				if !p.dead.Load() {
					t.Fatalf("it did not die: %v", err)
				}
				time.Sleep(2 * orchestrator.LeaseTTL)
				r, err := st.immortal().resume(t.Context(), orchestrator.RunOptions{})
				if err != nil || r.Outcome != orchestrator.RunDone {
					t.Fatalf("resumed: %v\n%s", err, story(r))
				}
				for _, u := range r.Units {
					if u.Outcome != orchestrator.UnitMoved {
						t.Errorf("%s is %s: %s", u.Unit.Name, u.Outcome, u.Why)
					}
				}
				st.ends(nil)
			})
		})
	}
}
