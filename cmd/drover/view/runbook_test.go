package view_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

func rbd(name string) replay.ImageRef { return replay.Pool{Name: "rbd"}.Image(name) }

// failedOver is a failover of many images, prepared.
func failedOver() *orchestrator.Prepared {
	p := &orchestrator.Prepared{
		Run: orchestrator.Run{
			ID: "failover-1", Runbook: orchestrator.Failover, Plan: "payroll", From: "site-a", To: "site-b",
			By: "eva@host", Began: noon, Reason: "fire", Approved: "abc",
			Left: []orchestrator.LeftImage{{Ref: rbd("new"), Why: "its first sync is not complete"}, {Ref: rbd("log"), Why: "group g moves as one, and rbd/new cannot"}},
		},
		Checks: []orchestrator.Check{
			{Name: "the surviving site answers", What: "site-b answers"},
			{Name: "no halt, no unfinished run", What: "none", Failures: []orchestrator.CheckFailure{{Site: "site-a", What: "the records at site-a could not be read", Warning: true}}},
			{Name: "copies can serve", What: "all", Failures: []orchestrator.CheckFailure{
				{Image: pointer(rbd("new")), Site: "site-b", What: "its first sync is not complete", Next: "see drover status FILE"},
			}},
		},
		Probes: []orchestrator.Probe{
			{From: "here", How: "its monitors", What: "no answer", Took: 5 * time.Second},
			{From: "dc-3", How: "ssh dc-3 ping", Answers: true, What: "it answers", Took: time.Second},
		},
		Hash: "abc",
	}
	for i := range 30 {
		loss := &orchestrator.Loss{Entries: pointer(int64(i)), Bytes: pointer(int64(i) << 20), Seconds: pointer(float64(i)), Why: "as reported"}
		p.Run.Units = append(p.Run.Units, orchestrator.RunUnit{
			Name: fmt.Sprintf("rbd/vm-%d", i), Wave: "first", Images: []orchestrator.RunImage{{Ref: rbd(fmt.Sprintf("vm-%d", i)), Mode: replay.ModeJournal, Loss: loss}},
		})
	}
	p.Run.Units = append(p.Run.Units, orchestrator.RunUnit{
		Name: "shop", Group: "shop", Images: []orchestrator.RunImage{
			{Ref: rbd("shop-1"), Mode: replay.ModeSnapshot, Loss: &orchestrator.Loss{Why: "nothing tells how far the copy is"}},
			{Ref: rbd("shop-2"), Mode: replay.ModeSnapshot},
		},
	})
	return p
}

// All checks are shown with their remedies; what would be lost, the worst
// first; and what does not fit is counted.
func TestPrepared(t *testing.T) {
	p := failedOver()
	p.Refused = &orchestrator.Hinted{Err: fmt.Errorf("%w: check failed", orchestrator.ErrRefused), Hint: "see drover status FILE"}
	v := view.NewPrepared(p, nil, "plan.yaml")
	var b strings.Builder
	if err := v.Table(&b, view.Palette{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "prepared.txt", b.String())
	if v.Refusal != "precondition refused: check failed" || v.Next != "see drover status plan.yaml" {
		t.Errorf("refusal %q, next %q", v.Refusal, v.Next)
	}
	want := view.LossSummary{Images: 29, Unknown: 1, Entries: 435, Bytes: 435 << 20, Seconds: 29}
	if v.Summary.Loss == nil || *v.Summary.Loss != want {
		t.Errorf("loss %+v, want %+v", v.Summary.Loss, want)
	}
	if s := v.Summary; s.Images != 32 || s.Units != 31 || s.Waves != 2 || s.Left != 2 || s.Failed != 1 || s.Warnings != 1 {
		t.Errorf("summary %+v", s)
	}
}

func TestChangedSaysWhatADecisionRestsOn(t *testing.T) {
	before, now := failedOver(), failedOver()
	if got := view.Changed(before, now); len(got) != 0 {
		t.Errorf("nothing has changed, and it says %q", got)
	}
	now.Run.Units[3].Images[0].Loss.Entries = pointer(int64(500))
	now.Run.Units[4].Images[0].Ref = rbd("vm-x")
	now.Run.Units[5].Name = "group"
	now.Refused = errors.New("no")
	var b strings.Builder
	if err := view.Changes(&b, view.Palette{}, before, now); err != nil {
		t.Fatal(err)
	}
	golden(t, "changed.txt", b.String())
}

func runReport() *orchestrator.RunReport {
	p := failedOver()
	r := &orchestrator.RunReport{Run: p.Run, Outcome: orchestrator.RunStuck, Ended: noon.Add(time.Minute), Took: time.Minute, Notes: []string{"after the run: hook dns: it failed"}}
	outcomes := []orchestrator.UnitOutcome{orchestrator.UnitMoved, orchestrator.UnitReturned, orchestrator.UnitStuck, orchestrator.UnitUntouched, orchestrator.UnitNotBegun}
	for i := range outcomes {
		u := orchestrator.UnitReport{Unit: p.Run.Units[i], Outcome: outcomes[i], Took: time.Duration(i) * time.Second}
		if i > 0 {
			u.Why = "the cause"
		}
		r.Units = append(r.Units, u)
	}
	r.Units[2].Next = "drover runs resume FILE failover-1"
	r.Units = append(r.Units, orchestrator.UnitReport{Unit: p.Run.Units[30], Outcome: orchestrator.UnitMoved, Took: 20 * time.Second})
	return r
}

func TestRunReport(t *testing.T) {
	var b strings.Builder
	v := view.NewRunReport(runReport(), "plan.yaml")
	if err := v.Table(&b, view.Palette{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "run-report.txt", b.String())
	if s := v.Summary; s.Images != 7 || s.Moved != 3 || s.Slowest != "shop" || s.SlowestSeconds != 20 || s.Seconds != 60 {
		t.Errorf("summary %+v", s)
	}
}

func stories() []orchestrator.RunStory {
	at := noon.Add(time.Second)
	step := func(id string, kind orchestrator.StepKind, phase orchestrator.StepPhase, by string) orchestrator.StepStory {
		at = at.Add(time.Second)
		return orchestrator.StepStory{At: at, By: by, StepRecord: orchestrator.StepRecord{Step: id, Kind: kind, Phase: phase, Unit: "rbd/vm-1", Image: pointer(rbd("vm-1"))}}
	}
	image := orchestrator.RunUnit{Name: "rbd/vm-1", Images: []orchestrator.RunImage{{Ref: rbd("vm-1"), Mode: replay.ModeJournal}}}
	run := orchestrator.Run{ID: "switchover-2", Runbook: orchestrator.Switchover, Plan: "payroll", From: "site-a", To: "site-b", By: "eva@host", Began: noon, Units: []orchestrator.RunUnit{image}}
	open := orchestrator.RunStory{
		Run: run, Who: []orchestrator.ActorStory{{At: noon, By: "eva@host"}, {At: noon.Add(time.Hour), By: "max@other"}},
		Steps: []orchestrator.StepStory{
			step("demote/rbd/vm-1", orchestrator.StepDemote, orchestrator.PhaseIntent, "eva@host"),
			step("demote/rbd/vm-1", orchestrator.StepDemote, orchestrator.PhaseDone, "eva@host"),
			step("prove/rbd/vm-1", orchestrator.StepProve, orchestrator.PhaseFailed, "max@other"),
			step("promote-back/rbd/vm-1", orchestrator.StepReturn, orchestrator.PhaseIntent, "max@other"),
		},
	}
	open.Steps[3].Undo = true
	open.Steps[1].Evidence, open.Steps[1].Took, open.Steps[2].Fault = "secondary at site-a | it says", 1200*time.Millisecond, "no proof came"
	end := runReport()
	over := orchestrator.RunStory{Run: end.Run, End: end, Ended: pointer(end.Ended), Who: []orchestrator.ActorStory{{At: noon, By: "eva@host"}}}
	return []orchestrator.RunStory{over, open}
}

func TestRuns(t *testing.T) {
	var b strings.Builder
	all := stories()
	for i := range all {
		v := view.NewRunStory(&all[i], "plan.yaml")
		if err := v.Table(&b, view.Palette{}); err != nil {
			t.Fatal(err)
		}
		b.WriteString("----\n")
	}
	if err := errors.Join(view.NewRuns("payroll", all).Table(&b, view.Palette{}), view.NewRuns("payroll", nil).Table(&b, view.Palette{})); err != nil {
		t.Fatal(err)
	}
	golden(t, "runs.txt", b.String())
	if open := view.NewRunStory(&all[1], "").Open; len(open) != 1 || open[0] != "promote-back/rbd/vm-1" {
		t.Errorf("open steps %q", open)
	}
}

// A page to be followed by hand, and a report with what remains.
func TestMarkdown(t *testing.T) {
	plan := &plans.Plan{Name: "payroll", Sites: []plans.Site{
		{Name: "site-a", Conf: "/etc/ceph/a.conf", User: "client.drover", Keyring: "/etc/ceph/a.keyring"}, {Name: "site-b", Conf: "/etc/ceph/b.conf"},
	}}
	steps := []orchestrator.Step{
		{ID: "hook/before-run/dns", Kind: orchestrator.StepManual, What: "by hand: dns", Command: "drover runs approve FILE x", Proof: "a person approves it"},
		{ID: "demote/rbd/vm-1", Kind: orchestrator.StepDemote, Unit: "rbd/vm-1", Image: pointer(rbd("vm-1")), What: "demote at site-a", Command: "rbd demote", Proof: "it says so"},
		{ID: "prove/rbd/vm-1", Kind: orchestrator.StepProve, Unit: "rbd/vm-1", Image: pointer(rbd("vm-1")), What: "prove it", Proof: "positions are equal"},
		{ID: "promote-back/rbd/vm-1", Kind: orchestrator.StepReturn, Unit: "rbd/vm-1", Image: pointer(rbd("vm-1")), What: "promote back at site-a", Command: "rbd promote", Proof: "it says so", Undo: true},
		{ID: "hook/after-run/mail", Kind: orchestrator.StepHook, What: "hook mail", Command: "mail", Proof: "it ends well"},
	}
	p := failedOver()
	p.Run.Units = p.Run.Units[:2]
	for name, write := range map[string]func(b *strings.Builder) error{
		"prepared.md": func(b *strings.Builder) error { return view.NewPrepared(p, steps, "plan.yaml").Markdown(b, plan) },
		"run-open.md": func(b *strings.Builder) error {
			return view.NewRunStory(&stories()[1], "plan.yaml").Markdown(b, plan, steps)
		},
		"run-over.md": func(b *strings.Builder) error {
			return view.NewRunStory(&stories()[0], "plan.yaml").Markdown(b, plan, steps)
		},
	} {
		var b strings.Builder
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.String())
	}
}

// What was tried to be promoted goes on, and is not taken back by hand.
func TestMarkdownGoesForwardOnceAPromotionWasTried(t *testing.T) {
	story := stories()[1]
	story.Steps[3].Undo, story.Steps[3].Kind, story.Steps[3].Step = false, orchestrator.StepPromote, "promote/rbd/vm-1"
	outline := []orchestrator.Step{
		{ID: "promote/rbd/vm-1", Kind: orchestrator.StepPromote, Unit: "rbd/vm-1", What: "promote it", Proof: "it is"},
		{ID: "promote-back/rbd/vm-1", Kind: orchestrator.StepReturn, Unit: "rbd/vm-1", What: "promote back", Proof: "it is", Undo: true},
	}
	var b strings.Builder
	if err := view.NewRunStory(&story, "").Markdown(&b, &plans.Plan{}, outline); err != nil {
		t.Fatal(err)
	}
	if text := b.String(); !strings.Contains(text, "1. **Promote it**") || strings.Contains(text, "promote back") {
		t.Errorf("got\n%s", text)
	}
}

func TestHalts(t *testing.T) {
	var b strings.Builder
	halts := []orchestrator.Halt{
		{ID: "halt-1", Images: []replay.ImageRef{rbd("vm-1"), rbd("vm-2")}, Group: "g", Reason: "two\nprimaries", By: "eva@host", At: noon},
		{ID: "halt-2", Reason: "it covers all images", By: "eva@host", At: noon},
	}
	copies := func(h *orchestrator.Halt) []orchestrator.Preserved {
		if h.ID != "halt-1" {
			return nil
		}
		return []orchestrator.Preserved{keptCopy("vm-1")}
	}
	if err := errors.Join(
		view.NewHalts("payroll", "plan.yaml", halts, copies).Table(&b, view.Palette{}), view.NewHalts("payroll", "plan.yaml", nil, copies).Table(&b, view.Palette{}),
	); err != nil {
		t.Fatal(err)
	}
	golden(t, "halts.txt", b.String())
}

// A next step can be typed as it is.
func TestNameFile(t *testing.T) {
	cause := &orchestrator.Hinted{Err: orchestrator.ErrRefused, Hint: "drover runs list FILE shows all; FILES stay"}
	err := view.NameFile(errors.Join(fmt.Errorf("runs: %w", cause), errors.New("FILE of another kind")), "my.yaml")
	var b strings.Builder
	view.Failure(&b, view.Palette{}, err)
	want := "drover: runs: precondition refused\nnext: drover runs list my.yaml shows all; FILES stay\ndrover: FILE of another kind\n"
	if b.String() != want || !errors.Is(err, orchestrator.ErrRefused) {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	if view.NameFile(nil, "x") != nil {
		t.Error("a name makes an error of nothing")
	}
}
