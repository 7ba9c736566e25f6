package ceph_test

import (
	"testing"

	librbd "github.com/ceph/go-ceph/rbd"

	"github.com/drover-io/drover/replay"
)

// TestUsers looks at an image while another client writes to it, and at its
// copy, which rbd-mirror holds.
func TestUsers(t *testing.T) {
	p := newPair(t)
	ctx := t.Context()
	ref := p.newImage(t, p.pool, "used", replay.ModeJournal)
	p.settled(t, ref)
	if users, err := p.a.Users(ctx, ref); err != nil || len(users) != 0 {
		t.Errorf("an image that nobody uses has the users %+v; %v", users, err)
	}
	must(t, asClient("site-a", ref, func(image *librbd.Image) error {
		if _, err := image.WriteAt([]byte("held"), 0); err != nil {
			return err
		}
		users, err := p.a.Users(ctx, ref)
		if err != nil {
			return err
		}
		if len(users) != 1 || !users[0].Locks || users[0].Mirror || users[0].Kernel || users[0].Client == "" || users[0].Address == "" {
			t.Errorf("a writer shows as %+v", users)
		}
		return nil
	}))
	await(t, "rbd-mirror holds the copy", func() (bool, error) {
		users, err := p.b.Users(ctx, ref)
		return len(users) == 1 && users[0].Mirror && users[0].Locks, err
	})
}

// TestFeaturesInUse refuses an exclusive lock to an image that a client uses
// without one, and gives it once the client has gone.
func TestFeaturesInUse(t *testing.T) {
	s := open(t, "site-a")
	ctx, pool := t.Context(), newPool(t)
	ref := pool.Image("in-use")
	must(t, s.SetPoolMode(ctx, pool, replay.PoolImage))
	must(t, s.CreateImage(ctx, ref, replay.ImageSpec{Size: 8 << 20, Features: replay.FeatureLayering}))
	must(t, asClient("site-a", ref, func(*librbd.Image) error {
		refused(t, s.EnableFeatures(ctx, ref, replay.FeatureJournaling), replay.ErrBusy, "without an exclusive lock", "stop that client")
		refused(t, s.EnableMirroring(ctx, ref, replay.ModeJournal), replay.ErrBusy, "without an exclusive lock")
		return nil
	}))
	must(t, s.EnableFeatures(ctx, ref, replay.FeatureJournaling|replay.FeatureFastDiff))
	wanted := replay.FeatureExclusiveLock | replay.FeatureObjectMap | replay.FeatureFastDiff | replay.FeatureJournaling
	if has := find(t, s, ref, replay.WithHeader).Features; !has.Has(wanted) {
		t.Errorf("it has %s", has)
	}
	// A client that knows the lock is asked for it: journaling goes on while it
	// writes.
	must(t, s.DisableFeatures(ctx, ref, replay.FeatureJournaling))
	must(t, asClient("site-a", ref, func(image *librbd.Image) error {
		if _, err := image.WriteAt([]byte("before"), 0); err != nil {
			return err
		}
		if err := s.EnableFeatures(ctx, ref, replay.FeatureJournaling); err != nil {
			return err
		}
		_, err := image.WriteAt([]byte("after"), 4096)
		return err
	}))
	must(t, s.DisableFeatures(ctx, ref, replay.FeatureExclusiveLock))
	if has := find(t, s, ref, replay.WithHeader).Features; has&wanted != 0 {
		t.Errorf("without a lock it still has %s", has)
	}
}
