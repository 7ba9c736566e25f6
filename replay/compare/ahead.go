package compare

import (
	"context"
	"sync"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// aheadMost is how many chunks are read ahead at most: those of 256 GiB, whose
// digests take a few megabytes.
const aheadMost = 1 << 16

// Ahead is the digests of some chunks of one reader, made before the other
// reader was there to be compared with.
type Ahead struct {
	chunks    map[uint64]chunkDigest
	bytesRead uint64
}

// ReadAhead reads and hashes what is allocated in a reader, until all of it is
// done, until enough is closed, or until ctx ends; what has begun by the time
// enough is closed is finished. With the result as [Options.AheadA], Compare
// reads of that side only what was not reached, and what differs.
//
// Of the options, Workers, BytesPerSecond and NameA are heeded. An error ends
// it, and is not told: Compare meets it again.
func ReadAhead(ctx context.Context, enough <-chan struct{}, a replay.Reader, o Options) *Ahead {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := newComparison(a, a, o)
	var (
		group parallel.Group
		mu    sync.Mutex
		ahead = &Ahead{chunks: make(map[uint64]chunkDigest)}
	)
	group.Go(func() {
		if c.a.list(ctx) != nil {
			cancel()
		}
	})
	var workers parallel.Group
	for range c.workers {
		workers.Go(func() {
			buf := make([]byte, ChunkSize)
			for {
				select { // no more is begun, even where there is more
				case <-enough:
					return
				default:
				}
				select {
				case <-enough:
					return
				case <-ctx.Done():
					return
				case b, ok := <-c.a.batches:
					if !ok {
						return
					}
					start := b.chunk * ChunkSize
					content, set := buf[:c.a.within(start)], touched(start, b.ranges)
					n, err := c.a.read(ctx, b.ranges, start, content, set)
					if err != nil {
						cancel()
						return
					}
					digest := digestChunk(content, set)
					mu.Lock()
					ahead.chunks[b.chunk] = digest
					ahead.bytesRead += n
					full := len(ahead.chunks) >= aheadMost
					mu.Unlock()
					if full {
						return
					}
				}
			}
		})
	}
	workers.Wait()
	cancel() // the listing has nobody left to list for
	group.Wait()
	return ahead
}

// known is what was found of a chunk ahead of the comparison.
func (a *Ahead) known(chunk uint64) (d chunkDigest, ok bool) {
	if a == nil {
		return d, false
	}
	d, ok = a.chunks[chunk]
	return d, ok
}
