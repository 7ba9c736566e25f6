package ceph_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph"
)

// TestAppendTime writes to a journaled image at known times and finds those
// times again by position, in a journal of one object set and in one of many.
func TestAppendTime(t *testing.T) {
	p := newPair(t)
	s, ctx := p.a, t.Context()
	for _, c := range []struct {
		name   string
		order  int    // of the journal's objects
		writes string // of one round, in bytes
		sets   uint64 // the journal has at least so many in the end
	}{{"one set", 24, "256K", 0}, {"many sets", 16, "1M", 3}} {
		t.Run(c.name, func(t *testing.T) {
			ref := p.pool.Image(fmt.Sprintf("append-%d", c.order))
			rbd(t, "site-a", fmt.Sprintf("create --size 32M --image-feature layering,exclusive-lock,journaling --journal-object-size %d %s", 1<<c.order, ref))
			must(t, s.EnableMirroring(ctx, ref, replay.ModeJournal))
			p.settled(t, ref)
			// A peer that is gone keeps the journal from being trimmed.
			must(t, world.Site("site-b").StopMirror())
			defer func() { must(t, world.Site("site-b").StartMirror(ctx)) }()

			type round struct {
				before     replay.Position
				start, end time.Time
			}
			var rounds []round
			for range 3 {
				var r round
				r.before = end(t, s, ref)
				if n, ok, err := s.BytesAfter(ctx, ref, r.before); err != nil || !ok || n != 0 {
					t.Errorf("%d bytes after the end; %v, %v", n, ok, err)
				}
				if at, ok, err := s.AppendTime(ctx, ref, r.before); err != nil || ok {
					t.Errorf("an entry after the end, of %v; %v", at, err)
				}
				r.start = time.Now()
				rbd(t, "site-a", "bench --io-type write --io-size 4096 --io-total "+c.writes+" "+ref.String())
				r.end = time.Now()
				rounds = append(rounds, r)
			}
			for i, r := range rounds {
				at, ok, err := s.AppendTime(ctx, ref, r.before)
				must(t, err)
				if !ok || at.Before(r.start) || at.After(r.end) {
					t.Errorf("round %d: after %+v: %v, %v; want within %v to %v", i, r.before, at, ok, r.start, r.end)
				}
				n, ok, err := s.BytesAfter(ctx, ref, r.before)
				must(t, err)
				size := map[string]uint64{"256K": 256 << 10, "1M": 1 << 20}[c.writes]
				if written := uint64(len(rounds)-i) * size; !ok || n < written || n > written+written/16 {
					t.Errorf("round %d: %d bytes after the position, %v; %d were written", i, n, ok, written)
				}
			}
			if j := find(t, s, ref, replay.WithPositions).Journal; j.ActiveSet < c.sets {
				t.Errorf("the journal has only %d sets", j.ActiveSet)
			}
		})
	}
}

// end is the local client's newest commit position: the end of the journal
// once its writer has closed the image, a moment after which it is recorded.
func end(t *testing.T, s *ceph.Site, ref replay.ImageRef) replay.Position {
	t.Helper()
	for start := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		j := find(t, s, ref, replay.WithPositions).Journal
		local, ok := j.Client("")
		if !ok {
			t.Fatalf("no local client in %+v", j)
		}
		if position, ok := local.Newest(); ok {
			return position
		}
		if time.Since(start) > time.Minute {
			t.Fatalf("the local client has committed nothing: %+v", local)
		}
	}
}
