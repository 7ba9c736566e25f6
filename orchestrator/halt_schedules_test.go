package orchestrator_test

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// schedules are the mirror snapshot schedules of the pool rbd at a site, in
// words.
func (b *bed) schedules(site string) string {
	b.t.Helper()
	all, err := b.world.Site(site).MirrorSchedules(b.t.Context(), rbd)
	b.must(err)
	var out []string
	for _, s := range all {
		out = append(out, s.String()+" "+s.Every)
	}
	return strings.Join(out, ", ")
}

// halt halts images.
func (b *bed) halt(names ...string) (*orchestrator.Halt, error) {
	b.t.Helper()
	var refs []replay.ImageRef
	for _, name := range names {
		refs = append(refs, ref(name))
	}
	sites := b.sites(b.t.Context())
	defer b.close(sites)
	book := b.read()
	return orchestrator.SetHalt(b.t.Context(), b.plan, sites, book, orchestrator.Halt{Images: refs, Reason: "seen"})
}

// clear ends a halt.
func (b *bed) clear(id string) *orchestrator.Cleared {
	b.t.Helper()
	sites := b.sites(b.t.Context())
	defer b.close(sites)
	ended, err := orchestrator.EndHalt(b.t.Context(), b.plan, sites, b.read(), id, "seen to")
	b.must(err)
	return ended
}

// drift is what plan diff shows.
func (b *bed) drift(o orchestrator.DiffOptions) *orchestrator.Difference {
	b.t.Helper()
	sites := b.sites(b.t.Context())
	defer b.close(sites)
	return orchestrator.Diff(b.plan, orchestrator.Observe(b.t.Context(), b.plan, sites, orchestrator.ObserveOptions{Detail: replay.WithHeader, Records: true}), o)
}

// snapshotsGrouped gives images of a group schedules of their own.
const snapshotsGrouped = snapshotsTwoWay + `
groups:
  - name: db
    images: [{pool: rbd, name: vm-1}, {pool: rbd, name: volume-1}]
`

// TestHaltPausesSchedules takes the schedules away that images have of their own
// and puts them back; meanwhile nothing takes that for drift.
func TestHaltPausesSchedules(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, snapshots, 2)
		b.must(b.world.Site("a").AddMirrorSchedule(t.Context(), replay.MirrorSchedule{ImageRef: ref("volume-0"), Every: "3m"}))
		whole := "rbd/ 1h, rbd/vm-1 5m, rbd/volume-0 3m"
		if got := b.schedules("a"); got != whole {
			t.Fatalf("at first: %s", got)
		}
		// The plan does not know the one of volume-0.
		if d := b.drift(orchestrator.DiffOptions{}); len(d.Notices) != 1 || !hasNotice(d.Notices, orchestrator.NoticeExtraSchedule) {
			t.Fatalf("drift at first: %+v", d.Notices)
		}
		h, err := b.halt("vm-1")
		b.must(err)
		if len(h.Paused) != 1 || h.Paused[0].String() != "every 5m of rbd/vm-1 at a" || len(h.GoesOn) != 1 || h.GoesOn[0].String() != "every 1h of pool rbd at a" {
			t.Errorf("paused %v, goes on %v", h.Paused, h.GoesOn)
		}
		if got := b.schedules("a"); got != "rbd/ 1h, rbd/volume-0 3m" {
			t.Errorf("halted: %s", got)
		}
		if open := b.read().Halts(); len(open) != 1 || len(open[0].Paused) != 1 {
			t.Errorf("recorded: %+v", open)
		}
		// Neither diff nor apply want it back; apply changes nothing of it.
		d := b.drift(orchestrator.DiffOptions{})
		if len(d.Changes) > 0 || !hasNotice(d.Notices, orchestrator.NoticeHalted) {
			t.Errorf("drift: %+v %+v", d.Changes, d.Notices)
		}
		if _, err := b.apply(orchestrator.Options{}); !errors.Is(err, orchestrator.ErrHalted) {
			t.Errorf("apply: %v", err)
		}
		if got := b.schedules("a"); got != "rbd/ 1h, rbd/volume-0 3m" {
			t.Errorf("after apply: %s", got)
		}
		again, err := b.halt("vm-1")
		if err != nil || again.ID != h.ID {
			t.Errorf("halted again: %+v %v", again, err)
		}
		if ended := b.clear(h.ID); len(ended.Back) != 1 || ended.Err != nil {
			t.Errorf("cleared: %+v", ended)
		}
		if got := b.schedules("a"); got != whole {
			t.Errorf("cleared: %s", got)
		}
		// Cleared twice, it puts nothing back again.
		b.must(b.world.Site("a").RemoveMirrorSchedule(t.Context(), replay.MirrorSchedule{ImageRef: ref("vm-1"), Every: "5m"}))
		b.clear(h.ID)
		if got := b.schedules("a"); strings.Contains(got, "vm-1") {
			t.Errorf("cleared twice: %s", got)
		}
	})
}

// TestHaltedScheduleIsNoProblem has no word in the status that a halted image
// lacks a schedule.
func TestHaltedScheduleIsNoProblem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, snapshotsTwoWay, 1)
		codes := func() (out []replay.ProblemCode) {
			sites := b.sites(t.Context())
			defer b.close(sites)
			for _, image := range orchestrator.Status(t.Context(), b.plan, sites, orchestrator.StatusOptions{}).Images {
				if image.Ref == ref("vm-1") {
					for _, p := range image.Problems {
						out = append(out, p.Code)
					}
				}
			}
			return out
		}
		_, err := b.halt("vm-1")
		b.must(err)
		time.Sleep(time.Hour)
		if got := codes(); !slices.Contains(got, orchestrator.ProblemHalted) || slices.Contains(got, replay.ProblemNoSchedule) || slices.Contains(got, replay.ProblemScheduleDead) {
			t.Errorf("halted: %v", got)
		}
		// Where nobody has paused it, it is one.
		b.clear(b.read().Halts()[0].ID)
		for _, site := range []string{"a", "b"} {
			b.must(b.world.Site(site).RemoveMirrorSchedule(t.Context(), replay.MirrorSchedule{ImageRef: ref("vm-1"), Every: "5m"}))
		}
		if got := codes(); !slices.Contains(got, replay.ProblemNoSchedule) {
			t.Errorf("without a schedule: %v", got)
		}
	})
}

// TestHaltsShareSchedules puts a schedule back at the end of the last halt that
// covers its image.
func TestHaltsShareSchedules(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, snapshotsGrouped, 2)
		first, err := b.halt("vm-1")
		b.must(err)
		second, err := b.halt("volume-1") // its group has vm-1, too
		b.must(err)
		if len(first.Paused) != 2 || len(second.Paused) != 0 {
			t.Fatalf("paused %v, then %v", first.Paused, second.Paused)
		}
		if ended := b.clear(first.ID); len(ended.Deferred) != 2 || len(ended.Back) != 0 {
			t.Errorf("the first: %+v", ended)
		}
		if got := b.schedules("a"); got != "" {
			t.Errorf("while the second stands: %s", got)
		}
		if ended := b.clear(second.ID); len(ended.Back) != 2 {
			t.Errorf("the second: %+v", ended)
		}
		if a, other := b.schedules("a"), b.schedules("b"); a != "rbd/vm-1 5m" || other != a {
			t.Errorf("in the end: %s; %s", a, other)
		}
		// A later halt has nothing to do with them.
		b.must(b.world.Site("a").RemoveMirrorSchedule(t.Context(), replay.MirrorSchedule{ImageRef: ref("vm-1"), Every: "5m"}))
		third, err := b.halt("vm-1")
		b.must(err)
		if ended := b.clear(third.ID); len(ended.Back) != 1 || ended.Back[0].Site != "b" {
			t.Errorf("the third: %+v", ended)
		}
	})
}

// TestHaltKilledBeforeItPauses leaves a halt whose schedules stand, and that
// tells of them; and a clear that dies leaves it a halt.
func TestHaltKilledBeforeItPauses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, snapshotsTwoWay, 1)
		heal := b.world.Inject(sim.Fault{Site: "a", Op: "RemoveMirrorSchedule", Errno: syscall.EPERM})
		h, err := b.halt("vm-1")
		if h == nil || err == nil || !strings.Contains(err.Error(), "every 5m of rbd/vm-1 at a") {
			t.Fatalf("%+v %v", h, err)
		}
		if a, other := b.schedules("a"), b.schedules("b"); a != "rbd/vm-1 5m" || other != "" {
			t.Errorf("a has %q, b %q", a, other)
		}
		if d := b.drift(orchestrator.DiffOptions{Prune: true}); len(d.Changes) > 0 {
			t.Errorf("drift: %+v", d.Changes)
		}
		heal()
		if _, err := b.halt("vm-1"); err != nil || b.schedules("a") != "" {
			t.Errorf("halted again: %v; %s", err, b.schedules("a"))
		}
		// One that cannot be put back is told, and apply mends it.
		heal = b.world.Inject(sim.Fault{Site: "b", Op: "AddMirrorSchedule", Errno: syscall.EPERM})
		ended := b.clear(h.ID)
		if len(ended.Back) != 1 || len(ended.Missing) != 1 || ended.Err == nil || !strings.Contains(ended.Err.Error(), "every 5m of rbd/vm-1 at b") {
			t.Errorf("cleared: %+v", ended)
		}
		heal()
		b.applied()
		if got := b.schedules("b"); got != "rbd/vm-1 5m" {
			t.Errorf("after apply: %s", got)
		}
	})
}

// TestHaltLooksAgainAtSitesThatReturn pauses, when it is set again, the schedules
// of a site that did not answer the first time; its end puts all of them back.
func TestHaltLooksAgainAtSitesThatReturn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, snapshotsTwoWay, 1)
		b.world.Freeze("a")
		first, err := b.halt("vm-1")
		if first == nil || err == nil || len(first.Paused) != 1 || first.Paused[0].Site != "b" {
			t.Fatalf("while a is frozen: %+v %v", first, err)
		}
		b.world.Thaw("a")
		time.Sleep(time.Minute)
		again, err := b.halt("vm-1")
		if err != nil || again.ID != first.ID || len(again.Paused) != 2 || again.Reason != first.Reason || !again.At.Equal(first.At) {
			t.Fatalf("once it is back: %+v %v", again, err)
		}
		if got := b.schedules("a") + b.schedules("b"); got != "" {
			t.Errorf("halted: %s", got)
		}
		if open := b.read().Halts(); len(open) != 1 || len(open[0].Paused) != 2 {
			t.Errorf("recorded: %+v", open)
		}
		entries := len(b.read().Entries())
		if _, err := b.halt("vm-1"); err != nil || len(b.read().Entries()) != entries {
			t.Errorf("a third time: %v, %d entries of %d", err, len(b.read().Entries()), entries)
		}
		if ended := b.clear(first.ID); len(ended.Back) != 2 || ended.Err != nil {
			t.Errorf("cleared: %+v", ended)
		}
		if a, other := b.schedules("a"), b.schedules("b"); a != "rbd/vm-1 5m" || other != a {
			t.Errorf("in the end: %q; %q", a, other)
		}
		if open := b.read().Halts(); len(open) != 0 {
			t.Errorf("still open: %+v", open)
		}
	})
}

// TestHaltWhereTheMgrHasNoSchedules halts without a fault: who cannot have
// schedules has none to be paused.
func TestHaltWhereTheMgrHasNoSchedules(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, snapshotsTwoWay, 1)
		b.world.Inject(sim.Fault{Site: "b", Op: "MirrorSchedules", Errno: syscall.EOPNOTSUPP})
		h, err := b.halt("vm-1")
		if err != nil || len(h.Paused) != 1 || h.Paused[0].Site != "a" {
			t.Errorf("%+v %v", h, err)
		}
	})
}

// TestSplitPausesSchedulesUntilResync halts a split-brain and ends it: the
// schedules are gone meanwhile, and there again.
func TestSplitPausesSchedulesUntilResync(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, snapshotsTwoWay, 1)
		b.must(b.world.Site("b").Promote(t.Context(), ref("vm-1"), true))
		time.Sleep(5 * time.Minute)
		sites := b.sites(t.Context())
		defer b.close(sites)
		halts, err := orchestrator.HaltSplit(t.Context(), b.plan, sites)
		if err != nil || len(halts) != 1 || len(halts[0].Paused) != 2 {
			t.Fatalf("%+v %v", halts, err)
		}
		if got := b.schedules("a") + b.schedules("b"); got != "" {
			t.Errorf("halted: %s", got)
		}
		_, r, err := b.resync(orchestrator.ResyncOptions{Keep: "b", Scope: orchestrator.Scope{Images: []string{"vm-1"}}})
		if err != nil {
			t.Fatalf("%v\n%s", err, story(r))
		}
		if a, other := b.schedules("a"), b.schedules("b"); a != "rbd/vm-1 5m" || other != a {
			t.Errorf("in the end: %q; %q", a, other)
		}
	})
}

// TestRunLeavesHaltedSchedules moves the other images of a pool while one is
// halted: its schedules stay away.
func TestRunLeavesHaltedSchedules(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, snapshots, 2)
		move := func(image string) {
			o := orchestrator.SwitchoverOptions{From: "a", To: "b", NoWayBack: true, Scope: orchestrator.Scope{Images: []string{image}}}
			if r, err := b.switchover(o, orchestrator.RunOptions{}); err != nil {
				t.Fatalf("%v\n%s", err, story(r))
			}
		}
		move("vm-1")
		if got := b.schedules("b"); !strings.Contains(got, "rbd/vm-1 5m") {
			t.Fatalf("moved: %s", got)
		}
		_, err := b.halt("vm-1")
		b.must(err)
		move("volume-0")
		if got := b.schedules("a") + " " + b.schedules("b"); strings.Contains(got, "vm-1") {
			t.Errorf("schedules: %s", got)
		}
	})
}
