package sim_test

import (
	"errors"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// TestCutShort leaves a demotion as a client does that dies in the middle of it:
// the copy does not follow, however long one waits, until that is mended.
func TestCutShort(t *testing.T) {
	again := func(t *testing.T, a *sim.Site) {
		must(t, a.Promote(t.Context(), vm, false))
		must(t, a.Demote(t.Context(), vm))
	}
	for name, c := range map[string]struct {
		mode replay.MirrorMode
		cut  sim.Cut
		seen bool // in the image itself
		mend func(t *testing.T, a *sim.Site)
	}{
		"journal":                 {replay.ModeJournal, sim.CutUntold, true, again},
		"snapshot nobody heard":   {replay.ModeSnapshot, sim.CutUntold, false, func(t *testing.T, a *sim.Site) { must(t, a.Announce(t.Context(), vm)) }},
		"snapshot not complete":   {replay.ModeSnapshot, sim.CutUnfinished, true, again},
		"snapshot, nor was heard": {replay.ModeSnapshot, sim.CutUnfinished | sim.CutUntold, true, again},
	} {
		t.Run(name, func(t *testing.T) {
			w, a, b := pair(t, sim.Options{})
			w.Advance(time.Second)
			protect(t, a, vm, c.mode)
			w.Advance(2 * time.Minute)
			proof := func() replay.Proof {
				copies := map[*sim.Site]replay.Copy{}
				for _, s := range []*sim.Site{a, b} {
					image, err := s.Image(t.Context(), vm)
					must(t, err)
					pool, err := s.PoolMirroring(t.Context(), vm.Pool)
					must(t, err)
					copies[s] = replay.Copy{Image: image, MirrorUUID: pool.UUID}
				}
				return replay.CaughtUp(copies[a], copies[b])
			}
			must(t, a.Demote(t.Context(), vm))
			must(t, w.CutShort("a", vm, c.cut))
			w.Advance(10 * time.Minute)
			if p := proof(); p.Final {
				t.Fatalf("the copy has followed: %+v", p)
			}
			img, err := a.Image(t.Context(), vm)
			must(t, err)
			if short := replay.DemotionCutShort(img); short != c.seen {
				t.Errorf("seen in the image itself: %v", short)
			}
			c.mend(t, a)
			w.Advance(time.Minute)
			if p := proof(); !p.Final {
				t.Errorf("the copy does not follow: %+v", p)
			}
		})
	}
}

// TestUnwritable leaves a primary as a client does that dies when a promotion is
// nearly over, or when a demotion has only begun: it refuses every write, and what
// has promoted it does not help.
func TestUnwritable(t *testing.T) {
	for name, cut := range map[string]sim.Cut{"marked": sim.CutMarked, "and its snapshot is not complete": sim.CutMarked | sim.CutUnfinished} {
		t.Run(name, func(t *testing.T) {
			w, a, b := pair(t, sim.Options{})
			w.Advance(time.Second)
			protect(t, a, vm, replay.ModeSnapshot)
			w.Advance(2 * time.Minute)
			must(t, a.Demote(t.Context(), vm))
			w.Advance(2 * time.Minute)
			must(t, b.Promote(t.Context(), vm, false))
			must(t, w.CutShort("b", vm, cut))
			img, err := b.Image(t.Context(), vm)
			must(t, err)
			if img.Role != replay.RolePrimary || !img.Unwritable {
				t.Errorf("it is %s, unwritable %t", img.Role, img.Unwritable)
			}
			if err := w.Write("b", vm, 0, []byte("x")); !errors.Is(err, replay.ErrReadOnly) {
				t.Errorf("a write: %v", err)
			}
			if err := b.Promote(t.Context(), vm, true); err == nil {
				t.Error("it was promoted again")
			}
			must(t, b.FinishPromotion(t.Context(), vm))
			must(t, w.Write("b", vm, 0, []byte("x")))
			if img, err = b.Image(t.Context(), vm); err != nil || img.Unwritable || replay.SnapshotCutShort(img) {
				t.Errorf("it is %+v, %v", img, err)
			}
			must(t, b.FinishPromotion(t.Context(), vm))
			if err := a.FinishPromotion(t.Context(), vm); !errors.Is(err, replay.ErrReadOnly) {
				t.Errorf("of a copy: %v", err)
			}
		})
	}
}

// TestRestartedDaemonReadsAgain lets the daemon of the copy start anew: it finds
// the mirror snapshot that nobody has told it of.
func TestRestartedDaemonReadsAgain(t *testing.T) {
	w, a, b := pair(t, sim.Options{})
	w.Advance(time.Second)
	protect(t, a, vm, replay.ModeSnapshot)
	w.Advance(2 * time.Minute)
	must(t, w.Write("a", vm, 0, []byte("new")))
	_, err := a.CreateMirrorSnapshot(t.Context(), vm)
	must(t, err)
	must(t, w.CutShort("a", vm, sim.CutUntold))
	holds := func() string {
		r, err := b.OpenSnapshot(t.Context(), vm, "")
		must(t, err)
		got := make([]byte, 3)
		_, err = r.ReadAt(t.Context(), got, 0)
		must(t, err)
		return string(got)
	}
	w.Advance(10 * time.Minute)
	if got := holds(); got == "new" {
		t.Fatal("the copy has followed untold")
	}
	w.StopDaemon("b")
	w.StartDaemon("b")
	w.Advance(time.Minute)
	if got := holds(); got != "new" {
		t.Errorf("the copy holds %q", got)
	}
}
