package ceph

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/ceph/go-ceph/rbd"

	"github.com/drover-io/drover/replay"
)

// reader reads an open image or snapshot.
type reader struct {
	*opened
	size       uint64
	objectSize uint64
	fastDiff   bool
}

var _ replay.Reader = (*reader)(nil)

func newReader(o *opened) (*reader, error) {
	info, err := o.image.Stat()
	if err != nil {
		return nil, err
	}
	features, err := o.image.GetFeatures()
	if err != nil {
		return nil, err
	}
	return &reader{
		opened: o, size: info.Size, objectSize: info.Obj_size,
		fastDiff: replay.Features(features).Has(replay.FeatureFastDiff),
	}, nil
}

// Size is the image's or snapshot's size in bytes.
func (r *reader) Size() uint64 { return r.size }

// ObjectSize is the size of the RADOS objects that the image is cut into.
func (r *reader) ObjectSize() uint64 { return r.objectSize }

// ReadAt reads len(p) bytes, or fewer and io.EOF at the end. The bytes are read into a
// buffer of the call's own, as a call that was given up still writes to it.
func (r *reader) ReadAt(ctx context.Context, p []byte, offset uint64) (int, error) {
	if offset >= r.size {
		return 0, io.EOF
	}
	want := min(uint64(len(p)), r.size-offset)
	data, err := during(ctx, r.opened, func() ([]byte, error) {
		buffer := make([]byte, want)
		n, err := r.image.ReadAt(buffer, int64(offset))
		if errors.Is(err, io.EOF) {
			err = nil // a short read, which the caller sees
		}
		return buffer[:n], err
	})
	if err == nil && len(data) < len(p) {
		err = io.EOF
	}
	return copy(p, data), err
}

// Windows of an image in which its extents are looked for, so that a walk over
// a large image can be ended and holds few extents at a time.
const (
	coarseWindow = 64 << 30
	fineWindow   = 1 << 30
)

// Extents calls fn for each allocated extent, in order. With fast-diff the
// object map tells first which objects exist at all; only those are asked for
// what is in them.
func (r *reader) Extents(ctx context.Context, fn func(replay.Extent) error) error {
	var pending replay.Extent // grows while extents touch
	emit := func(e replay.Extent) error {
		if pending.Length > 0 && pending.Offset+pending.Length == e.Offset {
			pending.Length += e.Length
			return nil
		}
		last := pending
		pending = e
		if last.Length == 0 {
			return nil
		}
		return fn(last)
	}
	err := windows(replay.Extent{Length: r.size}, coarseWindow, func(w replay.Extent) error {
		existing := []replay.Extent{w}
		if r.fastDiff {
			var err error
			if existing, err = r.diff(ctx, w, rbd.EnableWholeObject); err != nil {
				return err
			}
		}
		for _, e := range existing {
			err := windows(e, fineWindow, func(w replay.Extent) error {
				extents, err := r.diff(ctx, w, rbd.DisableWholeObject)
				if err != nil {
					return err
				}
				for _, e := range extents {
					if err := emit(e); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && pending.Length > 0 {
		err = fn(pending)
	}
	return err
}

// windows cuts an extent into pieces of at most size bytes.
func windows(e replay.Extent, size uint64, fn func(replay.Extent) error) error {
	for e.Length > 0 {
		w := replay.Extent{Offset: e.Offset, Length: min(size, e.Length)}
		if err := fn(w); err != nil {
			return err
		}
		e.Offset += w.Length
		e.Length -= w.Length
	}
	return nil
}

// diff lists what is allocated in a window, in order and merged.
func (r *reader) diff(ctx context.Context, w replay.Extent, whole rbd.DiffWholeObject) ([]replay.Extent, error) {
	return during(ctx, r.opened, func() ([]replay.Extent, error) {
		var (
			mu      sync.Mutex // librbd may call back from any of its threads
			extents []replay.Extent
		)
		err := r.image.DiffIterate(rbd.DiffIterateConfig{
			SnapName: rbd.NoSnapshot, Offset: w.Offset, Length: w.Length,
			IncludeParent: rbd.IncludeParent, WholeObject: whole,
			Callback: func(offset, length uint64, exists int, _ any) int {
				if exists != 0 {
					mu.Lock()
					extents = append(extents, replay.Extent{Offset: offset, Length: length})
					mu.Unlock()
				}
				return 0
			},
		})
		if err != nil {
			return nil, err
		}
		return merge(extents), nil
	})
}

// merge sorts extents and joins those that touch or overlap.
func merge(extents []replay.Extent) []replay.Extent {
	slices.SortFunc(extents, func(a, b replay.Extent) int { return cmp.Compare(a.Offset, b.Offset) })
	var merged []replay.Extent
	for _, e := range extents {
		if n := len(merged); n > 0 && e.Offset <= merged[n-1].Offset+merged[n-1].Length {
			end := max(merged[n-1].Offset+merged[n-1].Length, e.Offset+e.Length)
			merged[n-1].Length = end - merged[n-1].Offset
			continue
		}
		merged = append(merged, e)
	}
	return merged
}
