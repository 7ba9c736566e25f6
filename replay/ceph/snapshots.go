package ceph

import (
	"context"
	"slices"
	"strings"

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

// cloneFormat is the format of clones of which the parent snapshot needs no
// protection (librbd: RBD_IMAGE_OPTION_CLONE_FORMAT).
const cloneFormat = 2

// cloneFeatures are those of a clone: never journaling, by which a pool in pool mode
// would mirror it.
const cloneFeatures = replay.FeatureLayering | replay.FeatureExclusiveLock | replay.FeatureObjectMap |
	replay.FeatureFastDiff | replay.FeatureDeepFlatten

// CloneSnapshot makes a clone of a user snapshot (rbd_clone3).
func (s *Site) CloneSnapshot(ctx context.Context, ref replay.ImageRef, snapshot string, clone replay.ImageRef) error {
	_, err := inPool(ctx, s, opClone, ref.Pool, ref.String()+"@"+snapshot, func(io *rados.IOContext) (struct{}, error) {
		var none struct{}
		to, err := s.ioctx(clone.Pool)
		if err != nil {
			return none, err
		}
		options := rbd.NewRbdImageOptions()
		defer options.Destroy()
		if err := options.SetUint64(rbd.ImageOptionFormat, 2); err != nil {
			return none, err
		}
		if err := options.SetUint64(rbd.ImageOptionCloneFormat, cloneFormat); err != nil {
			return none, err
		}
		if err := options.SetUint64(rbd.ImageOptionFeatures, uint64(cloneFeatures)); err != nil {
			return none, err
		}
		return none, rbd.CloneImage(io, ref.Name, snapshot, to, clone.Name, options)
	})
	return err
}

// mirrorSnapshots begins the names of mirroring's own snapshots
// (librbd/mirror/snapshot/Utils.cc). librbd opens none of them by name, as they are
// in a namespace of their own.
const mirrorSnapshots = ".mirror."

// openMirrorSnapshot opens a mirror snapshot by its id.
func openMirrorSnapshot(io *rados.IOContext, name, snapshot string) (*rbd.Image, error) {
	image, err := rbd.OpenImageReadOnly(io, name, rbd.NoSnapshot)
	if err != nil {
		return nil, err
	}
	snaps, err := image.GetSnapshotNames()
	if err == nil {
		at := slices.IndexFunc(snaps, func(i rbd.SnapInfo) bool { return i.Name == snapshot })
		if at < 0 {
			err = enoent
		} else {
			err = image.SetSnapByID(snaps[at].Id)
		}
	}
	if err != nil {
		_ = image.Close() // the first error is the one to tell
		return nil, err
	}
	return image, nil
}

// OpenSnapshot opens a snapshot for reading; "" is the image's head.
func (s *Site) OpenSnapshot(ctx context.Context, ref replay.ImageRef, snapshot string) (replay.Reader, error) {
	object := ref.String()
	if snapshot != "" {
		object += "@" + snapshot
	}
	r, err := openImage(ctx, s, opRead, ref.Pool, object, func(io *rados.IOContext) (*rbd.Image, error) {
		if strings.HasPrefix(snapshot, mirrorSnapshots) {
			return openMirrorSnapshot(io, ref.Name, snapshot)
		}
		return rbd.OpenImageReadOnly(io, ref.Name, snapshot)
	}, newReader)
	if err != nil {
		return nil, err
	}
	return r, nil
}
