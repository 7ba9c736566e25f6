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

// FinishPromotion lets clients write to a primary that is still marked as
// non-primary. librbd has no call for it: a promotion refuses what is primary
// already. It does what the promotion would have done last
// (librbd/mirror/snapshot/PromoteRequest.cc: disable_non_primary_feature), and
// tells those who have the image open.
//
// A demotion begins with the mark, under the image's lock: while a living client
// has that, it is ErrBusy. Should the image turn out to be demoted all the same, it
// is marked again.
func (s *Site) FinishPromotion(ctx context.Context, ref replay.ImageRef) error {
	image, err := s.Image(ctx, ref)
	if err != nil {
		return err
	}
	if image.Role != replay.RolePrimary {
		return s.remark(ctx, image)
	}
	if image.Unwritable {
		if err := s.unlocked(ctx, ref); err != nil {
			return err
		}
		if err := s.mark(ctx, image, 0); err != nil {
			return err
		}
		// Whatever becomes of the one who asked, this is seen to the end.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), remarkTime)
		defer cancel()
		for {
			if image, err = s.Image(ctx, ref); err == nil || ctx.Err() != nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err != nil {
			return err
		}
		if image.Role != replay.RolePrimary {
			return s.remark(ctx, image)
		}
		if err := s.Announce(ctx, ref); err != nil {
			return err
		}
	}
	if replay.SnapshotCutShort(image) {
		_, err = s.CreateMirrorSnapshot(ctx, ref)
	}
	return err
}

// remarkTime bounds the second look.
const remarkTime = 10 * time.Second

// remark refuses an image that is not primary. In snapshot mode it leaves none
// that clients could write to.
func (s *Site) remark(ctx context.Context, image replay.Image) error {
	if image.Mode == replay.ModeSnapshot && image.Demoted && !image.Features.Has(replay.FeatureNonPrimary) {
		if err := s.mark(ctx, image, replay.FeatureNonPrimary); err != nil {
			return err
		}
	}
	return s.refuse(opFinish.name, image.Ref.String(), replay.ErrReadOnly, "it is not primary", "promote it")
}

// mark sets the mark of an image as it is given.
func (s *Site) mark(ctx context.Context, image replay.Image, mark replay.Features) error {
	_, err := inPool(ctx, s, opFinish, image.Ref.Pool, image.Ref.String(), func(io *rados.IOContext) (struct{}, error) {
		op := rados.CreateWriteOp()
		defer op.Release()
		op.Exec(cls.ImageClass, cls.SetFeaturesMethod, cls.EncodeSetFeatures(mark, replay.FeatureNonPrimary))
		return struct{}{}, op.Operate(io, cls.HeaderObject(image.ID), rados.OperationNoFlag)
	})
	return err
}

// unlocked refuses while a client that lives, as far as its watch tells, has the
// image's lock: it may be about to demote it.
func (s *Site) unlocked(ctx context.Context, ref replay.ImageRef) error {
	_, err := inPool(ctx, s, opFinish, ref.Pool, ref.String(), func(io *rados.IOContext) (struct{}, error) {
		image, err := rbd.OpenImageReadOnly(io, ref.Name, rbd.NoSnapshot)
		if err != nil {
			return struct{}{}, err
		}
		defer func() { _ = image.Close() }()
		watchers, locks, err := holders(io, image)
		if err != nil || locks == nil {
			return struct{}{}, err
		}
		for _, w := range watchers {
			for _, owner := range locks.Clients {
				if owner == fmt.Sprintf("client.%d", w.Id) {
					return struct{}{}, &explained{
						is: replay.ErrBusy, say: owner + " at " + w.Addr + " has its lock, and may be demoting it at this moment",
						hint: "try again in half a minute", err: ebusy,
					}
				}
			}
		}
		return struct{}{}, nil
	})
	return err
}
