package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// maxBatch is about how many bytes of records are written at once, so that a
// write ends within the answer time.
const maxBatch = 4 << 20

// shelf is one site's place for the book. All but the immutable first fields is
// guarded by the book's mutex.
type shelf struct {
	book  *Book
	index int
	name  string
	site  bookSite // nil: the site could not be opened

	readFault  error // why it could not be read last
	writeFault error // why it is behind; nil: what is appended is waited for
	unread     bool  // writeFault is only that it could not be read

	readWhole bool
	readAt    time.Time // when it was read last
	last      string    // greatest key that was read

	queue   []*delivery // still to be written, in order
	flight  []*delivery // being written
	working bool        // write runs
	wake    chan struct{}
}

// named makes sure that an error names the site.
func (s *shelf) named(err error) error {
	var known *replay.Error
	if errors.As(err, &known) {
		return err
	}
	return fmt.Errorf("site %s: %w", s.name, err)
}

// fault is why the site's part of the book is not known to be whole.
func (s *shelf) fault() error {
	if s.readFault != nil {
		return s.readFault
	}
	return s.writeFault
}

// wasRead notes a read that succeeded.
func (s *shelf) wasRead(r *reading) {
	s.readFault = nil
	s.readAt = r.began
	s.readWhole = s.readWhole || r.whole
	if n := len(r.records); n > 0 {
		s.last = max(s.last, r.records[n-1].Key)
	}
	if s.unread {
		s.writeFault, s.unread = nil, false
	}
	if len(s.queue) > 0 {
		s.kick()
	}
}

// failedRead notes a read that failed. One that the caller gave up says nothing
// of the site.
func (s *shelf) failedRead(err error, givenUp bool) {
	if givenUp && s.readWhole {
		return
	}
	s.readFault = err
	if !givenUp && s.writeFault == nil {
		s.writeFault, s.unread = err, true
	}
}

// enqueue puts a delivery behind those that are there.
func (s *shelf) enqueue(d *delivery) { s.queue = append(s.queue, d) }

// weed takes out of the queue what has become outdated meanwhile: else that of a
// site that is away would grow with all that is recorded. b.mu is held.
func (s *shelf) weed() {
	if s.book.outdated == nil {
		return
	}
	var left []*delivery
	for _, d := range s.queue {
		if d = s.book.weeded(d); d != nil {
			left = append(left, d)
		}
	}
	s.queue = left
	if len(s.queue)+len(s.flight) == 0 && s.writeFault != nil {
		s.unread = true // nothing is left to be written that would show that it is back
	}
}

// eachQueued calls f for each record that is on its way.
func (s *shelf) eachQueued(f func(replay.Record)) {
	for _, deliveries := range [][]*delivery{s.flight, s.queue} {
		for _, d := range deliveries {
			for _, r := range d.records {
				f(r)
			}
		}
	}
}

// kick has the queue written now. b.mu is held.
func (s *shelf) kick() {
	if !s.working {
		if s.book.ctx.Err() != nil {
			return // the book is closed, and its last writer has ended
		}
		s.working = true
		s.book.writers.Go(s.write)
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// write writes until nothing is queued: all that wait go together. While the
// site does not take them it tries again and again, until the book is closed.
func (s *shelf) write() {
	if caught := parallel.Catch(s.writeQueue); caught != nil {
		s.settle(fmt.Errorf("a fault of the program: %v", caught.Value))
		s.book.mu.Lock()
		s.working = false // the next delivery has it tried again
		s.book.mu.Unlock()
		if s.book.panicked == nil {
			panic(caught) // of who closes the book
		}
		s.book.panicked(caught.Value, caught.Stack)
	}
}

func (s *shelf) writeQueue() {
	b := s.book
	for {
		records, ok := s.take()
		if !ok {
			return
		}
		var err error
		if len(records) > 0 {
			ctx, cancel := context.WithTimeout(b.ctx, b.answer)
			err = s.site.AppendRecords(ctx, b.ref, records)
			cancel()
		}
		if s.settle(err) {
			return
		}
		if err == nil {
			continue
		}
		again := time.NewTimer(b.answer)
		select {
		case <-again.C:
		case <-s.wake:
		case <-b.ctx.Done():
		}
		again.Stop()
	}
}

// take puts the next deliveries into flight; ok is false when there are none,
// and the writer has to end.
func (s *shelf) take() (records []replay.Record, ok bool) {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	size, n := 0, 0
	for n < len(s.queue) && (n == 0 || size+s.queue[n].size <= maxBatch) {
		records = append(records, s.queue[n].records...)
		size += s.queue[n].size
		n++
	}
	s.flight, s.queue = s.queue[:n:n], s.queue[n:]
	s.working = n > 0
	return records, n > 0
}

// settle notes how a write went; last is true when the writer has to end.
func (s *shelf) settle(err error) (last bool) {
	b := s.book
	b.mu.Lock()
	defer b.mu.Unlock()
	flight := s.flight
	s.flight = nil
	if err == nil {
		s.writeFault, s.unread = nil, false
		for _, d := range flight {
			b.stored(d, s)
		}
		return false
	}
	err = s.named(err)
	s.writeFault, s.unread = err, false
	var left []*delivery
	for _, d := range flight {
		if !d.withdrawn {
			left = append(left, d)
		}
	}
	s.queue = append(left, s.queue...)
	defer s.weed() // once nobody waits for them
	for _, d := range append(append([]*delivery{}, flight...), s.queue...) {
		if d.legs[s.index].state == legAwaited {
			d.legs[s.index] = leg{state: legFailed, err: err}
			b.turn(d)
		}
	}
	if b.closed {
		s.working = false
	}
	return b.closed
}
