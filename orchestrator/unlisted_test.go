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
