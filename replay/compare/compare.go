package compare

import (
	"context"
	"encoding/hex"
	"fmt"
	"sync"

	"golang.org/x/time/rate"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// ChunkSize is the unit of work and of the digest, in bytes. The digest
// depends on it: it is part of the format.
const ChunkSize = 4 << 20

// DefaultWorkers is how many chunks are in the air when Options does not say.
const DefaultWorkers = 8

// Options says how to compare. The zero value is usable.
type Options struct {
	// Workers is the number of chunks read and hashed at a time. Each holds two
	// buffers of ChunkSize.
	Workers int
	// BytesPerSecond bounds what is read from each side; 0 is no limit.
	BytesPerSecond int64
	// NameA and NameB name the sides in errors, such as the sites' names.
	NameA, NameB string
	// AheadA is what ReadAhead has found of the first reader; may be nil.
	AheadA *Ahead
	// Progress is told, now and then and from one goroutine at a time, how many
	// bytes of the image are settled, holes included, and how many there are.
	Progress func(done, total uint64)
	// Different is told, in order and from one goroutine, each range within the
	// size that both have in which the sides differ, to blocks of 4 KiB.
	Different func(replay.Extent)
}

// Digest is the SHA-256 that stands for a whole image: its size and its
// content, however it is allocated.
type Digest [32]byte

// String is the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText is the digest in hexadecimal.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Side is what was found of one reader.
type Side struct {
	Size      uint64 `json:"size"`       // bytes
	Allocated uint64 `json:"allocated"`  // bytes in allocated extents
	BytesRead uint64 `json:"bytes_read"` // bytes
	Digest    Digest `json:"digest"`
}

// Result is the outcome of a comparison.
type Result struct {
	Identical bool `json:"identical"`
	A         Side `json:"a"`
	B         Side `json:"b"`
	// FirstDifference is the offset of the first byte that differs; what lies
	// beyond the end of the smaller one differs. It is nil when Identical.
	FirstDifference *uint64 `json:"first_difference,omitempty"`
	// DifferentChunks counts the chunks of ChunkSize that differ within the
	// size that both have.
	DifferentChunks uint64 `json:"different_chunks"`
}

// SideError is a failure to read one side.
type SideError struct {
	Side   string // Options.NameA or NameB
	Op     string // "read" or "list extents"
	Offset uint64 // where, for a read
	Err    error
}

// Error names side, operation and offset.
func (e *SideError) Error() string {
	if e.Op == opRead {
		return fmt.Sprintf("%s: read at offset %d: %v", e.Side, e.Offset, e.Err)
	}
	return fmt.Sprintf("%s: %s: %v", e.Side, e.Op, e.Err)
}

// Unwrap gives the cause.
func (e *SideError) Unwrap() error { return e.Err }

const (
	opRead    = "read"
	opExtents = "list extents"
)

// Compare reads what is allocated in either reader and tells whether both hold
// the same bytes. A hole is equal to zeros. Sizes that differ are a difference,
// not an error; all of both sides is read all the same, so that the digests
// stand for the whole.
//
// The error is a *SideError, or ctx's.
func Compare(ctx context.Context, a, b replay.Reader, o Options) (Result, error) {
	c := newComparison(a, b, o)
	if err := c.run(ctx); err != nil {
		return Result{}, err
	}
	return c.result(), nil
}

// source is one side at work.
type source struct {
	name    string
	reader  replay.Reader
	size    uint64
	limiter *rate.Limiter // nil: unlimited
	batches chan batch

	allocated uint64 // owned by the goroutine that lists extents
	bytesRead uint64 // owned by the folding goroutine
	fold      fold
}

type comparison struct {
	a, b    *source
	aheadA  *Ahead // may be nil
	workers int
	report  func(done, total uint64)
	tell    func(replay.Extent) // of a difference; may be nil

	first     *uint64
	different uint64
}

func newComparison(a, b replay.Reader, o Options) *comparison {
	c := &comparison{
		a:       newSource(a, o.NameA, "a", o.BytesPerSecond),
		b:       newSource(b, o.NameB, "b", o.BytesPerSecond),
		aheadA:  o.AheadA,
		workers: o.Workers,
		report:  o.Progress,
		tell:    o.Different,
	}
	if c.workers <= 0 {
		c.workers = DefaultWorkers
	}
	if c.aheadA != nil {
		c.a.bytesRead = c.aheadA.bytesRead
	}
	if c.report == nil {
		c.report = func(uint64, uint64) {}
	}
	return c
}

func newSource(r replay.Reader, name, fallback string, bytesPerSecond int64) *source {
	s := &source{name: name, reader: r, size: r.Size(), batches: make(chan batch, 64)}
	if s.name == "" {
		s.name = fallback
	}
	if bytesPerSecond > 0 {
		// A quarter of a second's worth at once keeps small limits smooth; no
		// single read may be greater than the burst.
		burst := min(max(bytesPerSecond/4, 1), ChunkSize)
		s.limiter = rate.NewLimiter(rate.Limit(bytesPerSecond), int(burst))
	}
	s.fold.start(s.size)
	return s
}

// job is one chunk to compare, and the place where its outcome is awaited: the
// outcomes are folded in the order of the chunks.
type job struct {
	chunk uint64
	a, b  []replay.Extent
	done  chan outcome
}

// outcome is what became of one chunk.
type outcome struct {
	chunk        uint64
	digestA      chunkDigest
	digestB      chunkDigest
	readA, readB uint64
	differs      bool
	at           uint64          // offset of the first difference
	ranges       []replay.Extent // where it differs, if somebody wants to know
}

// run starts the goroutines: one a side lists extents, one joins the two lists
// into jobs, the workers read and hash, and one folds the outcomes in order.
func (c *comparison) run(ctx context.Context) error {
	g, ctx := parallel.WithContext(ctx)
	jobs := make(chan job)
	// The window bounds what waits for a slow chunk.
	inOrder := make(chan chan outcome, 4*c.workers)

	for _, s := range []*source{c.a, c.b} {
		g.Go(func() error { return s.list(ctx) })
	}
	g.Go(func() error { return c.dispatch(ctx, jobs, inOrder) })
	var workers sync.WaitGroup
	for range c.workers {
		workers.Add(1)
		g.Go(func() error {
			defer workers.Done()
			return c.work(ctx, jobs)
		})
	}
	g.Go(func() error { return c.gather(ctx, inOrder) })
	err := g.Wait()
	workers.Wait()
	return err
}

// gather takes the outcomes in the order of their chunks.
func (c *comparison) gather(ctx context.Context, inOrder <-chan chan outcome) error {
	total := max(c.a.size, c.b.size)
	for {
		var slot chan outcome
		var ok bool
		select {
		case <-ctx.Done():
			return ctx.Err()
		case slot, ok = <-inOrder:
		}
		if !ok {
			c.report(total, total)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case out := <-slot:
			c.take(out)
			c.report(min((out.chunk+1)*ChunkSize, total), total)
		}
	}
}

func (c *comparison) take(out outcome) {
	c.a.bytesRead += out.readA
	c.b.bytesRead += out.readB
	c.a.fold.add(out.chunk, out.digestA)
	c.b.fold.add(out.chunk, out.digestB)
	if !out.differs {
		return
	}
	c.different++
	if c.tell != nil {
		for _, r := range out.ranges {
			c.tell(r)
		}
	}
	if c.first == nil {
		c.first = &out.at
	}
}

func (c *comparison) result() Result {
	if smaller := min(c.a.size, c.b.size); c.a.size != c.b.size && c.first == nil {
		c.first = &smaller
	}
	return Result{
		Identical:       c.first == nil,
		A:               c.a.side(),
		B:               c.b.side(),
		FirstDifference: c.first,
		DifferentChunks: c.different,
	}
}

func (s *source) side() Side {
	return Side{Size: s.size, Allocated: s.allocated, BytesRead: s.bytesRead, Digest: s.fold.digest()}
}
