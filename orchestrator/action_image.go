package orchestrator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/drover-io/drover/replay"
)

type createImage struct {
	prompt
	site string
	ref  replay.ImageRef
	spec replay.ImageSpec
}

func (a createImage) done(ctx context.Context, x *execution) (bool, error) {
	return imageFact(ctx, x, a.site, a.ref, func(replay.Image) bool { return true })
}

func (a createImage) do(ctx context.Context, x *execution) error {
	return deed(x, a.site, func(s Site) error { return s.CreateImage(ctx, a.ref, a.spec) })
}

// imageFact makes an action's done of a look at one image.
func imageFact(ctx context.Context, x *execution, site string, ref replay.ImageRef, look func(replay.Image) bool) (bool, error) {
	return fact(x, site, func(s Site) (bool, error) {
		image, err := s.Image(ctx, ref)
		if err != nil {
			return false, err
		}
		return look(image), nil
	})
}

// enableFeatures switches features on, exclusive-lock before those that need
// it. Journaling or exclusive-lock are refused for an image that a client uses
// which could not go on with them.
type enableFeatures struct {
	prompt
	site     string
	ref      replay.ImageRef
	features replay.Features
}

func (a enableFeatures) done(ctx context.Context, x *execution) (bool, error) {
	return imageFact(ctx, x, a.site, a.ref, func(i replay.Image) bool { return i.Features.Has(a.features) })
}

func (a enableFeatures) do(ctx context.Context, x *execution) error {
	err := deed(x, a.site, func(s Site) error { return s.EnableFeatures(ctx, a.ref, a.features) })
	return a.explained(ctx, x, err)
}

// explained turns the refusal of features because of a client into one that
// says which client and what to do. A site refuses such features itself, so
// that nobody needs to ask for the clients of thousands of images first.
func (a enableFeatures) explained(ctx context.Context, x *execution, err error) error {
	if !errors.Is(err, replay.ErrBusy) {
		return err
	}
	return cmp.Or(deed(x, a.site, func(s Site) error {
		users, look := s.Users(ctx, a.ref)
		if look != nil {
			return err // the first error is the one to tell
		}
		return a.bearable(users)
	}), err)
}

// bearable refuses when a client of the image cannot live with the features.
func (a enableFeatures) bearable(users []replay.ImageUser) error {
	for _, u := range users {
		if u.Mirror {
			continue
		}
		who := strings.TrimSpace(u.Client + " " + u.Address)
		if u.Kernel && a.features.Has(replay.FeatureJournaling) {
			return refusal("unmap it there (rbd unmap) or use mode: snapshot for the image",
				"%s is mapped by the kernel client %s, which cannot use journaling", a.ref, who)
		}
		if a.features.Has(replay.FeatureExclusiveLock) {
			return refusal("stop that client, apply again, then start it again",
				"%s is in use by %s without exclusive-lock, which cannot be switched on under a running client", a.ref, who)
		}
	}
	return nil
}

type enableMirroring struct {
	prompt
	site string
	ref  replay.ImageRef
	mode replay.MirrorMode
}

func (a enableMirroring) done(ctx context.Context, x *execution) (bool, error) {
	return imageFact(ctx, x, a.site, a.ref, func(i replay.Image) bool {
		return i.Role == replay.RolePrimary && i.Mode == a.mode && i.State == replay.StateEnabled
	})
}

func (a enableMirroring) do(ctx context.Context, x *execution) error {
	return deed(x, a.site, func(s Site) error { return s.EnableMirroring(ctx, a.ref, a.mode) })
}

// finishPromotion lets clients write to a primary, where no other site's copy is one.
type finishPromotion struct {
	prompt
	site   string
	ref    replay.ImageRef
	others []string
}

func (a finishPromotion) done(ctx context.Context, x *execution) (bool, error) {
	return imageFact(ctx, x, a.site, a.ref, func(i replay.Image) bool { return i.Role == replay.RolePrimary && !i.Unwritable })
}

func (a finishPromotion) do(ctx context.Context, x *execution) error {
	for _, other := range a.others {
		err := deed(x, other, func(s Site) error {
			image, err := s.Image(ctx, a.ref)
			if err == nil && image.Role == replay.RolePrimary {
				err = refusal("drover status shows both", "%s is primary at %s too", a.ref, other)
			}
			return err
		})
		if gone, err := absent(err); err != nil && !gone {
			return err
		}
	}
	return deed(x, a.site, func(s Site) error { return s.FinishPromotion(ctx, a.ref) })
}

// mirroredByMode wants to see the mirroring that a pool's mode has brought to
// an image with journaling.
type mirroredByMode struct {
	prompt
	site string
	ref  replay.ImageRef
}

func (a mirroredByMode) done(ctx context.Context, x *execution) (bool, error) {
	return enableMirroring{site: a.site, ref: a.ref, mode: replay.ModeJournal}.done(ctx, x)
}

func (a mirroredByMode) do(ctx context.Context, x *execution) error {
	ok, err := a.done(ctx, x)
	if err == nil && !ok {
		return &Hinted{
			Err:  fmt.Errorf("%w: pool mode at %s has not made %s primary", ErrIncomplete, a.site, a.ref),
			Hint: "apply again",
		}
	}
	return err
}

// takeSnapshot takes a mirror snapshot for peers that the newest one does not
// name. A mirror snapshot is meant for the peers that the pool had when it was
// taken, and a one-way secondary becomes a peer only once its daemon has said
// hello: an image enabled before that would never be copied.
type takeSnapshot struct {
	prompt
	site      string
	ref       replay.ImageRef
	receivers []peerWant // as the primary lists them
}

func (a takeSnapshot) done(context.Context, *execution) (bool, error) { return false, nil }

func (a takeSnapshot) do(ctx context.Context, x *execution) error {
	return deed(x, a.site, func(s Site) error {
		known := func(ctx context.Context) (bool, error) {
			seen, err := s.PoolMirroring(ctx, whole(a.ref.Pool))
			for i := range a.receivers {
				if a.receivers[i].announced(seen.Peers) == nil {
					return false, err
				}
			}
			return err == nil, err
		}
		if ok, err := known(ctx); err != nil {
			return err
		} else if !ok {
			if err := x.await("the daemons of the secondaries to announce themselves at "+a.site, known); err != nil {
				return &Hinted{Err: err, Hint: "check that rbd-mirror runs at the secondaries, then apply again"}
			}
		}
		_, err := s.CreateMirrorSnapshot(ctx, a.ref)
		return err
	})
}

// unmirror stops mirroring of one image. Force is for a copy that is not
// primary: it becomes an image of its own, its data kept.
type unmirror struct {
	prompt
	site  string
	ref   replay.ImageRef
	force bool
}

func (a unmirror) done(ctx context.Context, x *execution) (bool, error) {
	ok, err := imageFact(ctx, x, a.site, a.ref, func(i replay.Image) bool { return !i.Mirrored() })
	if err != nil {
		return absent(err)
	}
	return ok, nil
}

func (a unmirror) do(ctx context.Context, x *execution) error {
	return deed(x, a.site, func(s Site) error { return s.DisableMirroring(ctx, a.ref, a.force) })
}

// addSchedule adds a mirror snapshot schedule. That of a single image can be
// added only where the image is mirrored, so that it waits for the copy.
type addSchedule struct {
	prompt
	site     string
	schedule replay.MirrorSchedule
}

func (a addSchedule) done(ctx context.Context, x *execution) (bool, error) {
	return fact(x, a.site, func(s Site) (bool, error) {
		listed, err := s.MirrorSchedules(ctx, a.schedule.Pool)
		return hasSchedule(listed, a.schedule), err
	})
}

func (a addSchedule) do(ctx context.Context, x *execution) error {
	return deed(x, a.site, func(s Site) error {
		if a.schedule.Name != "" {
			mirrored := func(ctx context.Context) (bool, error) {
				image, err := s.Image(ctx, a.schedule.ImageRef)
				if errors.Is(err, replay.ErrNotFound) {
					return false, nil
				}
				return err == nil && image.Mirrored(), err
			}
			if ok, err := mirrored(ctx); err != nil {
				return err
			} else if !ok {
				if err := x.await("the copy of "+a.schedule.String()+" at "+a.site, mirrored); err != nil {
					return &Hinted{Err: err, Hint: "apply again once the copy is there"}
				}
			}
		}
		return s.AddMirrorSchedule(ctx, a.schedule)
	})
}

type removeSchedule struct {
	prompt
	site     string
	schedule replay.MirrorSchedule
}

func (a removeSchedule) done(ctx context.Context, x *execution) (bool, error) {
	listed, err := addSchedule{site: a.site, schedule: a.schedule}.done(ctx, x)
	return !listed, err
}

func (a removeSchedule) do(ctx context.Context, x *execution) error {
	return deed(x, a.site, func(s Site) error { return s.RemoveMirrorSchedule(ctx, a.schedule) })
}
