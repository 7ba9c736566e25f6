package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// rereadSpan is how far back of what is known a refresh reads again, for the
// records of writers whose clocks are behind.
const rereadSpan = 10 * time.Minute

// Refresh reads what is new at all sites at once, and answers with the entries
// that were not known, in order of key. A site that has not been read whole
// since it last failed is. Refresh fails when no site answers.
//
// It finds the entries of a writer whose clock is less than ten minutes behind;
// [Book.Reconcile] finds all.
func (b *Book) Refresh(ctx context.Context) ([]Entry, error) {
	_, fresh, err := b.readAll(ctx, false)
	return fresh, err
}

// Reconcile reads the whole book at all sites and copies to each what it lacks.
// It fails when no site can be read, or one that can be read cannot be written
// to; sites that do not answer it passes over ([Book.Faults]). Where nothing is
// lacking it writes nothing. What is outdated in a ledger that is bounded it removes
// instead, wherever it is.
func (b *Book) Reconcile(ctx context.Context) error {
	b.reconciling.Lock()
	defer b.reconciling.Unlock()
	readings, _, err := b.readAll(ctx, true)
	if err != nil {
		return err
	}
	if err := b.trim(ctx, readings); err != nil {
		return err
	}
	var (
		wg   parallel.Group
		errs = make([]error, len(b.shelves))
	)
	for i, s := range b.shelves {
		if readings[i].err != nil {
			continue
		}
		last, err := b.supply(s, readings[i].records)
		if err != nil {
			return err
		}
		if last == nil {
			continue
		}
		wg.Go(func() {
			if err := b.await(ctx, last); err != nil {
				errs[i] = s.named(err)
			}
		})
	}
	wg.Wait()
	if err := replay.OneLine(errs...); err != nil {
		return fmt.Errorf("copy records to where they are lacking: %w", err)
	}
	return nil
}

// supply sends a site all that it lacks, by what was just read of it, and
// answers with the last delivery; nil when there is none to wait for.
func (b *Book) supply(s *shelf, has []replay.Record) (*delivery, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errClosed
	}
	there := make(map[string]bool, len(has))
	for _, r := range has {
		there[r.Key] = true
	}
	s.eachQueued(func(r replay.Record) { there[r.Key] = true })
	var lacking []*delivery
	var next *delivery
	for _, key := range b.keys() {
		if there[key] {
			continue
		}
		if next == nil || next.size >= maxBatch {
			next = b.deliveryTo(s)
			lacking = append(lacking, next)
		}
		next.add(replay.Record{Key: key, Value: b.values[key]})
	}
	if len(lacking) == 0 {
		if len(s.queue)+len(s.flight) == 0 {
			return nil, nil
		}
		// An empty one arrives behind those that are under way.
		lacking = append(lacking, b.deliveryTo(s))
	}
	for _, d := range lacking {
		s.enqueue(d)
	}
	s.kick()
	return lacking[len(lacking)-1], nil
}

// reading is what was read at one site.
type reading struct {
	records []replay.Record
	began   time.Time
	whole   bool
	err     error
}

// readAll reads all sites at once, whole or from where each was read last, and
// answers with what it read at each and the entries that are new.
func (b *Book) readAll(ctx context.Context, whole bool) ([]reading, []Entry, error) {
	readings := make([]reading, len(b.shelves))
	var wg parallel.Group
	for i, s := range b.shelves {
		r := &readings[i]
		if s.site == nil {
			r.err = s.readFault
			continue
		}
		wg.Go(func() {
			r.began = b.now()
			after := ""
			if !whole {
				after = b.readFrom(s)
			}
			r.whole = after == ""
			if r.err = s.stillAway(ctx); r.err == nil {
				part := sitePart{s.name, "records of " + b.ref.Object}
				r.records, r.err = patiently(ctx, b.hangs, part, b.answer*bulkTimes, func(ctx context.Context) ([]replay.Record, error) {
					return s.read(ctx, after)
				})
			}
		})
	}
	wg.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	var (
		all  []replay.Record
		errs []error
	)
	for i, s := range b.shelves {
		r := &readings[i]
		if r.err != nil {
			errs = append(errs, s.named(r.err))
			if s.site != nil {
				s.failedRead(s.named(r.err), ctx.Err() != nil)
			}
			continue
		}
		s.wasRead(r)
		all = append(all, r.records...)
	}
	if len(errs) == len(b.shelves) {
		err := fmt.Errorf("the records of plan %s cannot be read at any site: %w", b.plan.Name, asUnreachable(replay.OneLine(errs...)))
		return nil, nil, b.orNoPlace(err, func(i int) error { return readings[i].err })
	}
	return readings, b.list(all, b.now()), nil
}

// errNoPlace: no site has the pool in which records and lease lie, so that there
// can be none. It is no cause that is shown.
var errNoPlace = errors.New("no place for records")

// noPlace is an error that is an [errNoPlace] and reads as before.
type noPlace struct{ error }

func (n noPlace) Unwrap() error      { return n.error }
func (noPlace) Is(target error) bool { return target == errNoPlace }

// orNoPlace marks an error as [errNoPlace] where all sites have answered, and each
// that the pool is not there. One that does not answer may have it.
func (b *Book) orNoPlace(err error, fault func(shelf int) error) error {
	for i, s := range b.shelves {
		if s.site == nil || !errors.Is(fault(i), replay.ErrNotFound) {
			return err
		}
	}
	return noPlace{err}
}

// asUnreachable makes an error that says that sites do not answer an
// [ErrUnreachable].
func asUnreachable(err error) error {
	if silent(err) && !errors.Is(err, ErrUnreachable) && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return err
}

// silent reports whether an error says that a site does not answer, rather than
// what it answered.
func silent(err error) bool {
	for _, cause := range []error{replay.ErrTimeout, replay.ErrUnreachable, ErrUnreachable, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// readFrom is the key after which a refresh reads a site.
func (b *Book) readFrom(s *shelf) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !s.readWhole || s.readFault != nil {
		return ""
	}
	last, ok := timeOfKey(s.last)
	if !ok {
		return ""
	}
	// A key from a clock that is ahead must not hide what is written now.
	from := s.readAt
	if last.Before(from) {
		from = last
	}
	return keyTime(from.Add(-rereadSpan).UnixMicro())
}

// stillAway gives a site that did not answer last only a fraction of the answer
// time to show that it is back, and tells when it is not.
func (s *shelf) stillAway(ctx context.Context) error {
	b := s.book
	b.mu.Lock()
	away := s.readFault != nil && silent(s.readFault)
	b.mu.Unlock()
	if !away {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, b.answer/5)
	defer cancel()
	_, _, err := s.site.LeaseHolder(ctx, b.ref)
	return err
}

// read reads a site for as long as it goes on answering: one that falls silent
// is given up after the answer time, one that has a long book is not.
func (s *shelf) read(ctx context.Context, after string) ([]replay.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, s.book.answer*bulkTimes)
	defer cancel()
	watched, lose := context.WithCancelCause(ctx)
	var wg parallel.Group
	defer wg.Wait()
	defer lose(context.Canceled)
	wg.Go(func() {
		tick := time.NewTicker(s.book.answer / 5)
		defer tick.Stop()
		for {
			select {
			case <-watched.Done():
				return
			case <-tick.C:
			}
			asked, done := context.WithTimeout(watched, s.book.answer*4/5)
			_, _, err := s.site.LeaseHolder(asked, s.book.ref)
			done()
			if err != nil {
				lose(fmt.Errorf("%w: %w", replay.ErrTimeout, err))
				return
			}
		}
	})
	return s.site.ReadRecords(watched, s.book.ref, after)
}
