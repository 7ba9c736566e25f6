package orchestrator_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// lyingSite says of its daemon that it replays, whatever it does.
type lyingSite struct {
	orchestrator.Site
	percent *float64
}

func (s lyingSite) Reports(ctx context.Context, pool replay.Pool) ([]replay.Report, error) {
	reports, err := s.Site.Reports(ctx, pool)
	for i := range reports {
		r := &reports[i]
		r.Up, r.Updated, r.State, r.Description, r.Progress = true, time.Now(), replay.ReportReplaying, "replaying", nil
		if s.percent != nil {
			r.State = replay.ReportSyncing
			r.Progress = &replay.Progress{Mode: replay.ModeJournal, SyncPercent: s.percent}
		}
	}
	return reports, err
}

// writer writes to an image once a second until it is stopped.
func (b *bed) writer(image replay.ImageRef) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Second):
				_ = b.world.Write("a", image, 4096, []byte("more"))
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

func has(signals []alert.Signal, image string) bool {
	for _, s := range signals {
		if s.Image == image && s.What != "" && s.Next != "" {
			return true
		}
	}
	return false
}

// TestWatchReplayStuck: replay that says it runs and does not move is told of only
// while the primary is being written, and while it lasts.
func TestWatchReplayStuck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		b.wrap = func(s orchestrator.Site) orchestrator.Site { return lyingSite{Site: s} }
		m := b.watchman(t, b.immortal())
		defer m.stop()
		stop := b.writer(ref("volume-0"))
		defer func() { stop() }()
		time.Sleep(5 * time.Minute)
		if s := m.signals(orchestrator.SignalReplayStuck); len(s) > 0 {
			t.Errorf("while it moves: %+v", s)
		}
		b.must(b.world.HaltReplay("b", ref("volume-0")))
		b.must(b.world.HaltReplay("b", ref("vm-1"))) // which is written to once
		b.must(b.world.Write("a", ref("vm-1"), 4096, []byte("once")))
		time.Sleep(20 * time.Second)
		if s := m.signals(orchestrator.SignalReplayStuck); len(s) > 0 {
			t.Errorf("after 20 s: %+v", s)
		}
		time.Sleep(40 * time.Second)
		if s := m.signals(orchestrator.SignalReplayStuck); len(s) != 1 || !has(s, "rbd/volume-0") || s[0].Site != "b" {
			t.Errorf("signals: %s", codes(m.last()))
		}
		b.must(b.world.ResumeReplay("b", ref("volume-0")))
		time.Sleep(time.Minute)
		if s := m.signals(orchestrator.SignalReplayStuck); len(s) > 0 {
			t.Errorf("after it goes on: %+v", s)
		}
	})
}

// TestWatchJournalHeld: a journal that grows for a site that is gone is told of.
func TestWatchJournalHeld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		stop := b.writer(ref("volume-0"))
		defer func() { stop() }()
		time.Sleep(time.Minute)
		b.world.Vanish("b")
		time.Sleep(2 * time.Minute)
		s := m.signals(orchestrator.SignalJournalHeld)
		if len(s) != 1 || !has(s, "rbd/volume-0") || s[0].Site != "a" || !strings.Contains(s[0].What, "entries behind") {
			t.Errorf("%+v; %s", s, codes(m.last()))
		}
		b.world.Return("b")
		time.Sleep(5 * time.Minute)
		if s := m.signals(orchestrator.SignalJournalHeld); len(s) > 0 {
			t.Errorf("after its return: %+v", s)
		}
	})
}

// TestWatchSyncStalled: a first sync that comes no further is told of after a while.
func TestWatchSyncStalled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, watched)
		b.image("a", ref("volume-0"), plain)
		b.world.SetReplayRate("b", 1)
		percent := 12.0
		b.wrap = func(s orchestrator.Site) orchestrator.Site { return lyingSite{Site: s, percent: &percent} }
		_, err := b.apply(orchestrator.Options{Wait: orchestrator.WaitNone})
		b.must(err)
		time.Sleep(time.Minute)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(10 * time.Minute)
		if s := m.signals("sync-stalled"); len(s) > 0 {
			t.Errorf("after ten minutes: %+v", s)
		}
		time.Sleep(10 * time.Minute)
		if s := m.signals("sync-stalled"); !has(s, "rbd/volume-0") {
			t.Errorf("after twenty: %s, %+v", codes(m.last()), m.last().Report.Images)
		}
	})
}

// TestWatchScheduleSilent: mirror snapshots that come no more are told of.
func TestWatchScheduleSilent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, snapshotsTwoWay+"checks: {schedule: '@every 10s'}\n", 0)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(time.Minute)
		b.world.StopSchedules("a")
		time.Sleep(20 * time.Minute)
		if s := m.signals("schedule-dead"); !has(s, "rbd/vm-1") {
			t.Errorf("signals: %s", codes(m.last()))
		}
	})
}

// TestWatchKeepsDaemons: a daemon that has ended is started again, with growing
// pauses, and one that ends again and again is told of.
func TestWatchKeepsDaemons(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		m := b.watchman(t, b.immortal())
		defer func() { m.stop() }()
		time.Sleep(time.Minute)
		b.world.StopDaemon("b")
		time.Sleep(time.Minute + 30*time.Second)
		if !b.world.DaemonRuns("b") {
			t.Fatal("it was not started again")
		}
		if s := m.signals(orchestrator.SignalDaemonFlapping); len(s) > 0 {
			t.Errorf("once is not flapping: %+v", s)
		}
		for range 9 {
			b.world.StopDaemon("b")
			time.Sleep(3 * time.Minute)
		}
		if s := m.signals(orchestrator.SignalDaemonFlapping); len(s) != 1 || s[0].Site != "b" || s[0].Next == "" {
			t.Errorf("signals: %s", codes(m.last()))
		}
		// The next watch does not know of those starts, and says so.
		unjudged := func() bool {
			return slices.ContainsFunc(m.last().Unseen, func(u alert.Unseen) bool {
				return u.Site == "b" && slices.Contains(u.Codes, orchestrator.SignalDaemonFlapping)
			})
		}
		m.stop()
		m = b.watchman(t, b.immortal())
		time.Sleep(2 * time.Minute)
		if !unjudged() {
			t.Errorf("a watch that has just begun judges: %+v", m.last().Unseen)
		}
		time.Sleep(23 * time.Hour)
		if !unjudged() {
			t.Errorf("it judges a day of which it has not seen all: %+v", m.last().Unseen)
		}
		time.Sleep(time.Hour)
		if unjudged() {
			t.Errorf("after a steady day: %+v", m.last().Unseen)
		}
		if s := m.signals(orchestrator.SignalDaemonFlapping); len(s) > 0 || !b.world.DaemonRuns("b") {
			t.Errorf("after a steady day: %+v", s)
		}
	})
}

// TestWatchDaemonEndsDaily: a daemon that ends five times a day is told of, though it
// runs well between.
func TestWatchDaemonEndsDaily(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(time.Minute)
		for n := range 5 {
			if s := m.signals(orchestrator.SignalDaemonFlapping); len(s) > 0 {
				t.Errorf("after %d ends: %+v", n, s)
			}
			b.world.StopDaemon("b")
			time.Sleep(20 * time.Minute)
		}
		if s := m.signals(orchestrator.SignalDaemonFlapping); len(s) != 1 || s[0].Site != "b" || !strings.Contains(s[0].What, "5 times within the last 24 hours") {
			t.Errorf("after five ends: %+v", s)
		}
		time.Sleep(24 * time.Hour)
		if s := m.signals(orchestrator.SignalDaemonFlapping); len(s) > 0 {
			t.Errorf("a day later: %+v", s)
		}
	})
}

// TestWatchLeavesDaemonsAlone: one that runs on another host gets no second beside
// it, and after a destroy none is started.
func TestWatchLeavesDaemonsAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		b.elsewhere.Store(true)
		m := b.watchman(t, b.immortal())
		time.Sleep(5 * time.Minute)
		if m.stop(); m.p.starts.Load() > 0 {
			t.Error("a second daemon was started")
		}
		b.elsewhere.Store(false)
		_, err := b.destroy(orchestrator.DestroyOptions{})
		b.must(err)
		m = b.watchman(t, b.immortal())
		time.Sleep(10 * time.Minute)
		m.stop()
		if m.p.starts.Load() > 0 {
			t.Error("a daemon was started for nothing")
		}
	})
}

// drifting is a plan that lets a watch repair what is harmless.
const drifting = watched + "converge: auto\n"

// TestWatchReportsDrift: without the plan's leave drift is told of, and left.
func TestWatchReportsDrift(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(5 * time.Minute)
		if r := m.last(); r.Drift > 0 {
			t.Errorf("drift of what was applied: %s", codes(r))
		}
		b.image("a", ref("volume-9"), plain)
		time.Sleep(5 * time.Minute)
		s := m.signals(orchestrator.SignalDrift)
		if len(s) != 1 || m.last().Drift == 0 || !strings.Contains(s[0].Next, "drover plan apply plan.yaml") || !strings.Contains(s[0].What, "volume-9") {
			t.Errorf("%+v; %s", s, codes(m.last()))
		}
		if role := b.role("a", ref("volume-9")); role != replay.RoleNone {
			t.Errorf("volume-9 is %s", role)
		}
	})
}

// TestWatchConverges: with the plan's leave harmless drift is repaired.
func TestWatchConverges(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, drifting, 1)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(time.Minute)
		b.image("a", ref("volume-9"), plain)
		time.Sleep(10 * time.Minute)
		b.roles(ref("volume-9"), replay.RolePrimary, replay.RoleSecondary)
		applied := 0
		for _, r := range m.since(0) {
			if r.Applied != nil && !r.Applied.Unchanged() {
				applied++
			}
		}
		if applied != 1 || m.last().Drift > 0 || len(m.last().Signals) > 0 {
			t.Errorf("applied %d times, drift %d, %s", applied, m.last().Drift, codes(m.last()))
		}
	})
}

// TestWatchConvergesNoRoles: whatever a plan lets a watch do by itself, it promotes,
// demotes, resyncs and removes nothing, and makes no image.
func TestWatchConvergesNoRoles(t *testing.T) {
	for name, trouble := range map[string]func(b *bed){
		"stranded":      func(b *bed) { b.must(b.world.Site("a").Demote(b.t.Context(), ref("volume-0"))) },
		"two primaries": func(b *bed) { b.must(b.world.Site("b").Promote(b.t.Context(), ref("volume-0"), true)) },
		"not in the plan any more": func(b *bed) {
			b.plan = parsePlan(b.t, strings.Replace(drifting, "      - glob: volume-*\n", "", 1))
		},
		"image removed": func(b *bed) {
			b.must(b.world.Site("a").DisableMirroring(b.t.Context(), ref("vm-1"), false))
			time.Sleep(time.Minute)
			b.must(b.world.Site("a").RemoveImage(b.t.Context(), ref("vm-1")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, drifting, 1)
				trouble(b)
				m := b.watchman(t, b.immortal())
				defer m.stop()
				b.world.ForgetCalls()
				time.Sleep(30 * time.Minute)
				for _, c := range b.world.Writes() {
					switch c.Op {
					case "AcquireLease", "AppendRecords", "ReleaseLease":
					default:
						t.Errorf("%s %s at %s", c.Op, c.Object, c.Site)
					}
				}
			})
		})
	}
}

// TestWatchConvergesBesideRunbooks: while a run has the lease, or an image is halted,
// nothing is repaired.
func TestWatchConvergesBesideRunbooks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, drifting, 1)
		sites := b.sites(t.Context())
		defer b.close(sites)
		book, err := orchestrator.ReadBook(t.Context(), b.plan, sites)
		b.must(err)
		lease, err := book.Lease(t.Context(), "by hand")
		b.must(err)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		b.image("a", ref("volume-9"), plain)
		time.Sleep(10 * time.Minute)
		if role := b.role("a", ref("volume-9")); role != replay.RoleNone {
			t.Errorf("volume-9 is %s", role)
		}
		if s := m.signals(orchestrator.SignalConvergeFailed); len(s) > 0 {
			t.Errorf("signals: %+v", s)
		}
		b.must(lease.Release(t.Context()))
		time.Sleep(20 * time.Minute)
		b.roles(ref("volume-9"), replay.RolePrimary, replay.RoleSecondary)
		b.must(book.Halt(t.Context(), orchestrator.Halt{Images: []replay.ImageRef{ref("vm-1")}, Reason: "by hand"}))
		b.image("a", ref("volume-10"), plain)
		time.Sleep(20 * time.Minute)
		if role := b.role("a", ref("volume-10")); role != replay.RoleNone {
			t.Errorf("volume-10 is %s while another image is halted", role)
		}
		b.must(book.Close(t.Context()))
	})
}

// TestWatchVerifies: copies are compared on schedule, once for each time, also after
// a restart; and one that differs is told of.
func TestWatchVerifies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, strings.Replace(watched, "@every 10s", "@every 5m", 1)+"verification: {schedule: '0 3 * * *', bandwidth: 1MiB}\n", 1)
		m := b.watchman(t, b.immortal())
		time.Sleep(2 * time.Hour)
		if h := b.history(t, orchestrator.HistoryQuery{}); len(h.Verified) > 0 {
			t.Errorf("verified too early: %+v", h.Verified)
		}
		m.stop()
		time.Sleep(2 * time.Hour) // 3 o'clock is missed
		m = b.watchman(t, b.immortal())
		time.Sleep(90 * time.Minute)
		h := b.history(t, orchestrator.HistoryQuery{})
		if len(h.Verified) != 2 || !h.Verified[0].Identical || h.Verified[0].Secondary != "b" || h.Verified[0].At.Before(time.Now().Add(-2*time.Hour)) {
			t.Fatalf("verified: %+v", h.Verified)
		}
		snapshots := 0
		for _, c := range b.world.Calls() {
			if c.Op == "CreateSnapshot" && c.Site == "a" {
				snapshots++
			}
		}
		m.stop()
		b.must(b.world.Corrupt("b", ref("volume-0"), 4096, []byte("rotten")))
		m = b.watchman(t, b.immortal())
		defer func() { m.stop() }()
		time.Sleep(time.Hour)
		again := 0
		for _, c := range b.world.Calls() {
			if c.Op == "CreateSnapshot" && c.Site == "a" {
				again++
			}
		}
		if again != snapshots {
			t.Errorf("verified again after a restart: %d snapshots, then %d", snapshots, again)
		}
		time.Sleep(24 * time.Hour)
		if s := m.signals(orchestrator.SignalCopiesDiffer); len(s) != 1 || !has(s, "rbd/volume-0") || s[0].Severity != alert.Critical {
			t.Errorf("signals: %s", codes(m.last()))
		}
		m.stop()
		m = b.watchman(t, b.immortal())
		time.Sleep(6 * time.Minute)
		if s := m.signals(orchestrator.SignalCopiesDiffer); len(s) != 1 {
			t.Errorf("after a restart: %s", codes(m.last()))
		}
	})
}

// TestWatchConvergesOncePoolsExist: while the plan's pools are nowhere there is no
// place for a lease either, so that a watch changes nothing, whatever the plan lets it
// do; of two, only one makes the first changes once somebody has made the pools.
func TestWatchConvergesOncePoolsExist(t *testing.T) {
	bubble(t, func(t *testing.T) {
		plan := strings.Replace(drifting, "      - {name: vm-1, create: {size: 8MiB}}\n", "", 1)
		b := newBed(t, plan)
		if len(b.plan.Pools[0].Images) != 1 {
			t.Fatalf("the plan makes images: %+v", b.plan.Pools[0].Images)
		}
		b.world = sim.New(sim.Options{Seed: 7, Clock: time.Now, Pace: sim.Instant})
		b.world.AddSite("a")
		b.world.AddSite("b")
		first, second := b.watchman(t, b.immortal()), b.watchman(t, b.immortal())
		defer first.stop()
		defer second.stop()
		time.Sleep(10 * time.Minute)
		for _, m := range []*watchman{first, second} {
			if r := m.last(); r.Role != orchestrator.RoleAlone || len(signalsOf(r, "pool-missing"))+len(r.Report.Images) > 0 {
				t.Errorf("%s: %s", r.Role, codes(r))
			}
		}
		for _, c := range b.world.Writes() {
			if c.Op != "AcquireLease" {
				t.Errorf("without pools: %s %s at %s", c.Op, c.Object, c.Site)
			}
		}
		b.world.AddPool("a", "rbd")
		b.world.AddPool("b", "rbd")
		b.image("a", ref("volume-0"), plain)
		time.Sleep(15 * time.Minute)
		b.roles(ref("volume-0"), replay.RolePrimary, replay.RoleSecondary)
		applied := map[*watchman]int{}
		for _, m := range []*watchman{first, second} {
			for _, r := range m.since(0) {
				if r.Applied != nil && !r.Applied.Unchanged() {
					applied[m]++
				}
			}
		}
		if len(applied) != 1 {
			t.Errorf("%d watches have made changes; %s, %s", len(applied), first.last().Role, codes(first.last()))
		}
	})
}
