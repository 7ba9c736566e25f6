package sim_test

import (
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// TestCutShort leaves a demotion as a client does that dies in the middle of it:
// the copy does not follow, however long one waits, until that is mended.
func TestCutShort(t *testing.T) {
	for mode, mend := range map[replay.MirrorMode]func(t *testing.T, a *sim.Site){
		replay.ModeSnapshot: func(t *testing.T, a *sim.Site) { must(t, a.Announce(t.Context(), vm)) },
		replay.ModeJournal: func(t *testing.T, a *sim.Site) {
			must(t, a.Promote(t.Context(), vm, false))
			must(t, a.Demote(t.Context(), vm))
		},
	} {
		t.Run(string(mode), func(t *testing.T) {
			w, a, b := pair(t, sim.Options{})
			w.Advance(time.Second)
			protect(t, a, vm, mode)
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
			must(t, w.CutShort("a", vm))
			w.Advance(10 * time.Minute)
			if p := proof(); p.Final {
				t.Fatalf("the copy has followed: %+v", p)
			}
			img, err := a.Image(t.Context(), vm)
			must(t, err)
			if short := replay.DemotionCutShort(img); short != (mode == replay.ModeJournal) {
				t.Errorf("seen in the image itself: %v", short)
			}
			mend(t, a)
			w.Advance(time.Minute)
			if p := proof(); !p.Final {
				t.Errorf("the copy does not follow: %+v", p)
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
	must(t, w.CutShort("a", vm))
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
