package orchestrator

import (
	"context"

	"github.com/drover-io/drover/replay/parallel"
)

// contain keeps a panic from ending the process, and tells of it; false: there was one.
// What f begins and waits for is contained with it: see [parallel.Group].
func (w *Watch) contain(f func()) bool {
	if w.options.Panicked == nil {
		f()
		return true
	}
	caught := parallel.Catch(f)
	if caught != nil {
		w.options.Panicked(caught.Value, caught.Stack)
	}
	return caught == nil
}

// beside has something done that nobody waits for until the end.
func (w *Watch) beside(group *parallel.Group, f func()) {
	group.Go(func() { w.contain(f) })
}

// lasting does what goes on until ctx ends, and begins anew after a panic in it.
func (w *Watch) lasting(ctx context.Context, f func()) {
	for !w.contain(f) && wait(ctx, watchRetry) {
	}
}
