package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/drover-io/drover/replay"
)

// hangs remembers which parts of which sites did not answer when they were last asked:
// a site whose monitors live, and whose mgr or one of whose pools hangs, must not make
// everybody who looks wait for the whole answer time each time.
type hangs struct {
	mu    sync.Mutex
	parts map[sitePart]patience
}

// sitePart is something that a site is asked for by itself.
type sitePart struct{ site, what string }

// patience is how a part is to be asked.
type patience int

const (
	patient   patience = iota // it has answered, or was not asked yet
	impatient                 // it hung
	probed                    // it hung, and is being asked in the background
)

// begin tells how to ask a part now.
func (h *hangs) begin(p sitePart) patience {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.parts[p]
	if now == impatient {
		h.parts[p] = probed
	}
	return now
}

// note takes how it went.
func (h *hangs) note(p sitePart, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil && silent(err) {
		h.parts[p] = impatient
		return
	}
	delete(h.parts, p)
}

// patiently asks a part of a site for the usual time; for a second only where it hung
// when it was last asked. That call goes on in the background for the usual time all
// the same, so that a part that answers, however slowly, is not taken to hang for ever.
// What is asked must change nothing.
func patiently[T any](ctx context.Context, h *hangs, p sitePart, usual time.Duration, call func(context.Context) (T, error)) (T, error) {
	limited := func(ctx context.Context) (T, error) {
		ctx, cancel := context.WithTimeout(ctx, usual)
		defer cancel()
		return call(ctx)
	}
	if h == nil {
		return limited(ctx)
	}
	switch h.begin(p) {
	case patient:
		value, err := limited(ctx)
		if !errors.Is(ctx.Err(), context.Canceled) { // else it was not given the time
			h.note(p, err)
		}
		return value, err
	case impatient:
		short, cancel := context.WithTimeout(ctx, min(usual, shortAnswer))
		defer cancel()
		value, err := within(short, func() (value T, err error) {
			err = replay.ErrTimeout // a panic is no answer either
			defer func() { h.note(p, err) }()
			return limited(context.WithoutCancel(ctx))
		}, func(T) {})
		if short.Err() == nil {
			return value, err
		}
	case probed:
	}
	var none T
	return none, fmt.Errorf("%w: it did not answer when it was asked before, and not within %v now", replay.ErrTimeout, shortAnswer)
}
