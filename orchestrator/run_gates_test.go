package orchestrator_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay/sim"
)

// closedGates keep whoever takes over from shutting its predecessor out.
var closedGates = []trouble{
	fails("hang", "a", "Blocklist", sim.Fault{Hang: true}),
	fails("hang", "b", "Blocklist", sim.Fault{Hang: true}),
	fails("EPERM", "b", "Blocklist", sim.Fault{Errno: eperm}),
}

// TestRunResumedBeforeClosedGates kills each runbook at changes all along it, and
// has it resumed while its process cannot be shut out somewhere: the attempt is
// refused and moves no image, and a later one ends with one primary.
func TestRunResumedBeforeClosedGates(t *testing.T) {
	for i := range runScenes {
		scene := &runScenes[i]
		t.Run(scene.name, func(t *testing.T) {
			t.Parallel()
			refused := 0
			for k, closed := range closedGates {
				t.Run(closed.name, func(t *testing.T) {
					for at, over := int64(i+k)%7, false; !over && !t.Failed(); at += 7 {
						bubble(t, func(t *testing.T) {
							var no bool
							if over, no = scene.resumedBefore(t, closed, at); no {
								refused++
							}
						})
					}
				})
			}
			if refused == 0 && !t.Failed() {
				t.Error("no attempt was refused")
			}
		})
	}
}

// resumedBefore kills a scene's process at a change; over: the run had ended
// before. refused: the one that took it up before the closed gate was.
func (s *runScene) resumedBefore(t *testing.T, closed trouble, at int64) (over, refused bool) {
	st := s.stage(t)
	p := &process{b: st.bed, at: at, death: deaths[at%2]}
	if _, _, err := p.start(t.Context(), s.prepare, orchestrator.RunOptions{}); !p.dead.Load() {
		return true, false
	} else if !mayFail(err) {
		t.Errorf("it died at change %d with: %v", at, err)
	}
	time.Sleep(orchestrator.LeaseTTL + 5*time.Second)
	var account []string
	if runs := st.runs()[st.before:]; slices.ContainsFunc(runs, func(r orchestrator.RunStory) bool { return r.End == nil }) {
		pass := closed.come(st.world)
		before := st.primaries()
		r, err := st.immortal().resume(t.Context(), orchestrator.RunOptions{})
		account = append(account, fmt.Sprintf("died at change %d; before the closed gate: %v\n%s", at, err, story(r)))
		refused = r == nil && errors.Is(err, orchestrator.ErrRefused)
		if after := st.primaries(); refused && after != before {
			t.Errorf("refused, it made of\n%s\nthis:\n%s", before, after)
		}
		pass()
	}
	next := st.immortal()
	next.before = st.before
	st.ends(append(account, st.finish(next, s.prepare, st.ask)...))
	return false, refused
}

// primaries tells where the images are primary.
func (st *staged) primaries() string {
	out := ""
	for _, ref := range st.refs {
		out += fmt.Sprintln(ref, st.world.Primaries(ref))
	}
	return out
}
