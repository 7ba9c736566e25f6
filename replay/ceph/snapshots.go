package ceph

import (
	"context"
	"slices"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/drover-io/drover/replay"
)

// CreateSnapshot takes a user snapshot; ErrExists when there is one of that
// name.
func (s *Site) CreateSnapshot(ctx context.Context, ref replay.ImageRef, name string) error {
	_, err := inPool(ctx, s, opNewSnap, ref.Pool, ref.String(), func(io *rados.IOContext) (struct{}, error) {
		return struct{}{}, createSnapshot(io, ref.Name, name)
	})
	return err
}

// RemoveSnapshot removes a user snapshot; one that is gone is no error.
func (s *Site) RemoveSnapshot(ctx context.Context, ref replay.ImageRef, name string) error {
	return s.onImage(ctx, opDropSnap, ref, func(_ *rados.IOContext, image *rbd.Image) error {
		snaps, err := image.GetSnapshotNames()
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(snaps, func(i rbd.SnapInfo) bool { return i.Name == name }) {
			return nil
		}
		err = image.GetSnapshot(name).Remove()
		if isErrno(err, enoent) {
			return nil
		}
		return err
	})
}

// OpenSnapshot opens a snapshot for reading; "" is the image's head.
func (s *Site) OpenSnapshot(ctx context.Context, ref replay.ImageRef, snapshot string) (replay.Reader, error) {
	object := ref.String()
	if snapshot != "" {
		object += "@" + snapshot
	}
	r, err := openImage(ctx, s, opRead, ref.Pool, object, func(io *rados.IOContext) (*rbd.Image, error) {
		return rbd.OpenImageReadOnly(io, ref.Name, snapshot)
	}, newReader)
	if err != nil {
		return nil, err
	}
	return r, nil
}
