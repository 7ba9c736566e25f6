package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"
	"golang.org/x/sync/errgroup"
)

const (
	// lagWriters is how many of the drilled images are written meanwhile.
	lagWriters = 20
	// lagRounds is how often it is measured with a drill and without, in turn.
	lagRounds = 8
	// markLimit is how long a mark may take.
	markLimit = time.Minute
)

// lagOfDrills writes marks into images that are being drilled, and times each until it
// is in the copy at the secondary: with a drill at work and without, in turn, so that
// whatever else the machine does meets both.
func (b *bench) lagOfDrills(ctx context.Context, plan, pool string, images []string) (Row, error) {
	var quiet, drilling lagSum
	var into atomic.Pointer[lagSum] // nil: what is written now does not count
	writing, stop := context.WithCancel(ctx)
	defer stop()
	g, writing := errgroup.WithContext(writing)
	for _, image := range images[:lagWriters] {
		g.Go(func() error { return b.markAll(writing, pool, image, &into) })
	}
	err := func() error {
		settle := 5 * time.Second
		if !sleep(writing, settle) {
			return writing.Err()
		}
		for range lagRounds {
			into.Store(&drilling)
			cost, err := b.droverRun(writing, "drill", plan)
			into.Store(nil)
			if err != nil {
				return err
			}
			if !sleep(writing, settle) {
				return writing.Err()
			}
			into.Store(&quiet)
			awake := sleep(writing, cost.wall)
			into.Store(nil)
			if !awake {
				return writing.Err()
			}
		}
		return nil
	}()
	stop()
	if failed := g.Wait(); failed != nil && !errors.Is(failed, context.Canceled) {
		err = failed
	}
	if err != nil {
		return Row{}, err
	}
	return ratio("lag of replay during a drill", "quiet", drilling.mean(), quiet.mean(), 1.10, fmt.Sprintf(
		"peer: without a drill; mean time of %d marks, and of %d without, from the write in one of %d drilled images to the copy; %d drills",
		drilling.count(), quiet.count(), lagWriters, lagRounds)), nil
}

// sleep reports whether it slept to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// lagSum sums up how long marks took.
type lagSum struct {
	mu  sync.Mutex
	sum time.Duration
	n   int
}

func (l *lagSum) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sum += d
	l.n++
}

func (l *lagSum) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

func (l *lagSum) mean() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sum / time.Duration(max(l.n, 1))
}

// markAll writes one mark after another into an image, and awaits each.
func (b *bench) markAll(ctx context.Context, pool, name string, into *atomic.Pointer[lagSum]) error {
	return withPool(b.a, pool, func(there *rados.IOContext) error {
		return withPool(b.b, pool, func(here *rados.IOContext) (err error) {
			object, err := secondObject(here, name)
			if err != nil {
				return err
			}
			img, err := rbd.OpenImage(there, name, rbd.NoSnapshot)
			if err != nil {
				return fmt.Errorf("open %s: %w", name, err)
			}
			defer func() { err = errors.Join(err, img.Close()) }()
			for mark := uint64(1); ; mark++ {
				// Not in step with anything.
				if !sleep(ctx, rand.N(time.Second)) { //nolint:gosec // no secret
					return ctx.Err()
				}
				sum, began := into.Load(), time.Now()
				block := binary.LittleEndian.AppendUint64(nil, mark)
				if _, err := img.WriteAt(block, 4<<20); err != nil {
					return fmt.Errorf("write to %s: %w", name, err)
				}
				took, err := awaitMark(ctx, here, object, mark, began)
				if err != nil {
					return err
				}
				if sum != nil {
					sum.add(took)
				}
			}
		})
	})
}

// secondObject names the object of an image in which its fifth MiB begins.
func secondObject(ioctx *rados.IOContext, name string) (string, error) {
	img, err := rbd.OpenImageReadOnly(ioctx, name, rbd.NoSnapshot)
	if err != nil {
		return "", fmt.Errorf("open the copy of %s: %w", name, err)
	}
	info, err := img.Stat()
	if err := errors.Join(err, img.Close()); err != nil {
		return "", err
	}
	return info.Block_name_prefix + ".0000000000000001", nil
}

// awaitMark reads the object of the copy until the mark is there.
func awaitMark(ctx context.Context, ioctx *rados.IOContext, object string, mark uint64, began time.Time) (time.Duration, error) {
	block := make([]byte, 8)
	for {
		n, err := ioctx.Read(object, block, 0)
		if err != nil && !errors.Is(err, rados.ErrNotFound) {
			return 0, fmt.Errorf("read %s: %w", object, err)
		}
		took := time.Since(began)
		if n == len(block) && binary.LittleEndian.Uint64(block) >= mark {
			return took, nil
		}
		if took > markLimit {
			return 0, fmt.Errorf("a mark has not come within %s", markLimit)
		}
		if !sleep(ctx, 20*time.Millisecond) {
			return 0, ctx.Err()
		}
	}
}
