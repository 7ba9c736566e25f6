package sitetest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
)

// listener listens to a pool until the test ends or it is stopped.
type listener struct {
	calls atomic.Int64
	told  chan struct{}
	stop  context.CancelFunc
	ended chan error
}

func listen(t *testing.T, site replay.Site, pool replay.Pool) *listener {
	ctx, stop := context.WithCancel(t.Context())
	l := &listener{stop: stop, ended: make(chan error, 1), told: make(chan struct{}, 1)}
	go func() {
		l.ended <- site.Listen(ctx, pool, func() {
			l.calls.Add(1)
			select {
			case l.told <- struct{}{}:
			default:
			}
		})
	}()
	return l
}

// hears waits until more was heard than before: by the clock on the wall, as it
// comes from another goroutine, also where the world is simulated.
func (l *listener) hears(t *testing.T, what string, before int64) {
	t.Helper()
	late := time.After(time.Minute)
	for l.calls.Load() <= before {
		select {
		case <-l.told:
		case err := <-l.ended:
			t.Fatalf("waiting for %s, the listener ended: %v", what, err)
		case <-late:
			t.Fatalf("a listener has not heard of %s; it was called %d times", what, l.calls.Load())
		}
	}
}

func (s *suite) listens(t *testing.T) {
	ctx, pool := t.Context(), s.pool("events")
	inner := replay.Pool{Name: pool.Name, Namespace: "inner"}
	wants(t, s.A.Listen(ctx, pool, func() { t.Error("heard of a pool that is not mirrored") }), replay.ErrNotFound, s.A)
	wants(t, s.A.Listen(ctx, replay.Pool{Name: "absent"}, func() {}), replay.ErrNotFound, s.A)
	ok(t, s.A.SetPoolMode(ctx, pool, replay.PoolImage))
	ok(t, s.A.CreateNamespace(ctx, inner))
	ok(t, s.A.SetPoolMode(ctx, inner, replay.PoolImage))
	one, two := listen(t, s.A, pool), listen(t, s.A, pool)
	other := listen(t, s.A, inner)
	for _, l := range []*listener{one, two, other} {
		l.hears(t, "its beginning", 0)
	}
	after := func(what string, who []*listener, do func()) {
		t.Helper()
		var before []int64
		for _, l := range who {
			before = append(before, l.calls.Load())
		}
		do()
		for i, l := range who {
			l.hears(t, what, before[i])
		}
	}
	both := []*listener{one, two}
	i := s.made(t, pool, "listened", replay.ModeSnapshot)
	after("an image that is enabled", both, func() { ok(t, s.A.EnableMirroring(ctx, i.ref, replay.ModeSnapshot)) })
	after("an image that is disabled", both, func() { ok(t, s.A.DisableMirroring(ctx, i.ref, false)) })
	after("the mode", both, func() { ok(t, s.A.SetPoolMode(ctx, pool, replay.PoolPool)) })
	ok(t, s.A.SetPoolMode(ctx, pool, replay.PoolImage))
	if n := other.calls.Load(); n != 1 {
		t.Errorf("who listens to a namespace has heard %d times", n)
	}
	k := s.made(t, inner, "listened", replay.ModeSnapshot)
	after("an image of a namespace", []*listener{other}, func() { ok(t, s.A.EnableMirroring(ctx, k.ref, replay.ModeSnapshot)) })

	two.stop()
	err := <-two.ended
	wants(t, err, replay.ErrTimeout, s.A)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	last := two.calls.Load()
	after("an image that is enabled again", []*listener{one}, func() { ok(t, s.A.EnableMirroring(ctx, i.ref, replay.ModeSnapshot)) })
	s.settle(time.Second)
	if n := two.calls.Load(); n != last {
		t.Errorf("one that was stopped has heard %d times more", n-last)
	}
}
