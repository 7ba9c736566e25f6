package ceph

import (
	"bytes"
	"context"
	"time"

	"github.com/ceph/go-ceph/rados"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph/cls"
)

// halfMadeAge is how long what looks half-made must lie unchanged before it is
// taken as left behind: one who is at work goes on within milliseconds.
const halfMadeAge = 5 * time.Second

// clearHalfMade takes away the object with which librbd begins to make an image
// (rbd_id.NAME; librbd/image/CreateRequest.cc), if its maker has died right behind
// it, or if one who removed the image has died right before it: no directory lists
// such an image and nothing can open it, but no other can get its name. It answers
// whether it did so.
func (s *Site) clearHalfMade(ctx context.Context, ref replay.ImageRef) (bool, error) {
	look := func() ([]byte, error) {
		return inPool(ctx, s, opCreate, ref.Pool, ref.String(), func(io *rados.IOContext) ([]byte, error) { return halfMade(io, ref.Name) })
	}
	first, err := look()
	if err != nil || first == nil {
		return false, err
	}
	select {
	case <-ctx.Done():
		return false, nil
	case <-time.After(halfMadeAge):
	}
	second, err := look()
	if err != nil || !bytes.Equal(first, second) {
		return false, err
	}
	return inPool(ctx, s, opCreate, ref.Pool, ref.String(), func(io *rados.IOContext) (bool, error) {
		op := rados.CreateWriteOp()
		defer op.Release()
		op.CmpExt(first, 0)
		op.Remove()
		err := op.Operate(io, idObject(ref.Name), rados.OperationNoFlag)
		return err == nil, err
	})
}

// halfMade reads the id object of an image of which there is nothing else; nil if
// there is more of it, or not even that.
func halfMade(io *rados.IOContext, name string) ([]byte, error) {
	value, err := readObject(io, idObject(name), make([]byte, maxName), 0)
	if isErrno(err, enoent) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	id, err := cls.DecodeString(value)
	if err != nil {
		return nil, err
	}
	listed, err := readOmapKeys(io, cls.DirectoryObject, []string{cls.NameKey + name, cls.IDKey + id})
	if err != nil && !isErrno(err, enoent) {
		return nil, err
	}
	if len(listed) > 0 {
		return nil, nil
	}
	if _, err := io.Stat(cls.HeaderObject(id)); !isErrno(err, enoent) {
		return nil, err
	}
	return value, nil
}
