package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// errClosed: the book takes no more entries.
var errClosed = errors.New("the plan's book is closed")

// delivery is records on their way to the sites. It is guarded by the book's
// mutex.
type delivery struct {
	records   []replay.Record
	size      int   // bytes
	legs      []leg // one for each shelf
	must      []int // shelves that have to have it
	fresh     bool  // new records, which are no entries of the book until some site has them
	withdrawn bool  // nobody wants it any more, but it may be in the air
	done      chan struct{}
	settled   bool // done is closed
}

// leg is how a delivery fares at one site.
type leg struct {
	state legState
	err   error
}

type legState int

const (
	legNone    legState = iota // not meant for this site
	legAwaited                 // on its way
	legLater                   // on its way, but not waited for: the site is behind
	legStored
	legFailed // not yet there; err says why
)

func (d *delivery) add(r replay.Record) {
	d.records = append(d.records, r)
	d.size += len(r.Key) + len(r.Value)
}

// deliveryTo begins a delivery to one site.
func (b *Book) deliveryTo(s *shelf) *delivery {
	d := &delivery{legs: make([]leg, len(b.shelves)), must: []int{s.index}, done: make(chan struct{})}
	d.legs[s.index].state = legAwaited
	return d
}

// storedAnywhere reports whether some site has it.
func (d *delivery) storedAnywhere() bool {
	return slices.ContainsFunc(d.legs, func(l leg) bool { return l.state == legStored })
}

// enough reports whether all have it that must.
func (d *delivery) enough() bool {
	return d.storedAnywhere() && !slices.ContainsFunc(d.must, func(i int) bool { return d.legs[i].state != legStored })
}

// fault is why it is not stored where it should be.
func (d *delivery) fault() error {
	errs := make([]error, len(d.legs))
	for i, l := range d.legs {
		errs[i] = l.err
	}
	if !d.storedAnywhere() {
		return replay.OneLine(errs...)
	}
	var lacking []error
	for _, i := range d.must {
		lacking = append(lacking, errs[i])
	}
	return replay.OneLine(lacking...)
}

// Require names the sites that an entry has to be at for [Book.Append] to
// succeed, in place of those named before; without any, one site is enough.
func (b *Book) Require(sites ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.must = slices.Clone(sites)
}

// Append adds entries: it gives each its key, and the time and the writer where
// they are not set. Those of one call are stored together or not at all.
//
// It waits for every site that answers. One that falls silent it waits for only
// as long as the plan's answer time; from then on that site is behind, and gets
// what is appended in the background, in order, once it answers again. Append
// succeeds as soon as some site has the entries, and every site that
// [Book.Require] names. Otherwise the error names the sites, and whether the
// entries are stored is not known: where no site has them they are not sent
// again.
func (b *Book) Append(ctx context.Context, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	d, err := b.post(entries)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if err := b.await(ctx, d); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

// passOver has what is appended not wait for sites that were just found silent: they
// get it in the background, as any site does that is behind.
func (b *Book) passOver(silent []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.shelves {
		if s.site != nil && s.writeFault == nil && slices.Contains(silent, s.name) {
			s.writeFault, s.unread = s.named(replay.ErrUnreachable), true
		}
	}
}

// post puts entries on their way to all sites.
func (b *Book) post(entries []Entry) (*delivery, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errClosed
	}
	d := &delivery{legs: make([]leg, len(b.shelves)), done: make(chan struct{}), fresh: true}
	now := b.now()
	for _, e := range entries {
		e.Key = b.clock.next(now)
		if e.At.IsZero() {
			e.At = now.UTC()
		}
		if e.By == "" {
			e.By = b.by
		}
		record, err := e.encode()
		if err != nil {
			return nil, err
		}
		d.add(record)
	}
	if err := replay.CheckRecords(d.records); err != nil {
		return nil, err
	}
	for _, name := range b.must {
		i := slices.IndexFunc(b.shelves, func(s *shelf) bool { return s.name == name })
		if i < 0 {
			return nil, refusal("name a site of the plan", "no site %q", name)
		}
		d.must = append(d.must, i)
	}
	for i, s := range b.shelves {
		switch {
		case s.site == nil:
			d.legs[i] = leg{state: legFailed, err: s.named(s.writeFault)}
			continue
		case s.writeFault == nil || slices.Contains(d.must, i):
			d.legs[i].state = legAwaited
		default:
			d.legs[i] = leg{state: legLater, err: s.writeFault}
		}
		s.enqueue(d)
		if d.legs[i].state == legAwaited || !s.working {
			s.kick()
		}
	}
	b.turn(d)
	return d, nil
}

// turn sees whether there is anything left to wait for. Where no site has it
// yet, those that are behind are waited for after all. b.mu is held.
func (b *Book) turn(d *delivery) {
	if d.settled || slices.ContainsFunc(d.legs, func(l leg) bool { return l.state == legAwaited }) {
		return
	}
	waits := false
	if !d.storedAnywhere() && !b.closed {
		for i := range d.legs {
			if d.legs[i].state == legLater {
				d.legs[i].state = legAwaited
				b.shelves[i].kick()
				waits = true
			}
		}
	}
	if !waits {
		d.settled = true
		close(d.done)
	}
}

// stored notes that a site has it. b.mu is held.
func (b *Book) stored(d *delivery, s *shelf) {
	d.legs[s.index] = leg{state: legStored}
	if d.fresh {
		b.list(d.records, b.now())
		d.fresh = false
	}
	if d.withdrawn {
		// It had been given up while it was in the air. Now that one site has it,
		// it is an entry like any other.
		d.withdrawn = false
		for i, other := range b.shelves {
			inAir := slices.Contains(other.flight, d) || slices.Contains(other.queue, d)
			if other != s && other.site != nil && d.legs[i].state != legStored && !inAir {
				other.enqueue(d)
				other.kick()
			}
		}
	}
	b.turn(d)
}

// withdraw takes back what no site has yet. b.mu is held.
func (b *Book) withdraw(d *delivery) {
	d.withdrawn = true
	for _, s := range b.shelves {
		s.queue = slices.DeleteFunc(s.queue, func(other *delivery) bool { return other == d })
	}
}

// await waits until a delivery is where it has to be, or cannot be for now.
func (b *Book) await(ctx context.Context, d *delivery) error {
	patience := time.NewTimer(b.answer)
	defer patience.Stop()
	for {
		given := error(nil)
		select {
		case <-d.done:
		case <-patience.C:
			// A write that began before this one may have used up the time.
			b.mu.Lock()
			enough := d.enough()
			b.mu.Unlock()
			if enough {
				return nil
			}
			continue
		case <-ctx.Done():
			given = context.Cause(ctx)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if d.enough() {
			return nil
		}
		err := asUnreachable(replay.OneLine(given, d.fault()))
		switch {
		case d.fresh:
			b.withdraw(d)
			return fmt.Errorf("stored at no site: %w", err)
		case d.storedAnywhere():
			return fmt.Errorf("not stored where it must be: %w", err)
		}
		return err
	}
}

// Close sends the sites what they lack of what was appended, within the plan's
// answer time, gives back leases that are still held, and ends all that goes on
// in the background. A site that does not answer is no error: what it lacks is
// at another, and [Book.Reconcile] copies it. One that answers but does not
// take the records is. Close does so even where ctx has ended.
func (b *Book) Close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	for _, s := range b.shelves {
		if len(s.queue)+len(s.flight) > 0 {
			s.kick()
		}
	}
	leases := make([]*Lease, 0, len(b.leases))
	for l := range b.leases {
		leases = append(leases, l)
	}
	b.mu.Unlock()

	late := time.AfterFunc(b.answer, b.cancel)
	fault := parallel.Catch(b.writers.Wait)
	late.Stop()
	b.cancel()
	var errs []error
	for _, l := range leases {
		errs = append(errs, l.Release(ctx))
	}
	if fault != nil {
		panic(fault)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.shelves {
		if len(s.queue) > 0 && s.writeFault != nil && !silent(s.writeFault) {
			errs = append(errs, fmt.Errorf("the last records are lacking at site %s: %w", s.name, s.writeFault))
		}
	}
	return replay.OneLine(errs...)
}
