package orchestrator

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// closedAct changes a site that is closed to this process for a while.
type closedAct struct {
	opens time.Time
	tried int
	done  bool
}

func (a *closedAct) look(context.Context, *crew) (bool, string, error) { return a.done, "seen", nil }

func (a *closedAct) do(_ context.Context, c *crew) error {
	return c.change("a", func(context.Context, Site) error {
		a.tried++
		if time.Now().Before(a.opens) {
			return notAdmitted{&replay.Error{Op: "shut out", Site: "a", Err: replay.ErrTimeout}}
		}
		a.done = true
		return nil
	})
}

func (*closedAct) patience(*crew) (time.Duration, time.Duration) { return time.Minute, 0 }

// TestStepThatWasNotAdmitted: a call that was not made is made again, also by a
// step that acts only once, and its outcome is never unknown.
func TestStepThatWasNotAdmitted(t *testing.T) {
	for _, opens := range []time.Duration{20 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			entries := []siteEntry{{plan: plans.Site{Name: "a"}, site: named{}}}
			c := &crew{
				sites: &Sites{entries: entries}, soft: t.Context(), hard: t.Context(),
				slots: make(chan struct{}, 1), callTime: time.Minute,
			}
			act := &closedAct{opens: time.Now().Add(opens)}
			end := c.pursue(&Step{Kind: StepSnapshot, act: act}, time.Minute, 0)
			want := PhaseDone
			if opens > time.Minute {
				want = PhaseFailed
			}
			if end.phase != want || errors.Is(end.err, errUnknown) || act.tried < 5 || act.tried > 40 {
				t.Errorf("open in %v: %s after %d attempts: %v", opens, end.phase, act.tried, end.err)
			}
		})
	}
}
