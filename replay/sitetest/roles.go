package sitetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/drover-io/drover/replay"
)

func (s *suite) roleCases(t *testing.T) {
	each(t, "HandOver", s.handOver)
	each(t, "DemotedAndBack", s.demotedAndBack)
	each(t, "TwoPrimariesThenSplitBrainThenResync", s.splitBrain)
}

// demote demotes at a site and checks the proof that nothing was left behind.
func (i *image) demote(from, to replay.Site) {
	i.t.Helper()
	ok(i.t, from.Demote(i.t.Context(), i.ref))
	if img := i.at(from); img.Role != replay.RoleSecondary || !img.Demoted {
		i.t.Fatalf("demoted: %s, demoted %v", img.Role, img.Demoted)
	}
	if i.mode == replay.ModeSnapshot {
		sn, err := newestWhole(i.at(from))
		ok(i.t, err)
		if sn.Mirror.State != replay.SnapPrimaryDemoted {
			i.t.Fatalf("newest mirror snapshot is %+v", sn.Mirror)
		}
		i.eventually(i.t, "the copy has the demotion", func() error {
			got, err := newestWhole(i.at(to))
			if err == nil && (got.Mirror.State != replay.SnapNonPrimaryDemoted || got.Mirror.PrimaryID != sn.ID || got.Mirror.PrimaryUUID != i.uuid(from)) {
				err = fmt.Errorf("it has %+v, not a demotion by %d", got.Mirror, sn.ID)
			}
			return err
		})
		return
	}
	i.eventually(i.t, "the copy has the demotion", func() error {
		if err := caughtUp(i.at(from), i.uuid(to)); err != nil {
			return err
		}
		if img := i.at(to); !img.Demoted {
			return fmt.Errorf("the copy's newest tag: %+v", img.Journal.Tags[len(img.Journal.Tags)-1])
		}
		return nil
	})
}

// demoteUsed has a demotion refused because of a client: that is seen, who asks is
// not, and nothing has changed.
func (i *image) demoteUsed(site replay.Site) {
	i.t.Helper()
	var seen []replay.ImageUser
	no := errors.New("no")
	refuse := func(users []replay.ImageUser) error { seen = users; return no }
	locks := func(u replay.ImageUser) bool { return u.Locks && !u.Mirror }
	if err := site.DemoteUnused(i.t.Context(), i.ref, refuse); !errors.Is(err, no) {
		i.t.Fatalf("refused: %v", err)
	}
	if slices.ContainsFunc(seen, locks) {
		i.t.Errorf("the one who asks is among its users: %+v", seen)
	}
	w, err := i.Another(i.t, site).OpenWriter(i.t.Context(), i.ref)
	ok(i.t, err)
	_, err = w.WriteAt(i.t.Context(), []byte("held"), 4<<20)
	ok(i.t, err)
	if err := site.DemoteUnused(i.t.Context(), i.ref, refuse); !errors.Is(err, no) || !slices.ContainsFunc(seen, locks) {
		i.t.Errorf("in use: %v, by %+v", err, seen)
	}
	ok(i.t, w.Close())
	if img := i.at(site); img.Role != replay.RolePrimary || img.Unwritable {
		i.t.Errorf("it is %s, unwritable %t", img.Role, img.Unwritable)
	}
}

// marksNothing wants a mirror snapshot of a copy refused: one that comes too late, as
// from somebody who slept through a demotion.
func (i *image) marksNothing(s replay.Site) {
	i.t.Helper()
	if _, err := s.CreateMirrorSnapshot(i.t.Context(), i.ref); i.mode == replay.ModeSnapshot && !errors.Is(err, replay.ErrInvalid) {
		i.t.Errorf("a mirror snapshot of what is not primary at %s: %v", s.Name(), err)
	}
	if img := i.at(s); img.Role != replay.RoleSecondary {
		i.t.Errorf("after that it is %s", img.Role)
	}
}

// awaitLink waits until the primary's rbd-mirror is registered in the journal
// of the copy: promoted before, the copy could not be followed.
func (i *image) awaitLink(primary, copied replay.Site) {
	i.t.Helper()
	if i.mode != replay.ModeJournal {
		return
	}
	i.eventually(i.t, fmt.Sprintf("%s is registered in the journal at %s", primary.Name(), copied.Name()), func() error {
		if img := i.at(copied); img.Journal == nil {
			return errors.New("the journal was not read")
		} else if _, ok := img.Journal.Client(i.uuid(primary)); !ok {
			return fmt.Errorf("clients: %+v", img.Journal.Clients)
		}
		return nil
	})
}

func (s *suite) handOver(t *testing.T, mode replay.MirrorMode) {
	ctx, i := t.Context(), s.protected(t, s.pool("two-way"), "handover", mode)
	ok(t, i.Write(ctx, s.A, i.ref, 0, text(70, 20000)))
	wants(t, s.B.Promote(ctx, i.ref, false), replay.ErrBusy, s.B)
	i.awaitLink(s.A, s.B)
	i.demoteUsed(s.A)
	i.demote(s.A, s.B)
	wants(t, s.A.Demote(ctx, i.ref), replay.ErrInvalid, s.A)
	wants(t, s.A.DemoteUnused(ctx, i.ref, func([]replay.ImageUser) error { return nil }), replay.ErrInvalid, s.A)
	if err := i.Write(ctx, s.A, i.ref, 0, []byte("no")); err == nil {
		t.Fatal("a demoted image was written to")
	}
	i.marksNothing(s.A)
	i.promote(s.B)
	i.marksNothing(s.A)
	if img := i.at(s.B); img.Role != replay.RolePrimary || img.Demoted {
		t.Fatalf("promoted: %s, demoted %v", img.Role, img.Demoted)
	}
	i.awaitData(s.B, "", 0, text(70, 20000))
	i.write(s.B, 1<<20, text(71, 20000))
	i.awaitData(s.A, "", 1<<20, text(71, 20000))
	i.awaitRole(s.A, replay.RoleSecondary)
	// And back.
	i.demote(s.B, s.A)
	i.promote(s.A)
	i.write(s.A, 2<<20, text(72, 20000))
	i.awaitData(s.B, "", 2<<20, text(72, 20000))
}

// demotedAndBack demotes the primary and lets nobody take over: both are
// secondaries then, which the old primary can end without force.
func (s *suite) demotedAndBack(t *testing.T, mode replay.MirrorMode) {
	ctx, i := t.Context(), s.protected(t, s.pool("two-way"), "stranded", mode)
	ok(t, s.A.Demote(ctx, i.ref))
	for _, site := range []replay.Site{s.A, s.B} {
		i.awaitRole(site, replay.RoleSecondary)
	}
	i.awaitReport(s.B, "no primary", func(r replay.Report) bool {
		return r.Up && (r.State == replay.ReportUnknown || r.State == replay.ReportStopped)
	})
	// Until B has replayed this, B could be promoted without force, too: its
	// newest tag or mirror snapshot is the demotion.
	ok(t, s.A.Promote(ctx, i.ref, false))
	i.write(s.A, 0, text(80, 5000))
	i.awaitData(s.B, "", 0, text(80, 5000))
}

func (s *suite) splitBrain(t *testing.T, mode replay.MirrorMode) {
	ctx, i := t.Context(), s.protected(t, s.pool("two-way"), "split", mode)
	i.write(s.A, 0, text(90, 5000))
	i.awaitData(s.B, "", 0, text(90, 5000))
	before := i.at(s.A).ID
	// Refused for a moment while rbd-mirror holds the copy.
	s.eventually(t, "promoted by force at "+s.B.Name(), func() error { return s.B.Promote(ctx, i.ref, true) })
	i.awaitRole(s.A, replay.RolePrimary)
	i.awaitRole(s.B, replay.RolePrimary)
	i.write(s.A, 1<<20, text(91, 5000))
	i.write(s.B, 1<<20, text(92, 5000))

	// Two primaries: no daemon complains, however often it looks.
	primary := func(r replay.Report) bool { return r.Up && r.Has(replay.CondLocalPrimary) }
	for _, site := range []replay.Site{s.A, s.B} {
		if r := i.awaitReport(site, "a local primary", primary); r.State != replay.ReportStopped || r.Has(replay.CondSplitBrain) {
			t.Fatalf("two primaries: %+v", r)
		}
	}
	ok(t, s.A.Demote(ctx, i.ref))
	// The text comes first, while the replay is still being stopped.
	i.awaitReport(s.A, "a split-brain", func(r replay.Report) bool {
		return r.Has(replay.CondSplitBrain) && r.State == replay.ReportError
	})
	i.awaitData(s.A, "", 1<<20, text(91, 5000))

	ok(t, s.A.Resync(ctx, i.ref))
	s.eventually(t, "the copy is made anew", func() error {
		img, err := s.A.Image(ctx, i.ref)
		if err == nil && img.ID == before {
			err = errors.New("it is the old one")
		}
		return err
	})
	i.mark(s.B)
	i.awaitData(s.A, "", 1<<20, text(92, 5000))
	i.awaitData(s.A, "", 0, text(90, 5000))
	i.awaitReport(s.A, "replay", func(r replay.Report) bool { return r.Up && r.State == replay.ReportReplaying })
}

func (s *suite) resyncCases(t *testing.T) {
	each(t, "ResyncOfAHealthyCopy", func(t *testing.T, mode replay.MirrorMode) {
		ctx, i := t.Context(), s.protected(t, s.pool("two-way"), "resync", mode)
		i.write(s.A, 0, text(100, 5000))
		i.awaitData(s.B, "", 0, text(100, 5000))
		old := i.at(s.B)
		i.mark(s.A)
		ok(t, s.B.Resync(ctx, i.ref))
		s.eventually(t, "the copy is made anew", func() error {
			img, err := s.B.Image(ctx, i.ref)
			if err == nil && img.ID == old.ID {
				err = errors.New("it is the old one")
			}
			return err
		})
		i.awaitCopy(s.B)
		i.awaitData(s.B, "", 0, text(100, 5000))
		if img := i.at(s.B); img.GlobalID != old.GlobalID {
			t.Fatalf("global id %s became %s", old.GlobalID, img.GlobalID)
		}
	})
}

func (s *suite) scheduleCases(t *testing.T) {
	t.Run("Schedules", func(t *testing.T) {
		t.Parallel()
		ctx, pool := t.Context(), s.pool("one-way")
		i := s.made(t, pool, "scheduled", replay.ModeSnapshot)
		ok(t, s.A.EnableMirroring(ctx, i.ref, replay.ModeSnapshot))
		list := func() []replay.MirrorSchedule {
			t.Helper()
			all, err := s.A.MirrorSchedules(ctx, pool)
			ok(t, err)
			return all
		}
		if all := list(); len(all) != 0 {
			t.Fatalf("schedules of a new pool: %+v", all)
		}
		whole := replay.MirrorSchedule{ImageRef: replay.ImageRef{Pool: pool}, Every: "2h"}
		single := replay.MirrorSchedule{ImageRef: i.ref, Every: "5m"}
		for _, m := range []replay.MirrorSchedule{whole, whole, single} {
			ok(t, s.A.AddMirrorSchedule(ctx, m))
		}
		if all := list(); len(all) != 2 || all[0] != whole || all[1] != single {
			t.Fatalf("schedules %+v", all)
		}
		ok(t, s.A.RemoveMirrorSchedule(ctx, whole))
		ok(t, s.A.RemoveMirrorSchedule(ctx, whole))
		if all := list(); len(all) != 1 || all[0] != single {
			t.Fatalf("schedules %+v", all)
		}
		wants(t, s.A.AddMirrorSchedule(ctx, replay.MirrorSchedule{ImageRef: i.ref, Every: "soon"}), replay.ErrInvalid, s.A)
		ok(t, s.A.RemoveMirrorSchedule(ctx, single))
		if all := list(); len(all) != 0 {
			t.Fatalf("schedules %+v", all)
		}
	})
}

// wholeCases are those of a pool that is mirrored as a whole.
func (s *suite) wholeCases(t *testing.T) {
	t.Run("PoolMode", func(t *testing.T) {
		t.Parallel()
		ctx, pool := t.Context(), s.pool("whole")
		i := s.made(t, pool, "before", replay.ModeJournal)
		ok(t, s.A.EnableFeatures(ctx, i.ref, replay.FeatureJournaling))
		for _, site := range []replay.Site{s.A, s.B} {
			ok(t, site.SetPoolMode(ctx, pool, replay.PoolPool))
		}
		i.awaitCopy(s.B)
		late := s.made(t, pool, "after", replay.ModeJournal)
		ok(t, s.A.EnableFeatures(ctx, late.ref, replay.FeatureJournaling))
		late.awaitCopy(s.B)
		late.write(s.A, 0, text(110, 5000))
		late.awaitData(s.B, "", 0, text(110, 5000))
	})
}
