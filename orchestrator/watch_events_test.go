package orchestrator_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// seldom is a plan that is checked every ten minutes.
const seldom = twoWay + "checks: {schedule: '@every 10m', timeout: 5s}\n"

// rbdPool is the pool of the plans of these tests.
var rbdPool = replay.Pool{Name: "rbd"}

// TestWatchHears: an image that somebody enables is noticed at once, long before the
// next check is due.
func TestWatchHears(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, seldom, 0)
		m := b.watchman(t, b.immortal())
		time.Sleep(time.Minute)
		before := m.count()
		b.image("a", ref("volume-7"), plain)
		b.must(b.world.Site("a").EnableMirroring(t.Context(), ref("volume-7"), replay.ModeJournal))
		time.Sleep(3 * time.Second)
		if got := m.transitions("volume-7"); len(got) == 0 {
			t.Errorf("after 3 s nothing is known of it; %d checks since", m.count()-before)
		}
		before = m.count()
		time.Sleep(9 * time.Minute)
		if n := m.count() - before; n > 1 {
			t.Errorf("%d checks while nothing happened", n)
		}
		m.stop()
		if n := b.world.Listeners("a", rbdPool) + b.world.Listeners("b", rbdPool); n != 0 {
			t.Errorf("%d still listen after the end", n)
		}
	})
}

// TestWatchEventStorm: a thousand messages within ten seconds cause a check a second
// at most; where checks take long, they take a fifth of the time.
func TestWatchEventStorm(t *testing.T) {
	storm := func(b *bed) {
		a := b.world.Site("a")
		for range 500 {
			b.must(a.DisableMirroring(b.t.Context(), ref("vm-1"), false))
			b.must(a.EnableMirroring(b.t.Context(), ref("vm-1"), replay.ModeJournal))
			time.Sleep(20 * time.Millisecond)
		}
	}
	bubble(t, func(t *testing.T) {
		b := moving(t, seldom, 0)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(time.Minute)
		before := m.count()
		storm(b)
		if n := m.count() - before; n < 5 || n > 11 {
			t.Errorf("%d checks in 10 s", n)
		}
	})
	t.Run("slow checks", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := moving(t, seldom, 0)
			p := b.immortal()
			gate := func(ctx context.Context, c sim.Call, do func(context.Context) error) error {
				if c.Op == "PoolMirroring" && c.Site == "b" {
					time.Sleep(2 * time.Second)
				}
				return p.gate(ctx, c, do)
			}
			m := b.watchmanBehind(t, p, gate)
			defer m.stop()
			time.Sleep(time.Minute)
			before := m.count()
			for range 6 {
				storm(b)
			}
			results := m.since(before)
			if n := len(results); n < 4 || n > 8 {
				t.Errorf("%d checks in a minute, of 2 s each", n)
			}
			for i := 1; i < len(results); i++ {
				if pause := results[i].At.Sub(results[i-1].At); pause < 8*time.Second {
					t.Errorf("a check %v after the one before", pause)
				}
			}
		})
	})
}

// TestWatchHearsAgain: what was listened to is listened to again once a site is
// back, or a pool mirrored; and a site that is frozen holds up no end.
func TestWatchHearsAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, seldom)
		m := b.watchman(t, b.immortal())
		listening := func(a, other int) {
			t.Helper()
			synctest.Wait()
			if gotA, gotB := b.world.Listeners("a", rbdPool), b.world.Listeners("b", rbdPool); gotA != a || gotB != other {
				t.Errorf("%d listen at a and %d at b, want %d and %d", gotA, gotB, a, other)
			}
		}
		time.Sleep(time.Minute)
		listening(0, 0) // nothing is mirrored yet
		b.applied()
		time.Sleep(2 * time.Minute)
		listening(1, 1)

		b.world.Vanish("b")
		time.Sleep(5 * time.Minute)
		b.world.Return("b")
		time.Sleep(90 * time.Second)
		listening(1, 1)
		before := m.count()
		b.image("a", ref("volume-8"), plain)
		b.must(b.world.Site("a").EnableMirroring(t.Context(), ref("volume-8"), replay.ModeJournal))
		time.Sleep(6 * time.Second)
		if m.count() == before {
			t.Error("nothing was heard after the return of the other site")
		}

		b.world.Freeze("b")
		time.Sleep(time.Minute)
		began := time.Now()
		m.stop()
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("it took %v to stop with a frozen site", took)
		}
		b.world.Thaw("b")
		listening(0, 0)
	})
}

// TestWatchEventsKeepSchedule: checks that events ask for neither hide that others
// were missed, nor bring the schedule's own forward.
func TestWatchEventsKeepSchedule(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, strings.Replace(seldom, "'@every 10m'", "'*/10 * * * *'", 1), 0)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(time.Minute)
		for range 3 {
			m.watch.CheckNow()
			time.Sleep(100 * time.Second)
		}
		before := m.count()
		time.Sleep(40 * time.Minute)
		var at []string
		for _, r := range m.since(before) {
			at = append(at, r.At.Format("04:05"))
			if r.Missed != 0 {
				t.Errorf("at %s: %d missed", r.At, r.Missed)
			}
		}
		if len(at) != 4 || slices.ContainsFunc(at, func(s string) bool { return !strings.HasSuffix(s, "0:00") }) {
			t.Errorf("checks at %v", at)
		}
	})
}

// TestTimerAlso: a host that has slept wakes, and somebody asks for a call before the
// timer has looked at the clock: what was missed is told all the same, once.
func TestTimerAlso(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRings(t, "*/5 * * * *", "UTC")
		also := make(chan struct{}, 1)
		r.timer.Also = also
		r.run(func() {
			time.Sleep(time.Second)
			r.skew.Store(int64(21 * time.Minute))
			also <- struct{}{}
			time.Sleep(time.Second)
			also <- struct{}{}
			time.Sleep(time.Second)
		})
		if len(r.slots) != 2 || r.slots[0].Missed != 3 || r.slots[1].Missed != 0 {
			t.Errorf("slots: %+v", r.slots)
		}
	})
}
