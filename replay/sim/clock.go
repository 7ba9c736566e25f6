package sim

import "time"

// quantum is the daemons' heartbeat: all that they do happens at multiples of
// it, so that a history does not depend on how often a world was looked at.
const quantum = 250 * time.Millisecond

// Now is the world's time.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.catchUp()
	return w.state.Now
}

// Advance lets time pass, and the daemons work in it. On a world that follows
// a clock the time comes on top of that clock's.
func (w *World) Advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.catchUp()
	if d <= 0 {
		return
	}
	if w.clock != nil {
		w.ahead += d
		w.catchUp()
		return
	}
	w.run(w.state.Now.Add(d))
}

// Follow makes the world follow a clock from now on, without a jump.
func (w *World) Follow(clock func() time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.catchUp()
	w.clock, w.ahead = clock, w.state.Now.Sub(clock())
}

// catchUp brings the world to the clock that it follows.
func (w *World) catchUp() {
	if w.clock == nil {
		return
	}
	if now := w.clock().Add(w.ahead); now.After(w.state.Now) {
		w.run(now)
	}
}

// run lets daemons and schedules work until the time is to.
func (w *World) run(to time.Time) {
	for {
		next := w.state.Stepped.Add(quantum)
		if w.quiet {
			// Nothing moves by itself; only a schedule or a check can wake the world.
			due, any := w.nextEvent()
			if !any || due.After(to) {
				w.state.Stepped = later(w.state.Stepped, to.Add(-quantum))
				break
			}
			next = later(next, due)
		}
		if next.After(to) {
			break
		}
		w.state.Now, w.state.Stepped = later(w.state.Now, next), next
		w.quiet = true
		w.fireSchedules()
		w.stepDaemons(quantum)
		if !w.quiet {
			w.busy = next
		}
	}
	w.state.Now = later(w.state.Now, to)
}

// nextEvent is when the next schedule fires or the next daemon checks what it
// does not replay. Checks count until one has passed in which nothing moved.
func (w *World) nextEvent() (at time.Time, any bool) {
	at, any = w.nextSchedule()
	for _, c := range w.state.Sites {
		if check := c.Daemon.nextCheck(w.state.Stepped, w.pace.Check); c.Daemon.Running && w.pace.Check > 0 &&
			check.Before(w.busy.Add(w.pace.Check+2*quantum)) && (!any || check.Before(at)) {
			at, any = check, true
		}
	}
	return at, any
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
