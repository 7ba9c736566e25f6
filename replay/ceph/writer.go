package ceph

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/drover-io/drover/replay"
)

// writer writes an open image. librbd takes the exclusive lock at the first
// write and gives it up when another client asks for it (its automatic policy).
type writer struct {
	*opened
	size uint64
}

var _ replay.Writer = (*writer)(nil)

// OpenWriter opens an image for writing. librbd opens a secondary too and fails
// its first write only; here that is ErrReadOnly at once.
func (s *Site) OpenWriter(ctx context.Context, ref replay.ImageRef) (replay.Writer, error) {
	w, err := openImage(ctx, s, opWrite, ref.Pool, ref.String(), func(io *rados.IOContext) (*rbd.Image, error) {
		return rbd.OpenImage(io, ref.Name, rbd.NoSnapshot)
	}, newWriter)
	if err != nil {
		return nil, err
	}
	return w, nil
}

func newWriter(o *opened) (*writer, error) {
	if err := writable(o.image); err != nil {
		return nil, err
	}
	size, err := o.image.GetSize()
	if err != nil {
		return nil, err
	}
	return &writer{opened: o, size: size}, nil
}

// writable complains of an image that is a secondary.
func writable(image *rbd.Image) error {
	info, err := image.GetMirrorImageInfo()
	if err != nil {
		return err
	}
	if info.State != rbd.MirrorImageDisabled && !info.Primary {
		return erofs
	}
	return nil
}

// writePiece is how much is handed to librbd at once: what a write that was
// given up still holds of memory.
const writePiece = 16 << 20

// WriteAt writes p, piece by piece. Each is copied, as a call that was given up
// still reads it.
//
// Before each it looks whether the image is still primary. librbd of 16.2.15
// takes the first write after a demotion as if nothing had happened where the
// image is mirrored by snapshots, and with a journal has EPERM for it; only a
// demotion at the very moment of the write goes unnoticed.
func (w *writer) WriteAt(ctx context.Context, p []byte, offset uint64) (int, error) {
	if offset > w.size || uint64(len(p)) > w.size-offset {
		return 0, w.site.refuse(w.op.name, w.object, replay.ErrInvalid,
			fmt.Sprintf("%d bytes at %d are beyond its end at %d", len(p), offset, w.size), "")
	}
	written := 0
	for written < len(p) {
		piece := slices.Clone(p[written:min(len(p), written+writePiece)])
		at := int64(offset) + int64(written)
		n, err := during(ctx, w.opened, func() (int, error) {
			if err := writable(w.image); err != nil {
				return 0, err
			}
			n, err := w.image.WriteAt(piece, at)
			if errors.Is(err, io.EOF) {
				err = &explained{is: replay.ErrInvalid, say: "it has become smaller since it was opened", err: einval}
			}
			return n, err
		})
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// Flush makes durable what was written.
func (w *writer) Flush(ctx context.Context) error {
	_, err := during(ctx, w.opened, func() (struct{}, error) {
		err := w.image.Flush()
		if isErrno(err, eperm) {
			// What a journal has for a demotion; caps have let it be opened.
			err = cmp.Or(writable(w.image), err)
		}
		return struct{}{}, err
	})
	return err
}

// RenameImage renames an image that is not mirrored: of one that is, the other
// sites' copies would be renamed, too.
func (s *Site) RenameImage(ctx context.Context, ref replay.ImageRef, name string) error {
	if name == "" {
		return s.refuse(opRename.name, ref.String(), replay.ErrInvalid, "the new name is empty", "")
	}
	_, err := inPool(ctx, s, opRename, ref.Pool, ref.String(), func(io *rados.IOContext) (struct{}, error) {
		image, err := rbd.OpenImageReadOnly(io, ref.Name, rbd.NoSnapshot)
		if err != nil {
			return struct{}{}, err
		}
		info, err := image.GetMirrorImageInfo()
		if closing := image.Close(); err == nil {
			err = closing
		}
		if err == nil && info.State != rbd.MirrorImageDisabled {
			err = &explained{is: replay.ErrInvalid, say: "it is mirrored", hint: "disable mirroring of the image first", err: einval}
		}
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, rbd.GetImage(io, ref.Name).Rename(name)
	})
	return err
}
