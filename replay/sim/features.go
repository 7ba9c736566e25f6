package sim

import (
	"context"

	"github.com/drover-io/drover/replay"
)

// mutable are the features that can change on an existing image, those that
// others depend on first (include/rbd/features.h: RBD_FEATURES_MUTABLE).
var mutable = []struct{ feature, needs replay.Features }{
	{replay.FeatureExclusiveLock, 0},
	{replay.FeatureObjectMap, replay.FeatureExclusiveLock},
	{replay.FeatureFastDiff, replay.FeatureObjectMap | replay.FeatureExclusiveLock},
	{replay.FeatureJournaling, replay.FeatureExclusiveLock},
}

const mutableMask = replay.FeatureExclusiveLock | replay.FeatureObjectMap | replay.FeatureFastDiff | replay.FeatureJournaling

// EnableFeatures switches features on with all that they depend on.
func (s *Site) EnableFeatures(ctx context.Context, ref replay.ImageRef, features replay.Features) error {
	return s.image(ctx, "EnableFeatures", ref, func(_ *cluster, n *namespace, i *image) error {
		if features&^mutableMask&^i.Features != 0 {
			return fail(einval, "cannot update immutable features")
		}
		for _, m := range mutable {
			if features&m.feature != 0 {
				features |= m.needs
			}
		}
		features = withTwin(features) &^ i.Features
		if features == 0 {
			return nil
		}
		if i.readOnly(n) {
			return fail(erofs, "cannot update features of a non-primary image")
		}
		if err := i.bearable(features); err != nil {
			return err
		}
		s.w.switchOn(n, i, features)
		return nil
	})
}

// bearable refuses features that a client of the image could not go on with,
// as package ceph does: librbd itself does not look.
func (i *image) bearable(missing replay.Features) error {
	for _, u := range i.Users {
		switch {
		case u.Mirror:
		case missing.Has(replay.FeatureJournaling) && u.Kernel:
			return fail(ebusy, "the kernel client %s cannot use journaling", u.Client)
		case missing.Has(replay.FeatureExclusiveLock):
			return fail(ebusy, "%s uses it without an exclusive lock", u.Client)
		}
	}
	return nil
}

func (w *World) switchOn(n *namespace, i *image, features replay.Features) {
	i.Features |= features
	if !features.Has(replay.FeatureJournaling) {
		return
	}
	i.Journal = &journal{Epochs: []epoch{{ID: w.epoch()}}}
	if n.Mode == replay.PoolPool && i.Mirror == nil {
		w.mirror(n, i, replay.ModeJournal)
	}
}

// withTwin adds fast-diff to object-map and the other way round: librbd turns
// both on and off together.
func withTwin(f replay.Features) replay.Features {
	const twins = replay.FeatureObjectMap | replay.FeatureFastDiff
	if f&twins != 0 {
		f |= twins
	}
	return f
}

// DisableFeatures switches features off with all that depend on them.
func (s *Site) DisableFeatures(ctx context.Context, ref replay.ImageRef, features replay.Features) error {
	return s.image(ctx, "DisableFeatures", ref, func(_ *cluster, n *namespace, i *image) error {
		if features&i.Features&^(mutableMask|replay.FeatureDeepFlatten) != 0 {
			return fail(einval, "cannot update immutable features")
		}
		for _, m := range mutable {
			if features&m.needs != 0 {
				features |= m.feature
			}
		}
		features = withTwin(features) & i.Features
		if features == 0 {
			return nil
		}
		if i.readOnly(n) {
			return fail(erofs, "cannot update features of a non-primary image")
		}
		if features.Has(replay.FeatureJournaling) {
			if i.Mirror != nil && i.Mirror.Mode == replay.ModeJournal {
				if n.Mode != replay.PoolPool {
					return fail(einval, "cannot disable journaling: image mirroring enabled and mirror pool mode set to image")
				}
				s.w.disable(n, i)
			}
			i.Journal = nil
		}
		i.Features &^= features
		return nil
	})
}
