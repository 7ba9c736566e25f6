package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// ownShots is a plan whose mirror snapshots Drover takes: of one image every five
// minutes, of the others every twenty.
const ownShots = `
version: 1
name: shop
direction: two-way
primary: a
sites:
  - {name: a, conf: /etc/ceph/a.conf, daemon: {run: process}}
  - {name: b, conf: /etc/ceph/b.conf, daemon: {run: process}}
snapshots: {by: drover}
pools:
  - name: rbd
    mode: snapshot
    schedules: [{every: 20m, start: "00:03"}]
    images:
      - {name: vm-1, create: {size: 8MiB}, schedules: [{every: 5m}]}
      - glob: volume-*
checks: {schedule: '@every 1m', timeout: 5s}
`

// shutter notes the mirror snapshots that are taken through handles on sites.
type shutter struct {
	mu    sync.Mutex
	taken []string // image@site at
	fail  func(c sim.Call) error
}

// behind is a gate that notes them.
func (s *shutter) behind(gate sim.Gate) sim.Gate {
	return func(ctx context.Context, c sim.Call, do func(context.Context) error) error {
		if c.Op != "CreateMirrorSnapshot" {
			return gate(ctx, c, do)
		}
		s.mu.Lock()
		fail := s.fail
		s.mu.Unlock()
		if fail != nil {
			if err := fail(c); err != nil {
				return err
			}
		}
		err := gate(ctx, c, do)
		if err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.taken = append(s.taken, fmt.Sprintf("%s@%s %s", strings.TrimPrefix(c.Object, "rbd/"), c.Site, time.Now().UTC().Format("15:04:05")))
		}
		return err
	}
}

// since are those that were taken since it was asked last.
func (s *shutter) since() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.taken
	s.taken = nil
	slices.Sort(out)
	return out
}

// of are those of an image at a site.
func of(all []string, image string) (times []string) {
	for _, t := range all {
		if name, at, ok := strings.Cut(t, " "); ok && name == image {
			times = append(times, at)
		}
	}
	return times
}

// shooting is a bed without schedulers at all, whose watch takes the snapshots.
func shooting(t *testing.T, images int) (*bed, *shutter) {
	t.Helper()
	b := newBed(t, ownShots)
	for _, site := range []string{"a", "b"} {
		b.world.LoseModule(site, "rbd_support")
	}
	for i := range images {
		b.image("a", ref(fmt.Sprintf("volume-%d", i)), plain)
	}
	b.applied()
	return b, &shutter{}
}

func (b *bed) shooter(t *testing.T, s *shutter) *watchman {
	t.Helper()
	p := b.immortal()
	return b.watchmanBehind(t, p, s.behind(p.gate))
}

// until sleeps until the bubble's clock shows a time of the day, plus a bit.
func until(t *testing.T, clock string) {
	t.Helper()
	at, err := time.Parse("15:04:05", clock)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	next := time.Date(now.Year(), now.Month(), now.Day(), at.Hour(), at.Minute(), at.Second(), 0, time.UTC)
	time.Sleep(next.Sub(now))
}

// TestWatchTakesSnapshots follows the schedules of a plan for some hours, through a
// restart and a switchover.
func TestWatchTakesSnapshots(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, s := shooting(t, 2)
		m := b.shooter(t, s)
		until(t, "01:01:00")
		s.since()
		until(t, "02:01:00")
		all := s.since()
		want := []string{"01:05:00", "01:10:00", "01:15:00", "01:20:00", "01:25:00", "01:30:00", "01:35:00", "01:40:00", "01:45:00", "01:50:00", "01:55:00", "02:00:00"}
		if got := of(all, "vm-1@a"); !slices.Equal(got, want) {
			t.Errorf("its own schedule: %v", got)
		}
		for _, image := range []string{"volume-0@a", "volume-1@a"} {
			if got := of(all, image); !slices.Equal(got, []string{"01:03:00", "01:23:00", "01:43:00"}) {
				t.Errorf("the pool's schedule, %s: %v", image, got)
			}
		}
		if len(all) != 18 {
			t.Errorf("all: %v", all)
		}
		if dead := signalsOf(m.last(), string(replay.ProblemScheduleDead)); len(dead) > 0 {
			t.Errorf("signals: %+v", dead)
		}
		b.must(b.world.Write("a", ref("volume-0"), 4096, []byte("written at two")))
		until(t, "02:04:00")
		if got := b.content("b", ref("volume-0")); !strings.HasPrefix(got, "written at two") {
			t.Errorf("the copy holds %q", got)
		}

		// Nobody is there for half an hour: then one each, and not twice.
		m.stop()
		s.since()
		until(t, "02:36:30")
		m = b.shooter(t, s)
		until(t, "02:38:30")
		if all = s.since(); len(all) != 3 || len(of(all, "vm-1@a")) != 1 {
			t.Errorf("after half an hour without a watch: %v", all)
		}
		m.stop()
		m = b.shooter(t, s)
		until(t, "02:39:50")
		if all = s.since(); len(all) != 0 {
			t.Errorf("after a restart, where nothing was due: %v", all)
		}

		// At the new primary, and there only.
		if _, err := b.switchover(orchestrator.SwitchoverOptions{To: "b"}, orchestrator.RunOptions{}); err != nil {
			t.Fatal(err)
		}
		s.since()
		until(t, "03:41:00")
		all = s.since()
		if n := len(of(all, "vm-1@b")); n < 11 || n > 13 {
			t.Errorf("%d of an image that was moved: %v", n, all)
		}
		if slices.ContainsFunc(all, func(at string) bool { return strings.Contains(at, "@a ") }) {
			t.Errorf("at the old primary: %v", all)
		}
		m.stop()
	})
}

// TestWatchSnapshotsSpare: what is halted gets none until its halt is cleared; a site
// that does not answer gets none and holds up none; and of two watches one takes
// them.
func TestWatchSnapshotsSpare(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, s := shooting(t, 1)
		m, other := b.shooter(t, s), b.shooter(t, s)
		defer other.stop()
		defer m.stop()
		until(t, "01:01:00")
		sites := b.sites(t.Context())
		defer b.close(sites)
		book, err := orchestrator.ReadBook(t.Context(), b.plan, sites)
		b.must(err)
		_, err = orchestrator.SetHalt(t.Context(), b.plan, sites, book, orchestrator.Halt{ID: "halt-1", Images: []replay.ImageRef{ref("vm-1")}, Reason: "test"})
		b.must(err)
		s.since()
		until(t, "02:06:00")
		all := s.since()
		if got := of(all, "vm-1@a"); len(got) > 0 {
			t.Errorf("of a halted image: %v", got)
		}
		if got := of(all, "volume-0@a"); len(got) != 4 {
			t.Errorf("of the other image, by two watches: %v", got)
		}
		_, err = orchestrator.EndHalt(t.Context(), b.plan, sites, book, "halt-1", "test")
		b.must(err)
		b.must(book.Close(t.Context()))
		until(t, "02:08:30")
		if got := of(s.since(), "vm-1@a"); len(got) != 1 {
			t.Errorf("after its halt was cleared: %v", got)
		}

		b.world.Freeze("b")
		until(t, "02:15:10")
		if got := of(s.since(), "vm-1@a"); !slices.Equal(got, []string{"02:10:00", "02:15:00"}) {
			t.Errorf("while the other site is frozen: %v", got)
		}
		b.world.Thaw("b")
		b.world.Freeze("a")
		until(t, "02:47:00")
		if got := s.since(); len(got) > 0 {
			t.Errorf("at a frozen site: %v", got)
		}
		b.world.Thaw("a")
		until(t, "02:49:30")
		if all = s.since(); len(of(all, "vm-1@a")) != 1 || len(of(all, "volume-0@a")) != 1 {
			t.Errorf("after the site has come back: %v", all)
		}
	})
}

// TestWatchSnapshotsSplit: an image that is primary at two sites gets none, at
// neither.
func TestWatchSnapshotsSplit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, s := shooting(t, 0)
		m := b.shooter(t, s)
		defer m.stop()
		until(t, "01:01:00")
		b.must(b.world.Site("b").Promote(t.Context(), ref("vm-1"), true))
		until(t, "01:02:30")
		s.since()
		until(t, "02:00:30")
		if all := s.since(); len(all) > 0 {
			t.Errorf("of a split-brain: %v", all)
		}
	})
}

// TestWatchSnapshotsFail: a snapshot that cannot be taken is tried again, and the
// signal of a schedule that fell silent says why.
func TestWatchSnapshotsFail(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, s := shooting(t, 1)
		m := b.shooter(t, s)
		defer m.stop()
		until(t, "01:01:00")
		s.mu.Lock()
		s.fail = func(c sim.Call) error {
			if c.Object == "rbd/vm-1" {
				return errors.New("the image is on fire")
			}
			return nil
		}
		s.mu.Unlock()
		s.since()
		until(t, "01:30:00")
		dead := m.signals(string(replay.ProblemScheduleDead))
		if len(dead) != 1 || !strings.Contains(dead[0].What, "the image is on fire") || !strings.Contains(dead[0].Next, "drover daemon plan.yaml takes mirror snapshots") {
			t.Errorf("signals: %+v", dead)
		}
		if got := of(s.since(), "volume-0@a"); !slices.Equal(got, []string{"01:03:00", "01:23:00"}) {
			t.Errorf("of the other image: %v", got)
		}
		s.mu.Lock()
		s.fail = nil
		s.mu.Unlock()
		until(t, "01:33:30")
		if got := of(s.since(), "vm-1@a"); len(got) != 1 {
			t.Errorf("when it can be taken again: %v", got)
		}
		if dead = m.signals(string(replay.ProblemScheduleDead)); len(dead) > 0 {
			t.Errorf("signals after that: %+v", dead)
		}
	})
}

// TestWatchSnapshotsByWrongClock: a site whose clock is off gets none twice.
func TestWatchSnapshotsByWrongClock(t *testing.T) {
	for _, skew := range []time.Duration{-2 * time.Hour, 2 * time.Hour} {
		bubble(t, func(t *testing.T) {
			b, s := shooting(t, 0)
			p := b.immortal()
			p.skew.Store(int64(skew)) // of this host, which comes to the same
			m := b.watchmanBehind(t, p, s.behind(p.gate))
			defer m.stop()
			until(t, "01:01:00")
			s.since()
			until(t, "02:01:00")
			if got := of(s.since(), "vm-1@a"); len(got) != 12 {
				t.Errorf("with a clock that is off by %v: %v", skew, got)
			}
		})
	}
}

// TestRetiredSchedules: where Drover takes the snapshots, the mgr's schedules of the
// plan go, others are told of, and none is missed; and all comes back.
func TestRetiredSchedules(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, strings.Replace(ownShots, "by: drover", "by: ceph", 1))
		b.image("a", ref("volume-0"), plain)
		b.applied()
		listed := func() (out []string) {
			all, err := b.world.Site("a").MirrorSchedules(t.Context(), rbdPool)
			b.must(err)
			for _, m := range all {
				out = append(out, m.Name+" "+m.Every)
			}
			return out
		}
		if got := listed(); !slices.Equal(got, []string{" 20m", "vm-1 5m"}) {
			t.Fatalf("schedules of the mgr: %v", got)
		}
		stranger := replay.MirrorSchedule{ImageRef: ref("volume-0"), Every: "7m"}
		b.must(b.world.Site("a").AddMirrorSchedule(t.Context(), stranger))

		b.plan = parsePlan(t, ownShots)
		diff := b.diff(orchestrator.DiffOptions{})
		for i := range diff.Changes {
			if c := &diff.Changes[i]; c.Kind != orchestrator.KindScheduleRemove || !c.Destructive {
				t.Errorf("change: %s", c.Title())
			}
		}
		if len(diff.Changes) != 4 || !hasNotice(diff.Notices, orchestrator.NoticeExtraSchedule) {
			t.Errorf("%d changes, notices %v", len(diff.Changes), diff.Notices)
		}
		b.applied()
		if got := listed(); !slices.Equal(got, []string{"volume-0 7m"}) {
			t.Errorf("schedules of the mgr after that: %v", got)
		}
		b.must(b.world.Site("a").RemoveMirrorSchedule(t.Context(), stranger))
		b.settled()

		// A mgr that cannot be asked is no matter.
		b.world.LoseModule("a", "rbd_support")
		if diff = b.diff(orchestrator.DiffOptions{}); !diff.Empty() || hasNotice(diff.Notices, orchestrator.NoticeScheduleFault) {
			t.Errorf("without the module: %d changes, notices %v", len(diff.Changes), diff.Notices)
		}
		b.world.FindModule("a", "rbd_support")
		b.plan.Snapshots.By = plans.SnapshotsByCeph
		b.applied()
		if got := listed(); !slices.Equal(got, []string{" 20m", "vm-1 5m"}) {
			t.Errorf("schedules of the mgr in the end: %v", got)
		}
	})
}
