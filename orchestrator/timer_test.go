package orchestrator_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
)

// rings are what a timer did: when, by its clock, and for which time.
type rings struct {
	t     *testing.T
	timer orchestrator.Timer
	skew  atomic.Int64 // by how much its clock is ahead, in nanoseconds
	done  []string
	slots []orchestrator.Slot
	takes time.Duration
}

func newRings(t *testing.T, line, zone string) *rings {
	t.Helper()
	times, err := plans.CronSchedule(line, zone)
	if err != nil {
		t.Fatal(err)
	}
	r := &rings{t: t}
	r.timer = orchestrator.Timer{Times: times, Now: func() time.Time { return time.Now().Add(time.Duration(r.skew.Load())) }}
	r.timer.Do = func(_ context.Context, s orchestrator.Slot) {
		r.slots = append(r.slots, s)
		r.done = append(r.done, r.timer.Now().UTC().Format("02 15:04:05"))
		time.Sleep(r.takes)
	}
	return r
}

// run runs the timer, from the bubble's midnight, while f lets time pass.
func (r *rings) run(f func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.timer.Run(ctx)
	}()
	f()
	cancel()
	<-ended
}

func (r *rings) want(times ...string) {
	r.t.Helper()
	if !slices.Equal(r.done, times) {
		r.t.Errorf("called at %q, want %q", r.done, times)
	}
}

func TestTimer(t *testing.T) {
	rest := func(d time.Duration) { time.Sleep(d) }
	t.Run("every second", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRings(t, "@every 1s", "UTC")
			r.run(func() { rest(3500 * time.Millisecond) })
			r.want("01 00:00:01", "01 00:00:02", "01 00:00:03")
		})
	})
	t.Run("no overlap, made up for once", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRings(t, "* * * * *", "UTC")
			r.takes = 150 * time.Second
			r.run(func() { rest(6*time.Minute + time.Second) })
			r.want("01 00:01:00", "01 00:03:30", "01 00:06:00")
			if r.slots[1].Missed != 1 || r.slots[1].At.Minute() != 3 {
				t.Errorf("slots: %+v", r.slots)
			}
		})
	})
	t.Run("missed before the start", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			for _, line := range []string{"@every 1h", "0 * * * *"} {
				r := newRings(t, line, "UTC")
				r.timer.Last = time.Now().Add(-72 * time.Hour)
				began := time.Now()
				r.run(func() { rest(20 * time.Minute) })
				if len(r.slots) != 1 || r.slots[0].Missed != 71 || r.slots[0].At.After(began) {
					t.Errorf("%s: %+v", line, r.slots)
				}
			}
			r := newRings(t, "@every 1h", "UTC")
			r.timer.Last = time.Now().Add(-50 * time.Minute)
			r.run(func() { rest(11 * time.Minute) })
			if len(r.slots) != 1 || r.slots[0].Missed != 0 {
				t.Errorf("rest of an interval: %+v", r.slots)
			}
		})
	})
	t.Run("clock set back by a few minutes", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			// A time that has been does not come again, but nobody is left without for long.
			r := newRings(t, "* * * * *", "UTC")
			r.run(func() {
				rest(10*time.Minute + time.Second)
				r.skew.Store(-int64(8 * time.Minute))
				rest(10 * time.Minute)
			})
			r.want("01 00:01:00", "01 00:02:00", "01 00:03:00", "01 00:04:00", "01 00:05:00", "01 00:06:00", "01 00:07:00", "01 00:08:00", "01 00:09:00", "01 00:10:00",
				"01 00:04:00", "01 00:06:00", "01 00:08:00", "01 00:11:00", "01 00:12:00")
		})
	})
	t.Run("clock set forward", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRings(t, "0 * * * *", "UTC")
			r.run(func() {
				rest(time.Hour + time.Minute + 5*time.Second) // between two looks
				r.skew.Store(int64(5 * time.Hour))
				rest(time.Minute)
			})
			r.want("01 01:00:00", "01 06:01:30")
		})
	})
	t.Run("clock set back", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRings(t, "0 2 * * *", "UTC")
			r.run(func() {
				rest(2*time.Hour + time.Minute)
				r.skew.Store(int64(-time.Hour))
				rest(2 * time.Hour)
			})
			r.want("01 02:00:00")
		})
	})
	t.Run("clock set back by far", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			for line, want := range map[string]int{"* * * * *": 10, "@every 1m": 10} {
				r := newRings(t, line, "UTC")
				r.run(func() {
					rest(5*time.Minute + time.Second)
					r.skew.Store(int64(-100 * time.Hour))
					rest(5*time.Minute + 10*time.Second)
				})
				if len(r.done) != want {
					t.Errorf("%s: called at %q", line, r.done)
				}
			}
		})
	})
	t.Run("panic", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRings(t, "@every 1m", "UTC")
			said := ""
			r.timer.Panicked = func(v any, stack []byte) { said = v.(string) + string(stack) }
			r.timer.Do = func(context.Context, orchestrator.Slot) {
				r.done = append(r.done, "")
				panic("oh no")
			}
			r.run(func() { rest(2*time.Minute + time.Second) })
			if len(r.done) != 2 || !strings.Contains(said, "oh no") || !strings.Contains(said, "timer_test.go") {
				t.Errorf("%d calls, told %q", len(r.done), said)
			}
		})
	})
	t.Run("at once", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			also := make(chan struct{}, 1)
			r := newRings(t, "@every 1h", "UTC")
			r.timer.Also = also
			r.run(func() {
				rest(time.Minute)
				also <- struct{}{}
				rest(time.Hour + time.Second)
			})
			r.want("01 00:01:00", "01 01:01:00")
		})
	})
}

// TestTimerDaylightSaving: where the clocks change, no day is left out and none
// comes twice.
func TestTimerDaylightSaving(t *testing.T) {
	for _, c := range []struct {
		name, line, zone, from string
		want                   []string // in UTC
	}{
		{"skipped", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"29 01:00", "30 00:30"}},
		{"skipped several", "*/20 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"29 01:00", "30 00:00", "30 00:20"}},
		{"twice", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"25 00:30", "26 01:30"}},
		{"twice west", "30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", []string{"01 05:30", "02 06:30"}},
		{"after", "30 3 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"25 02:30", "26 02:30"}},
		{"all hours", "30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", []string{"25 00:30", "25 01:30", "25 02:30"}},
		{"all hours, skipped", "30 * * * *", "Europe/Berlin", "2026-03-28T23:45:00Z", []string{"29 00:30", "29 01:30", "29 02:30"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				from, err := time.Parse(time.RFC3339, c.from)
				if err != nil {
					t.Fatal(err)
				}
				r := newRings(t, c.line, c.zone)
				r.skew.Store(int64(time.Until(from)))
				r.run(func() { time.Sleep(72 * time.Hour) })
				for i := range c.want {
					c.want[i] += ":00"
				}
				r.done = r.done[:min(len(r.done), len(c.want))]
				r.want(c.want...)
			})
		})
	}
}
