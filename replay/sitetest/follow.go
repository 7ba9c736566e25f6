package sitetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
)

func (s *suite) replayCases(t *testing.T, inner replay.Pool) {
	each(t, "FirstAppearance", func(t *testing.T, mode replay.MirrorMode) { s.appears(t, s.pool("two-way"), mode) })
	each(t, "FirstAppearanceOneWay", func(t *testing.T, mode replay.MirrorMode) { s.appears(t, s.pool("one-way"), mode) })
	each(t, "FirstAppearanceInNamespace", func(t *testing.T, mode replay.MirrorMode) { s.appears(t, inner, mode) })
	each(t, "Content", s.content)
	each(t, "Secondary", s.secondary)
	each(t, "UserSnapshotsTravel", s.snapshotsTravel)
	each(t, "DisableDeletesTheCopy", s.disableDeletes)
	each(t, "ForcedDisableKeepsTheData", s.disableForced)
	t.Run("Positions", func(t *testing.T) { t.Parallel(); s.positions(t) })
	t.Run("AppendTime", func(t *testing.T) { t.Parallel(); s.appendTime(t) })
	t.Run("MirrorSnapshots", func(t *testing.T) { t.Parallel(); s.mirrorSnapshots(t) })
}

func (s *suite) appears(t *testing.T, pool replay.Pool, mode replay.MirrorMode) {
	i := s.protected(t, pool, "appears", mode)
	a, b := i.at(s.A), i.at(s.B)
	if a.Role != replay.RolePrimary || b.Role != replay.RoleSecondary {
		t.Fatalf("roles %s and %s", a.Role, b.Role)
	}
	if a.GlobalID != b.GlobalID || b.Mode != mode || b.Size != a.Size || b.Demoted {
		t.Fatalf("the copy of %+v is %+v", a, b)
	}
	if (mode == replay.ModeSnapshot) != b.Features.Has(replay.FeatureNonPrimary) {
		t.Fatalf("the copy has features %s", b.Features)
	}
	for _, site := range []replay.Site{s.A, s.B} {
		// The role in bulk is the role of the image.
		all, err := site.Images(t.Context(), pool, 0)
		ok(t, err)
		for _, img := range all {
			if img.Ref == i.ref && (img.Role != i.at(site).Role || img.GlobalID != a.GlobalID || img.Mode != mode || img.State != replay.StateEnabled) {
				t.Fatalf("%s lists %+v", site.Name(), img)
			}
		}
	}
	r := i.awaitReport(s.B, "replay", func(r replay.Report) bool { return r.Up && r.State == replay.ReportReplaying && r.Progress != nil })
	if r.GlobalID != a.GlobalID || r.Updated.IsZero() || r.Progress.Mode != mode {
		t.Fatalf("report %+v", r)
	}
	s.eventually(t, "the primary's site holds the secondary's report, too", func() error {
		far, err := i.report(s.A, i.uuid(s.B))
		if err == nil && (!far.Up || far.State != replay.ReportReplaying) {
			err = fmt.Errorf("it holds up=%v %s", far.Up, far.State)
		}
		return err
	})
	users, err := s.B.Users(t.Context(), i.ref)
	ok(t, err)
	for _, u := range users {
		if !u.Mirror {
			t.Fatalf("a copy that only its daemon has open is used by %+v", u)
		}
	}
}

func (s *suite) content(t *testing.T, mode replay.MirrorMode) {
	// What was there before mirroring comes with the first sync.
	pool := s.pool("two-way")
	i := s.made(t, pool, "content-"+string(mode), mode)
	ok(t, i.Write(t.Context(), s.A, i.ref, 8<<20-50, text(10, 100)))
	ok(t, s.A.EnableMirroring(t.Context(), i.ref, mode))
	i.awaitCopy(s.B)
	i.awaitData(s.B, "", 8<<20-50, text(10, 100))
	// The rest comes by replay, the last write last.
	for k := range uint64(5) {
		ok(t, i.Write(t.Context(), s.A, i.ref, 20<<20+k*70000, text(k, 70001)))
	}
	i.mark(s.A)
	i.awaitData(s.B, "", 20<<20+4*70000, text(4, 70001))
	i.awaitData(s.B, "", 20<<20, text(0, 70000))
	i.awaitData(s.B, "", 0, make([]byte, 4096))
	r, err := s.B.OpenSnapshot(t.Context(), i.ref, "")
	ok(t, err)
	var allocated uint64
	err = r.Extents(t.Context(), func(e replay.Extent) error { allocated += e.Length; return nil })
	ok(t, errors.Join(err, r.Close()))
	if allocated == 0 || allocated > 20<<20 {
		t.Fatalf("%d bytes of the copy are allocated", allocated)
	}
}

func (s *suite) secondary(t *testing.T, mode replay.MirrorMode) {
	ctx, i := t.Context(), s.protected(t, s.pool("two-way"), "secondary", mode)
	wants(t, s.B.Promote(ctx, i.ref, false), replay.ErrBusy, s.B)
	wants(t, s.B.Demote(ctx, i.ref), replay.ErrInvalid, s.B)
	wants(t, s.B.DisableMirroring(ctx, i.ref, false), replay.ErrInvalid, s.B)
	wants(t, s.B.CreateSnapshot(ctx, i.ref, "x"), replay.ErrReadOnly, s.B)
	wants(t, s.B.EnableFeatures(ctx, i.ref, replay.FeatureObjectMap), replay.ErrReadOnly, s.B)
	if err := s.B.RemoveImage(ctx, i.ref); err == nil {
		t.Fatal("a secondary was removed")
	}
	if err := i.Write(ctx, s.B, i.ref, 0, []byte("no")); err == nil {
		t.Fatal("a secondary was written to")
	}
	if _, err := s.B.CreateMirrorSnapshot(ctx, i.ref); !errors.Is(err, replay.ErrInvalid) {
		t.Fatalf("mirror snapshot of a secondary: %v", err)
	}
	ok(t, s.B.EnableMirroring(ctx, i.ref, mode))
	if img := i.at(s.B); img.Role != replay.RoleSecondary {
		t.Fatalf("after all that the copy is %s", img.Role)
	}
}

func (s *suite) snapshotsTravel(t *testing.T, mode replay.MirrorMode) {
	ctx, i := t.Context(), s.protected(t, s.pool("two-way"), "travel", mode)
	i.write(s.A, 4096, text(20, 9000))
	ok(t, s.A.CreateSnapshot(ctx, i.ref, "then"))
	i.write(s.A, 4096, text(21, 9000))
	i.awaitData(s.B, "then", 4096, text(20, 9000))
	i.awaitData(s.B, "", 4096, text(21, 9000))
	wants(t, s.B.RemoveSnapshot(ctx, i.ref, "then"), replay.ErrReadOnly, s.B)
	ok(t, s.A.RemoveSnapshot(ctx, i.ref, "then"))
	i.mark(s.A)
	s.eventually(t, "the copy's snapshot is removed, too", func() error {
		for _, sn := range i.at(s.B).Snapshots {
			if sn.Kind == replay.SnapshotUser {
				return fmt.Errorf("snapshot %s is there", sn.Name)
			}
		}
		return nil
	})
}

func (s *suite) disableDeletes(t *testing.T, mode replay.MirrorMode) {
	i := s.protected(t, s.pool("two-way"), "disable", mode)
	ok(t, s.A.DisableMirroring(t.Context(), i.ref, false))
	s.eventually(t, "the copy is deleted", func() error {
		_, err := s.B.Image(t.Context(), i.ref)
		switch {
		case errors.Is(err, replay.ErrNotFound):
			return nil
		case err == nil:
			return errors.New("it is there")
		}
		return err
	})
	if img := i.at(s.A); img.Mirrored() {
		t.Fatal("the primary is still mirrored")
	}
}

// disableForced takes the copy out of mirroring first: then its data stays,
// but the daemon will not follow the primary under the same name again.
func (s *suite) disableForced(t *testing.T, mode replay.MirrorMode) {
	i := s.protected(t, s.pool("two-way"), "forced", mode)
	i.write(s.A, 0, text(30, 4096))
	i.awaitData(s.B, "", 0, text(30, 4096))
	ok(t, s.B.DisableMirroring(t.Context(), i.ref, true))
	ok(t, s.A.DisableMirroring(t.Context(), i.ref, false))
	s.settle(5 * time.Second)
	for _, site := range []replay.Site{s.A, s.B} {
		if img := i.at(site); img.Mirrored() {
			t.Fatalf("%s still mirrors it", site.Name())
		}
		i.awaitData(site, "", 0, text(30, 4096))
	}
}

func (s *suite) positions(t *testing.T) {
	i := s.protected(t, s.pool("two-way"), "positions", replay.ModeJournal)
	i.write(s.A, 0, text(40, 100000))
	i.awaitData(s.B, "", 0, text(40, 100000))
	var primary replay.Image
	s.eventually(t, "the secondary has committed what the primary has", func() error {
		primary = i.at(s.A)
		if err := caughtUp(primary, i.uuid(s.B)); err != nil {
			return err
		}
		if local, _ := primary.Journal.Client(""); len(local.Committed) == 0 {
			return errors.New("nothing is committed")
		}
		return nil
	})
	j := primary.Journal
	if j.Order < 12 || j.SplayWidth == 0 || j.ActiveSet < j.MinimumSet {
		t.Fatalf("journal %+v", j)
	}
	// The copy's newest tag is owned by the primary, and by its uuid.
	copied := i.at(s.B).Journal
	if copied == nil || len(copied.Tags) == 0 || copied.Tags[len(copied.Tags)-1].Owner != i.uuid(s.A) {
		t.Fatalf("the copy's journal: %+v; the primary is %s", copied, i.uuid(s.A))
	}
	all, err := s.A.Images(t.Context(), i.ref.Pool, replay.WithPositions)
	ok(t, err)
	for _, img := range all {
		if img.Ref == i.ref && (img.Journal == nil || len(img.Journal.Clients) != len(j.Clients)) {
			t.Fatalf("in bulk the journal is %+v", img.Journal)
		}
	}
}

func (s *suite) appendTime(t *testing.T) {
	ctx, i := t.Context(), s.made(t, s.pool("errors"), "append-time", replay.ModeJournal)
	ok(t, s.A.EnableMirroring(ctx, i.ref, replay.ModeJournal))
	newest := func() (p replay.Position) {
		t.Helper()
		s.eventually(t, "the writer has committed", func() error {
			local, _ := i.at(s.A).Journal.Client("")
			var any bool
			if p, any = local.Newest(); !any {
				return errors.New("nothing is committed")
			}
			return nil
		})
		return p
	}
	ok(t, i.Write(ctx, s.A, i.ref, 0, text(50, 4096)))
	from := newest()
	var last time.Time
	for k := range uint64(3) {
		ok(t, i.Write(ctx, s.A, i.ref, k*4096, text(51+k, 4096)))
		s.Pause(time.Second)
		var at time.Time
		s.eventually(t, "what follows a position has a time", func() error {
			var any bool
			var err error
			if at, any, err = s.A.AppendTime(ctx, i.ref, from); err == nil && !any {
				err = fmt.Errorf("no entry after %+v", from)
			}
			return err
		})
		if n, counted, err := s.A.BytesAfter(ctx, i.ref, from); err != nil || !counted || n < 4096 || n > 64<<10 {
			t.Fatalf("after a write of 4096 bytes %d bytes lie behind %+v (counted: %t, error: %v)", n, from, counted, err)
		}
		if at.Before(last) || at.Sub(last) > time.Hour && !last.IsZero() {
			t.Fatalf("entries were appended at %v and then at %v", last, at)
		}
		last = at
		s.eventually(t, "the writer commits", func() error {
			if now := newest(); now == from {
				return fmt.Errorf("it stands at %+v", from)
			}
			return nil
		})
		from = newest()
	}
}

func (s *suite) mirrorSnapshots(t *testing.T) {
	i := s.protected(t, s.pool("two-way"), "marks", replay.ModeSnapshot)
	ok(t, i.Write(t.Context(), s.A, i.ref, 0, text(60, 4096)))
	id, err := s.A.CreateMirrorSnapshot(t.Context(), i.ref)
	ok(t, err)
	ok(t, s.A.Announce(t.Context(), i.ref))
	wants(t, s.A.Announce(t.Context(), i.ref.Image("absent")), replay.ErrNotFound, s.A)
	s.eventually(t, "the copy's newest mirror snapshot is that of the primary", func() error {
		sn, err := newestWhole(i.at(s.B))
		if err != nil {
			return err
		}
		if sn.Mirror.State != replay.SnapNonPrimary || sn.Mirror.PrimaryUUID != i.uuid(s.A) {
			t.Fatalf("the copy has %+v of %+v", sn.Mirror, sn)
		}
		if sn.Mirror.PrimaryID != id {
			return fmt.Errorf("it is that of %d, not of %d", sn.Mirror.PrimaryID, id)
		}
		return nil
	})
	primary, err := newestWhole(i.at(s.A))
	ok(t, err)
	if primary.ID != id || primary.Mirror.State != replay.SnapPrimary || len(primary.Mirror.Peers) != 1 {
		t.Fatalf("the primary has %+v with %+v", primary, primary.Mirror)
	}
	for range 8 {
		_, err := s.A.CreateMirrorSnapshot(t.Context(), i.ref)
		ok(t, err)
	}
	s.eventually(t, "old mirror snapshots are trimmed at both sites", func() error {
		for _, site := range []replay.Site{s.A, s.B} {
			if n := len(i.at(site).Snapshots); n > 5 {
				return fmt.Errorf("%s keeps %d", site.Name(), n)
			}
		}
		return nil
	})
}
