package ceph

import (
	"context"
	"sync"

	"github.com/ceph/go-ceph/rados"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// maxAbandoned bounds how many calls may hang at once. Each holds a thread;
// Go's runtime ends a program that has 10,000 of them.
const maxAbandoned = 512

// ledgerSlots is how many calls to ledgers may be in flight at once: more than
// a run makes, which gathers its records.
const ledgerSlots = 8

// calls is the account of a site's calls into librados and librbd. The
// connection may be ended only when no call is left that could use it, so the
// last one out ends it.
type calls struct {
	slots chan struct{} // one for each call that is waited for
	// ledger is the same for the calls to ledgers: a lease has to be renewed, and
	// what is done recorded, even while all other calls hang.
	ledger chan struct{}
	// looks is the same for looks at single images: see LookAt.
	looks chan struct{}

	mu        sync.Mutex
	inFlight  int // running, abandoned or not, and open readers
	abandoned int
	closed    bool
	conn      *rados.Conn
	idle      chan struct{} // closed when the connection has been ended
}

func (c *calls) init(parallel int) {
	c.slots = make(chan struct{}, parallel)
	c.ledger = make(chan struct{}, ledgerSlots)
	c.looks = make(chan struct{}, parallel)
	c.idle = make(chan struct{})
}

// enter counts one more user of the connection; false when it is closed or
// too many calls hang already.
func (c *calls) enter() (ok bool, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return false, "the connection is closed"
	case c.abandoned >= maxAbandoned:
		return false, "too many earlier calls still hang"
	}
	c.inFlight++
	return true, ""
}

// hold is enter for one who is inside already, and so cannot be refused.
func (c *calls) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight++
}

// leave is the opposite of enter and hold.
func (c *calls) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight--
	if c.closed && c.inFlight == 0 {
		go c.end()
	}
}

func (c *calls) end() {
	if c.conn != nil {
		c.conn.Shutdown()
	}
	close(c.idle)
}

func (c *calls) count(delta int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abandoned += delta
}

// Abandoned is the number of calls that have been given up but still hang.
func (s *Site) Abandoned() int {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	return s.calls.abandoned
}

// discarder is a result that must be given back when nobody waits for it any
// more.
type discarder interface{ discard() }

// call runs fn, which calls into librados or librbd and cannot be interrupted,
// on a goroutine of its own, and panics where that does. When ctx ends first, the call is given up: it goes
// on by itself, is counted in Abandoned, and its result is dropped. fn must
// therefore clean up after itself and write to nothing that outlives it but
// its result.
func call[T any](ctx context.Context, s *Site, op operation, object string, fn func() (T, error)) (T, error) {
	return callIn(ctx, s, s.calls.slots, op, object, fn)
}

// callIn is call within other slots.
func callIn[T any](ctx context.Context, s *Site, slots chan struct{}, op operation, object string, fn func() (T, error)) (T, error) {
	var zero T
	if err := ctx.Err(); err != nil {
		return zero, s.gaveUp(op, object, context.Cause(ctx))
	}
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return zero, s.gaveUp(op, object, context.Cause(ctx))
	}
	defer func() { <-slots }()
	return admitted(ctx, s, op, object, fn)
}

// admitted is call for one who has a slot.
func admitted[T any](ctx context.Context, s *Site, op operation, object string, fn func() (T, error)) (T, error) {
	var zero T
	if ok, why := s.calls.enter(); !ok {
		return zero, s.refuse(op.name, object, replay.ErrUnreachable, why, "")
	}
	type result struct {
		value  T
		err    error
		caught *parallel.Panic
	}
	done := make(chan result, 1)
	// settled makes the end of the call and its abandonment agree on who came
	// first.
	var settled sync.Mutex
	abandoned, finished := false, false
	go func() {
		var r result
		r.caught = parallel.Catch(func() { r.value, r.err = fn() })
		settled.Lock()
		finished = true
		dropped := abandoned
		if dropped {
			s.calls.count(-1)
		}
		settled.Unlock()
		d, ok := any(r.value).(discarder)
		switch {
		case !dropped:
		case r.caught != nil:
			r.caught.Unawaited(op.name)
		case ok && r.err == nil:
			d.discard()
		}
		done <- r
		s.calls.leave()
	}()
	answer := func(r result) (T, error) {
		if r.caught != nil {
			panic(r.caught)
		}
		return r.value, s.failure(op, object, r.err)
	}
	select {
	case r := <-done:
		return answer(r)
	case <-ctx.Done():
		settled.Lock()
		if !finished {
			abandoned = true
			s.calls.count(1)
		}
		settled.Unlock()
		if !abandoned {
			return answer(<-done) // it has just come in
		}
		return zero, s.gaveUp(op, object, context.Cause(ctx))
	}
}

// do is call for what has no result.
func do(ctx context.Context, s *Site, op operation, object string, fn func() error) error {
	_, err := call(ctx, s, op, object, func() (struct{}, error) { return struct{}{}, fn() })
	return err
}
