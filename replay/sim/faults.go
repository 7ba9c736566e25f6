package sim

import (
	"context"
	"path"
	"slices"
	"syscall"

	"github.com/drover-io/drover/replay"
)

const (
	enoent     = syscall.ENOENT
	einval     = syscall.EINVAL
	ebusy      = syscall.EBUSY
	erofs      = syscall.EROFS
	eexist     = syscall.EEXIST
	eperm      = syscall.EPERM
	enosys     = syscall.ENOSYS
	eopnotsupp = syscall.EOPNOTSUPP
	edom       = syscall.EDOM
	enospc     = syscall.ENOSPC
	enotempty  = syscall.ENOTEMPTY
	edquot     = syscall.EDQUOT
	eshutdown  = syscall.ESHUTDOWN // the client is blocklisted
)

// Fault spoils calls to sites. Empty matchers match everything. A call of LookAt
// or Images is one on its pool and, as far as a fault names an object, one on each
// of its images too, so that one image can be spoilt and the others not.
type Fault struct {
	Site   string // name
	Op     string // method of replay.Site, such as "Promote"
	Object string // pool or image as rbd writes it; * and ? as in path.Match within one part

	Skip  int // that many matching calls pass first
	Count int // that many calls are hit; 0: all

	// One of these is what happens.
	Errno syscall.Errno // the call fails and changes nothing
	Lost  bool          // the call takes effect but its answer is lost (ETIMEDOUT)
	Hang  bool          // the call takes effect never and ends with its context
}

type armedFault struct {
	Fault
	seen int
}

func (f *armedFault) hits(site, op, object string) bool {
	if f.Site != "" && f.Site != site || f.Op != "" && f.Op != op {
		return false
	}
	if f.Object != "" && f.Object != object {
		if ok, err := path.Match(f.Object, object); !ok || err != nil {
			return false
		}
	}
	f.seen++
	return f.seen > f.Skip && (f.Count == 0 || f.seen <= f.Skip+f.Count)
}

// Inject arms a fault until the returned function is called.
func (w *World) Inject(f Fault) (remove func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	armed := &armedFault{Fault: f}
	w.faults = append(w.faults, armed)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.faults = slices.DeleteFunc(w.faults, func(g *armedFault) bool { return g == armed })
		w.releaseHanging(f.Site)
		w.stir()
	}
}

// Forbid takes from the client at a site the caps for an operation.
func (w *World) Forbid(site, op string) (allow func()) {
	return w.Inject(Fault{Site: site, Op: op, Errno: syscall.EPERM})
}

// Vanish makes a site refuse every connection; Return brings it back.
func (w *World) Vanish(site string) { w.change(site, func(c *cluster) { c.Gone = true }) }

// Return brings a site back that had vanished, with its data.
func (w *World) Return(site string) {
	w.change(site, func(c *cluster) {
		c.Gone = false
		c.breakWatches()
	})
}

// Freeze makes every call to a site hang until its context ends.
func (w *World) Freeze(site string) { w.change(site, func(c *cluster) { c.Frozen = true }) }

// Thaw lets a frozen site go on; calls that still wait are then answered.
func (w *World) Thaw(site string) {
	w.change(site, func(c *cluster) {
		c.Frozen, c.abandoned = false, 0
		c.breakWatches()
	})
}

// Sever cuts the way from site's rbd-mirror to the other site; a client of
// both still reaches both.
func (w *World) Sever(site, other string) {
	w.change(site, func(c *cluster) {
		if !slices.Contains(c.Cut, other) {
			c.Cut = append(c.Cut, other)
		}
	})
}

// Mend ends what Sever did.
func (w *World) Mend(site, other string) {
	w.change(site, func(c *cluster) {
		c.Cut = slices.DeleteFunc(c.Cut, func(s string) bool { return s == other })
	})
}

// LoseModule makes a mgr module of a site fail to load, such as rbd_support.
func (w *World) LoseModule(site, module string) {
	w.change(site, func(c *cluster) { c.Lost = append(c.Lost, module) })
}

// FindModule loads a lost mgr module again.
func (w *World) FindModule(site, module string) {
	w.change(site, func(c *cluster) {
		c.Lost = slices.DeleteFunc(c.Lost, func(m string) bool { return m == module })
	})
}

// StopSchedules makes a site's schedules fire no more, without a word: what a
// wedged rbd_support does. StartSchedules ends it.
func (w *World) StopSchedules(site string) { w.change(site, func(c *cluster) { c.MgrDead = true }) }

// StartSchedules lets a site's schedules fire again.
func (w *World) StartSchedules(site string) { w.change(site, func(c *cluster) { c.MgrDead = false }) }

// Unlist has a site's mgr forget the daemon, which goes on, until it is started anew: what
// a mgr does that fails over or is busy.
func (w *World) Unlist(site string) { w.change(site, func(c *cluster) { c.Unlisted = true }) }

// admit lets a call through to a cluster, holds it, or turns it down. after is
// the error to answer with once the call has taken effect.
func (w *World) admit(ctx context.Context, site, op, object string) (c *cluster, after, err error) {
	var hit *armedFault
	for _, f := range w.faults {
		if f.hits(site, op, object) {
			hit = f
			break
		}
	}
	for {
		c = w.site(site)
		switch {
		case c == nil || c.Gone:
			return nil, nil, replay.ErrUnreachable
		case c.Frozen, hit != nil && hit.Hang && slices.Contains(w.faults, hit):
			if err := w.hang(ctx, c); err != nil {
				return nil, nil, err
			}
			continue
		case hit == nil || hit.Hang:
			return c, nil, nil
		case hit.Lost:
			return c, fail(syscall.ETIMEDOUT, "the answer was lost"), nil
		}
		return nil, nil, &failure{Errno: hit.Errno}
	}
}

// hang waits with the world unlocked until something changes or ctx ends.
func (w *World) hang(ctx context.Context, c *cluster) error {
	changed := w.changed
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.catchUp()
	}()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		w.mu.Lock()
		c.abandoned++
		w.mu.Unlock()
		return ended(ctx)
	}
}

func (w *World) releaseHanging(site string) {
	for _, c := range w.state.Sites {
		if site == "" || c.Name == site {
			c.abandoned = 0
		}
	}
}

// reaches reports whether a daemon of the cluster gets answers from another.
func (c *cluster) reaches(other *cluster) bool {
	return !other.Gone && !other.Frozen && !slices.Contains(c.Cut, other.Name)
}
