package sim_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

var vm = replay.ImageRef{Pool: replay.Pool{Name: "rbd"}, Name: "vm-1"}

// pair is two sites with a pool mirrored from a to b, b's daemon running.
func pair(t *testing.T, o sim.Options) (*sim.World, *sim.Site, *sim.Site) {
	t.Helper()
	w := sim.Pair(o, "a", "b", "rbd")
	a, b := w.Site("a"), w.Site("b")
	for _, s := range []*sim.Site{a, b} {
		must(t, s.SetSiteName(t.Context(), s.Name()))
		must(t, s.SetPoolMode(t.Context(), vm.Pool, replay.PoolImage))
	}
	token, err := a.CreateBootstrapToken(t.Context(), vm.Pool)
	must(t, err)
	must(t, b.ImportBootstrapToken(t.Context(), vm.Pool, replay.RxOnly, token))
	w.StartDaemon("b")
	return w, a, b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func protect(t *testing.T, s *sim.Site, ref replay.ImageRef, mode replay.MirrorMode) {
	t.Helper()
	must(t, s.CreateImage(t.Context(), ref, replay.ImageSpec{Size: 64 << 20, Features: replay.FeatureLayering | replay.FeatureExclusiveLock}))
	must(t, s.EnableMirroring(t.Context(), ref, mode))
}

func TestReplay(t *testing.T) {
	for _, mode := range []replay.MirrorMode{replay.ModeJournal, replay.ModeSnapshot} {
		t.Run(string(mode), func(t *testing.T) {
			w, a, b := pair(t, sim.Options{})
			w.Advance(time.Second)
			protect(t, a, vm, mode)
			w.Advance(10 * time.Second)
			img, err := b.Image(t.Context(), vm)
			must(t, err)
			if img.Role != replay.RoleSecondary || img.State != replay.StateEnabled {
				t.Fatalf("got %+v", img)
			}
			must(t, w.Write("a", vm, 4090, []byte("across two blocks")))
			if err := w.Write("b", vm, 0, []byte("no")); !errors.Is(err, replay.ErrReadOnly) {
				t.Fatalf("write to a secondary: %v", err)
			}
			if mode == replay.ModeSnapshot {
				_, err := a.CreateMirrorSnapshot(t.Context(), vm)
				must(t, err)
			}
			w.Advance(10 * time.Second)
			r, err := b.OpenSnapshot(t.Context(), vm, "")
			must(t, err)
			got := make([]byte, 17)
			_, err = r.ReadAt(t.Context(), got, 4090)
			must(t, err)
			if string(got) != "across two blocks" {
				t.Fatalf("secondary holds %q", got)
			}
		})
	}
}

func TestDaemonThatDiesLooksAliveForAWhile(t *testing.T) {
	w, a, b := pair(t, sim.Options{})
	protect(t, a, vm, replay.ModeJournal)
	w.Advance(10 * time.Second)
	up := func() (bool, time.Time) {
		t.Helper()
		reports, err := b.Reports(t.Context(), vm.Pool)
		must(t, err)
		if len(reports) != 1 || reports[0].State != replay.ReportReplaying {
			t.Fatalf("reports %+v", reports)
		}
		return reports[0].Up, reports[0].Updated
	}
	w.KillDaemon("b")
	w.Advance(20 * time.Second)
	alive, before := up()
	if !alive {
		t.Fatal("the watch of a killed daemon is gone at once")
	}
	w.Advance(20 * time.Second)
	if alive, after := up(); alive || after != before {
		t.Fatalf("after 40 s: up %v, report of %v, then %v", alive, before, after)
	}
}

func TestFirstSyncsAreThrottled(t *testing.T) {
	w, a, b := pair(t, sim.Options{Pace: sim.Pace{Rate: 1 << 20, Throttle: 2}})
	w.Advance(time.Second)
	for k := range 4 {
		ref := vm.Image(fmt.Sprint("vm-", k))
		must(t, a.CreateImage(t.Context(), ref, replay.ImageSpec{Size: 64 << 20, Features: replay.FeatureExclusiveLock}))
		must(t, w.Write("a", ref, 0, make([]byte, 4<<20)))
		must(t, a.EnableMirroring(t.Context(), ref, replay.ModeJournal))
	}
	w.Advance(3 * time.Second)
	states := func() (n map[replay.ReportState]int, percents []float64) {
		n = map[replay.ReportState]int{}
		reports, err := b.Reports(t.Context(), vm.Pool)
		must(t, err)
		for _, r := range reports {
			n[r.State]++
			if r.Progress != nil && r.Progress.SyncPercent != nil {
				percents = append(percents, *r.Progress.SyncPercent)
			}
		}
		return n, percents
	}
	n, percents := states()
	if n[replay.ReportSyncing] != 4 || len(percents) != 2 || percents[0] <= 0 || percents[0] >= 100 {
		t.Fatalf("after 3 s: %v, percents %v", n, percents)
	}
	w.Advance(time.Minute)
	if n, _ := states(); n[replay.ReportReplaying] != 4 {
		t.Fatalf("after a minute: %v", n)
	}
}

func TestScheduleFires(t *testing.T) {
	w, a, b := pair(t, sim.Options{})
	w.Advance(time.Second)
	protect(t, a, vm, replay.ModeSnapshot)
	must(t, a.AddMirrorSchedule(t.Context(), replay.MirrorSchedule{ImageRef: vm, Every: "5m"}))
	w.Advance(12 * time.Minute)
	newest := func() time.Time {
		t.Helper()
		img, err := b.Image(t.Context(), vm)
		must(t, err)
		return img.Snapshots[len(img.Snapshots)-1].Created
	}
	if got, want := newest().Truncate(time.Minute), w.Now().Truncate(5*time.Minute); !got.Equal(want) {
		t.Fatalf("newest mirror snapshot of %v, want %v", got, want)
	}
	before := newest()
	w.StopSchedules("a")
	w.Advance(time.Hour)
	if !newest().Equal(before) {
		t.Fatal("a schedule fired that had died")
	}
}

func TestSlowReplayFallsBehind(t *testing.T) {
	w, a, b := pair(t, sim.Options{})
	protect(t, a, vm, replay.ModeJournal)
	w.Advance(10 * time.Second)
	w.SetReplayRate("b", 64<<10)
	start := w.Now()
	for k := range uint64(64) {
		must(t, w.Write("a", vm, k*65536, make([]byte, 65536)))
	}
	w.Advance(30 * time.Second)
	img, err := a.Image(t.Context(), vm)
	must(t, err)
	peers, err := b.PoolMirroring(t.Context(), vm.Pool)
	must(t, err)
	peer, _ := img.Journal.Client(peers.UUID)
	at, _ := peer.Newest()
	when, found, err := a.AppendTime(t.Context(), vm, at)
	must(t, err)
	if !found || when.Before(start) || when.After(w.Now()) {
		t.Fatalf("the first entry after %+v was appended at %v: %v", at, when, found)
	}
	reports, err := b.Reports(t.Context(), vm.Pool)
	must(t, err)
	if p := reports[0].Progress; p == nil || p.EntriesBehind == nil || *p.EntriesBehind == 0 {
		t.Fatalf("report %+v", reports[0])
	}
	w.SetReplayRate("b", 0)
	w.Advance(time.Minute)
	img, err = a.Image(t.Context(), vm)
	must(t, err)
	peer, _ = img.Journal.Client(peers.UUID)
	at, _ = peer.Newest()
	if _, found, err := a.AppendTime(t.Context(), vm, at); err != nil || found {
		t.Fatalf("caught up, and still an entry after %+v: %v", at, err)
	}
}

func TestCloneNeedsItsParentAtBothSites(t *testing.T) {
	w, a, b := pair(t, sim.Options{})
	w.Advance(time.Second)
	must(t, a.CreateImage(t.Context(), vm, replay.ImageSpec{Size: 1 << 20, Features: replay.FeatureLayering | replay.FeatureExclusiveLock}))
	must(t, w.Write("a", vm, 0, []byte("golden")))
	must(t, a.CreateSnapshot(t.Context(), vm, "base"))
	child := vm.Image("child")
	must(t, w.Clone("a", vm, "base", child))
	if ties, err := w.Site("a").Ties(t.Context(), vm); err != nil || !slices.Equal(ties.Clones, []string{child.String()}) {
		t.Errorf("ties %v (%v)", ties, err)
	}
	if err := a.EnableMirroring(t.Context(), child, replay.ModeJournal); !errors.Is(err, replay.ErrInvalid) {
		t.Fatal(err)
	}
	must(t, a.EnableMirroring(t.Context(), vm, replay.ModeJournal))
	must(t, a.EnableMirroring(t.Context(), child, replay.ModeJournal))
	if err := a.DisableMirroring(t.Context(), vm, false); !errors.Is(err, replay.ErrBusy) {
		t.Fatal(err)
	}
	w.Advance(10 * time.Second)
	img, err := b.Image(t.Context(), child)
	must(t, err)
	if img.Parent == nil || *img.Parent != vm {
		t.Fatalf("the copy's parent is %v", img.Parent)
	}
}

// Fan-out: two sites import the token of one primary.
func TestFanOut(t *testing.T) {
	w, a, _ := pair(t, sim.Options{})
	c := w.AddSite("c")
	w.AddPool("c", "rbd")
	must(t, c.SetSiteName(t.Context(), "c"))
	token, err := a.CreateBootstrapToken(t.Context(), vm.Pool)
	must(t, err)
	must(t, c.ImportBootstrapToken(t.Context(), vm.Pool, replay.RxOnly, token))
	w.StartDaemon("c")
	w.Advance(time.Second)
	for _, mode := range []replay.MirrorMode{replay.ModeJournal, replay.ModeSnapshot} {
		protect(t, a, vm.Image(string(mode)), mode)
	}
	w.Advance(time.Minute)
	m, err := a.PoolMirroring(t.Context(), vm.Pool)
	must(t, err)
	if len(m.Peers) != 2 || m.Peers[0].Direction != replay.TxOnly || m.Peers[1].Direction != replay.TxOnly {
		t.Fatalf("peers of the primary: %+v", m.Peers)
	}
	for _, name := range []string{"b", "c"} {
		images, err := w.Site(name).Images(t.Context(), vm.Pool, 0)
		must(t, err)
		if len(images) != 2 || images[0].Role != replay.RoleSecondary || images[1].Role != replay.RoleSecondary {
			t.Fatalf("%s: %+v", name, images)
		}
	}
}
