package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/drover-io/drover/replay"
)

// removeCopy takes a secondary's copy of an image out of mirroring and removes
// it, with its user snapshots. Both in one: once out of mirroring nothing tells
// any more that it was a copy, but for what is recorded before.
type removeCopy struct {
	prompt
	site      string
	ref       replay.ImageRef
	primary   string // where the image itself is
	followers int    // see foreign
}

func (a removeCopy) done(ctx context.Context, x *execution) (bool, error) {
	return fact(x, a.site, func(s Site) (bool, error) {
		_, err := s.Image(ctx, a.ref)
		return absent(err)
	})
}

func (a removeCopy) do(ctx context.Context, x *execution) error {
	kept, err := a.look(ctx, x, a.primary)
	if err != nil {
		return fmt.Errorf("looking at the image that stays: %w", err)
	}
	copied, err := a.look(ctx, x, a.site)
	if err != nil {
		return err
	}
	if err := a.expendable(kept, copied); err != nil {
		return err
	}
	return deed(x, a.site, func(s Site) error {
		if err := a.free(ctx, s); err != nil {
			return err
		}
		if x.book == nil {
			return errors.New("the removal cannot be recorded, so that nothing was removed")
		}
		err := x.book.appendBody(ctx, Entry{Kind: EntryRemoval}, Removal{
			Site: a.site, Ref: a.ref, ID: copied.Image.ID, GlobalID: copied.Image.GlobalID, Primary: a.primary, Reason: x.reason,
		})
		if err != nil {
			return err
		}
		if err := s.DisableMirroring(ctx, a.ref, true); err != nil {
			return err
		}
		return a.remove(ctx, x, s, copied.Image.ID, kept.Image.GlobalID)
	})
}

// remove removes what is no copy any more. It cannot change its role, but the
// image that it was a copy of still could: both are looked at once more.
func (a removeCopy) remove(ctx context.Context, x *execution, s Site, id, globalID string) error {
	alone, err := s.Image(ctx, a.ref)
	if err != nil {
		return err
	}
	again, err := a.look(ctx, x, a.primary)
	if err != nil {
		return fmt.Errorf("looking again at the image that stays: %w", err)
	}
	if alone.Mirrored() || alone.ID != id || again.Image.Role != replay.RolePrimary || again.Image.GlobalID != globalID {
		return refusal("find out which of the two holds the data, then remove the other by hand",
			"%s was changed by someone else meanwhile; what was its copy at %s is kept, not mirrored", a.ref, a.site)
	}
	for _, snapshot := range alone.Snapshots {
		if snapshot.Kind != replay.SnapshotUser {
			continue
		}
		if err := s.RemoveSnapshot(ctx, a.ref, snapshot.Name); err != nil {
			return err
		}
	}
	return s.RemoveImage(ctx, a.ref)
}

// free refuses where something would stop the removal half-way.
func (a removeCopy) free(ctx context.Context, s Site) error {
	ties, err := s.Ties(ctx, a.ref)
	if err != nil {
		return err
	}
	switch {
	case len(ties.Clones) > 0:
		return refusal("flatten them (rbd flatten) or remove them there, then destroy again; or destroy without --delete-secondary-data",
			"the copy of %s at %s has clones: %s", a.ref, a.site, listed(ties.Clones))
	case len(ties.Protected) > 0:
		return refusal("unprotect them at "+a.primary+" (rbd snap unprotect), apply the plan so that rbd-mirror does so here, then destroy again; or destroy without --delete-secondary-data",
			"the copy of %s at %s has protected snapshots: %s", a.ref, a.site, listed(ties.Protected))
	}
	users, err := s.Users(ctx, a.ref)
	if err != nil {
		return err
	}
	if others := foreign(users, a.followers); len(others) > 0 {
		return refusal("stop them there, then destroy again; or destroy without --delete-secondary-data",
			"the copy of %s at %s is in use: %s", a.ref, a.site, userWords(others))
	}
	return nil
}

// look reads the image at a site, all of it, and how the site's journals and
// snapshots are called elsewhere.
func (a removeCopy) look(ctx context.Context, x *execution, site string) (replay.Copy, error) {
	s, err := x.sites.Site(site)
	if err != nil {
		return replay.Copy{}, err
	}
	image, err := s.Image(ctx, a.ref)
	if err != nil {
		return replay.Copy{}, err
	}
	mirroring, err := s.PoolMirroring(ctx, a.ref.Pool)
	return replay.Copy{Image: image, MirrorUUID: mirroring.UUID}, err
}

// expendable refuses unless the one is the primary and the other a copy of it
// that holds nothing of its own.
func (a removeCopy) expendable(kept, copied replay.Copy) error {
	if kept.Image.Role != replay.RolePrimary || kept.Image.GlobalID == "" {
		return refusal("find out which copy holds the data first", "%s is not the primary of %s any more", a.primary, a.ref)
	}
	if copied.Image.Role != replay.RoleSecondary || copied.Image.GlobalID != kept.Image.GlobalID {
		return refusal("look at both images", "%s at %s is no copy of the one at %s any more", a.ref, a.site, a.primary)
	}
	if diverged, why := replay.Diverged(kept, copied); diverged {
		return refusal("find out which of the two holds the data that is needed, and destroy without --delete-secondary-data",
			"%s at %s holds data that the one at %s never had: %s", a.ref, a.site, a.primary, why)
	}
	return nil
}

// removeRest goes on where a removeCopy ended after it had taken the copy out of
// mirroring.
type removeRest struct {
	removeCopy
	begun Removal
}

func (a removeRest) do(ctx context.Context, x *execution) error {
	return deed(x, a.site, func(s Site) error {
		if err := a.free(ctx, s); err != nil {
			return err
		}
		return a.remove(ctx, x, s, a.begun.ID, a.begun.GlobalID)
	})
}

// errNoReason is what a destroy fails with that would delete data for no reason.
func errNoReason(reason string) error {
	if strings.TrimSpace(reason) != "" {
		return nil
	}
	return refusal("--reason TEXT", "copies are deleted for a reason")
}
