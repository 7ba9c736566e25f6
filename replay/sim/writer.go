package sim

import (
	"context"
	"math"
	"slices"

	"github.com/drover-io/drover/replay"
)

// writer is an image that a handle has open for writing.
type writer struct {
	site *Site
	ref  replay.ImageRef
	id   string // of the image that was opened
	user replay.ImageUser
}

var _ replay.Writer = (*writer)(nil)

// OpenWriter opens an image for writing.
func (s *Site) OpenWriter(ctx context.Context, ref replay.ImageRef) (replay.Writer, error) {
	var opened *writer
	err := s.image(ctx, "OpenWriter", ref, func(c *cluster, n *namespace, i *image) error {
		if i.readOnly(n) {
			return fail(erofs, "image is not primary")
		}
		opened = &writer{site: s, ref: ref, id: i.ID, user: s.identity(c)}
		i.writers = append(i.writers, opened)
		return nil
	})
	if err != nil {
		if opened != nil {
			_ = opened.Close() // the answer was lost: nobody will use it
		}
		return nil, err
	}
	return opened, nil
}

// WriteAt writes p.
func (wr *writer) WriteAt(ctx context.Context, p []byte, offset uint64) (int, error) {
	err := wr.on(ctx, "WriteAt", func(c *cluster, n *namespace, i *image) error {
		if err := wr.lock(i); err != nil {
			return err
		}
		return wr.site.w.write(c.pool(wr.ref.Pool.Name), n, i, offset, p)
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// lock takes the exclusive lock from those who give it up.
func (wr *writer) lock(i *image) error {
	if !i.Features.Has(replay.FeatureExclusiveLock) {
		return nil
	}
	if i.Writing {
		return fail(erofs, "failed to acquire exclusive lock")
	}
	for k := range i.Users {
		i.Users[k].Locks = false
	}
	i.unlock()
	wr.user.Locks = true
	return nil
}

// unlock takes the exclusive lock from writers, who give it up when asked.
func (i *image) unlock() {
	for _, other := range i.writers {
		other.user.Locks = false
	}
}

// Flush makes durable what was written, which it is.
func (wr *writer) Flush(ctx context.Context) error {
	return wr.on(ctx, "Flush", func(*cluster, *namespace, *image) error { return nil })
}

// Close lets go of the image.
func (wr *writer) Close() error {
	w := wr.site.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.site(wr.site.name); c != nil {
		if n := c.space(wr.ref.Pool); n != nil {
			for _, i := range n.Images {
				i.writers = slices.DeleteFunc(i.writers, func(o *writer) bool { return o == wr })
			}
		}
	}
	wr.id = ""
	return nil
}

// on runs a call on the open image, which may have another name by now.
func (wr *writer) on(ctx context.Context, op string, f func(*cluster, *namespace, *image) error) error {
	return wr.site.do(ctx, op, wr.ref.String(), func(c *cluster) error {
		if wr.id == "" {
			return fail(einval, "it has been closed")
		}
		n, err := c.mustSpace(wr.ref.Pool)
		if err != nil {
			return err
		}
		i := n.find(wr.ref.Name)
		if i == nil || i.ID != wr.id {
			k := slices.IndexFunc(n.Images, func(i *image) bool { return i.ID == wr.id })
			if k < 0 {
				return fail(enoent, "what was opened has been removed")
			}
			i = n.Images[k]
		}
		return f(c, n, i)
	})
}

// RenameImage renames an image that is not mirrored.
func (s *Site) RenameImage(ctx context.Context, ref replay.ImageRef, name string) error {
	return s.image(ctx, "RenameImage", ref, func(c *cluster, n *namespace, i *image) error {
		switch {
		case name == "":
			return fail(einval, "an image needs a name")
		case i.Mirror != nil:
			return fail(einval, "it is mirrored")
		case n.find(name) != nil:
			return fail(eexist, "rbd image %s already exists", name)
		}
		for _, p := range c.Pools {
			for _, n := range p.Spaces {
				for _, child := range n.Images {
					if child.Parent != nil && *child.Parent == ref {
						child.Parent.Name = name
					}
				}
			}
		}
		n.rename(i, name)
		return nil
	})
}

// spacious is what the OSDs of every pool can store.
const spacious = 1 << 40

// PoolSpace tells how full a pool is.
func (s *Site) PoolSpace(ctx context.Context, name string) (space replay.Space, err error) {
	err = s.do(ctx, "PoolSpace", name, func(c *cluster) error {
		if _, err := c.mustSpace(replay.Pool{Name: name}); err != nil {
			return err
		}
		p := c.pool(name)
		used := p.used()
		limit := uint64(math.MaxUint64)
		if p.Quota > 0 {
			limit = p.Quota
		}
		limit = min(limit, spacious)
		space = replay.Space{Used: used, Available: limit - min(limit, used), Quota: p.Quota}
		return nil
	})
	return space, err
}
