package compare

import (
	"bytes"
	"context"
	"io"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// work compares chunks until there are none. It owns its two buffers.
func (c *comparison) work(ctx context.Context, jobs <-chan job) error {
	var bufA, bufB []byte // made by the first job: small images leave most workers without one
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case j, ok := <-jobs:
			if !ok {
				return nil
			}
			if bufA == nil {
				bufA, bufB = make([]byte, c.a.within(0)), make([]byte, c.b.within(0)) // no chunk is longer
			}
			out, err := c.compareChunk(ctx, j, bufA, bufB)
			if err != nil {
				return err
			}
			j.done <- out
		}
	}
}

func (c *comparison) compareChunk(ctx context.Context, j job, bufA, bufB []byte) (outcome, error) {
	out := outcome{chunk: j.chunk}
	start := j.chunk * ChunkSize
	bufA = bufA[:c.a.within(start)]
	bufB = bufB[:c.b.within(start)]
	if known, ok := c.aheadA.known(j.chunk); ok && len(bufA) == len(bufB) {
		set := touched(start, j.b)
		var err error
		if out.readB, err = c.b.read(ctx, j.b, start, bufB, set); err != nil {
			return outcome{}, err
		}
		if out.digestA, out.digestB = known, digestChunk(bufB, set); out.digestB == known {
			return out, nil
		}
		// Where it differs, only both contents can tell.
	}
	set := touched(start, j.a) | touched(start, j.b)

	g, gctx := parallel.WithContext(ctx)
	g.Go(func() (err error) {
		out.readA, err = c.a.read(gctx, j.a, start, bufA, set)
		return err
	})
	g.Go(func() error {
		n, err := c.b.read(gctx, j.b, start, bufB, set)
		out.readB += n
		return err
	})
	if err := g.Wait(); err != nil {
		return outcome{}, err
	}

	out.digestA = digestChunk(bufA, set)
	both := min(len(bufA), len(bufB))
	at := firstDifference(bufA[:both], bufB[:both], set)
	if at == both && len(bufA) == len(bufB) {
		// The same bytes have the same digest: no need to hash them twice.
		out.digestB = out.digestA
		return out, nil
	}
	out.digestB = digestChunk(bufB, set)
	if at < both {
		out.differs, out.at = true, start+uint64(at)
		if c.tell != nil {
			out.ranges = differences(bufA[:both], bufB[:both], start, set)
		}
	}
	return out, nil
}

// within is how much of the chunk at the offset the side has.
func (s *source) within(start uint64) int {
	if start >= s.size {
		return 0
	}
	return int(min(s.size-start, ChunkSize))
}

// read fills the set's blocks of buf, which begins at start, with what the
// ranges hold, and zeros elsewhere. It answers with the bytes read.
func (s *source) read(ctx context.Context, ranges []replay.Extent, start uint64, buf []byte, set blocks) (uint64, error) {
	var total uint64
	settled := 0
	for _, r := range ranges {
		from := int(r.Offset - start)
		to := from + int(r.Length)
		set.clearBetween(buf, settled, from)
		if err := s.readFull(ctx, buf[from:to], r.Offset); err != nil {
			return total, err
		}
		total += r.Length
		settled = to
	}
	set.clearBetween(buf, settled, len(buf))
	return total, nil
}

func (s *source) readFull(ctx context.Context, p []byte, offset uint64) error {
	for len(p) > 0 {
		piece := p
		if s.limiter != nil {
			piece = p[:min(len(p), s.limiter.Burst())]
			if err := s.limiter.WaitN(ctx, len(piece)); err != nil {
				return s.readError(ctx, offset, err)
			}
		}
		n, err := s.reader.ReadAt(ctx, piece, offset)
		if n == len(piece) {
			err = nil // io.ReaderAt's way of saying that this was the end
		} else if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return s.readError(ctx, offset+uint64(max(n, 0)), err)
		}
		p, offset = p[n:], offset+uint64(n)
	}
	return nil
}

func (s *source) readError(ctx context.Context, offset uint64, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &SideError{Side: s.name, Op: opRead, Offset: offset, Err: err}
}

// firstDifference is the index of the first byte that differs within the set,
// or the length.
func firstDifference(a, b []byte, set blocks) int {
	for from, to := range set.runs(len(a)) {
		if bytes.Equal(a[from:to], b[from:to]) {
			continue
		}
		for i := from; i < to; i++ {
			if a[i] != b[i] {
				return i
			}
		}
	}
	return len(a)
}

// differenceUnit is how closely differences are told.
const differenceUnit = 4096

// differences are the ranges of the set in which the two differ; adjoining
// ones are one. Both begin at start.
func differences(a, b []byte, start uint64, set blocks) []replay.Extent {
	var found []replay.Extent
	for from, to := range set.runs(len(a)) {
		for at := from; at < to; {
			next := min((at/differenceUnit+1)*differenceUnit, to)
			if !bytes.Equal(a[at:next], b[at:next]) {
				last := len(found) - 1
				if last >= 0 && found[last].Offset+found[last].Length == start+uint64(at) {
					found[last].Length += uint64(next - at)
				} else {
					found = append(found, replay.Extent{Offset: start + uint64(at), Length: uint64(next - at)})
				}
			}
			at = next
		}
	}
	return found
}
