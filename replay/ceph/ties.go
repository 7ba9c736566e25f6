package ceph

import (
	"context"
	"slices"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/drover-io/drover/replay"
)

// Ties lists the clones of all snapshots of an image (rbd_list_children3), and
// its protected snapshots, both sorted.
func (s *Site) Ties(ctx context.Context, ref replay.ImageRef) (replay.Ties, error) {
	return inPool(ctx, s, opTies, ref.Pool, ref.String(), func(io *rados.IOContext) (replay.Ties, error) {
		image, err := rbd.OpenImageReadOnly(io, ref.Name, rbd.NoSnapshot)
		if err != nil {
			return replay.Ties{}, err
		}
		ties, err := tiesOf(image)
		if closing := image.Close(); err == nil {
			err = closing
		}
		return ties, err
	})
}

func tiesOf(image *rbd.Image) (ties replay.Ties, err error) {
	children, err := image.ListChildrenAttributes()
	if err != nil {
		return ties, err
	}
	for _, c := range children {
		name := replay.Pool{Name: c.PoolName, Namespace: c.PoolNamespace}.Image(c.ImageName).String()
		if c.Trash {
			name += " (in the trash)"
		}
		ties.Clones = append(ties.Clones, name)
	}
	slices.Sort(ties.Clones)
	snapshots, err := image.GetSnapshotNames()
	if err != nil {
		return ties, err
	}
	for _, snapshot := range snapshots {
		protected, err := image.GetSnapshot(snapshot.Name).IsProtected()
		switch {
		case isErrno(err, enoent): // of mirroring, or gone meanwhile
		case err != nil:
			return ties, err
		case protected:
			ties.Protected = append(ties.Protected, snapshot.Name)
		}
	}
	slices.Sort(ties.Protected)
	return ties, nil
}
