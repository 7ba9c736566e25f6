package sim

import (
	"context"

	"github.com/drover-io/drover/replay"
)

// EnableMirroring makes an image primary and lets it be replayed.
func (s *Site) EnableMirroring(ctx context.Context, ref replay.ImageRef, mode replay.MirrorMode) error {
	return s.image(ctx, "EnableMirroring", ref, func(c *cluster, n *namespace, i *image) error {
		if mode != replay.ModeJournal && mode != replay.ModeSnapshot {
			return fail(einval, "unknown mirror image mode '%s'", mode)
		}
		if n.Mode != replay.PoolImage {
			return fail(einval, "cannot enable mirroring in the current pool mirroring mode")
		}
		if m := i.Mirror; m != nil {
			switch {
			case m.Mode == mode:
				return nil
			case mode == replay.ModeJournal && i.role(n) == replay.RoleSecondary:
				return fail(erofs, "cannot enable journaling")
			case mode == replay.ModeJournal:
				// librbd switches journaling on before it looks at the mode.
				if err := i.bearable(journaled &^ i.Features); err != nil {
					return err
				}
				s.w.switchOn(n, i, journaled&^i.Features)
			}
			return fail(einval, "invalid current image mirror mode")
		}
		if p := i.Parent; p != nil {
			parent := c.space(p.Pool)
			if parent == nil || parent.find(p.Name) == nil || parent.find(p.Name).Mirror == nil {
				return fail(einval, "mirroring is not enabled for the parent")
			}
		}
		if mode == replay.ModeJournal && i.Journal == nil {
			if err := i.bearable(journaled &^ i.Features); err != nil {
				return err
			}
			s.w.switchOn(n, i, journaled&^i.Features)
		}
		s.w.mirror(n, i, mode)
		return nil
	})
}

// journaled is what journal mode needs.
const journaled = replay.FeatureExclusiveLock | replay.FeatureJournaling

// mirror enters an image into the mirroring directory as primary.
func (w *World) mirror(n *namespace, i *image, mode replay.MirrorMode) {
	i.Mirror = &mirroring{Mode: mode, State: replay.StateEnabled, GlobalID: w.uuid(), Since: w.state.Now}
	n.globals[i.Mirror.GlobalID] = i
	n.tell()
	if mode == replay.ModeSnapshot {
		w.mark(n, i, replay.SnapPrimary)
	}
}

// DisableMirroring takes an image out of mirroring.
func (s *Site) DisableMirroring(ctx context.Context, ref replay.ImageRef, force bool) error {
	return s.image(ctx, "DisableMirroring", ref, func(c *cluster, n *namespace, i *image) error {
		if n.Mode == replay.PoolPool {
			return fail(einval, "cannot disable mirroring in the current pool mirroring mode")
		}
		if i.Mirror == nil {
			return nil
		}
		if i.role(n) != replay.RolePrimary && !force {
			return fail(einval, "mirrored image is not primary, add force option to disable mirroring")
		}
		if child := c.mirroredChild(ref); child != "" {
			return fail(ebusy, "mirroring is enabled on one or more children")
		}
		byJournal := i.Mirror.Mode == replay.ModeJournal
		s.w.disable(n, i)
		if byJournal {
			i.Features &^= replay.FeatureJournaling
			i.Journal = nil
		}
		return nil
	})
}

func (c *cluster) mirroredChild(parent replay.ImageRef) string {
	for _, p := range c.Pools {
		for _, n := range p.Spaces {
			for _, i := range n.Images {
				if i.Parent != nil && *i.Parent == parent && i.Mirror != nil {
					return i.Name
				}
			}
		}
	}
	return ""
}

// disable takes an image out of the mirroring directory and keeps its data.
func (w *World) disable(n *namespace, i *image) {
	if i.Journal != nil {
		i.Journal.Readers = nil
		i.Journal.Epochs = append(i.Journal.Epochs, epoch{ID: w.epoch()})
	}
	kept := i.Snaps[:0]
	for _, sn := range i.Snaps {
		if sn.Mirror == nil {
			kept = append(kept, sn)
		}
	}
	clear(i.Snaps[len(kept):])
	i.Snaps = kept
	n.unmirror(i)
}

// unmirror forgets an image's entry and what was reported about it.
func (n *namespace) unmirror(i *image) {
	if i.Mirror == nil {
		return
	}
	delete(n.globals, i.Mirror.GlobalID)
	delete(n.Reports, i.Mirror.GlobalID)
	i.Mirror = nil
	n.tell()
}

// Promote makes a copy writable.
func (s *Site) Promote(ctx context.Context, ref replay.ImageRef, force bool) error {
	return s.image(ctx, "Promote", ref, func(c *cluster, n *namespace, i *image) error {
		if i.Mirror == nil {
			return fail(einval, "mirroring is not enabled for the image")
		}
		if i.role(n) == replay.RolePrimary {
			return fail(einval, "image is already primary")
		}
		if !force && !i.demoted() {
			return fail(ebusy, "image is primary within a remote cluster or demotion is not propagated yet")
		}
		w := s.w
		if c.Daemon.Running && w.state.Now.Before(i.Mirror.Held) {
			return fail(erofs, "failed to acquire exclusive lock")
		}
		i.Mirror.Sync, i.Mirror.Resync, i.Mirror.State = nil, false, replay.StateEnabled
		i.Mirror.Since = w.state.Now
		if i.Mirror.Mode == replay.ModeJournal {
			i.Journal.begin(w.epoch(), "", w.state.Now)
			return nil
		}
		if sn := i.newestMirror(); sn != nil && !sn.Mirror.Complete && !sn.Mirror.primary() {
			// What is half copied is rolled back to the last whole snapshot.
			i.dropSnap(sn)
			if whole := i.newestComplete(); whole != nil {
				i.Content, i.Size = whole.Content.share(), whole.Size
			}
		}
		w.mark(n, i, replay.SnapPrimary)
		return nil
	})
}

// Demote makes the primary a copy.
func (s *Site) Demote(ctx context.Context, ref replay.ImageRef) error {
	return s.DemoteUnused(ctx, ref, func([]replay.ImageUser) error { return nil })
}

// DemoteUnused is Demote where allow has nothing against the image's users.
func (s *Site) DemoteUnused(ctx context.Context, ref replay.ImageRef, allow func([]replay.ImageUser) error) error {
	return s.image(ctx, "Demote", ref, func(c *cluster, n *namespace, i *image) error {
		if err := allow(s.users(c, n, i)); err != nil {
			return err
		}
		if i.Mirror == nil {
			return fail(einval, "mirroring is not enabled for the image")
		}
		if i.role(n) != replay.RolePrimary {
			return fail(einval, "image is not primary")
		}
		if i.Writing {
			return fail(erofs, "failed to acquire lock")
		}
		i.unlock()
		i.Mirror.Since = s.w.state.Now
		if i.Mirror.Mode == replay.ModeJournal {
			i.Journal.begin(s.w.epoch(), replay.OwnerOrphan, s.w.state.Now)
		} else {
			s.w.mark(n, i, replay.SnapPrimaryDemoted)
		}
		return nil
	})
}

// Resync asks the site's daemon to delete the copy and to make it anew.
func (s *Site) Resync(ctx context.Context, ref replay.ImageRef) error {
	return s.image(ctx, "Resync", ref, func(_ *cluster, n *namespace, i *image) error {
		if i.Mirror == nil {
			return fail(einval, "mirroring is not enabled for the image")
		}
		if i.role(n) == replay.RolePrimary {
			return fail(einval, "image is primary, cannot resync to itself")
		}
		i.Mirror.Resync, i.Mirror.Since = true, s.w.state.Now
		return nil
	})
}
