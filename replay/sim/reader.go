package sim

import (
	"context"
	"slices"

	"github.com/drover-io/drover/replay"
)

// snapshotReader reads a snapshot, or the head as it is at each call.
type snapshotReader struct {
	site   *Site
	ref    replay.ImageRef
	id     string    // of the image that was opened
	snap   *snapshot // nil: the head
	size   uint64
	object uint64
}

var _ replay.Reader = (*snapshotReader)(nil)

// OpenSnapshot opens a snapshot, or with "" the head, for reading.
func (s *Site) OpenSnapshot(ctx context.Context, ref replay.ImageRef, name string) (r replay.Reader, err error) {
	err = s.image(ctx, "OpenSnapshot", ref, func(_ *cluster, _ *namespace, i *image) error {
		out := &snapshotReader{site: s, ref: ref, id: i.ID, size: i.Size, object: i.ObjectSize}
		if name != "" {
			at := slices.IndexFunc(i.Snaps, func(sn *snapshot) bool { return sn.Name == name })
			if at < 0 {
				return fail(enoent, "snapshot %s does not exist", name)
			}
			out.snap = i.Snaps[at]
			out.snap.Content.share()
			out.size = out.snap.Size
		}
		r = out
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Size is in bytes.
func (r *snapshotReader) Size() uint64 { return r.size }

// ObjectSize is in bytes.
func (r *snapshotReader) ObjectSize() uint64 { return r.object }

// Close ends reading.
func (r *snapshotReader) Close() error { return nil }

// Extents calls fn for each allocated extent.
func (r *snapshotReader) Extents(ctx context.Context, fn func(replay.Extent) error) error {
	var extents []replay.Extent
	err := r.held(ctx, "Extents", func(c *content) { extents = c.extents(r.size) })
	for _, e := range extents {
		if err != nil {
			break
		}
		err = fn(e)
	}
	return err
}

// ReadAt reads len(p) bytes, or fewer at the end.
func (r *snapshotReader) ReadAt(ctx context.Context, p []byte, offset uint64) (int, error) {
	if offset >= r.size {
		return 0, nil
	}
	want := p[:min(uint64(len(p)), r.size-offset)]
	if err := r.held(ctx, "ReadAt", func(c *content) { c.read(want, offset) }); err != nil {
		return 0, err
	}
	return len(want), nil
}

// held gives f what the reader reads, as long as that still exists.
func (r *snapshotReader) held(ctx context.Context, op string, f func(*content)) error {
	return r.site.image(ctx, op, r.ref, func(_ *cluster, _ *namespace, i *image) error {
		switch {
		case i.ID != r.id || r.snap != nil && !slices.Contains(i.Snaps, r.snap):
			return fail(enoent, "what was opened has been removed")
		case r.snap != nil:
			f(r.snap.Content)
		default:
			f(i.Content)
		}
		return nil
	})
}

// Write writes to an image as a client of its site does. It fails with
// [replay.ErrReadOnly] on an image that is not primary.
func (w *World) Write(site string, ref replay.ImageRef, offset uint64, data []byte) error {
	return w.Site(site).outside(ref, func(c *cluster, n *namespace, i *image) error {
		return w.write(c.pool(ref.Pool.Name), n, i, offset, data)
	})
}

// write is a client's write, whoever it is.
func (w *World) write(p *pool, n *namespace, i *image, offset uint64, data []byte) error {
	if offset > i.Size || uint64(len(data)) > i.Size-offset {
		return fail(einval, "write beyond the end of the image")
	}
	if i.readOnly(n) {
		return fail(erofs, "image is not primary")
	}
	if p.Quota > 0 && p.used()+uint64(len(data)) > p.Quota {
		return fail(enospc, "pool quota is reached")
	}
	i.Content = i.Content.write(offset, data)
	if i.Journal != nil {
		i.Journal.append(entry{At: w.state.Now, Kind: kindWrite, Offset: offset, Data: slices.Clone(data)})
	}
	return nil
}

// used is what the heads of a pool's images hold, in bytes.
func (p *pool) used() uint64 {
	var sum int64
	for _, n := range p.Spaces {
		for _, i := range n.Images {
			sum += i.Content.bytes()
		}
	}
	return uint64(sum)
}
