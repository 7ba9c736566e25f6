package orchestrator_test

import (
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay/sim"
)

// TestWatchHalfDead: a part of a site that hangs makes no check but the first take
// long; it is shown to be unknown all the while, and known once it answers.
func TestWatchHalfDead(t *testing.T) {
	for op, tells := range map[string]string{
		"MirrorDaemons": "daemons-unknown", "Reports": "reports-unknown", "Images": "site-unknown",
		"PoolMirroring": "site-unknown", "ReadRecords": "records-unreadable", "Identity": "site-unknown",
	} {
		t.Run(op, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, strings.Replace(watched, "@every 10s", "@every 1s", 1), 1)
				m := b.watchman(t, b.immortal())
				defer m.stop()
				time.Sleep(time.Minute)
				mend := b.world.Inject(sim.Fault{Site: "b", Op: op, Hang: true})
				time.Sleep(time.Minute)
				before := m.count()
				time.Sleep(2 * time.Minute)
				checks := m.since(before)
				if len(checks) < 60 {
					t.Errorf("%d checks in two minutes", len(checks))
				}
				for i := range checks {
					if r := &checks[i]; r.Took > 2*time.Second || len(signalsOf(*r, tells)) == 0 {
						t.Errorf("a check took %v: %s", r.Took, codes(*r))
						break
					}
				}
				mend()
				time.Sleep(time.Minute)
				if r := m.last(); len(signalsOf(r, tells)) > 0 || r.Role != orchestrator.RoleActing {
					t.Errorf("as it answers again, %s: %s", r.Role, codes(r))
				}
			})
		})
	}
}

// TestWatchSlowPart: a part that answers slowly, after it has hung, is not taken to
// hang for ever.
func TestWatchSlowPart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		p := b.immortal()
		p.meanwhile(func(_ int64, c sim.Call) {
			if c.Op == "MirrorDaemons" && c.Site == "b" {
				time.Sleep(3 * time.Second)
			}
		})
		m := b.watchman(t, p)
		defer m.stop()
		time.Sleep(time.Minute)
		mend := b.world.Inject(sim.Fault{Site: "b", Op: "MirrorDaemons", Hang: true})
		time.Sleep(time.Minute)
		mend()
		time.Sleep(30 * time.Second)
		if r := m.last(); len(signalsOf(r, "daemons-unknown")) > 0 {
			t.Errorf("it is slow: %s", codes(r))
		}
	})
}
