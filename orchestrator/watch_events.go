package orchestrator

import (
	"context"
	"slices"
	"time"

	"github.com/drover-io/drover/replay"
)

const (
	// eventRest is the least that passes between two checks that events ask for,
	// and eventShare how many times as long as the last check took: however many
	// events come, checks take no more than a fifth of the time.
	eventRest, eventShare = time.Second, 4
	// firstHearing and lastHearing bound how long it is waited before it is listened
	// to a pool again that could not be heard any more; the time doubles.
	firstHearing, lastHearing = time.Second, time.Minute
)

// listen has the sites tell at once what changes in the pools of the plan, for as
// long as the watch acts, and looks when they do. What they do not tell is seen by
// the next check of the schedule: that nothing is heard costs time and nothing else.
func (w *Watch) listen(t *tenure) {
	heard := make(chan struct{}, 1)
	for _, e := range t.sites.entries {
		if e.site == nil {
			continue // the tenure ends when it can be opened
		}
		for _, pool := range w.pools() {
			w.always(t, func() { hear(t.ctx, e.site, pool, heard) })
		}
	}
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-heard:
		}
		w.CheckNow()
		if !wait(t.ctx, max(eventRest, eventShare*time.Duration(w.took.Load()))) {
			return
		}
	}
}

// pools are those of the plan, each once.
func (w *Watch) pools() []replay.Pool {
	var out []replay.Pool
	for i := range w.plan.Pools {
		pool := replay.Pool{Name: w.plan.Pools[i].Name, Namespace: w.plan.Pools[i].Namespace}
		if !slices.Contains(out, pool) {
			out = append(out, pool)
		}
	}
	return out
}

// hear listens to one pool at one site until ctx ends, and begins anew whenever
// that has ended: the site was away, or the pool is not mirrored yet.
func hear(ctx context.Context, site Listener, pool replay.Pool, heard chan<- struct{}) {
	pause := firstHearing
	for {
		began := time.Now()
		// Why it has ended is what checks see, too.
		_ = site.Listen(ctx, pool, func() {
			select {
			case heard <- struct{}{}:
			default: // a check is due already
			}
		})
		if time.Since(began) >= lastHearing {
			pause = firstHearing
		}
		if !wait(ctx, pause) {
			return
		}
		pause = min(2*pause, lastHearing)
	}
}

// wait lets time pass; false: ctx has ended.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
