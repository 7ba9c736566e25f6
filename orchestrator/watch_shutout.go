package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/replay"
)

const (
	// lossSpan is for how long it is told that the watch has lost its lease.
	lossSpan = 10 * time.Minute
	// lossesTold is how often it may do so within that time before anybody is told:
	// a process that was paused loses it once.
	lossesTold = 3
)

// loss is that the watch could not go on acting.
type loss struct {
	at  time.Time
	why error
}

// lose notes why the watch acts no more, or could not begin to. Where its client was
// shut out of a site, the sites are opened anew: the client stays shut out for as long
// as the blocklist says, which may be days, and a new one is not.
func (w *Watch) lose(ctx context.Context, why error) {
	if why == nil || ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	w.losses = append(w.recentLosses(), loss{time.Now(), why})
	w.mu.Unlock()
	if !errors.Is(why, replay.ErrShutOut) {
		return
	}
	old := w.sites.Swap(w.open(ctx))
	w.beside(&w.opening, func() {
		w.looking.Lock() // a check without a tenure may still use them
		defer w.looking.Unlock()
		_ = old.Close() // nothing more is asked of them
	})
}

// recentLosses are those that are not too old to be told. w.mu is held.
func (w *Watch) recentLosses() []loss {
	return slices.DeleteFunc(slices.Clone(w.losses), func(l loss) bool { return time.Since(l.at) > lossSpan })
}

// lossSignals tell that this process was shut out of a site, or that it loses the
// right to act again and again.
func (w *Watch) lossSignals() []alert.Signal {
	w.mu.Lock()
	losses := w.recentLosses()
	w.mu.Unlock()
	if len(losses) == 0 {
		return nil
	}
	last := losses[len(losses)-1]
	for _, l := range losses {
		if errors.Is(l.why, replay.ErrShutOut) {
			what := fmt.Sprintf("this process was put on a site's blocklist, and goes on as a new client: %v", l.why)
			return []alert.Signal{signal(SignalInterrupted, "", what, "drover runs list "+w.plan.File+" shows who took over; see whether the machine of the daemon was paused")}
		}
	}
	if len(losses) < lossesTold {
		return nil
	}
	what := fmt.Sprintf("the watch has lost its lease %d times within %v, the last time as follows: %v", len(losses), lossSpan, last.why)
	return []alert.Signal{signal(SignalInterrupted, "", what, "see whether the daemon's machine is paused or starved, and whether the sites answer it: drover status "+w.plan.File)}
}
