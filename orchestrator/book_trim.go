package orchestrator

import (
	"context"
	"fmt"
	"slices"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// trim removes what is outdated at each site where it was just read. A site that
// is away keeps it until it is read again, and gets no more of it.
func (b *Book) trim(ctx context.Context, readings []reading) error {
	if b.outdated == nil {
		return nil
	}
	gone := b.forget()
	if len(gone) == 0 {
		return nil
	}
	var (
		wg   parallel.Group
		errs = make([]error, len(b.shelves))
	)
	for i, s := range b.shelves {
		var keys []string
		for _, r := range readings[i].records {
			if gone[r.Key] {
				keys = append(keys, r.Key)
			}
		}
		if len(keys) == 0 {
			continue
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, b.answer)
			defer cancel()
			if err := s.site.RemoveRecords(ctx, b.ref, keys); err != nil {
				errs[i] = s.named(err)
			}
		})
	}
	wg.Wait()
	if err := replay.OneLine(errs...); err != nil {
		return fmt.Errorf("remove old records: %w", err)
	}
	return nil
}

// forget drops what is outdated from the book, and tells what that is.
func (b *Book) forget() map[string]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	gone := map[string]bool{}
	for _, key := range b.outdated(b.entries) {
		gone[key] = true
		delete(b.values, key)
	}
	isGone := func(e Entry) bool { return gone[e.Key] }
	if len(gone) > 0 {
		// Entries share no memory with lists that were handed out.
		b.entries = slices.DeleteFunc(slices.Clone(b.entries), isGone)
		for kind := range b.standing {
			b.standing[kind] = slices.DeleteFunc(b.standing[kind], isGone)
		}
		for _, s := range b.shelves {
			s.weed()
		}
	}
	return gone
}

// weeded is a delivery without the records that the book has dropped; nil where
// nothing is left of it. One that somebody waits for, or that may yet become entries,
// stays whole. b.mu is held.
func (b *Book) weeded(d *delivery) *delivery {
	if !d.settled || d.fresh || d.withdrawn {
		return d
	}
	kept := delivery{legs: d.legs, must: d.must, done: d.done, settled: true}
	for _, r := range d.records {
		if _, known := b.values[r.Key]; known {
			kept.add(r)
		}
	}
	switch len(kept.records) {
	case 0:
		return nil
	case len(d.records):
		return d
	}
	return &kept
}
