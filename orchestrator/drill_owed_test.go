package orchestrator_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// heldBack is a bed of which a drill was killed while it held group db back, and the log
// of its hooks, which is empty.
func heldBack(t *testing.T, more string) (b *bed, log string) {
	t.Helper()
	log = filepath.Join(t.TempDir(), "log")
	// A killed process carries out no hooks: the bed's dead one would.
	b = moving(t, twoWay+more+frozenPlan(log, "test ! -e LOG.dead"), 3)
	p := b.immortal()
	p.meanwhile(func(_ int64, c sim.Call) {
		if c.Op == "CreateSnapshot" {
			p.dead.Store(true)
			b.must(os.WriteFile(log+".dead", nil, 0o600))
		}
	})
	_, _ = p.drill(t.Context(), orchestrator.DrillOptions{})
	b.must(os.Remove(log + ".dead"))
	b.must(os.WriteFile(log, nil, 0o600))
	time.Sleep(2 * time.Minute) // its lease ends
	return b, log
}

// sweep sweeps, and answers with what is told of the group.
func (b *bed) sweepHeld(released ...string) (string, bool) {
	b.t.Helper()
	sites := b.immortal().sites(b.t.Context())
	defer b.close(sites)
	swept, err := orchestrator.SweepDrills(b.t.Context(), b.plan, sites, released...)
	b.must(err)
	for _, l := range swept.Left {
		if l.Group == "db" {
			return l.Note, l.Removed
		}
	}
	return "nothing is held back", false
}

// TestDrillOwedWaits: what a killed drill owes is not carried out where that could start
// writers in the middle of a run, or on what was given up; it is told, and carried out
// when the way is free.
func TestDrillOwedWaits(t *testing.T) {
	for name, c := range map[string]struct {
		before func(b *bed)
		told   string
		after  func(b *bed) // nil: it is never carried out
	}{
		"run": {func(b *bed) {
			p := b.immortal()
			p.meanwhile(func(_ int64, call sim.Call) {
				if call.Op == "Demote" {
					p.dead.Store(true)
				}
			})
			_, _, _ = p.start(b.t.Context(), switchingOver(orchestrator.SwitchoverOptions{To: "b", From: "a", NoWayBack: true}), orchestrator.RunOptions{})
			time.Sleep(2 * time.Minute)
		}, "its hooks after it wait: the switchover ", nil},
		"halt": {func(b *bed) {
			book, err := orchestrator.ReadBook(b.t.Context(), b.plan, b.immortal().sites(b.t.Context()))
			b.must(err)
			b.must(book.Halt(b.t.Context(), orchestrator.Halt{Images: []replay.ImageRef{ref("volume-1")}, Reason: "look here"}))
			b.must(book.Close(b.t.Context()))
		}, " is halted: look here", func(b *bed) {
			book, err := orchestrator.ReadBook(b.t.Context(), b.plan, b.immortal().sites(b.t.Context()))
			b.must(err)
			for _, h := range book.Halts() {
				b.must(book.ClearHalt(b.t.Context(), h.ID, "seen"))
			}
			b.must(book.Close(b.t.Context()))
		}},
		"moved": {func(b *bed) {
			run, err := b.switchover(orchestrator.SwitchoverOptions{To: "b", From: "a", NoWayBack: true}, orchestrator.RunOptions{})
			if err != nil {
				b.t.Fatalf("%v\n%s", err, story(run))
			}
		}, "its hooks after it are not carried out, for they let writers go at a: rbd/volume-", nil},
		"given up": {func(b *bed) { // as after a failover, when a returns
			for _, image := range []string{"volume-0", "volume-1"} {
				b.must(b.world.Site("b").Promote(b.t.Context(), ref(image), true))
			}
		}, "is primary at b", nil},
		"primary away": {func(b *bed) { b.world.Vanish("a") }, "it is not known whether rbd/volume-", func(b *bed) { b.world.Return("a") }},
		"other away":   {func(b *bed) { b.world.Vanish("b") }, "it is not known whether rbd/volume-", func(b *bed) { b.world.Return("b") }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b, log := heldBack(t, "")
				c.before(b)
				if note, removed := b.sweepHeld(); removed || !strings.Contains(note, c.told) || logged(t, log) != "" {
					t.Fatalf("told %q (%v), %q", note, removed, logged(t, log))
				}
				if c.after == nil {
					return
				}
				c.after(b)
				time.Sleep(2 * time.Minute)
				if note, removed := b.sweepHeld(); !removed || logged(t, log) != "thawed db;" {
					t.Errorf("told %q (%v), %q", note, removed, logged(t, log))
				}
			})
		})
	}
}

// TestDrillOwedStays: nothing counts as carried out that was not, and a group stays held
// back, however old that is, until a person says otherwise.
func TestDrillOwedStays(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(plan string) string
		wait time.Duration
		told string
	}{
		"hook renamed": {func(p string) string { return strings.Replace(p, "name: thaw", "name: melt", 1) }, 0, "the plan has no hook thaw after group db any more"},
		"hooks gone":   {func(p string) string { p, _, _ = strings.Cut(p, "hooks:"); return p }, 0, "the plan has no hook thaw after group db any more"},
		"group renamed": {func(p string) string {
			return strings.NewReplacer("name: db", "name: sql", "of: db", "of: sql").Replace(p)
		}, 0, "the plan has no hook thaw after group db any more"},
		"failure continues":  {func(p string) string { return strings.Replace(p, "test ! -e", "false; test -e", 1) + "\n" }, 0, "hook thaw: exit code 1"},
		"longer than a day":  {func(p string) string { return p }, 27 * time.Hour, "more than 24h0m0s after the drill's expiry"},
		"longer than a year": {func(p string) string { return p }, 400 * 24 * time.Hour, "more than 24h0m0s after the drill's expiry"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b, log := heldBack(t, "")
				plan := strings.Replace(twoWay+c.edit(frozenPlan(log, "test ! -e LOG.dead")), "name: thaw,", "name: thaw, on_failure: continue,", 1)
				b.plan = parsePlan(t, plan)
				time.Sleep(c.wait)
				for range 2 {
					if note, removed := b.sweepHeld(); removed || !strings.Contains(note, c.told) {
						t.Fatalf("told %q (%v), %q", note, removed, logged(t, log))
					}
				}
				sites := b.immortal().sites(t.Context())
				defer b.close(sites)
				if _, err := orchestrator.SweepDrills(t.Context(), b.plan, sites, "other"); !errors.Is(err, orchestrator.ErrRefused) {
					t.Errorf("another group: %v", err)
				}
				if note, removed := b.sweepHeld("db"); !removed || !strings.Contains(note, "let go by hand, says ") {
					t.Errorf("told %q (%v)", note, removed)
				}
				if note, _ := b.sweepHeld(); note != "nothing is held back" {
					t.Errorf("after a person's word: %q", note)
				}
			})
		})
	}
}

// TestWatchDrillHeld: a group that a drill by schedule cannot let go is told while that
// drill is still at work, as critical, and with what to do; not by age, but only when its
// writers have been let go does that end.
func TestWatchDrillHeld(t *testing.T) {
	const plan = `
checks: {schedule: '@every 5m', timeout: 5s}
drills: [{name: nightly, schedule: "0 3 * * *", expiry: 1h}]
`
	for name, end := range map[string]func(b *bed, log string){
		"by the next drill": func(b *bed, log string) {
			b.must(os.WriteFile(log+".repaired", nil, 0o600))
			time.Sleep(24 * time.Hour)
		},
		"by hand": func(b *bed, _ string) { b.sweepHeld("db") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				log := filepath.Join(t.TempDir(), "log")
				b := moving(t, twoWay+plan+frozenPlan(log, "test -e LOG.repaired"), 3)
				p := b.immortal()
				p.meanwhile(func(_ int64, call sim.Call) {
					if call.Op == "RemoveSnapshot" && call.Site == "a" {
						time.Sleep(4 * time.Minute)
					}
				})
				m := b.watchman(t, p)
				for range 24 * 60 { // until the first drill freezes
					if logged(t, log) != "" {
						break
					}
					time.Sleep(time.Minute)
				}
				time.Sleep(time.Minute)
				reports, _, err := orchestrator.Reports(t.Context(), b.plan, b.immortal().sites(t.Context()))
				b.must(err)
				told := m.signals(orchestrator.SignalDrillHeld)
				if len(reports) > 0 || len(told) != 1 || told[0].Severity != alert.Critical || told[0].Site != "a" ||
					!strings.HasPrefix(told[0].What, "group db may still be held back by drill-") || !strings.HasSuffix(told[0].Next, "drover drill sweep plan.yaml --released db") {
					t.Fatalf("%d reports, told %+v", len(reports), told)
				}
				time.Sleep(72 * time.Hour)
				m.stop()
				m = b.watchman(t, b.immortal())
				defer m.stop()
				time.Sleep(time.Hour)
				if told := m.signals(orchestrator.SignalDrillHeld); len(told) == 0 {
					t.Fatal("after three days and a restart it is not told any more")
				}
				end(b, log)
				time.Sleep(time.Hour)
				if told := m.signals(orchestrator.SignalDrillHeld); len(told) > 0 {
					t.Errorf("after its end: %+v", told)
				}
			})
		})
	}
}
