package ceph

import (
	"context"
	"fmt"
	"time"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph/cls"
)

var imageModes = map[replay.MirrorMode]rbd.ImageMirrorMode{
	replay.ModeJournal:  rbd.ImageMirrorModeJournal,
	replay.ModeSnapshot: rbd.ImageMirrorModeSnapshot,
}

// onMirrored runs fn, which is about mirroring, on an image opened for changes.
// librbd answers ENOENT when an image is not mirrored.
func (s *Site) onMirrored(ctx context.Context, op operation, ref replay.ImageRef, fn func(*rbd.Image) error) error {
	return s.onImage(ctx, op, ref, func(_ *rados.IOContext, image *rbd.Image) error {
		return s.unmirrored(image, fn(image))
	})
}

// unmirrored says so where an image was refused something because it is not
// mirrored.
func (*Site) unmirrored(image *rbd.Image, err error) error {
	if isErrno(err, enoent) || isErrno(err, einval) {
		if info, e := image.GetMirrorImageInfo(); e == nil && info.State == rbd.MirrorImageDisabled {
			return &explained{is: replay.ErrInvalid, say: "it is not mirrored", hint: "enable mirroring of the image first", err: err}
		}
	}
	return err
}

// onImage runs fn on an image opened for changes.
func (s *Site) onImage(ctx context.Context, op operation, ref replay.ImageRef, fn func(*rados.IOContext, *rbd.Image) error) error {
	_, err := inPool(ctx, s, op, ref.Pool, ref.String(), func(io *rados.IOContext) (struct{}, error) {
		return struct{}{}, withImage(io, ref.Name, func(image *rbd.Image) error { return fn(io, image) })
	})
	return err
}

// EnableMirroring makes an image primary and lets it be mirrored in the mode.
// One that is mirrored in that mode already is no error. Journal mode switches
// the features on that it needs, under the conditions of EnableFeatures.
func (s *Site) EnableMirroring(ctx context.Context, ref replay.ImageRef, mode replay.MirrorMode) error {
	m, ok := imageModes[mode]
	if !ok {
		return s.refuse(opEnable.name, ref.String(), replay.ErrInvalid, fmt.Sprintf("there is no mode %q", mode), "")
	}
	return s.onImage(ctx, opEnable, ref, func(io *rados.IOContext, image *rbd.Image) error {
		if mode == replay.ModeJournal {
			// librbd switches on what is missing, whoever uses the image.
			if err := s.refuseFeatures(io, image, replay.FeatureExclusiveLock|replay.FeatureJournaling); err != nil {
				return err
			}
		}
		err := image.MirrorEnable(m)
		if err != nil {
			return explainEnable(io, image, mode, err)
		}
		return nil
	})
}

// explainEnable finds out what an EINVAL or EBUSY of librbd means
// (librbd/api/Mirror.cc and librbd/mirror/EnableRequest.cc print it to the log
// only). What it cannot find out stays what it was.
func explainEnable(io *rados.IOContext, image *rbd.Image, mode replay.MirrorMode, err error) error {
	if !isErrno(err, einval) && !isErrno(err, ebusy) {
		return err
	}
	if poolMode, e := rbd.GetMirrorMode(io); e == nil {
		switch poolMode {
		case rbd.MirrorModeDisabled:
			return &explained{say: "mirroring is not enabled on the pool", hint: "enable it first: rbd mirror pool enable", err: err}
		case rbd.MirrorModePool:
			return &explained{
				say:  "the pool is mirrored in pool mode, which takes every image with journaling and no other",
				hint: "switch journaling on instead, or use image mode", err: err,
			}
		}
	}
	if have, e := image.GetFeatures(); e == nil && mode == replay.ModeJournal {
		wanted := replay.FeatureExclusiveLock | replay.FeatureJournaling
		if missing := wanted &^ replay.Features(have); missing != 0 {
			return &explained{
				say: "it lacks " + names(missing), hint: "switch features on first: rbd feature enable", err: err,
			}
		}
	}
	if info, e := image.GetMirrorImageInfo(); e == nil && info.State == rbd.MirrorImageEnabled {
		if is, e := image.GetImageMirrorMode(); e == nil && is != imageModes[mode] {
			return &explained{say: "it is mirrored already, in " + is.String() + " mode", hint: "disable mirroring of the image first", err: err}
		}
	}
	if parent, e := image.GetParent(); e == nil {
		return &explained{
			say:  fmt.Sprintf("its parent %s/%s may not be mirrored", parent.Image.PoolName, parent.Image.ImageName),
			hint: "mirror the parent too, or flatten the clone", err: err,
		}
	}
	return err
}

// DisableMirroring stops mirroring of an image. At the primary rbd-mirror then
// deletes the secondaries' copies; force is for a copy that is not primary.
// One that is not mirrored is no error.
func (s *Site) DisableMirroring(ctx context.Context, ref replay.ImageRef, force bool) error {
	return s.onImage(ctx, opDisable, ref, func(_ *rados.IOContext, image *rbd.Image) error { return image.MirrorDisable(force) })
}

// Promote makes an image primary. EBUSY without force: it is primary at the
// other site, or the demotion there has not arrived.
func (s *Site) Promote(ctx context.Context, ref replay.ImageRef, force bool) error {
	return s.onMirrored(ctx, opPromote, ref, func(image *rbd.Image) error { return image.MirrorPromote(force) })
}

// Demote makes a primary non-primary. It needs the exclusive lock, and so
// fails or waits while a client holds it.
func (s *Site) Demote(ctx context.Context, ref replay.ImageRef) error {
	return s.onMirrored(ctx, opDemote, ref, func(image *rbd.Image) error { return image.MirrorDemote() })
}

// DemoteUnused is Demote where allow has nothing against those who hold or watch
// the image at that moment.
func (s *Site) DemoteUnused(ctx context.Context, ref replay.ImageRef, allow func([]replay.ImageUser) error) error {
	return s.onImage(ctx, opDemote, ref, func(io *rados.IOContext, image *rbd.Image) error {
		users, err := s.watchers(io, image)
		if err != nil {
			return fmt.Errorf("who uses it is not known: %w", err)
		}
		if err := allow(users); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err // who asked for it has given it up meanwhile
		}
		err = image.MirrorDemote()
		return s.unmirrored(image, err)
	})
}

// Resync asks rbd-mirror to delete this copy and to copy the primary anew.
func (s *Site) Resync(ctx context.Context, ref replay.ImageRef) error {
	return s.onMirrored(ctx, opResync, ref, func(image *rbd.Image) error { return image.MirrorResync() })
}

// CreateMirrorSnapshot takes a mirror snapshot and answers with its id.
func (s *Site) CreateMirrorSnapshot(ctx context.Context, ref replay.ImageRef) (uint64, error) {
	taken := make(chan uint64, 1) // a call that was given up must write to nothing of ours
	err := s.onMirrored(ctx, opMirrorSnap, ref, func(image *rbd.Image) error {
		id, err := image.CreateMirrorSnapshot()
		taken <- id
		if isErrno(err, einval) {
			return s.explainMirrorSnapshot(ref.Pool, image, err)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return <-taken, nil
}

// announceTime bounds the wait for watchers that do not answer; they have the
// message all the same, or will read the image when they are back.
const announceTime = 5 * time.Second

// Announce sends the watchers of the image's header an empty message, which all
// releases of librbd take for "the header has changed"
// (librbd/ImageWatcher.cc: handle_notify).
func (s *Site) Announce(ctx context.Context, ref replay.ImageRef) error {
	_, err := inPool(ctx, s, opAnnounce, ref.Pool, ref.String(), func(io *rados.IOContext) (struct{}, error) {
		id, err := imageID(io, ref.Name)
		if err != nil {
			return struct{}{}, err
		}
		_, _, err = io.NotifyWithTimeout(cls.HeaderObject(id), nil, announceTime)
		if isErrno(err, etimedout) {
			err = nil // somebody who watches is dead, or slow
		}
		return struct{}{}, err
	})
	return err
}

// explainMirrorSnapshot tells a pool that nobody replays from, which librbd
// refuses in the same way (librbd/mirror/snapshot/CreatePrimaryRequest.cc).
func (s *Site) explainMirrorSnapshot(pool replay.Pool, image *rbd.Image, err error) error {
	info, e := image.GetMirrorImageInfo()
	if e != nil || !info.Primary {
		return err
	}
	io, e := s.ioctx(replay.Pool{Name: pool.Name})
	if e != nil {
		return err
	}
	peers, e := rbd.ListMirrorPeerSite(io)
	if e != nil {
		return err
	}
	for _, p := range peers {
		if p.Direction != rbd.MirrorPeerDirectionRx {
			return err
		}
	}
	return &explained{say: "no peer replays from this pool yet", hint: "add the peer first: rbd mirror pool peer bootstrap", err: err}
}
