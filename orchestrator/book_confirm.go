package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// confirm asks the sites whether the lease is still ours, and ends it where one says
// that it is not: whoever was stopped, or slept, has heard of nothing meanwhile. It
// passes over sites that do not answer within a second, and fails with
// [ErrLeaseLost] also when it has not been renewed anywhere in time.
func (l *Lease) confirm(ctx context.Context, silent []string) error {
	if time.Until(l.until()) <= 0 {
		l.end(fmt.Errorf("it was not renewed in time: %w", replay.ErrTimeout))
	}
	ctx, cancel := context.WithTimeout(ctx, min(l.book.answer, shortAnswer))
	defer cancel()
	var wg parallel.Group
	for _, s := range l.heldAt(silent) {
		wg.Go(func() {
			holder, ok, err := s.site.LeaseHolder(ctx, l.book.ref)
			switch {
			case err != nil: // renewals tell whether it matters
			case !ok:
				l.end(s.named(fmt.Errorf("nobody holds it there: %w", replay.ErrNotFound)))
			case holder.Cookie != l.claim.Cookie:
				l.end(s.named(fmt.Errorf("%w: %s", replay.ErrHeld, holder.Holder)))
			}
		})
	}
	wg.Wait()
	if err := l.Err(); err != nil {
		return err
	}
	if l.lost.Err() != nil {
		return errors.Join(ErrLeaseLost, context.Cause(l.lost))
	}
	return nil
}

// heldAt are the sites where the lease must be, but for some.
func (l *Lease) heldAt(silent []string) []*shelf {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*shelf
	for i, s := range l.book.shelves {
		h := &l.holds[i]
		away := false
		for _, name := range silent {
			away = away || name == s.name
		}
		if h.held && !away && time.Since(h.since) < LeaseTTL-leaseMargin {
			out = append(out, s)
		}
	}
	return out
}
