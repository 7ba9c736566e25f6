package orchestrator_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
)

const manual = watched + "hooks: [{name: users, when: before-run, manual: tell the users, timeout: 1h}]\n"

// waiting are the steps that runs wait at.
func (b *bed) waiting() []orchestrator.Waiting {
	b.t.Helper()
	sites := b.sites(b.t.Context())
	defer b.close(sites)
	book, err := orchestrator.ReadBook(b.t.Context(), b.plan, sites)
	b.must(err)
	defer func() { b.must(book.Close(b.t.Context())) }()
	return orchestrator.WaitingSteps(b.plan, sites, book, time.Now())
}

// TestWaitingSteps follows a run that is interrupted at a manual step, resumed, and
// approved; its step is asked for while it waits, each time anew.
func TestWaitingSteps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, manual, 1)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		if w := b.waiting(); len(w) > 0 {
			t.Errorf("before any run: %+v", w)
		}
		ctx, interrupt := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		begin := func(do func(sites *orchestrator.Sites) (*orchestrator.RunReport, error)) {
			sites := b.sites(t.Context())
			go func() {
				_, err := do(sites)
				b.close(sites)
				ended <- err
			}()
		}
		begin(func(sites *orchestrator.Sites) (*orchestrator.RunReport, error) {
			p, err := orchestrator.PrepareSwitchover(t.Context(), b.plan, sites, orchestrator.SwitchoverOptions{To: "b", NoWayBack: true})
			if err != nil {
				return nil, err
			}
			return orchestrator.Start(ctx, b.plan, sites, p, orchestrator.RunOptions{})
		})
		time.Sleep(15 * time.Second)
		first := b.waiting()
		if len(first) != 1 || first[0].Step != "hook/before-run/users" || first[0].Text != "tell the users" || first[0].Until.Sub(first[0].Since) != time.Hour {
			t.Fatalf("waits: %+v", first)
		}
		s := m.signals(orchestrator.SignalManualStep)
		if len(s) != 1 || s[0].Asks == nil || s[0].Asks.Evidence != first[0].Evidence || s[0].Next != "drover runs approve plan.yaml "+first[0].Run.ID+" hook/before-run/users" {
			t.Errorf("signals: %+v", s)
		}
		interrupt()
		if err := <-ended; !errors.Is(err, orchestrator.ErrInterrupted) {
			t.Errorf("interrupted: %v", err)
		}
		if w := b.waiting(); len(w) > 0 {
			t.Errorf("interrupted: %+v", w)
		}
		begin(func(sites *orchestrator.Sites) (*orchestrator.RunReport, error) {
			return orchestrator.Resume(t.Context(), b.plan, sites, "", orchestrator.RunOptions{})
		})
		time.Sleep(15 * time.Second)
		again := b.waiting()
		if len(again) != 1 || again[0].Evidence == first[0].Evidence {
			t.Fatalf("resumed: %+v", again)
		}
		// What nobody can read does not end the question.
		allow := b.world.Forbid("a", "ReadRecords")
		allowB := b.world.Forbid("b", "ReadRecords")
		time.Sleep(30 * time.Second)
		if s := m.signals(orchestrator.SignalManualStep); len(s) != 1 {
			t.Errorf("records unreadable: %s", codes(m.last()))
		}
		allow()
		allowB()

		sites := b.sites(t.Context())
		book := b.read()
		run := again[0].Run.ID
		for name, c := range map[string]struct{ run, step, want string }{
			"no run":  {"switchover-1", "hook/before-run/users", `no run "switchover-1"`},
			"no step": {run, "demote/rbd/vm-1", `no manual step "demote/rbd/vm-1"`},
		} {
			err := orchestrator.ApproveStep(t.Context(), b.plan, sites, book, orchestrator.Approval{Run: c.run, Step: c.step})
			if !errors.Is(err, orchestrator.ErrRefused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if text := orchestrator.StepState(book, run, "hook/before-run/users", time.Now()); !strings.HasPrefix(text, "the step is recorded as intent at ") {
			t.Errorf("it stands: %s", text)
		}
		b.must(orchestrator.ApproveStep(t.Context(), b.plan, sites, book, orchestrator.Approval{Run: run, Step: "hook/before-run/users", By: "ann"}))
		if w := b.waiting(); len(w) > 0 {
			t.Errorf("approved: %+v", w)
		}
		if text := orchestrator.StepState(book, run, "hook/before-run/users", time.Now()); !strings.HasPrefix(text, "it was approved by ann at ") {
			t.Errorf("it stands: %s", text)
		}
		b.must(<-ended)
		b.close(sites)
		if role := b.role("b", ref("vm-1")); role != replay.RolePrimary {
			t.Errorf("at b it is %s", role)
		}
	})
}
