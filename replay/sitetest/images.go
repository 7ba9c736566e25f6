package sitetest

import (
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/drover-io/drover/replay"
)

func (s *suite) catalogCases(t *testing.T) {
	pool := s.pool("errors")
	ok(t, s.A.SetPoolMode(t.Context(), pool, replay.PoolImage))
	t.Run("CreateAndRemove", func(t *testing.T) { t.Parallel(); s.createAndRemove(t, pool) })
	t.Run("Features", func(t *testing.T) { t.Parallel(); s.features(t, pool) })
	t.Run("NotMirrored", func(t *testing.T) { t.Parallel(); s.notMirrored(t, pool) })
	t.Run("Missing", func(t *testing.T) { t.Parallel(); s.missing(t, pool) })
	t.Run("UserSnapshots", func(t *testing.T) { t.Parallel(); s.userSnapshots(t, pool) })
	t.Run("NoMirrorSnapshotWithoutPeers", func(t *testing.T) { t.Parallel(); s.noPeers(t, pool) })
	each(t, "EnableAndDisable", func(t *testing.T, mode replay.MirrorMode) { s.enableAndDisable(t, s.pool("two-way"), mode) })
}

func (s *suite) createAndRemove(t *testing.T, pool replay.Pool) {
	ctx, ref := t.Context(), pool.Image("created")
	spec := replay.ImageSpec{Size: 3<<20 + 512, ObjectSize: 1 << 20, Features: basic | replay.FeatureJournaling}
	ok(t, s.A.CreateImage(ctx, ref, spec))
	wants(t, s.A.CreateImage(ctx, ref, spec), replay.ErrExists, s.A)
	img, err := s.A.Image(ctx, ref)
	ok(t, err)
	if img.Ref != ref || img.ID == "" || img.Size != spec.Size || img.ObjectSize != spec.ObjectSize || !img.Features.Has(spec.Features) {
		t.Fatalf("created %+v, got %+v", spec, img)
	}
	if img.Role != replay.RoleNone || img.Mode != "" || img.GlobalID != "" || img.Parent != nil || len(img.Snapshots) != 0 {
		t.Fatalf("a new image: %+v", img)
	}
	all, err := s.A.Images(ctx, pool, replay.WithHeader)
	ok(t, err)
	at := slices.IndexFunc(all, func(i replay.Image) bool { return i.Ref == ref })
	if at < 0 || all[at].ID != img.ID || all[at].Size != img.Size || all[at].Features != img.Features {
		t.Fatalf("listed at %d of %d unlike opened", at, len(all))
	}
	if !slices.IsSortedFunc(all, func(a, b replay.Image) int { return a.Ref.Compare(b.Ref) }) {
		t.Fatal("images are listed out of order")
	}
	users, err := s.A.Users(ctx, ref)
	ok(t, err)
	if len(users) != 0 {
		t.Fatalf("an image that nobody has open is used by %+v", users)
	}
	ok(t, s.A.RemoveImage(ctx, ref))
	_, err = s.A.Image(ctx, ref)
	wants(t, err, replay.ErrNotFound, s.A)
	wants(t, s.A.CreateImage(ctx, ref, replay.ImageSpec{Size: 1 << 20, ObjectSize: 3000, Features: basic}), replay.ErrInvalid, s.A)
}

func (s *suite) features(t *testing.T, pool replay.Pool) {
	ctx, ref := t.Context(), pool.Image("features")
	ok(t, s.A.CreateImage(ctx, ref, replay.ImageSpec{Size: imageSize, Features: replay.FeatureLayering}))
	has := func(want replay.Features) {
		t.Helper()
		img, err := s.A.Image(ctx, ref)
		ok(t, err)
		if img.Features != want {
			t.Fatalf("features %s, want %s", img.Features, want)
		}
	}
	has(replay.FeatureLayering)
	ok(t, s.A.EnableFeatures(ctx, ref, replay.FeatureJournaling))
	has(basic | replay.FeatureJournaling)
	ok(t, s.A.EnableFeatures(ctx, ref, replay.FeatureJournaling))
	const maps = replay.FeatureObjectMap | replay.FeatureFastDiff
	ok(t, s.A.EnableFeatures(ctx, ref, maps))
	has(basic | replay.FeatureJournaling | maps)
	ok(t, s.A.DisableFeatures(ctx, ref, replay.FeatureExclusiveLock))
	has(replay.FeatureLayering)
	ok(t, s.A.DisableFeatures(ctx, ref, replay.FeatureExclusiveLock))
	wants(t, s.A.EnableFeatures(ctx, ref, replay.FeatureStriping), replay.ErrInvalid, s.A)
	wants(t, s.A.DisableFeatures(ctx, ref, replay.FeatureLayering), replay.ErrInvalid, s.A)
}

func (s *suite) notMirrored(t *testing.T, pool replay.Pool) {
	ctx, i := t.Context(), s.made(t, pool, "unmirrored", replay.ModeJournal)
	wants(t, s.A.Promote(ctx, i.ref, false), replay.ErrInvalid, s.A)
	wants(t, s.A.Promote(ctx, i.ref, true), replay.ErrInvalid, s.A)
	wants(t, s.A.Demote(ctx, i.ref), replay.ErrInvalid, s.A)
	wants(t, s.A.Resync(ctx, i.ref), replay.ErrInvalid, s.A)
	_, err := s.A.CreateMirrorSnapshot(ctx, i.ref)
	wants(t, err, replay.ErrInvalid, s.A)
	ok(t, s.A.DisableMirroring(ctx, i.ref, false))
}

// noPeers: enabling takes a first mirror snapshot, for nobody; more of them
// need somebody to take them for.
func (s *suite) noPeers(t *testing.T, pool replay.Pool) {
	ctx, i := t.Context(), s.made(t, pool, "alone", replay.ModeSnapshot)
	ok(t, s.A.EnableMirroring(ctx, i.ref, replay.ModeSnapshot))
	sn, err := newestWhole(i.at(s.A))
	ok(t, err)
	if len(sn.Mirror.Peers) != 0 {
		t.Fatalf("first mirror snapshot: %+v", sn.Mirror)
	}
	_, err = s.A.CreateMirrorSnapshot(ctx, i.ref)
	wants(t, err, replay.ErrInvalid, s.A)
}

func (s *suite) missing(t *testing.T, pool replay.Pool) {
	ctx, ref := t.Context(), pool.Image("missing")
	_, err := s.A.Image(ctx, ref)
	wants(t, err, replay.ErrNotFound, s.A)
	_, err = s.A.Users(ctx, ref)
	wants(t, err, replay.ErrNotFound, s.A)
	_, err = s.A.OpenSnapshot(ctx, ref, "")
	wants(t, err, replay.ErrNotFound, s.A)
	_, err = s.A.Ties(ctx, ref)
	wants(t, err, replay.ErrNotFound, s.A)
	_, _, err = s.A.AppendTime(ctx, ref, replay.Position{})
	wants(t, err, replay.ErrNotFound, s.A)
	_, _, err = s.A.BytesAfter(ctx, ref, replay.Position{})
	wants(t, err, replay.ErrNotFound, s.A)
	for name, call := range map[string]func() error{
		"EnableFeatures":   func() error { return s.A.EnableFeatures(ctx, ref, replay.FeatureJournaling) },
		"EnableMirroring":  func() error { return s.A.EnableMirroring(ctx, ref, replay.ModeJournal) },
		"DisableMirroring": func() error { return s.A.DisableMirroring(ctx, ref, false) },
		"Promote":          func() error { return s.A.Promote(ctx, ref, false) },
		"Demote":           func() error { return s.A.Demote(ctx, ref) },
		"Resync":           func() error { return s.A.Resync(ctx, ref) },
		"CreateSnapshot":   func() error { return s.A.CreateSnapshot(ctx, ref, "x") },
		"RemoveImage":      func() error { return s.A.RemoveImage(ctx, ref) },
	} {
		t.Run(name, func(t *testing.T) { wants(t, call(), replay.ErrNotFound, s.A) })
	}
}

func (s *suite) userSnapshots(t *testing.T, pool replay.Pool) {
	ctx, i := t.Context(), s.made(t, pool, "snapshots", replay.ModeJournal)
	before := text(1, 5000)
	ok(t, i.Write(ctx, s.A, i.ref, 100, before))
	ok(t, s.A.CreateSnapshot(ctx, i.ref, "one"))
	wants(t, s.A.CreateSnapshot(ctx, i.ref, "one"), replay.ErrExists, s.A)
	ok(t, i.Write(ctx, s.A, i.ref, 100, text(2, 5000)))
	i.awaitData(s.A, "one", 100, before)
	i.awaitData(s.A, "", 100, text(2, 5000))
	img := i.at(s.A)
	if len(img.Snapshots) != 1 || img.Snapshots[0].Name != "one" || img.Snapshots[0].Kind != replay.SnapshotUser ||
		img.Snapshots[0].Size != imageSize || img.Snapshots[0].Created.IsZero() {
		t.Fatalf("snapshots %+v", img.Snapshots)
	}
	ties, err := s.A.Ties(ctx, i.ref)
	if ok(t, err); len(ties.Clones)+len(ties.Protected) > 0 {
		t.Errorf("ties %v", ties)
	}
	wants(t, s.A.RemoveImage(ctx, i.ref), replay.ErrBusy, s.A)
	_, err = s.A.OpenSnapshot(ctx, i.ref, "two")
	wants(t, err, replay.ErrNotFound, s.A)
	ok(t, s.A.RemoveSnapshot(ctx, i.ref, "one"))
	ok(t, s.A.RemoveSnapshot(ctx, i.ref, "one"))
	ok(t, s.A.RemoveImage(ctx, i.ref))
}

func (s *suite) enableAndDisable(t *testing.T, pool replay.Pool, mode replay.MirrorMode) {
	ctx := t.Context()
	ref := pool.Image("enabled-" + string(mode))
	ok(t, s.A.CreateImage(ctx, ref, replay.ImageSpec{Size: imageSize, Features: replay.FeatureLayering}))
	i := &image{suite: s, t: t, ref: ref, mode: mode}
	ok(t, s.A.EnableMirroring(ctx, ref, mode))
	ok(t, s.A.EnableMirroring(ctx, ref, mode))
	for _, other := range modes {
		if other != mode {
			wants(t, s.A.EnableMirroring(ctx, ref, other), replay.ErrInvalid, s.A)
		}
	}
	img := i.at(s.A)
	if img.Role != replay.RolePrimary || img.Mode != mode || img.State != replay.StateEnabled || img.GlobalID == "" || img.Demoted {
		t.Fatalf("enabled: %+v", img)
	}
	if mode == replay.ModeJournal {
		// Journaling was off: enabling switched it on with what it needs.
		if !img.Features.Has(basic | replay.FeatureJournaling) {
			t.Fatalf("features %s", img.Features)
		}
		if img.Journal == nil || len(img.Journal.Tags) == 0 || img.Journal.Tags[len(img.Journal.Tags)-1].Owner != "" {
			t.Fatalf("journal of a primary: %+v", img.Journal)
		}
		_, err := s.A.CreateMirrorSnapshot(ctx, ref)
		wants(t, err, replay.ErrInvalid, s.A)
		wants(t, s.A.DisableFeatures(ctx, ref, replay.FeatureJournaling), replay.ErrInvalid, s.A)
	} else {
		sn, err := newestWhole(img)
		ok(t, err)
		if sn.Kind != replay.SnapshotMirror || sn.Mirror.State != replay.SnapPrimary {
			t.Fatalf("first mirror snapshot: %+v", sn)
		}
		id, err := s.A.CreateMirrorSnapshot(ctx, ref)
		ok(t, err)
		if sn, err := newestWhole(i.at(s.A)); err != nil || sn.ID != id {
			t.Fatalf("took mirror snapshot %d, newest is %d (%v)", id, sn.ID, err)
		}
	}
	wants(t, s.A.Promote(ctx, ref, false), replay.ErrInvalid, s.A)
	wants(t, s.A.Resync(ctx, ref), replay.ErrInvalid, s.A)
	ok(t, s.A.DisableMirroring(ctx, ref, false))
	img = i.at(s.A)
	if img.Mirrored() || img.GlobalID != "" || mode == replay.ModeJournal && img.Features.Has(replay.FeatureJournaling) || len(img.Snapshots) != 0 {
		t.Fatalf("disabled: %+v", img)
	}
	ok(t, s.A.RemoveImage(ctx, ref))
}

func (s *suite) readerCases(t *testing.T) {
	t.Run("Reader", func(t *testing.T) {
		t.Parallel()
		i := s.made(t, s.pool("errors"), "reader", replay.ModeJournal)
		data := text(3, 10000)
		ok(t, i.Write(t.Context(), s.A, i.ref, 5<<20, data))
		r, err := s.A.OpenSnapshot(t.Context(), i.ref, "")
		ok(t, err)
		defer r.Close()
		if r.Size() != imageSize || r.ObjectSize() != 4<<20 {
			t.Fatalf("size %d, objects of %d", r.Size(), r.ObjectSize())
		}
		extents(t, r, 5<<20, uint64(len(data)))
		got := make([]byte, len(data)+200)
		n, err := r.ReadAt(t.Context(), got, 5<<20-100)
		ok(t, err)
		want := append(append(make([]byte, 100), data...), make([]byte, 100)...)
		if n != len(got) || string(got) != string(want) {
			t.Fatal("what was read is not what was written, with zeros around it")
		}
		n, err = r.ReadAt(t.Context(), got, imageSize-10)
		if n != 10 || err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("read %d bytes at the end: %v", n, err)
		}
		if n, err = r.ReadAt(t.Context(), got, imageSize); n != 0 || err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("read %d bytes beyond the end: %v", n, err)
		}
	})
}

// extents checks that they are in order, do not overlap, cover what was
// written, and leave out the objects that nobody wrote to.
func extents(t *testing.T, r replay.Reader, offset, length uint64) {
	t.Helper()
	var end, covered uint64
	ok(t, r.Extents(t.Context(), func(e replay.Extent) error {
		if e.Offset < end || e.Length == 0 || e.Offset+e.Length > r.Size() {
			t.Fatalf("extent %+v after %d", e, end)
		}
		end = e.Offset + e.Length
		object := offset / r.ObjectSize() * r.ObjectSize()
		if e.Offset < object || end > object+r.ObjectSize() {
			t.Fatalf("extent %+v outside of the object written to", e)
		}
		if from, to := max(e.Offset, offset), min(end, offset+length); to > from {
			covered += to - from
		}
		return nil
	}))
	if covered != length {
		t.Fatalf("extents cover %d of %d bytes written", covered, length)
	}
}
