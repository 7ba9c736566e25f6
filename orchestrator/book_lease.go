package orchestrator

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

const (
	// LeaseTTL is how long a lease outlives the process that held it.
	LeaseTTL = 30 * time.Second
	// leaseMargin is how long before its end a lease that could not be renewed
	// anywhere counts as lost.
	leaseMargin = LeaseTTL / 6
	// leaseRetry is the pause before a renewal that failed is tried again.
	leaseRetry = LeaseTTL / 10
	// shortAnswer is how long a site is waited for where nothing depends on it.
	shortAnswer = time.Second
)

// Lease is the right to change what a plan protects, held at every site that
// answers and renewed until it is released. It is no fence: what is under way
// when it is lost still happens. See [Session].
type Lease struct {
	book    *Book
	claim   replay.Lease
	givenUp string // site whose blocklist ends nothing; may be empty

	lost   context.Context // ends with the lease
	lose   context.CancelCauseFunc
	during context.Context // of the renewals
	stop   context.CancelFunc
	work   parallel.Group
	once   sync.Once // release

	mu    sync.Mutex
	why   error     // why it was lost
	holds []holding // one for each shelf
	moved chan struct{}
}

// holding is what is known of the lease at one site.
type holding struct {
	held    bool      // it was taken there, and nothing was heard of its loss
	since   time.Time // when the last renewal that succeeded was sent
	fault   error     // of the last attempt
	unknown bool      // an attempt may have taken effect all the same
}

// Lease takes the plan's lease, at each site that answered when it was last
// asked, in the plan's order; the others follow in the background. what says for
// which purpose, for whoever finds it taken. It fails with [ErrLeased] while
// somebody else holds it at any site, and names the holder.
//
// Its [Lease.Context] is a child of ctx.
func (b *Book) Lease(ctx context.Context, what string) (*Lease, error) {
	return b.lease(ctx, what, "")
}

// lease takes the lease. At the site that is given up, where there is one, this
// client may be shut out by its own fence: that counts as if the site were away.
func (b *Book) lease(ctx context.Context, what, givenUp string) (*Lease, error) {
	l := &Lease{
		book: b, givenUp: givenUp,
		claim: replay.Lease{Cookie: rand.Text(), Holder: holderText(b.by, what), TTL: LeaseTTL},
		holds: make([]holding, len(b.shelves)),
		moved: make(chan struct{}, 1),
	}
	l.lost, l.lose = context.WithCancelCause(ctx)
	l.during, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	asked := b.answering()
	for _, s := range asked {
		taken, err := l.attempt(ctx, s)
		if taken {
			l.giveUp()
			hint := fmt.Sprintf("wait until it is done; where it has died, its lease ends by itself within %v", LeaseTTL)
			return nil, advise(fmt.Errorf("%w: %w", ErrLeased, s.named(err)), hint)
		}
		if ctx.Err() != nil {
			l.giveUp()
			return nil, fmt.Errorf("take the lease: %w", context.Cause(ctx))
		}
	}
	var errs []error
	for i, s := range b.shelves {
		switch {
		case l.holds[i].held:
			return l.begin()
		case l.holds[i].fault != nil:
			errs = append(errs, s.named(l.holds[i].fault))
		case s.site == nil:
			errs = append(errs, s.named(s.writeFault))
		}
	}
	l.giveUp()
	err := fmt.Errorf("%w of plan %s can be had at any site: %w", errNoLease, b.plan.Name, asUnreachable(replay.OneLine(errs...)))
	return nil, b.orNoPlace(err, func(i int) error { return l.holds[i].fault })
}

// errNoLease: the lease can be had nowhere, and nobody else is known to have it.
var errNoLease = errors.New("no lease")

// answering are the sites that answered when they were last asked; all that are
// open where none did.
func (b *Book) answering() []*shelf {
	b.mu.Lock()
	defer b.mu.Unlock()
	var well, open []*shelf
	for _, s := range b.shelves {
		if s.site == nil {
			continue
		}
		open = append(open, s)
		if s.fault() == nil {
			well = append(well, s)
		}
	}
	if len(well) > 0 {
		return well
	}
	return open
}

// maxHolderText is how much replay.Lease takes of it, in bytes.
const maxHolderText = 200

// holderText tells people who holds a lease.
func holderText(by, what string) string {
	text := oneLine(fmt.Sprintf("%s, process %d: %s", by, os.Getpid(), what))
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, text)
	if len(text) > maxHolderText {
		text = strings.ToValidUTF8(text[:maxHolderText], "")
	}
	return text
}

// begin has the lease renewed from now on.
func (l *Lease) begin() (*Lease, error) {
	b := l.book
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		l.giveUp()
		return nil, errClosed
	}
	b.leases[l] = struct{}{}
	b.mu.Unlock()
	for _, s := range b.shelves {
		if s.site != nil {
			l.work.Go(func() { l.orLost(func() { l.renew(s) }) })
		}
	}
	l.work.Go(func() { l.orLost(l.watch) })
	return l, nil
}

// orLost does what keeps the lease, which a panic in that loses: nothing more is done
// by a lease that nobody renews. Release panics then.
func (l *Lease) orLost(keep func()) {
	kept := false
	defer func() {
		if !kept {
			l.end(errors.New("it is renewed no more, for a fault of the program"))
		}
	}()
	keep()
	kept = true
}

// Context ends when the lease is lost: when somebody else has it or it is gone
// at a site that answers, or when it could be renewed at no site for so long
// that it is about to end. The cause is then an [ErrLeaseLost]. It also ends
// with the context that the lease was taken with, and when it is released. A
// site that falls silent does not end it while another renews it.
func (l *Lease) Context() context.Context { return l.lost }

// Err tells why the lease was lost; nil while it is held, and after it has been
// released.
func (l *Lease) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

// attempt takes or renews the lease at one site, and notes how it went; taken
// is true when it is certain that the lease is not ours.
func (l *Lease) attempt(ctx context.Context, s *shelf) (taken bool, err error) {
	l.mu.Lock()
	h := l.holds[s.index]
	l.mu.Unlock()
	// Where it should have ended by itself, its absence means nothing.
	renew := h.held && time.Since(h.since) < LeaseTTL-leaseMargin
	ctx, cancel := context.WithTimeout(ctx, min(l.book.answer, LeaseTTL/3))
	defer cancel()
	began := time.Now()
	err = s.site.AcquireLease(ctx, l.book.ref, l.claim, renew)
	h.fault = err
	switch {
	case err == nil:
		h = holding{held: true, since: began}
	case errors.Is(err, replay.ErrShutOut) && s.name == l.givenUp:
		h.held = false
	case errors.Is(err, replay.ErrHeld), errors.Is(err, replay.ErrShutOut), renew && errors.Is(err, replay.ErrNotFound):
		h.held, taken = false, true
	default:
		h.unknown = true
	}
	l.mu.Lock()
	l.holds[s.index] = h
	l.mu.Unlock()
	return taken, err
}

// renew keeps the lease at one site, or takes it there once that answers.
func (l *Lease) renew(s *shelf) {
	l.mu.Lock()
	pause := LeaseTTL / 3
	if !l.holds[s.index].held {
		pause = 0
	}
	l.mu.Unlock()
	for {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-l.during.Done():
			timer.Stop()
			return
		}
		taken, err := l.attempt(l.during, s)
		switch {
		case l.during.Err() != nil:
			return
		case taken:
			l.end(replay.OneLine(s.named(err), l.taker(s)))
			return
		case err != nil:
			pause = leaseRetry
			continue
		}
		pause = LeaseTTL / 3
		select {
		case l.moved <- struct{}{}:
		default:
		}
	}
}

// taker tells who has the lease at a site in our place, where it can be told.
func (l *Lease) taker(s *shelf) error {
	ctx, cancel := context.WithTimeout(l.during, shortAnswer)
	defer cancel()
	holder, ok, err := s.site.LeaseHolder(ctx, l.book.ref)
	if err != nil || !ok {
		return nil
	}
	return fmt.Errorf("%w: %s", replay.ErrHeld, holder.Holder)
}

// watch ends the lease when it has not been renewed anywhere in time.
func (l *Lease) watch() {
	for {
		left := time.Until(l.until())
		if left <= 0 {
			l.end(fmt.Errorf("it could be renewed at no site for %v: %w", LeaseTTL-leaseMargin, l.faults()))
			return
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-l.moved:
		case <-l.during.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// until is how long the lease is certain to be held somewhere.
func (l *Lease) until() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	var last time.Time
	for _, h := range l.holds {
		if h.held && h.since.After(last) {
			last = h.since
		}
	}
	return last.Add(LeaseTTL - leaseMargin)
}

// unanswered reports whether the lease is lost because no site answers, so that nobody
// else is known to have it. Who has slept has not asked any, and does not know.
func (l *Lease) unanswered() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, h := range l.holds {
		if l.book.shelves[i].site != nil && (h.fault == nil || !silent(h.fault)) {
			return false
		}
	}
	return l.why != nil
}

// faults are why it is not renewed.
func (l *Lease) faults() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	errs := []error{replay.ErrTimeout}
	for i, h := range l.holds {
		if h.fault != nil {
			errs = append(errs, l.book.shelves[i].named(h.fault))
		}
	}
	if len(errs) > 1 {
		errs = errs[1:]
	}
	return replay.OneLine(errs...)
}

// end notes that the lease is lost.
func (l *Lease) end(why error) {
	why = fmt.Errorf("%w: %w", ErrLeaseLost, why)
	l.mu.Lock()
	if l.why == nil {
		l.why = why
	}
	l.mu.Unlock()
	l.lose(why)
	l.stop()
}

// Release gives the lease back at every site. A site that does not answer is no
// error: the lease ends there by itself. Release does so even where ctx has
// ended; a further one does nothing.
func (l *Lease) Release(ctx context.Context) error {
	var err error
	l.once.Do(func() {
		l.stop()
		defer func() {
			l.lose(context.Canceled)
			err = l.giveBack(context.WithoutCancel(ctx))
			l.book.mu.Lock()
			delete(l.book.leases, l)
			l.book.mu.Unlock()
		}()
		l.work.Wait()
	})
	return err
}

// giveUp gives back what was taken of a lease that could not be had.
func (l *Lease) giveUp() {
	l.stop()
	l.lose(context.Canceled)
	_ = l.giveBack(context.WithoutCancel(l.during)) // what remains ends by itself
}

// giveBack gives the lease back where it is, or may be.
func (l *Lease) giveBack(ctx context.Context) error {
	var (
		wg   parallel.Group
		errs = make([]error, len(l.holds))
	)
	for i, h := range l.holds {
		if !h.held && !h.unknown {
			continue
		}
		patience := l.book.answer
		if h.fault != nil {
			patience = min(patience, shortAnswer)
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			s := l.book.shelves[i]
			if err := s.site.ReleaseLease(ctx, l.book.ref, l.claim.Cookie); err != nil && h.held && !silent(err) {
				errs[i] = fmt.Errorf("give back the lease: %w", s.named(err))
			}
		})
	}
	wg.Wait()
	return replay.OneLine(errs...)
}
