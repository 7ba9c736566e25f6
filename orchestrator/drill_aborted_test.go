package orchestrator_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// TestDrillAborted: a drill that something ends from outside has not failed, whatever did
// not come up until then; what a check had found is told nevertheless.
func TestDrillAborted(t *testing.T) {
	const red = "\ndrills: [{name: nightly, expiry: 30m, user: client.drill, keyring: /k, checks: [{name: red, command: [/bin/sh, -c, \"test $DROVER_CLONE_SIZE = 0\"]}]}]\n"
	for name, c := range map[string]struct {
		plan  string
		end   func(b *bed, stop context.CancelFunc)
		why   string
		fault bool
	}{
		"run": {"", func(b *bed, _ context.CancelFunc) {
			run, err := b.switchover(orchestrator.SwitchoverOptions{To: "b", From: "a", NoWayBack: true}, orchestrator.RunOptions{})
			if err != nil {
				b.t.Errorf("%v\n%s", err, story(run))
			}
		}, "the switchover ", false},
		"halt": {"", func(b *bed, _ context.CancelFunc) {
			book, err := orchestrator.ReadBook(b.t.Context(), b.plan, b.immortal().sites(b.t.Context()))
			b.must(err)
			b.must(book.Halt(b.t.Context(), orchestrator.Halt{Images: []replay.ImageRef{ref("volume-0")}, Reason: "look here"}))
			b.must(book.Close(b.t.Context()))
		}, "look here", false},
		"person":       {"", func(_ *bed, stop context.CancelFunc) { stop() }, "interrupted", false},
		"expiry":       {red, func(*bed, context.CancelFunc) {}, "the drill's expiry has come", true},
		"red, and run": {red, func(b *bed, stop context.CancelFunc) { stop() }, "it had found before that: 1 check is not green: red rbd/vm-1", true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, twoWay+c.plan, 2)
				// One image does not come up, the next one takes its time.
				b.world.Inject(sim.Fault{Op: "CloneSnapshot", Object: "rbd/volume-1", Errno: syscall.EIO})
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				p, ended := b.immortal(), make(chan struct{})
				p.meanwhile(func(_ int64, call sim.Call) {
					if call.Op != "CloneSnapshot" || !strings.Contains(call.Object, "volume-0") {
						return
					}
					time.Sleep(time.Minute)
					go func() {
						defer close(ended)
						c.end(b, stop)
					}()
					time.Sleep(time.Hour)
				})
				r, err := p.drill(ctx, orchestrator.DrillOptions{})
				<-ended
				if err == nil || errors.Is(err, orchestrator.ErrDrillFailed) || r.Verdict != report.Aborted || r.Fault != c.fault || !strings.Contains(r.Why, c.why) {
					t.Errorf("%v, fault %v\n%s", err, r.Fault, shown(r))
				}
				if i := slices.IndexFunc(r.Images, func(i report.Image) bool { return i.Verdict == report.Failed }); i >= 0 {
					t.Errorf("%+v", r.Images[i])
				}
			})
		})
	}
}

// TestDrillRunInTheWay: a run that a drill has not seen yet may be in its way.
func TestDrillRunInTheWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 1)
		p := b.immortal()
		p.atFirst("CreateSnapshot", func() {
			run, err := b.switchover(orchestrator.SwitchoverOptions{To: "b", From: "a", NoWayBack: true}, orchestrator.RunOptions{})
			if err != nil {
				t.Errorf("%v\n%s", err, story(run))
			}
		})
		r, err := p.drill(t.Context(), orchestrator.DrillOptions{})
		if errors.Is(err, orchestrator.ErrDrillFailed) || r.Verdict != report.Aborted || !strings.Contains(r.Why, "the switchover ") || r.Fault {
			t.Errorf("%v\n%s", err, shown(r))
		}
	})
}

// TestWatchDrillAborted: a drill by schedule whose hook fails is told, until one passes.
func TestWatchDrillAborted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := t.TempDir() + "/repaired"
		b := moving(t, drilledNightly+`
hooks: [{name: gateway, when: before-run, runbooks: [drill], command: [/bin/sh, -c, "test -e `+log+`"]}]
`, 1)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(24 * time.Hour)
		told := signalsOf(m.last(), orchestrator.SignalDrillAborted)
		if len(told) != 1 || !strings.Contains(told[0].What, "was aborted: hook gateway: exit code 1") {
			t.Fatalf("%+v", told)
		}
		b.must(os.WriteFile(log, nil, 0o600))
		time.Sleep(24 * time.Hour)
		if got := m.drillSignals(); len(got) > 0 {
			t.Errorf("after it has passed: %v", got)
		}
	})
}
