package daemon

import (
	"context"
	"time"

	"github.com/drover-io/drover/replay/parallel"
)

// faultRest is how long it is waited until what has ended by a panic begins anew.
const faultRest = 10 * time.Second

// contain keeps a panic from ending the daemon; false: there was one.
func (g *guard) contain(f func()) bool {
	caught := parallel.Catch(f)
	if caught != nil {
		g.panicked(caught.Value, caught.Stack)
	}
	return caught == nil
}

// beside has something done that no check waits for.
func (g *guard) beside(f func()) { g.sending.Go(func() { g.contain(f) }) }

// lasting does what goes on until ctx ends, and begins anew after a panic in it, of
// which told is told.
func lasting(ctx context.Context, f func(), told func(*parallel.Panic)) {
	for {
		caught := parallel.Catch(f)
		if caught == nil {
			return
		}
		told(caught)
		pause := time.NewTimer(faultRest)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
	}
}
