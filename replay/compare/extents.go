package compare

import (
	"context"
	"fmt"

	"github.com/drover-io/drover/replay"
)

// nearby is the hole that is rather read than stepped over: as a round trip to
// an OSD costs about as much as reading so many bytes.
const nearby = 64 << 10

// batch is what is to be read of one chunk of one side, in order.
type batch struct {
	chunk  uint64
	ranges []replay.Extent
}

// list cuts the side's extents at the borders of chunks and sends one batch
// for each chunk that holds any.
func (s *source) list(ctx context.Context) error {
	defer close(s.batches)
	var open batch
	var end uint64 // of the last extent
	flush := func() error {
		if len(open.ranges) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s.batches <- open:
			open.ranges = nil
			return nil
		}
	}
	err := s.reader.Extents(ctx, func(e replay.Extent) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.Offset < end {
			return fmt.Errorf("extent at %d begins before the one ahead of it ends, at %d", e.Offset, end)
		}
		if e.Offset >= s.size {
			return nil
		}
		// An extent may reach over the end: what is there is no content.
		length := min(e.Length, s.size-e.Offset)
		s.allocated += length
		end = e.Offset + length
		for offset := e.Offset; offset < end; {
			chunk := offset / ChunkSize
			stop := min(end, (chunk+1)*ChunkSize)
			if chunk != open.chunk {
				if err := flush(); err != nil {
					return err
				}
				open.chunk = chunk
			}
			open.ranges = appendRange(open.ranges, replay.Extent{Offset: offset, Length: stop - offset})
			offset = stop
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return &SideError{Side: s.name, Op: opExtents, Err: err}
	}
	return nil
}

func appendRange(ranges []replay.Extent, e replay.Extent) []replay.Extent {
	if n := len(ranges); n > 0 {
		last := &ranges[n-1]
		if e.Offset-(last.Offset+last.Length) <= nearby {
			last.Length = e.Offset + e.Length - last.Offset
			return ranges
		}
	}
	return append(ranges, e)
}

// dispatch joins the batches of both sides by chunk and hands the chunks out in
// order.
func (c *comparison) dispatch(ctx context.Context, jobs chan<- job, inOrder chan<- chan outcome) error {
	defer close(jobs)
	defer close(inOrder)
	headA, okA, err := c.a.next(ctx)
	if err != nil {
		return err
	}
	headB, okB, err := c.b.next(ctx)
	if err != nil {
		return err
	}
	for okA || okB {
		j := job{done: make(chan outcome, 1)}
		takeA := okA && (!okB || headA.chunk <= headB.chunk)
		takeB := okB && (!okA || headB.chunk <= headA.chunk)
		if takeA {
			j.chunk, j.a = headA.chunk, headA.ranges
			if headA, okA, err = c.a.next(ctx); err != nil {
				return err
			}
		}
		if takeB {
			j.chunk, j.b = headB.chunk, headB.ranges
			if headB, okB, err = c.b.next(ctx); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case inOrder <- j.done:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case jobs <- j:
		}
	}
	return nil
}

func (s *source) next(ctx context.Context) (batch, bool, error) {
	select {
	case <-ctx.Done():
		return batch{}, false, ctx.Err()
	case b, ok := <-s.batches:
		return b, ok, nil
	}
}
