package sim

import (
	"context"
	"slices"
	"sync"
	"syscall"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// sight is what a look at one image has come to.
type sight struct {
	image replay.Image
	err   error
	hung  *armedFault // nil: the image has answered
}

// LookAt reads the images of a pool that are named.
func (s *Site) LookAt(
	ctx context.Context, pool replay.Pool, names []string, detail replay.Detail, seen func(string, replay.Image, error),
) error {
	var sights []sight
	err := s.do(ctx, "LookAt", pool.String(), func(c *cluster) error {
		n, err := c.mustSpace(pool)
		if err != nil {
			return err
		}
		sights = make([]sight, len(names))
		for k, name := range names {
			sights[k] = s.sight("LookAt", pool.Image(name), n, detail)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var (
		late parallel.Group
		mu   sync.Mutex
	)
	tell := func(ref replay.ImageRef, got sight) {
		mu.Lock()
		defer mu.Unlock()
		if got.err != nil {
			got.err = s.wrap(readWords["Image"], ref.String(), got.err)
		}
		seen(ref.Name, got.image, got.err)
	}
	for k, name := range names {
		if sights[k].hung != nil {
			late.Go(func() { tell(pool.Image(name), s.awaitSight(ctx, pool.Image(name), sights[k].hung, detail)) })
			continue
		}
		tell(pool.Image(name), sights[k])
	}
	late.Wait()
	return nil
}

// sight looks at one image: its own faults first.
func (s *Site) sight(op string, ref replay.ImageRef, n *namespace, detail replay.Detail) sight {
	for _, f := range s.w.faults {
		switch {
		case f.Object == "" || !f.hits(s.name, op, ref.String()):
			continue
		case f.Hang:
			return sight{hung: f}
		case f.Lost:
			return sight{err: fail(syscall.ETIMEDOUT, "the answer was lost")}
		}
		return sight{err: &failure{Errno: f.Errno}}
	}
	return n.sight(ref, detail)
}

func (n *namespace) sight(ref replay.ImageRef, detail replay.Detail) sight {
	i := n.find(ref.Name)
	if i == nil {
		return sight{err: fail(enoent, "error opening image %s", ref.Name)}
	}
	return sight{image: i.shown(ref.Pool, n, detail)}
}

// awaitSight waits until the fault by which an image hangs is gone, and looks
// then.
func (s *Site) awaitSight(ctx context.Context, ref replay.ImageRef, hung *armedFault, detail replay.Detail) sight {
	w := s.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		c := w.site(s.name)
		switch {
		case c == nil || c.Gone:
			return sight{err: replay.ErrUnreachable}
		case c.Frozen || slices.Contains(w.faults, hung):
			if err := w.hang(ctx, c); err != nil {
				return sight{err: err}
			}
			continue
		}
		n, err := c.mustSpace(ref.Pool)
		if err != nil {
			return sight{err: err}
		}
		return n.sight(ref, detail)
	}
}
