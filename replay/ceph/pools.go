package ceph

import (
	"context"
	"fmt"
	"slices"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/drover-io/drover/replay"
)

// ListPools names all pools of the cluster, sorted.
func (s *Site) ListPools(ctx context.Context) ([]string, error) {
	return call(ctx, s, opListPools, "", func() ([]string, error) {
		// The list comes from this client's own map, which may be old.
		if err := s.conn.WaitForLatestOSDMap(); err != nil {
			return nil, err
		}
		pools, err := s.conn.ListPools()
		slices.Sort(pools)
		return pools, err
	})
}

// Namespaces names the RADOS namespaces of a pool that were made for RBD.
func (s *Site) Namespaces(ctx context.Context, pool string) ([]string, error) {
	return inPool(ctx, s, opNamespaces, replay.Pool{Name: pool}, pool, func(io *rados.IOContext) ([]string, error) {
		names, err := rbd.NamespaceList(io)
		slices.Sort(names)
		return names, err
	})
}

// CreateNamespace makes a namespace; one that exists is no error.
func (s *Site) CreateNamespace(ctx context.Context, pool replay.Pool) error {
	if pool.Namespace == "" {
		return s.refuse(opNewSpace.name, pool.String(), replay.ErrInvalid, "it has no name", "")
	}
	_, err := inPool(ctx, s, opNewSpace, replay.Pool{Name: pool.Name}, pool.String(), func(io *rados.IOContext) (struct{}, error) {
		err := rbd.NamespaceCreate(io, pool.Namespace)
		if isErrno(err, eexist) {
			err = nil
		}
		return struct{}{}, err
	})
	return err
}

// SiteName is the name by which mirroring knows this cluster; Ceph answers
// with the fsid while none is set.
func (s *Site) SiteName(ctx context.Context) (string, error) {
	return call(ctx, s, opSiteName, "", func() (string, error) { return rbd.GetMirrorSiteName(s.conn) })
}

// SetSiteName sets the name by which mirroring knows this cluster.
func (s *Site) SetSiteName(ctx context.Context, name string) error {
	return do(ctx, s, opSetName, name, func() error { return rbd.SetMirrorSiteName(s.conn, name) })
}

var poolModes = map[replay.PoolMode]rbd.MirrorMode{
	replay.PoolDisabled: rbd.MirrorModeDisabled,
	replay.PoolImage:    rbd.MirrorModeImage,
	replay.PoolPool:     rbd.MirrorModePool,
}

// PoolMirroring reads mode, mirror uuid and peers. A namespace has a mode and a
// mirror uuid of its own, but its pool's peers: rbd-mirror looks for them there
// only (tools/rbd_mirror/Mirror.cc).
func (s *Site) PoolMirroring(ctx context.Context, pool replay.Pool) (replay.PoolMirroring, error) {
	return inPool(ctx, s, opPoolInfo, pool, pool.String(), func(io *rados.IOContext) (replay.PoolMirroring, error) {
		var p replay.PoolMirroring
		mode, err := rbd.GetMirrorMode(io)
		if err != nil {
			return p, err
		}
		for name, m := range poolModes {
			if m == mode {
				p.Mode = name
			}
		}
		if p.Mode == "" {
			return p, fmt.Errorf("unknown mirroring mode %d", mode)
		}
		if p.Mode == replay.PoolDisabled {
			return p, nil
		}
		if p.UUID, err = mirrorUUID(io); err != nil {
			return p, err
		}
		whole, err := s.ioctx(replay.Pool{Name: pool.Name})
		if err != nil {
			return p, err
		}
		p.Peers, err = listPeers(whole)
		return p, err
	})
}

// mirrorUUID is the pool's; go-ceph may leave the terminating zero in it.
func mirrorUUID(io *rados.IOContext) (string, error) {
	uuid, err := rbd.GetMirrorUUID(io)
	if err != nil {
		return "", err
	}
	for i := range len(uuid) {
		if uuid[i] == 0 {
			return uuid[:i], nil
		}
	}
	return uuid, nil
}

// SetPoolMode enables, changes or disables mirroring of a pool.
func (s *Site) SetPoolMode(ctx context.Context, pool replay.Pool, mode replay.PoolMode) error {
	m, ok := poolModes[mode]
	if !ok {
		return s.refuse(opPoolMode.name, pool.String(), replay.ErrInvalid, fmt.Sprintf("there is no mode %q", mode), "")
	}
	_, err := inPool(ctx, s, opPoolMode, pool, pool.String(), func(io *rados.IOContext) (struct{}, error) {
		return struct{}{}, rbd.SetMirrorMode(io, m)
	})
	return err
}
