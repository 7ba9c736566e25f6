package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/replay/sim"
)

// frozen are hooks that hold back a group's writers and let them go, and note it in
// the file LOG.
const frozen = groupedInWaves + `
hooks:
  - {name: freeze, when: before-group, of: db, runbooks: [drill], command: [/bin/sh, -c, "echo frozen >> LOG"]}
  - {name: thaw, when: after-group, of: db, runbooks: [drill], command: [/bin/sh, -c, "echo thawed $DROVER_GROUP >> LOG; THEN"]}
`

func frozenPlan(log, then string) string {
	return logIn(log, strings.ReplaceAll(frozen, "THEN", then))
}

// logIn is a part of a plan whose hooks note in a file what they do.
func logIn(log, plan string) string { return strings.ReplaceAll(plan, "LOG", log) }

func logged(t *testing.T, log string) string {
	t.Helper()
	said, err := os.ReadFile(log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(said), "\n", ";")
}

// TestDrillReleases: whatever fails or ends behind the hooks before a group, those after
// it are carried out, once, and before anything is awaited or cloned.
func TestDrillReleases(t *testing.T) {
	const both = "frozen;thawed db;"
	for name, c := range map[string]struct {
		set func(b *bed, stop context.CancelFunc)
		// bad is what the drill comes to.
		bad report.Verdict
	}{
		"all goes well": {func(*bed, context.CancelFunc) {}, report.Passed},
		"no snapshot": {func(b *bed, _ context.CancelFunc) {
			b.world.Inject(sim.Fault{Op: "CreateSnapshot", Errno: syscall.EIO})
		}, report.Failed},
		"no clone":            {func(b *bed, _ context.CancelFunc) { b.world.Inject(sim.Fault{Op: "CloneSnapshot", Errno: syscall.EIO}) }, report.Failed},
		"replay stands still": {func(b *bed, _ context.CancelFunc) { b.world.StopDaemon("b") }, report.Failed},
		"interrupted": {func(_ *bed, stop context.CancelFunc) {
			go func() {
				time.Sleep(2 * time.Second)
				stop()
			}()
		}, report.Aborted},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				log := filepath.Join(t.TempDir(), "log")
				b := moving(t, twoWay+frozenPlan(log, "true"), 3)
				p, early := b.immortal(), true
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				p.meanwhile(func(_ int64, call sim.Call) {
					if call.Op == "CreateSnapshot" && name == "interrupted" {
						time.Sleep(4 * time.Second)
					}
					if call.Op == "CloneSnapshot" && strings.Contains(call.Object, "volume-0") {
						early = early && logged(t, log) == both
					}
				})
				c.set(b, stop)
				r, _ := p.drill(ctx, orchestrator.DrillOptions{})
				if got := logged(t, log); got != both || !early {
					t.Errorf("%q, before the clones: %v", got, early)
				}
				if r.Verdict != c.bad {
					t.Error(shown(r))
				}
			})
		})
	}
}

// TestDrillReleaseFails: a group that may still be held back is told at once, is tried
// again a few times, and ends the drill: no further wave comes up. It is owed until the
// hook has done its work.
func TestDrillReleaseFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := filepath.Join(t.TempDir(), "log")
		b := moving(t, twoWay+frozenPlan(log, "test -e LOG.repaired"), 3)
		var told []string
		r, err := b.immortal().drill(t.Context(), orchestrator.DrillOptions{Progress: func(e orchestrator.DrillEvent) {
			if e.Held != nil {
				told = append(told, fmt.Sprintf("held %s %v %s", e.Held.Group, e.Held.Removed, logged(t, log)))
			}
			if e.Note != "" {
				told = append(told, e.Note)
			}
		}})
		if err == nil || errors.Is(err, orchestrator.ErrDrillFailed) || r.Verdict != report.Aborted || !r.Fault || !strings.HasPrefix(r.Why, "group db may still be held back: hook thaw: ") {
			t.Fatalf("%v, fault %v\n%s", err, r.Fault, shown(r))
		}
		const once, all = "frozen;thawed db;", "frozen;thawed db;thawed db;thawed db;thawed db;"
		if want := []string{"group db may still be held back: hook thaw: exit code 1", "held db false " + once, "held db false " + all}; !slices.Equal(told, want) {
			t.Errorf("told %q", told)
		}
		for _, s := range r.Steps {
			if strings.Contains(s.Of, "volume-2") || s.Name == "clone" {
				t.Errorf("it went on: %+v", s)
			}
		}
		if i := slices.IndexFunc(r.Images, func(i report.Image) bool { return i.Verdict != report.Aborted }); i >= 0 {
			t.Errorf("%+v", r.Images[i])
		}
		b.must(os.WriteFile(log+".repaired", nil, 0o600))
		sites := b.immortal().sites(t.Context())
		defer b.close(sites)
		swept, err := orchestrator.SweepDrills(t.Context(), b.plan, sites)
		b.must(err)
		left := swept.Left
		if len(left) != 1 || left[0].Group != "db" || !left[0].Removed || logged(t, log) != all+"thawed db;" {
			t.Fatalf("%+v, %q", left, logged(t, log))
		}
		if swept, err = orchestrator.SweepDrills(t.Context(), b.plan, sites); err != nil || len(swept.Left) > 0 {
			t.Errorf("again: %v, %v", swept, err)
		}
	})
}

// TestDrillReleaseAgain: a release that fails for a moment ends nothing, and is not owed.
func TestDrillReleaseAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := filepath.Join(t.TempDir(), "log")
		b := moving(t, twoWay+frozenPlan(log, "test $(wc -l < LOG) -gt 3"), 3)
		r := b.passes(orchestrator.DrillOptions{})
		if got := logged(t, log); got != "frozen;thawed db;thawed db;thawed db;" || !strings.Contains(strings.Join(r.Notes, ";"), "group db is not held back any more") {
			t.Errorf("%q\n%s", got, shown(r))
		}
	})
}

// TestDrillReleaseYields: hooks that fail are not tried again in the middle of a run.
func TestDrillReleaseYields(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := filepath.Join(t.TempDir(), "log")
		b := moving(t, twoWay+frozenPlan(log, "exit 1"), 3)
		ran := false
		r, err := b.immortal().drill(t.Context(), orchestrator.DrillOptions{Progress: func(e orchestrator.DrillEvent) {
			if e.Held != nil && !ran {
				ran = true
				run, err := b.switchover(orchestrator.SwitchoverOptions{To: "b", From: "a", NoWayBack: true}, orchestrator.RunOptions{})
				if err != nil {
					t.Errorf("%v\n%s", err, story(run))
				}
			}
		}})
		if err == nil || r.Verdict != report.Aborted || !r.Fault || !strings.Contains(r.Why, "may still be held back") || !strings.Contains(r.Why, "the switchover ") {
			t.Errorf("%v, fault %v\n%s", err, r.Fault, shown(r))
		}
		if got := logged(t, log); got != "frozen;thawed db;" {
			t.Errorf("%q", got)
		}
	})
}

// TestDrillKilledWhileHeld: the next drill carries out what a killed one owes.
func TestDrillKilledWhileHeld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, log := heldBack(t, "")
		r := b.passes(orchestrator.DrillOptions{})
		if got := logged(t, log); got != "thawed db;frozen;thawed db;" || !strings.Contains(strings.Join(r.Notes, ";"), "owed the hooks after group db: carried out now") {
			t.Errorf("%q\n%s", got, shown(r))
		}
	})
}

// TestDrillHoldFails: a hook before a group that fails says nothing of the copies: they
// are undecided, the drill is aborted for a fault, and the hooks behind it come all the
// same.
func TestDrillHoldFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := filepath.Join(t.TempDir(), "log")
		b := moving(t, twoWay+strings.Replace(frozenPlan(log, "true"), `frozen >> `+log, `frozen >> `+log+`; exit 1`, 1), 3)
		r, err := b.immortal().drill(t.Context(), orchestrator.DrillOptions{})
		if err == nil || errors.Is(err, orchestrator.ErrDrillFailed) || r.Verdict != report.Aborted || !r.Fault || !strings.Contains(r.Why, "nothing is decided of group db: hook freeze: exit code 1") {
			t.Errorf("%v, fault %v\n%s", err, r.Fault, shown(r))
		}
		for _, i := range r.Images {
			want := report.Passed
			if i.Group == "db" {
				want = report.Aborted
			}
			if i.Verdict != want || i.Group == "db" && !strings.Contains(i.Why, "hook freeze") {
				t.Errorf("%+v", i)
			}
		}
		if got := logged(t, log); got != "frozen;thawed db;" {
			t.Errorf("%q", got)
		}
		b.wantClean()
	})
}

// TestDrillHoldLost: with the primary lost nobody's writers are held back, and a hook that
// could not reach them condemns no copy.
func TestDrillHoldLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := filepath.Join(t.TempDir(), "log")
		b := moving(t, twoWay+strings.Replace(frozenPlan(log, "exit 1"), `frozen >> `+log, `frozen >> `+log+`; exit 1`, 1), 3)
		b.world.Vanish("a")
		r, err := b.immortal().drill(t.Context(), orchestrator.DrillOptions{})
		if err != nil || r.Verdict != report.Passed || logged(t, log) != "" || !strings.Contains(strings.Join(r.Notes, ";"), "the hooks around group db are left out: a does not answer") {
			t.Errorf("%v, %q\n%s", err, logged(t, log), shown(r))
		}
	})
}
