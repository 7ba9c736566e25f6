package sim

import (
	"context"
	"slices"
	"syscall"

	"github.com/drover-io/drover/replay"
)

// ear is one who listens to a namespace.
type ear struct {
	heard  chan struct{}
	broken chan error
}

// Listen calls heard when it begins to listen, and after each change of which
// images are mirrored, or of the mode.
func (s *Site) Listen(ctx context.Context, pool replay.Pool, heard func()) error {
	e := &ear{heard: make(chan struct{}, 1), broken: make(chan error, 1)}
	err := s.do(ctx, "Listen", pool.String(), func(c *cluster) error {
		n, err := c.mustSpace(pool)
		if err == nil && n.Mode == replay.PoolDisabled {
			err = fail(enoent, "mirroring is not enabled")
		}
		if err == nil {
			n.ears = append(n.ears, e)
		}
		return err
	})
	if err != nil {
		return err
	}
	defer s.deafen(pool, e)
	heard()
	for {
		select {
		case <-e.heard:
			heard()
		case err := <-e.broken:
			return s.wrap(readWords["Listen"], pool.String(), err)
		case <-ctx.Done():
			return s.wrap(readWords["Listen"], pool.String(), ended(ctx))
		}
	}
}

// deafen takes an ear away.
func (s *Site) deafen(pool replay.Pool, e *ear) {
	w := s.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.site(s.name); c != nil {
		if n := c.space(pool); n != nil {
			n.ears = slices.DeleteFunc(n.ears, func(other *ear) bool { return other == e })
		}
	}
}

// Listeners is how many listen to a pool at a site.
func (w *World) Listeners(site string, pool replay.Pool) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.site(site); c != nil {
		if n := c.space(pool); n != nil {
			return len(n.ears)
		}
	}
	return 0
}

// tell tells all who listen.
func (n *namespace) tell() {
	for _, e := range n.ears {
		select {
		case e.heard <- struct{}{}:
		default: // one is waiting
		}
	}
}

// breakWatches ends whatever listens to the cluster: it was away for too long.
func (c *cluster) breakWatches() {
	for _, p := range c.Pools {
		for _, n := range p.Spaces {
			for _, e := range n.ears {
				select {
				case e.broken <- &failure{Errno: syscall.ENOTCONN}:
				default:
				}
			}
			n.ears = nil
		}
	}
}
