package ceph

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/drover-io/drover/replay"
)

// dependsOn is what each feature needs (librbd/operation/EnableFeaturesRequest.cc).
var dependsOn = map[replay.Features]replay.Features{
	replay.FeatureObjectMap:  replay.FeatureExclusiveLock,
	replay.FeatureFastDiff:   replay.FeatureObjectMap,
	replay.FeatureJournaling: replay.FeatureExclusiveLock,
}

// featuresInOrder are the features that can be switched on an existing image,
// each behind those it depends on.
var featuresInOrder = []replay.Features{
	replay.FeatureExclusiveLock, replay.FeatureObjectMap, replay.FeatureFastDiff, replay.FeatureJournaling,
}

// CreateImage makes an image; ErrExists when there is one. What is left of one whose
// maker died as it began is cleared away.
func (s *Site) CreateImage(ctx context.Context, ref replay.ImageRef, spec replay.ImageSpec) error {
	err := s.createImage(ctx, ref, spec)
	if !errors.Is(err, replay.ErrExists) {
		return err
	}
	if cleared, clearing := s.clearHalfMade(ctx, ref); clearing != nil || !cleared {
		return errors.Join(err, clearing)
	}
	return s.createImage(ctx, ref, spec)
}

func (s *Site) createImage(ctx context.Context, ref replay.ImageRef, spec replay.ImageSpec) error {
	if spec.ObjectSize != 0 && bits.OnesCount64(spec.ObjectSize) != 1 {
		return s.refuse(opCreate.name, ref.String(), replay.ErrInvalid, fmt.Sprintf("an object size of %d bytes is no power of two", spec.ObjectSize), "")
	}
	_, err := inPool(ctx, s, opCreate, ref.Pool, ref.String(), func(io *rados.IOContext) (struct{}, error) {
		options := rbd.NewRbdImageOptions()
		defer options.Destroy()
		if err := fill(options, spec); err != nil {
			return struct{}{}, err
		}
		for _, pool := range []string{spec.DataPool, spec.JournalPool} {
			if pool == "" {
				continue
			}
			if _, err := s.conn.GetPoolByName(pool); err != nil {
				return struct{}{}, missingPool(pool, err)
			}
		}
		return struct{}{}, rbd.CreateImage(io, ref.Name, spec.Size, options)
	})
	return err
}

func fill(options *rbd.ImageOptions, spec replay.ImageSpec) error {
	numbers := map[rbd.ImageOption]uint64{}
	if spec.Features != 0 {
		numbers[rbd.ImageOptionFeatures] = uint64(withDependencies(spec.Features))
	}
	if spec.ObjectSize != 0 {
		numbers[rbd.ImageOptionOrder] = uint64(bits.TrailingZeros64(spec.ObjectSize))
	}
	for option, value := range numbers {
		if err := options.SetUint64(option, value); err != nil {
			return err
		}
	}
	for option, value := range map[rbd.ImageOption]string{
		rbd.ImageOptionDataPool: spec.DataPool, rbd.ImageOptionJournalPool: spec.JournalPool,
	} {
		if value == "" {
			continue
		}
		if err := options.SetString(option, value); err != nil {
			return err
		}
	}
	return nil
}

// withDependencies adds what the features need.
func withDependencies(f replay.Features) replay.Features {
	for i := len(featuresInOrder) - 1; i >= 0; i-- {
		if f.Has(featuresInOrder[i]) {
			f |= dependsOn[featuresInOrder[i]]
		}
	}
	return f
}

// withDependents adds what needs the features.
func withDependents(f replay.Features) replay.Features {
	for _, feature := range featuresInOrder {
		if f&dependsOn[feature] != 0 {
			f |= feature
		}
	}
	return f
}

// EnableFeatures switches features on, with those they depend on first. Those
// that are on already are left alone. It refuses (ErrBusy) to give an
// exclusive lock to an image that is in use without one, as the client would
// go on writing beside the lock, and journaling to an image that a kernel
// client has mapped, which cannot write a journal.
func (s *Site) EnableFeatures(ctx context.Context, ref replay.ImageRef, features replay.Features) error {
	wanted := withDependencies(features)
	_, err := inPool(ctx, s, opFeatures, ref.Pool, ref.String(), func(io *rados.IOContext) (struct{}, error) {
		return struct{}{}, withImage(io, ref.Name, func(image *rbd.Image) error {
			have, err := image.GetFeatures()
			if err != nil {
				return err
			}
			missing := wanted &^ replay.Features(have)
			if missing == 0 {
				return nil
			}
			if err := s.refuseFeatures(io, image, missing); err != nil {
				return err
			}
			// librbd takes them all at once and in the right order.
			return image.UpdateFeatures(uint64(missing), true)
		})
	})
	return err
}

// refuseFeatures refuses features that the image's clients cannot live with.
func (s *Site) refuseFeatures(io *rados.IOContext, image *rbd.Image, wanted replay.Features) error {
	have, err := image.GetFeatures()
	if err != nil {
		return err
	}
	missing := wanted &^ replay.Features(have)
	if missing&(replay.FeatureExclusiveLock|replay.FeatureJournaling) == 0 {
		return nil
	}
	return s.refuseWhileUsed(io, image, missing)
}

func (s *Site) refuseWhileUsed(io *rados.IOContext, image *rbd.Image, missing replay.Features) error {
	users, err := s.watchers(io, image)
	if err != nil {
		return err
	}
	for _, u := range users {
		if u.Mirror {
			continue
		}
		switch {
		case missing.Has(replay.FeatureJournaling) && u.Kernel:
			return &explained{
				is: replay.ErrBusy, err: ebusy,
				say:  fmt.Sprintf("the kernel client %s at %s has it mapped, and kernel clients cannot use journaling", u.Client, u.Address),
				hint: "unmap it there (rbd unmap) and use rbd-nbd or librbd, or mirror the image by snapshots",
			}
		case missing.Has(replay.FeatureExclusiveLock):
			return &explained{
				is: replay.ErrBusy, err: ebusy,
				say:  fmt.Sprintf("%s at %s uses it without an exclusive lock", u.Client, u.Address),
				hint: "stop that client, let drover switch exclusive-lock on, and start it again",
			}
		}
	}
	return nil
}

// DisableFeatures switches features off, with those that depend on them first.
// Those that are off already are left alone.
func (s *Site) DisableFeatures(ctx context.Context, ref replay.ImageRef, features replay.Features) error {
	unwanted := withDependents(features)
	_, err := inPool(ctx, s, opFeatures, ref.Pool, ref.String(), func(io *rados.IOContext) (struct{}, error) {
		return struct{}{}, withImage(io, ref.Name, func(image *rbd.Image) error {
			have, err := image.GetFeatures()
			if err != nil {
				return err
			}
			if on := unwanted & replay.Features(have); on != 0 {
				return image.UpdateFeatures(uint64(on), false)
			}
			return nil
		})
	})
	return err
}

// RemoveImage removes an image that has no snapshots and no users.
func (s *Site) RemoveImage(ctx context.Context, ref replay.ImageRef) error {
	_, err := inPool(ctx, s, opRemove, ref.Pool, ref.String(), func(io *rados.IOContext) (struct{}, error) {
		return struct{}{}, rbd.RemoveImage(io, ref.Name)
	})
	return err
}

// withImage opens an image for changes while fn runs.
func withImage(io *rados.IOContext, name string, fn func(*rbd.Image) error) error {
	image, err := rbd.OpenImage(io, name, rbd.NoSnapshot)
	if err != nil {
		return err
	}
	err = fn(image)
	if closing := image.Close(); err == nil {
		err = closing
	}
	return err
}

// names joins feature names for a sentence.
func names(f replay.Features) string { return strings.Join(f.Names(), " and ") }
