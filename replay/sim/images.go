package sim

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// image is one copy of an image at one site.
type image struct {
	Name       string             `json:"name"`
	ID         string             `json:"id"`
	Size       uint64             `json:"size"`
	ObjectSize uint64             `json:"object_size"`
	Features   replay.Features    `json:"features"`
	Created    time.Time          `json:"created"`
	Parent     *replay.ImageRef   `json:"parent,omitempty"`
	Content    *content           `json:"content,omitempty"`
	Snaps      []*snapshot        `json:"snapshots,omitempty"`
	NextSnap   uint64             `json:"next_snapshot,omitempty"`
	Journal    *journal           `json:"journal,omitempty"`
	Mirror     *mirroring         `json:"mirror,omitempty"`
	Users      []replay.ImageUser `json:"users,omitempty"`
	Writing    bool               `json:"writing,omitempty"` // one of the users does not let go of the lock
	Writer     string             `json:"writer,omitempty"`  // its address
	// Hushed: the newest mirror snapshot was taken by a client that died before
	// it told those who watch the image.
	Hushed bool `json:"hushed,omitempty"`
	// Marked: it is marked as non-primary though it is not, by a client that died
	// while it promoted or demoted it.
	Marked bool `json:"marked,omitempty"`

	writers []*writer // of handles in this process
}

// mirroring is an image's entry in the mirroring directory, and how far this
// copy is.
type mirroring struct {
	Mode     replay.MirrorMode  `json:"mode"`
	State    replay.MirrorState `json:"state"`
	GlobalID string             `json:"global_id"`
	// Since is when the state last changed: what a daemon discovers, it
	// discovers after that.
	Since time.Time `json:"since"`
	// Resync is asked for.
	Resync bool `json:"resync,omitempty"`
	// Sync is the first sync while it runs.
	Sync *transfer `json:"sync,omitempty"`
	// Credit is bytes that a daemon could have replayed and had not to.
	Credit int64 `json:"credit,omitempty"`
	// Halted: this image's replay was stopped through the admin socket.
	Halted bool `json:"halted,omitempty"`
	// Parked: the life of the daemon that does not replay this image until it
	// checks again.
	Parked uint64 `json:"parked,omitempty"`
	// Held is until when the daemon keeps the lock of a copy that it has just
	// brought to a demotion: until then a promotion fails.
	Held time.Time `json:"held,omitzero"`
	// Missed is when the daemon first found no image to follow.
	Missed time.Time `json:"missed,omitzero"`
	// LastBytes is what the newest mirror snapshot took to copy.
	LastBytes int64 `json:"last_bytes,omitempty"`
}

const defaultObjectSize = 4 << 20

// Images lists all images of a pool.
func (s *Site) Images(ctx context.Context, pool replay.Pool, detail replay.Detail) (images []replay.Image, err error) {
	hung := map[int]*armedFault{} // by place in images
	err = s.do(ctx, "Images", pool.String(), func(c *cluster) error {
		n, err := c.mustSpace(pool)
		if err != nil {
			return err
		}
		images = make([]replay.Image, 0, len(n.Images))
		for _, i := range n.byName() {
			got := s.sight("Images", pool.Image(i.Name), n, detail)
			if got.hung != nil {
				hung[len(images)] = got.hung
			}
			images = append(images, s.listed(replay.Image{Ref: pool.Image(i.Name), ID: i.ID}, got))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.awaitListed(ctx, images, hung, detail), nil
}

// listed is an image as Images shows it.
func (s *Site) listed(image replay.Image, got sight) replay.Image {
	if got.err != nil {
		return image.Unread(s.wrap(readWords["Image"], image.Ref.String(), got.err))
	}
	if got.hung != nil {
		return image
	}
	return got.image
}

// awaitListed waits for the images that hang, all at once. Those that are gone
// by then are left out.
func (s *Site) awaitListed(ctx context.Context, images []replay.Image, hung map[int]*armedFault, detail replay.Detail) []replay.Image {
	ctx, cancel := context.WithTimeout(ctx, replay.ImageTime)
	defer cancel()
	var late parallel.Group
	for k, fault := range hung {
		late.Go(func() { images[k] = s.listed(images[k], s.awaitSight(ctx, images[k].Ref, fault, detail)) })
	}
	late.Wait()
	return slices.DeleteFunc(images, func(i replay.Image) bool { return errors.Is(i.Fault, replay.ErrNotFound) })
}

// Image reads one image with all details.
func (s *Site) Image(ctx context.Context, ref replay.ImageRef) (img replay.Image, err error) {
	err = s.image(ctx, "Image", ref, func(_ *cluster, n *namespace, i *image) error {
		img = i.shown(ref.Pool, n, replay.WithHeader|replay.WithPositions)
		return nil
	})
	return img, err
}

func (i *image) shown(pool replay.Pool, n *namespace, detail replay.Detail) replay.Image {
	out := replay.Image{Ref: pool.Image(i.Name), ID: i.ID, Role: i.role(n)}
	if m := i.Mirror; m != nil {
		out.Mode, out.State, out.GlobalID = m.Mode, m.State, m.GlobalID
	}
	bySnapshot := i.Mirror != nil && i.Mirror.Mode == replay.ModeSnapshot
	if detail&replay.WithHeader != 0 || detail&replay.WithPositions != 0 && bySnapshot {
		for _, sn := range i.Snaps {
			out.Snapshots = append(out.Snapshots, sn.shown())
		}
	}
	if detail&replay.WithHeader != 0 {
		i.header(&out)
	}
	if detail&(replay.WithHeader|replay.WithPositions) != 0 {
		out.Unwritable = bySnapshot && i.Marked && out.Role == replay.RolePrimary
	}
	if detail&replay.WithPositions != 0 {
		out.Demoted = i.demoted()
		if i.Mirror != nil && i.Mirror.Mode == replay.ModeJournal && i.Journal != nil {
			out.Journal = i.Journal.shown()
		}
	}
	return out
}

// header fills in what the image's header says.
func (i *image) header(out *replay.Image) {
	out.Size, out.ObjectSize, out.Features = i.Size, i.ObjectSize, i.Features
	if out.Role == replay.RoleSecondary || i.Marked {
		out.Features |= i.nonPrimary()
	}
	if i.Parent != nil {
		parent := *i.Parent
		out.Parent = &parent
	}
}

// nonPrimary is the feature bit that librbd sets on secondaries in snapshot
// mode.
func (i *image) nonPrimary() replay.Features {
	if i.Mirror.Mode == replay.ModeSnapshot {
		return replay.FeatureNonPrimary
	}
	return 0
}

// role comes from the newest epoch or mirror snapshot.
func (i *image) role(n *namespace) replay.Role {
	switch {
	case i.Mirror == nil:
		return replay.RoleNone
	case i.Mirror.Mode == replay.ModeJournal:
		if i.Mirror.Sync == nil && i.Journal != nil && i.Journal.owner() == "" {
			return replay.RolePrimary
		}
	default:
		if sn := i.newestMirror(); sn != nil && sn.Mirror.State == replay.SnapPrimary {
			return replay.RolePrimary
		}
	}
	return replay.RoleSecondary
}

// readOnly reports whether nobody may write to the image.
func (i *image) readOnly(n *namespace) bool { return i.role(n) == replay.RoleSecondary || i.Marked }

func (i *image) demoted() bool {
	switch {
	case i.Mirror == nil || i.Mirror.Sync != nil:
		return false
	case i.Mirror.Mode == replay.ModeJournal:
		return i.Journal != nil && i.Journal.owner() == replay.OwnerOrphan
	}
	sn := i.newestMirror()
	return sn != nil && sn.Mirror.demotion()
}

// Users lists who holds the image: the writers that were attached, and the
// site's rbd-mirror where it replays into it.
func (s *Site) Users(ctx context.Context, ref replay.ImageRef) (users []replay.ImageUser, err error) {
	err = s.image(ctx, "Users", ref, func(c *cluster, n *namespace, i *image) error {
		users = s.users(c, n, i)
		return nil
	})
	return users, err
}

func (s *Site) users(c *cluster, n *namespace, i *image) []replay.ImageUser {
	users := slices.Clone(i.Users)
	if c.Daemon.Running && i.role(n) == replay.RoleSecondary && !i.Mirror.Halted {
		users = append(users, c.Daemon.user())
	}
	for _, w := range i.writers {
		if w.site != s {
			users = append(users, w.user)
		}
	}
	return users
}

// Attach lets a client hold an image; a writing one does not give up the lock.
func (w *World) Attach(site string, ref replay.ImageRef, user replay.ImageUser, writing bool) error {
	return w.Site(site).hold(ref, func(i *image) {
		i.Users = append(i.Users, user)
		if writing {
			i.Writing, i.Writer = true, user.Address
		}
	})
}

// Detach ends all that clients hold of an image.
func (w *World) Detach(site string, ref replay.ImageRef) error {
	return w.Site(site).hold(ref, func(i *image) { i.Users, i.Writing, i.Writer = nil, false, "" })
}

// hold changes an image from outside of Drover: no call is logged, no fault
// hits.
func (s *Site) hold(ref replay.ImageRef, f func(*image)) error {
	return s.outside(ref, func(_ *cluster, _ *namespace, i *image) error {
		f(i)
		return nil
	})
}

// outside does to an image what another client does.
func (s *Site) outside(ref replay.ImageRef, f func(*cluster, *namespace, *image) error) error {
	w := s.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.catchUp()
	err := func() error {
		c := w.site(s.name)
		if c == nil {
			return replay.ErrUnreachable
		}
		n, err := c.mustSpace(ref.Pool)
		if err != nil {
			return err
		}
		i := n.find(ref.Name)
		if i == nil {
			return fail(enoent, "error opening image %s", ref.Name)
		}
		return f(c, n, i)
	}()
	if err != nil {
		return s.wrap("use image", ref.String(), err)
	}
	w.stir()
	return nil
}

// CreateImage makes an image.
func (s *Site) CreateImage(ctx context.Context, ref replay.ImageRef, spec replay.ImageSpec) error {
	return s.do(ctx, "CreateImage", ref.String(), func(c *cluster) error {
		n, err := c.mustSpace(ref.Pool)
		if err != nil {
			return err
		}
		if n.find(ref.Name) != nil {
			return fail(eexist, "rbd image %s already exists", ref.Name)
		}
		for _, other := range []string{spec.DataPool, spec.JournalPool} {
			if other != "" && c.pool(other) == nil {
				return fail(enoent, "pool %s does not exist", other)
			}
		}
		for _, m := range mutable {
			if spec.Features.Has(m.feature) && !spec.Features.Has(m.needs) {
				return fail(einval, "cannot use feature %s without %s", m.feature, m.needs)
			}
		}
		object := spec.ObjectSize
		if object == 0 {
			object = defaultObjectSize
		}
		if object < blockSize || object > 32<<20 || object&(object-1) != 0 {
			return fail(edom, "order must be in the range [12, 25]")
		}
		i := &image{
			Name: ref.Name, ID: s.w.imageID(), Size: spec.Size, ObjectSize: object, Created: s.w.state.Now, NextSnap: 1,
		}
		if spec.DataPool != "" {
			i.Features |= replay.FeatureDataPool
		}
		n.add(i)
		s.w.switchOn(n, i, spec.Features)
		return nil
	})
}

// RemoveImage removes an image that nothing depends on.
func (s *Site) RemoveImage(ctx context.Context, ref replay.ImageRef) error {
	return s.image(ctx, "RemoveImage", ref, func(c *cluster, n *namespace, i *image) error {
		if i.readOnly(n) {
			return fail(erofs, "mirrored image is not primary")
		}
		if len(i.Users)+len(i.writers) > 0 {
			return fail(ebusy, "image has watchers - not removing")
		}
		if len(c.clones(ref)) > 0 {
			return fail(enotempty, "image has snapshots with linked clones")
		}
		if slices.ContainsFunc(i.Snaps, func(sn *snapshot) bool { return sn.Mirror == nil }) {
			return fail(enotempty, "image has snapshots - not removing")
		}
		if i.Mirror != nil {
			s.w.disable(n, i)
		}
		n.remove(i)
		return nil
	})
}

// Ties lists the clones of an image; snapshots are never protected here.
func (s *Site) Ties(ctx context.Context, ref replay.ImageRef) (ties replay.Ties, err error) {
	err = s.image(ctx, "Ties", ref, func(c *cluster, _ *namespace, _ *image) error {
		ties.Clones = c.clones(ref)
		return nil
	})
	return ties, err
}

// clones are the images of the cluster that are clones of one.
func (c *cluster) clones(parent replay.ImageRef) []string {
	var out []string
	for _, p := range c.Pools {
		for _, n := range p.Spaces {
			for _, i := range n.Images {
				if i.Parent != nil && *i.Parent == parent {
					out = append(out, replay.Pool{Name: p.Name, Namespace: n.Name}.Image(i.Name).String())
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// CloneSnapshot makes a clone of a user snapshot.
func (s *Site) CloneSnapshot(ctx context.Context, ref replay.ImageRef, snapshot string, clone replay.ImageRef) error {
	return s.image(ctx, "CloneSnapshot", ref, func(c *cluster, _ *namespace, i *image) error {
		return s.w.clone(c, ref, i, snapshot, clone)
	})
}

// Clone makes a clone of a snapshot, as `rbd clone` with format 2 does.
func (w *World) Clone(site string, parent replay.ImageRef, snap string, child replay.ImageRef) error {
	return w.Site(site).outside(parent, func(c *cluster, _ *namespace, i *image) error {
		return w.clone(c, parent, i, snap, child)
	})
}

func (w *World) clone(c *cluster, parent replay.ImageRef, i *image, snap string, child replay.ImageRef) error {
	n, err := c.mustSpace(child.Pool)
	if err != nil {
		return err
	}
	sn := i.userSnap(snap)
	if sn == nil {
		return fail(enoent, "snapshot %s does not exist", snap)
	}
	if n.find(child.Name) != nil {
		return fail(eexist, "rbd image %s already exists", child.Name)
	}
	n.add(&image{
		Name: child.Name, ID: w.imageID(), Size: sn.Size, ObjectSize: i.ObjectSize, Created: w.state.Now, NextSnap: 1,
		Features: cloneFeatures, Parent: &parent, Content: sn.Content.share(),
	})
	return nil
}

// cloneFeatures are those of clones.
const cloneFeatures = replay.FeatureLayering | replay.FeatureExclusiveLock | replay.FeatureObjectMap |
	replay.FeatureFastDiff | replay.FeatureDeepFlatten
