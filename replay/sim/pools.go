package sim

import (
	"context"
	"slices"

	"github.com/drover-io/drover/replay"
)

// Name is the site's name in the plan.
func (s *Site) Name() string { return s.name }

// Close lets go of the handle; the world stays.
func (s *Site) Close() error { return nil }

// Abandoned is the number of calls that were given up and still hang.
func (s *Site) Abandoned() int {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if c := s.w.site(s.name); c != nil {
		return c.abandoned
	}
	return 0
}

// Open connects, as replay/ceph.Open does: it fails where the site cannot be
// reached.
func (s *Site) Open(ctx context.Context) error {
	return s.do(ctx, "Open", "", func(*cluster) error { return nil })
}

// Identity answers with fsid and release.
func (s *Site) Identity(ctx context.Context) (id replay.Identity, err error) {
	err = s.do(ctx, "Identity", "", func(c *cluster) error {
		id = replay.Identity{FSID: c.FSID, Release: c.Release}
		return nil
	})
	return id, err
}

// ListPools names all pools.
func (s *Site) ListPools(ctx context.Context) (names []string, err error) {
	err = s.do(ctx, "ListPools", "", func(c *cluster) error {
		for _, p := range c.Pools {
			names = append(names, p.Name)
		}
		slices.Sort(names)
		return nil
	})
	return names, err
}

// Namespaces names a pool's namespaces but the default one.
func (s *Site) Namespaces(ctx context.Context, pool string) (names []string, err error) {
	err = s.do(ctx, "Namespaces", pool, func(c *cluster) error {
		if _, err := c.mustSpace(replay.Pool{Name: pool}); err != nil {
			return err
		}
		for _, n := range c.pool(pool).Spaces[1:] {
			names = append(names, n.Name)
		}
		slices.Sort(names)
		return nil
	})
	return names, err
}

// CreateNamespace makes a namespace unless it exists.
func (s *Site) CreateNamespace(ctx context.Context, pool replay.Pool) error {
	return s.do(ctx, "CreateNamespace", pool.String(), func(c *cluster) error {
		if _, err := c.mustSpace(replay.Pool{Name: pool.Name}); err != nil {
			return err
		}
		if pool.Namespace == "" {
			return fail(einval, "a namespace needs a name")
		}
		if c.space(pool) == nil {
			p := c.pool(pool.Name)
			p.Spaces = append(p.Spaces, newNamespace(pool.Namespace))
			p.link()
		}
		return nil
	})
}

// SiteName is the name set for mirroring, or the fsid.
func (s *Site) SiteName(ctx context.Context) (name string, err error) {
	err = s.do(ctx, "SiteName", "", func(c *cluster) error {
		name = c.knownAs()
		return nil
	})
	return name, err
}

// SetSiteName names the cluster for mirroring.
func (s *Site) SetSiteName(ctx context.Context, name string) error {
	return s.do(ctx, "SetSiteName", name, func(c *cluster) error {
		c.SiteName = name
		return nil
	})
}

// PoolMirroring reads mode, mirror uuid and peers.
func (s *Site) PoolMirroring(ctx context.Context, pool replay.Pool) (m replay.PoolMirroring, err error) {
	err = s.do(ctx, "PoolMirroring", pool.String(), func(c *cluster) error {
		n, err := c.mustSpace(pool)
		if err != nil {
			return err
		}
		m.Mode = n.Mode
		if m.Mode == replay.PoolDisabled {
			return nil
		}
		m.UUID = n.uuid()
		for _, p := range n.outer().Peers {
			m.Peers = append(m.Peers, p.shown())
		}
		return nil
	})
	return m, err
}

// SetPoolMode enables, changes or disables mirroring of a pool.
func (s *Site) SetPoolMode(ctx context.Context, pool replay.Pool, mode replay.PoolMode) error {
	return s.do(ctx, "SetPoolMode", pool.String(), func(c *cluster) error {
		n, err := c.mustSpace(pool)
		if err != nil {
			return err
		}
		switch mode {
		case replay.PoolDisabled:
			return s.w.disablePool(n)
		case replay.PoolImage, replay.PoolPool:
		default:
			return fail(einval, "unknown mirror mode '%s'", mode)
		}
		if n.Mode != mode {
			s.w.enablePool(n, mode)
		}
		return nil
	})
}

func (w *World) enablePool(n *namespace, mode replay.PoolMode) {
	n.Mode = mode
	n.tell()
	if n.pool == nil && n.UUID == "" {
		n.UUID = w.uuid()
	}
	for _, i := range n.Images {
		if mode == replay.PoolPool && i.Mirror == nil && i.Features.Has(replay.FeatureJournaling) {
			w.mirror(n, i, replay.ModeJournal)
		}
	}
}

// disablePool follows librbd's api/Mirror.cc: mode_set.
func (w *World) disablePool(n *namespace) error {
	if n.Mode == replay.PoolDisabled {
		return nil
	}
	if len(n.Peers) > 0 {
		return fail(ebusy, "mirror peers still registered")
	}
	// A pool that is mirrored as a whole becomes one of single images first, and
	// stays that when one of them cannot be disabled.
	whole := n.Mode == replay.PoolPool
	n.Mode = replay.PoolImage
	for _, i := range n.Images {
		switch {
		case i.Mirror == nil:
		case !whole:
			return fail(einval, "failed to disable mirror mode: there are still images with mirroring enabled")
		case i.role(n) != replay.RolePrimary:
			return fail(einval, "mirrored image is not primary, add force option to disable mirroring")
		default:
			w.disable(n, i)
		}
	}
	n.Mode, n.UUID = replay.PoolDisabled, ""
	n.tell()
	return nil
}
