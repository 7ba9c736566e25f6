package ceph

import (
	"context"

	"github.com/ceph/go-ceph/rados"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph/cls"
)

// FinishPromotion lets clients write to a primary that is still marked as
// non-primary. librbd has no call for it: a promotion refuses what is primary
// already. It does what the promotion would have done last
// (librbd/mirror/snapshot/PromoteRequest.cc: disable_non_primary_feature), and
// tells those who have the image open.
func (s *Site) FinishPromotion(ctx context.Context, ref replay.ImageRef) error {
	image, err := s.marked(ctx, ref, false)
	if err != nil {
		return err
	}
	if image.Role != replay.RolePrimary {
		// It was demoted between the look and the change: then the mark belongs there.
		_, err := s.marked(ctx, ref, true)
		if err == nil {
			err = s.refuse(opFinish.name, ref.String(), replay.ErrReadOnly, "it is not primary any more", "")
		}
		return err
	}
	if err := s.Announce(ctx, ref); err != nil {
		return err
	}
	if replay.SnapshotCutShort(image) {
		_, err = s.CreateMirrorSnapshot(ctx, ref)
	}
	return err
}

// marked marks a mirrored image as non-primary, or takes the mark off one that is
// primary, and answers with what the image is then.
func (s *Site) marked(ctx context.Context, ref replay.ImageRef, mark bool) (replay.Image, error) {
	before, err := s.Image(ctx, ref)
	if err != nil {
		return before, err
	}
	if !mark && before.Role != replay.RolePrimary {
		return before, s.refuse(opFinish.name, ref.String(), replay.ErrReadOnly, "it is not primary", "promote it")
	}
	if before.Mode != replay.ModeSnapshot || before.Features.Has(replay.FeatureNonPrimary) == mark {
		return before, nil
	}
	var features replay.Features
	if mark {
		features = replay.FeatureNonPrimary
	}
	_, err = inPool(ctx, s, opFinish, ref.Pool, ref.String(), func(io *rados.IOContext) (struct{}, error) {
		op := rados.CreateWriteOp()
		defer op.Release()
		op.Exec(cls.ImageClass, cls.SetFeaturesMethod, cls.EncodeSetFeatures(features, replay.FeatureNonPrimary))
		return struct{}{}, op.Operate(io, cls.HeaderObject(before.ID), rados.OperationNoFlag)
	})
	if err != nil {
		return before, err
	}
	return s.Image(ctx, ref)
}
