package orchestrator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/compare"
	"github.com/drover-io/drover/replay/parallel"
)

const (
	// copyPiece is what is read and written at a time, in bytes, at multiples of
	// itself: the usual size of an image's objects, so that each write is one
	// object's.
	copyPiece = 4 << 20
	// copyWorkers is how many pieces of one image are in the air.
	copyWorkers = 8
)

// copyTarget is where a copy goes.
type copyTarget interface {
	WriteAt(ctx context.Context, p []byte, offset uint64) (int, error)
}

// copyExtents copies what is allocated. The target must be empty: pieces that
// hold zeros only are left out. tell is called, from several goroutines, with
// the bytes of each piece that is done.
func copyExtents(ctx context.Context, from replay.Reader, to copyTarget, tell func(n uint64)) error {
	g, ctx := parallel.WithContext(ctx)
	pieces := make(chan replay.Extent)
	g.Go(func() error {
		defer close(pieces)
		return eachExtent(ctx, from, func(e replay.Extent) error {
			for e.Length > 0 {
				piece := replay.Extent{Offset: e.Offset, Length: min(e.Length, copyPiece-e.Offset%copyPiece)}
				select {
				case pieces <- piece:
				case <-ctx.Done():
					return ctx.Err()
				}
				e.Offset, e.Length = e.Offset+piece.Length, e.Length-piece.Length
			}
			return nil
		})
	})
	for range copyWorkers {
		g.Go(func() error {
			var buffer, zeros []byte // made by the first piece: small images have few
			for piece := range pieces {
				if buffer == nil {
					buffer, zeros = make([]byte, copyPiece), make([]byte, copyPiece)
				}
				data := buffer[:piece.Length]
				if err := readWhole(ctx, from, data, piece.Offset); err != nil {
					return err
				}
				if !bytes.Equal(data, zeros[:len(data)]) {
					if _, err := to.WriteAt(ctx, data, piece.Offset); err != nil {
						return err
					}
				}
				tell(piece.Length)
			}
			return nil
		})
	}
	return g.Wait()
}

// eachExtent calls fn for each allocated extent, as far as the image reaches.
func eachExtent(ctx context.Context, r replay.Reader, fn func(replay.Extent) error) error {
	size := r.Size()
	return r.Extents(ctx, func(e replay.Extent) error {
		if e.Offset >= size {
			return ctx.Err()
		}
		e.Length = min(e.Length, size-e.Offset)
		return fn(e)
	})
}

// allocated is the bytes of an image's allocated extents.
func allocated(ctx context.Context, r replay.Reader) (sum uint64, err error) {
	err = eachExtent(ctx, r, func(e replay.Extent) error {
		sum += e.Length
		return ctx.Err()
	})
	return sum, err
}

// readWhole fills p.
func readWhole(ctx context.Context, r replay.Reader, p []byte, offset uint64) error {
	for len(p) > 0 {
		n, err := r.ReadAt(ctx, p, offset)
		if n == len(p) {
			return nil
		}
		if err == nil && n == 0 || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("read at offset %d: %w", offset+uint64(max(n, 0)), err)
		}
		p, offset = p[n:], offset+uint64(n)
	}
	return nil
}

// copyMeter tells how far a copy is: first its writing, then its reading back,
// each half of the total.
type copyMeter struct {
	mu       sync.Mutex
	bytes    uint64 // to copy
	done     uint64
	progress func(done, total uint64)
}

func newCopyMeter(bytes uint64, progress func(done, total uint64)) *copyMeter {
	if progress == nil {
		progress = func(uint64, uint64) {}
	}
	return &copyMeter{bytes: bytes, progress: progress}
}

func (m *copyMeter) wrote(n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// An image that is written meanwhile can come to more than was estimated.
	m.done = min(m.done+n, m.bytes)
	m.progress(m.done, 2*m.bytes)
}

// compared is told of bytes of the whole image, holes included.
func (m *copyMeter) compared(done, total uint64) {
	share := 1.0
	if total > 0 {
		share = float64(done) / float64(total)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.progress(m.bytes+uint64(share*float64(m.bytes)), 2*m.bytes)
}

// newImage is an image to be made as the copy of something.
type newImage struct {
	ref     replay.ImageRef
	partial replay.ImageRef // its name until it is complete
	size    uint64
	object  uint64 // bytes
	// features of what it is a copy of
	features replay.Features
}

// copiedFeatures are those that a copy takes over. Without journaling it is not
// mirrored by a pool in pool mode.
const copiedFeatures = replay.FeatureLayering | replay.FeatureExclusiveLock | replay.FeatureObjectMap |
	replay.FeatureFastDiff | replay.FeatureDeepFlatten

// copyToImage makes an image that holds what the reader holds. The image has
// its name only when it is whole, equal and not mirrored; result tells whether
// it was equal.
func copyToImage(ctx context.Context, site Preserver, from replay.Reader, to newImage, meter *copyMeter) (result compare.Result, err error) {
	if err := removePartial(ctx, site, to.partial, partialPatience); err != nil {
		return result, err
	}
	spec := replay.ImageSpec{Size: to.size, ObjectSize: to.object, Features: to.features & copiedFeatures}
	if err := site.CreateImage(ctx, to.partial, spec); err != nil {
		return result, err
	}
	complete := false
	defer func() {
		if complete {
			return
		}
		// What cannot be removed now is removed by the next try.
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), partialCleanup)
		defer cancel()
		_ = removePartial(late, site, to.partial, 0)
	}()
	if err := fillImage(ctx, site, from, to.partial, meter); err != nil {
		return result, err
	}
	result, err = readBack(ctx, site, from, to.partial, meter)
	if err != nil || !result.Identical {
		return result, err
	}
	made, err := site.Image(ctx, to.partial)
	if err != nil {
		return result, err
	}
	if made.Mirrored() {
		return result, refusal("see drover status; mirroring of the pool takes up images without journaling", "the copy %s is mirrored", to.partial)
	}
	if err := site.RenameImage(ctx, to.partial, to.ref.Name); err != nil {
		// The answer may have been lost only.
		if now, look := site.Image(ctx, to.ref); look != nil || now.ID != made.ID {
			return result, err
		}
	}
	complete = true
	return result, nil
}

func fillImage(ctx context.Context, site Preserver, from replay.Reader, to replay.ImageRef, meter *copyMeter) (err error) {
	writer, err := site.OpenWriter(ctx, to)
	if err != nil {
		return err
	}
	defer func() { err = replay.OneLine(err, writer.Close()) }()
	if err := copyExtents(ctx, from, writer, meter.wrote); err != nil {
		return err
	}
	return writer.Flush(ctx)
}

func readBack(ctx context.Context, site Preserver, from replay.Reader, to replay.ImageRef, meter *copyMeter) (compare.Result, error) {
	made, err := site.OpenSnapshot(ctx, to, "")
	if err != nil {
		return compare.Result{}, err
	}
	result, err := compare.Compare(ctx, from, made, compare.Options{NameA: "the original", NameB: to.String(), Progress: meter.compared})
	return result, replay.OneLine(err, made.Close())
}

const (
	// partialPatience is how long a half copy may still be held by the one who
	// made it: the OSDs give up a dead client's watch after 30 s
	// (osd_client_watch_timeout).
	partialPatience = 45 * time.Second
	partialPause    = 2 * time.Second
	partialCleanup  = 10 * time.Second
)

// removePartial removes what an earlier try has left of a copy.
func removePartial(ctx context.Context, site Preserver, ref replay.ImageRef, patience time.Duration) error {
	left, err := site.Image(ctx, ref)
	if err != nil && !errors.Is(err, replay.ErrNotFound) {
		return err
	}
	// One that was not made whole (librbd had its id, and no header yet) is not
	// found, and keeps its name all the same (seen on 16.2.15, after a kill).
	if err == nil && left.Mirrored() {
		return refusal("disable mirroring of that image, or rename it", "%s, a half copy, is mirrored at %s", ref, site.Name())
	}
	began := time.Now()
	for {
		err := site.RemoveImage(ctx, ref)
		switch {
		case err == nil, errors.Is(err, replay.ErrNotFound):
			return nil
		case !retryable(err), time.Since(began) >= patience:
			return fmt.Errorf("remove a half copy: %w", err)
		}
		timer := time.NewTimer(partialPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("remove a half copy: %w (%w)", err, ctx.Err())
		}
	}
}

// cloneImage keeps a copy as an image.
func cloneImage(ctx context.Context, site Preserver, image *replay.Image, p Preserved, o preserveOrder, progress func(done, total uint64)) (result compare.Result, err error) {
	from, err := site.OpenSnapshot(ctx, image.Ref, "")
	if err != nil {
		return result, err
	}
	defer func() { err = replay.OneLine(err, from.Close()) }()
	needed, err := allocated(ctx, from)
	if err != nil {
		return result, err
	}
	if err := roomInPool(ctx, site, image.Ref.Pool.Name, needed, o.minFree); err != nil {
		return result, err
	}
	to, _ := p.Ref()
	return copyToImage(ctx, site, from, newImage{
		ref: to, partial: to.Image(to.Name + partialSuffix),
		size: from.Size(), object: from.ObjectSize(), features: image.Features,
	}, newCopyMeter(needed, progress))
}
