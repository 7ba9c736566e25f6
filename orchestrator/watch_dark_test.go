package orchestrator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay/sim"
)

// TestWatchInTheDark: where all sites are lost at once, each check comes at its time,
// give or take what it takes a site to be found silent, also while the lease is lost;
// and each tells of all sites that are silent.
func TestWatchInTheDark(t *testing.T) {
	for how, lose := range map[string]func(*sim.World, string){"gone": (*sim.World).Vanish, "frozen": (*sim.World).Freeze} {
		for _, every := range []time.Duration{time.Second, 10 * time.Second, time.Minute} {
			for _, at := range []time.Duration{0, 3 * time.Second, 7500 * time.Millisecond, 9999 * time.Millisecond, 40 * time.Second} {
				t.Run(fmt.Sprintf("%s/%v/%v", how, every, at), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						b := moving(t, strings.Replace(watched, "@every 10s", "@every "+every.String(), 1), 3)
						m := b.watchman(t, b.immortal())
						defer func() {
							m.stop()
							time.Sleep(time.Minute) // for calls that were given up
						}()
						time.Sleep(3*time.Minute + at)
						before := m.count()
						lost := time.Now()
						lose(b.world, "a")
						lose(b.world, "b")
						time.Sleep(5 * time.Minute)
						last := lost
						for _, r := range m.since(before) {
							if gap := r.At.Sub(last); gap > every+5*time.Second {
								t.Errorf("no check for %v, until %v after the loss (%s)", gap, r.At.Sub(lost), r.Role)
							}
							last = r.At
							if r.At.Sub(lost) > 5*time.Second && len(r.Blind) != 2 {
								t.Errorf("silent %v after the loss: %v", r.At.Sub(lost), r.Blind)
							}
						}
						if gap := time.Since(last); gap > every+5*time.Second {
							t.Errorf("no check for the last %v", gap)
						}
						if r := m.last(); r.Role != orchestrator.RoleAlone {
							t.Errorf("it is %s", r.Role)
						}
					})
				})
			}
		}
	}
}
