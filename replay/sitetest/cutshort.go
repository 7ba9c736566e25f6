package sitetest

import (
	"testing"

	"github.com/drover-io/drover/replay"
)

// cutShort has clients die in the middle of a demotion and of promotions, in
// snapshot mode: see [replay.DemotionCutShort] and FinishPromotion. The daemon of
// the other side is away meanwhile, so that it finds only what was left.
func (s *suite) cutShort(t *testing.T) {
	ctx, i := t.Context(), s.protected(t, s.pool("two-way"), "cutshort", replay.ModeSnapshot)
	away := func(site replay.Site, leave func()) {
		t.Helper()
		ok(t, s.StopDaemon(ctx, site))
		leave()
		ok(t, s.StartDaemon(ctx, site))
	}
	away(s.B, func() {
		ok(t, s.A.Demote(ctx, i.ref))
		if replay.DemotionCutShort(i.at(s.A)) {
			t.Error("a whole demotion is said to have been cut short")
		}
		ok(t, s.CutShort(ctx, s.A, i.ref, true, false))
	})
	i.awaitReport(s.B, "demoted", func(r replay.Report) bool { return r.Up && r.State == replay.ReportUnknown })
	if img := i.at(s.A); !replay.DemotionCutShort(img) || img.Unwritable {
		t.Errorf("a demotion that was cut short: %+v", img)
	}
	if img := i.at(s.B); img.Demoted {
		t.Errorf("it was copied: %+v", img)
	}
	ok(t, s.A.Promote(ctx, i.ref, false))
	i.write(s.A, 0, text(90, 5000))
	i.demote(s.A, s.B)

	i.promote(s.B)
	for n, unfinished := range []bool{false, true} {
		away(s.A, func() {
			if unfinished {
				_, err := s.B.CreateMirrorSnapshot(ctx, i.ref)
				ok(t, err)
			}
			ok(t, s.CutShort(ctx, s.B, i.ref, unfinished, true))
		})
		img := i.at(s.B)
		if img.Role != replay.RolePrimary || !img.Unwritable || !img.Features.Has(replay.FeatureNonPrimary) || replay.SnapshotCutShort(img) != unfinished {
			t.Errorf("a promotion that was cut short: %+v", img)
		}
		if err := i.Write(ctx, s.B, i.ref, 0, []byte("no")); err == nil {
			t.Error("a primary that is marked as non-primary was written to")
		}
		if err := s.B.Promote(ctx, i.ref, true); err == nil {
			t.Error("a promotion helps")
		}
		ok(t, s.B.FinishPromotion(ctx, i.ref))
		img = i.at(s.B)
		if img.Role != replay.RolePrimary || img.Unwritable || img.Features.Has(replay.FeatureNonPrimary) || replay.SnapshotCutShort(img) {
			t.Errorf("a promotion that was finished: %+v", img)
		}
		i.write(s.B, 1<<20, text(uint64(91+n), 5000))
		i.awaitData(s.A, "", 1<<20, text(uint64(91+n), 5000))
	}
	ok(t, s.B.FinishPromotion(ctx, i.ref)) // nothing to do
	wants(t, s.A.FinishPromotion(ctx, i.ref), replay.ErrReadOnly, s.A)
	wants(t, s.A.FinishPromotion(ctx, i.ref.Image("absent")), replay.ErrNotFound, s.A)
}
