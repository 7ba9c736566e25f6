package orchestrator_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
)

// TestWatchSiteLossDelays: whenever a site falls silent, no check takes longer for it
// than one answer time, records and all, also not the first: none is missed.
func TestWatchSiteLossDelays(t *testing.T) {
	for name, lose := range map[string]func(b *bed){
		"frozen":   func(b *bed) { b.world.Freeze("b") },
		"vanished": func(b *bed) { b.world.Vanish("b") },
	} {
		for _, offset := range []time.Duration{0, 10 * time.Millisecond, time.Second, 3 * time.Second, 5900 * time.Millisecond} {
			t.Run(name+" "+offset.String(), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					b := moving(t, strings.Replace(watched, "@every 10s", "@every 6s", 1), 3)
					m := b.watchman(t, b.immortal())
					defer m.stop()
					time.Sleep(time.Minute)
					before := m.count()
					first := m.last().At
					time.Sleep(time.Until(first.Add(12 * time.Second)))
					time.Sleep(offset)
					lose(b)
					time.Sleep(3 * time.Minute)
					results := m.since(before)
					if len(results) < 30 {
						t.Errorf("%d checks in three minutes", len(results))
					}
					changes := 0
					var began time.Time
					for i, r := range results {
						changes += len(r.Transitions)
						if r.Took > 5*time.Second+100*time.Millisecond || r.Missed > 0 || r.Role != orchestrator.RoleActing {
							t.Errorf("check %d: took %v, %d missed, %s", i, r.Took, r.Missed, r.Role)
						}
						begins := r.At.Add(-time.Duration(r.Report.Seconds * float64(time.Second)))
						if late := begins.Sub(began) - 6*time.Second; i > 0 && late > 100*time.Millisecond {
							t.Errorf("check %d began %v late", i, late)
						}
						began = begins
					}
					if last := results[len(results)-1]; !slices.Equal(last.Blind, []string{"b"}) || changes != 4 || len(last.Faults) > 0 {
						t.Errorf("blind %v, %d changes, %v", last.Blind, changes, last.Faults)
					}
					if h := b.history(t, orchestrator.HistoryQuery{}); len(h.Changes) < 8 {
						t.Errorf("%d changes are recorded", len(h.Changes))
					}
				})
			})
		}
	}
}

// TestWatchLosesAllSites: while no site answers a check takes one answer time too, and
// what it sees is recorded once one does.
func TestWatchLosesAllSites(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, strings.Replace(watched, "@every 10s", "@every 6s", 1), 1)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(time.Minute)
		before := m.count()
		b.world.Freeze("a")
		b.world.Freeze("b")
		time.Sleep(2 * time.Minute)
		var began time.Time
		for i, r := range m.since(before) {
			if r.Took > 5*time.Second+100*time.Millisecond {
				t.Errorf("check %d took %v", i, r.Took)
			}
			begins := r.At.Add(-time.Duration(r.Report.Seconds * float64(time.Second)))
			if late := begins.Sub(began); i > 0 && late > 6*time.Second+100*time.Millisecond {
				t.Errorf("check %d began %v after the last", i, late)
			}
			began = begins
		}
		b.world.Thaw("a")
		b.world.Thaw("b")
		time.Sleep(2 * time.Minute)
		h := b.history(t, orchestrator.HistoryQuery{Image: "volume-0"})
		var got []string
		for _, c := range h.Changes {
			got = append(got, string(c.Event)+">"+string(c.To))
		}
		if all := strings.Join(got, " "); all != "seen>replaying out-of-sight>unknown seen>replaying" || m.last().Role != orchestrator.RoleActing {
			t.Errorf("%s: %s", m.last().Role, all)
		}
	})
}
