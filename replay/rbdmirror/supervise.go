package rbdmirror

import (
	"cmp"
	"context"
	"time"
)

// Supervisor keeps one daemon running: it looks, starts what does not run,
// waits longer after each failure, and tells when the daemon flaps.
type Supervisor struct {
	Runner Runner
	// Every is how often it looks (default 5 s).
	Every time.Duration
	// FirstDelay and LastDelay bound the wait before the next start, which
	// doubles each time (defaults 1 s and 2 min).
	FirstDelay, LastDelay time.Duration
	// Steady is how long the daemon must have run until all is forgotten
	// (default 5 min).
	Steady time.Duration
	// Flaps is how many starts without a steady time between them are called
	// flapping (default 5).
	Flaps int
	// Tell is told what happens; it must not block. May be nil.
	Tell func(Event)
}

// EventKind says what a supervisor saw.
type EventKind string

// The kinds of event.
const (
	EventStarted  EventKind = "started"
	EventFailed   EventKind = "start-failed"
	EventUnknown  EventKind = "unknown" // could not look
	EventFlapping EventKind = "flapping"
	EventSteady   EventKind = "steady" // after starts: runs long enough to be trusted
)

// Event is what a supervisor saw or did.
type Event struct {
	Kind   EventKind
	Status Status
	Starts int           // since the last steady time
	Delay  time.Duration // until the next try
	Err    error
}

// Supervise runs until ctx ends, and answers with its error. The daemon is left
// running: it is detached, and the next supervisor finds it.
func (s *Supervisor) Supervise(ctx context.Context) error {
	w := s.watch()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(w.step(ctx)):
		}
	}
}

// watch is a supervisor at work, with its defaults filled in.
type watch struct {
	Supervisor
	starts    int
	delay     time.Duration
	runsSince time.Time
}

func (s *Supervisor) watch() *watch {
	w := &watch{Supervisor: *s}
	w.Every = cmp.Or(w.Every, 5*time.Second)
	w.FirstDelay = cmp.Or(w.FirstDelay, time.Second)
	w.LastDelay = cmp.Or(w.LastDelay, 2*time.Minute)
	w.Steady = cmp.Or(w.Steady, 5*time.Minute)
	w.Flaps = cmp.Or(w.Flaps, 5)
	if w.Tell == nil {
		w.Tell = func(Event) {}
	}
	return w
}

// step looks once, acts, and answers with how long to wait.
func (w *watch) step(ctx context.Context) time.Duration {
	st, err := w.Runner.Status(ctx)
	switch {
	case ctx.Err() != nil:
		return 0
	case err != nil:
		w.Tell(Event{Kind: EventUnknown, Err: err, Delay: w.Every, Starts: w.starts})
		return w.Every
	case st.Running:
		w.runs(st)
		return w.Every
	}
	// It ended, or never ran: wait as long as the last failure asks for, which
	// is not at all the first time.
	if w.starts > 0 && w.delay > 0 {
		select {
		case <-ctx.Done():
			return 0
		case <-time.After(w.delay):
		}
	}
	return w.start(ctx)
}

// runs notes that the daemon runs, and forgets the past once it did so for long.
func (w *watch) runs(st Status) {
	now := time.Now()
	if w.runsSince.IsZero() {
		w.runsSince = now
	}
	if w.starts > 0 && now.Sub(w.runsSince) >= w.Steady {
		w.Tell(Event{Kind: EventSteady, Status: st, Starts: w.starts})
		w.starts, w.delay = 0, 0
	}
}

func (w *watch) start(ctx context.Context) time.Duration {
	w.runsSince = time.Time{}
	w.starts++
	w.delay = min(max(2*w.delay, w.FirstDelay), w.LastDelay)
	st, err := w.Runner.Ensure(ctx)
	e := Event{Kind: EventStarted, Status: st, Starts: w.starts, Delay: w.delay, Err: err}
	if err != nil {
		e.Kind = EventFailed
	} else {
		w.runsSince = time.Now()
	}
	w.Tell(e)
	if w.starts == w.Flaps {
		e.Kind = EventFlapping
		w.Tell(e)
	}
	if err != nil {
		return 0 // step waits the delay before the next start
	}
	return w.Every
}
