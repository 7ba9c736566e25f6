package orchestrator

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/drover-io/drover/replay"
)

// imageFile is an image in a sparse file.
type imageFile struct {
	file   *os.File
	size   uint64
	object uint64
}

var _ replay.Reader = (*imageFile)(nil)

// Size is in bytes.
func (f *imageFile) Size() uint64 { return f.size }

// ObjectSize is that of the image that the file was made of, in bytes.
func (f *imageFile) ObjectSize() uint64 { return f.object }

// Extents calls fn for what the file system has allocated; where it does not
// tell, that is all.
func (f *imageFile) Extents(ctx context.Context, fn func(replay.Extent) error) error {
	for at := int64(0); at < int64(f.size); {
		if err := ctx.Err(); err != nil {
			return err
		}
		begin, err := f.file.Seek(at, unix.SEEK_DATA)
		switch {
		case errors.Is(err, unix.ENXIO):
			return nil // only a hole is left
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
			return fn(replay.Extent{Offset: uint64(at), Length: f.size - uint64(at)})
		case err != nil:
			return err
		}
		end, err := f.file.Seek(begin, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if err := fn(replay.Extent{Offset: uint64(begin), Length: uint64(end - begin)}); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// ReadAt reads len(p) bytes, or fewer and io.EOF at the end.
func (f *imageFile) ReadAt(ctx context.Context, p []byte, offset uint64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return f.file.ReadAt(p, int64(offset))
}

// WriteAt writes all of p.
func (f *imageFile) WriteAt(ctx context.Context, p []byte, offset uint64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return f.file.WriteAt(p, int64(offset))
}

// Close closes the file.
func (f *imageFile) Close() error { return f.file.Close() }
