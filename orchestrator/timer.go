package orchestrator

import (
	"context"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/drover-io/drover/replay/parallel"
)

const (
	// timerLook is how often a timer looks at the clock while it waits: clocks are
	// set, and hosts sleep.
	timerLook = 30 * time.Second
	// clockError is how far a clock that is set back is taken to correct itself.
	clockError = 10 * time.Minute
	// missedCounted is up to how many missed times are counted.
	missedCounted = 1000
)

// Slot is one time of a schedule.
type Slot struct {
	// At is when it was due; of several that were missed, the last one.
	At time.Time
	// Missed is how many before it were missed, at most 1,000.
	Missed int
}

// Timer calls a function at the times of a schedule: never twice at once, and
// never twice for one time. Times that pass while the function runs, while the
// process or its host sleeps, or before it was started are made up for by one
// call.
type Timer struct {
	// Times are those of plans.CronSchedule. Lines go by the clock; where it is set
	// back by no more than their interval, or ten minutes, no time comes again; but
	// what is called more often than that is still called, at every other interval,
	// until the clock is where it was.
	// Intervals (@every) go by what has passed, whatever the clock says.
	Times cron.Schedule
	// Do is called with a context that ends with Run's.
	Do func(context.Context, Slot)
	// Last is the time of the last call of an earlier process; zero: none.
	Last time.Time
	// Also has it called at once, besides the schedule; may be nil.
	Also <-chan struct{}
	// Panicked is told of a panic in Do, which is contained; may be nil.
	Panicked func(value any, stack []byte)
	// Now is the clock; nil: time.Now.
	Now func() time.Time

	began time.Time // the last call, by the monotonic clock
}

// Run calls until ctx ends, and answers with its error.
func (t *Timer) Run(ctx context.Context) error {
	if t.Now == nil {
		t.Now = time.Now
	}
	if t.Last.IsZero() {
		t.Last = t.Now()
	}
	t.began = time.Now().Add(-max(0, t.Now().Sub(t.Last)))
	for ctx.Err() == nil {
		slot, wait := t.due(t.Now())
		if wait <= 0 {
			t.call(ctx, slot)
			continue
		}
		look := time.NewTimer(min(wait, timerLook))
		select {
		case <-look.C:
		case <-t.Also:
			// What has come due while the host slept counts as missed, whatever woke first.
			now := t.Now()
			if slot, wait = t.due(now); wait > 0 {
				slot = Slot{At: now}
			}
			t.call(ctx, slot)
		case <-ctx.Done():
		}
		look.Stop()
	}
	return ctx.Err()
}

// due is the last time that has come, or for how long to wait for the next.
func (t *Timer) due(now time.Time) (slot Slot, wait time.Duration) {
	if every, ok := t.Times.(cron.ConstantDelaySchedule); ok {
		passed := max(time.Since(t.began), now.Sub(t.Last))
		if passed < every.Delay {
			return slot, every.Delay - passed
		}
		return Slot{At: now, Missed: int(min(passed/every.Delay-1, missedCounted))}, 0
	}
	next := nextTime(t.Times, t.Last)
	if next.IsZero() {
		return slot, timerLook // never: a plan with such a line is refused
	}
	if t.Last.Sub(now) > max(next.Sub(t.Last), clockError) {
		t.Last = now // what it ran for was never the time
		next = nextTime(t.Times, now)
	}
	if wait = next.Sub(now); wait > 0 {
		if t.Last.After(now) && time.Since(t.began) >= 2*next.Sub(t.Last) {
			return Slot{At: now}, 0
		}
		return slot, wait
	}
	slot.At = next
	for slot.Missed < missedCounted {
		next = nextTime(t.Times, slot.At)
		if next.IsZero() || next.After(now) {
			return slot, 0
		}
		slot = Slot{At: next, Missed: slot.Missed + 1}
	}
	slot.At = now
	return slot, 0
}

// call calls once, and notes for which time.
func (t *Timer) call(ctx context.Context, slot Slot) {
	t.began = time.Now()
	_, every := t.Times.(cron.ConstantDelaySchedule)
	if every || slot.At.After(t.Last) {
		t.Last = slot.At
	}
	if t.Panicked == nil {
		t.Do(ctx, slot)
		return
	}
	if caught := parallel.Catch(func() { t.Do(ctx, slot) }); caught != nil {
		t.Panicked(caught.Value, caught.Stack)
	}
}

// everyHour are the hours of a line that runs in each of them.
const everyHour = 1<<24 - 1

// nextTime is the next time of a schedule. A line that names hours of the day
// runs once on each day that it names, also where the clocks change: a time that
// is skipped comes when they change, one that there is twice comes the first time.
// (robfig/cron leaves out the one and runs the other twice.) A line for all hours
// goes on at its pace.
func nextTime(times cron.Schedule, after time.Time) time.Time {
	line, ok := times.(*cron.SpecSchedule)
	if !ok || line.Hour&everyHour == everyHour || line.Location == time.UTC {
		return times.Next(after)
	}
	wall := *line
	wall.Location = time.UTC
	for at := asUTC(after.In(line.Location)); ; {
		if at = wall.Next(at); at.IsZero() {
			return at
		}
		if next := firstAt(at, line.Location); next.After(after) {
			return next
		}
	}
}

// asUTC is what the clock on the wall shows, as if in UTC.
func asUTC(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

// firstAt is when the clock on the wall first shows a time, or passes it.
func firstAt(wall time.Time, zone *time.Location) time.Time {
	at := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, zone)
	start, end := at.ZoneBounds()
	switch shown := asUTC(at); {
	case shown.Before(wall):
		return end
	case shown.After(wall):
		return start
	case start.IsZero():
		return at
	}
	_, before := start.Add(-time.Second).Zone()
	_, now := at.Zone()
	if earlier := at.Add(time.Duration(now-before) * time.Second); earlier.Before(start) && asUTC(earlier).Equal(wall) {
		return earlier
	}
	return at
}
