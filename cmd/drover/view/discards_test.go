package view_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// keptCopy is a copy that a run has kept of an image at site-a.
func keptCopy(image string) orchestrator.Preserved {
	return orchestrator.Preserved{
		ID: "site-a:rbd/" + image + "@20260301T120000Z-1a2b", Site: "site-a", Image: rbd(image), As: plans.PreserveClone,
		Name: image + ".preserved-20260301T120000Z-1a2b", Bytes: 3 << 20, Size: 8 << 20, At: noon, Until: noon.Add(30 * 24 * time.Hour), Run: "failback-1",
	}
}

// wentBack is a failback that has discarded copies: of one it is known what only
// it held, of one not, of one the contents had been compared, and of one it is
// not recorded whether it came to it.
func wentBack() *orchestrator.RunReport {
	export := keptCopy("vm-3")
	export.As, export.Name, export.Path = plans.PreserveExport, "", "/var/backups/vm-3.raw"
	first, second := keptCopy("vm-1"), keptCopy("vm-2")
	r := &orchestrator.RunReport{
		Run:     orchestrator.Run{ID: "failback-1", Runbook: orchestrator.Failback, Plan: "payroll", From: "site-b", To: "site-a", By: "eva@host", Began: noon},
		Outcome: orchestrator.RunDone, Ended: noon.Add(time.Minute), Took: time.Minute,
		Discards: []orchestrator.Discard{
			{Image: rbd("vm-1"), Site: "site-a", State: orchestrator.DiscardDone, Kept: &first, Held: &orchestrator.Loss{Entries: pointer(int64(3)), Bytes: pointer(int64(12 << 10)), Seconds: pointer(4.0), Why: "what site-a wrote"}},
			{Image: rbd("vm-2"), Site: "site-a", State: orchestrator.DiscardDone, Kept: &second, Held: &orchestrator.Loss{Why: "mirror snapshots do not tell"}},
			{Image: rbd("vm-3"), Site: "site-a", State: orchestrator.DiscardAsked, Kept: &export, Held: &orchestrator.Loss{
				Entries: pointer(int64(1)), Bytes: pointer(int64(4096)), Ranges: pointer(int64(2)), RangeBytes: pointer(int64(8192)), Why: "what site-a wrote",
			}},
		},
	}
	for _, name := range []string{"vm-1", "vm-2", "vm-3"} {
		r.Run.Units = append(r.Run.Units, orchestrator.RunUnit{Name: "rbd/" + name, Images: []orchestrator.RunImage{{Ref: rbd(name), Mode: replay.ModeJournal, Resync: true}}})
		r.Units = append(r.Units, orchestrator.UnitReport{Unit: r.Run.Units[len(r.Run.Units)-1], Outcome: orchestrator.UnitMoved})
	}
	return r
}

// Every discarded copy is in the report of a run, as text, JSON and Markdown,
// with what only it held and where that is kept.
func TestDiscardsAreReported(t *testing.T) {
	r := wentBack()
	gone := failedOver()
	lost := &orchestrator.RunReport{Run: gone.Run, Outcome: orchestrator.RunDone, Ended: noon, Discards: []orchestrator.Discard{
		{Image: rbd("vm-5"), Site: "site-a", State: orchestrator.DiscardGivenUp, Held: &orchestrator.Loss{Entries: pointer(int64(5)), Bytes: pointer(int64(5 << 20)), Seconds: pointer(5.0)}},
		{Image: rbd("vm-6"), Site: "site-a", State: orchestrator.DiscardGivenUp},
		{Image: rbd("vm-7"), Site: "site-a", State: orchestrator.DiscardGivenUp, Held: &orchestrator.Loss{Entries: pointer(int64(0)), Bytes: pointer(int64(0))}},
		{Image: rbd("vm-8"), Site: "site-a", State: orchestrator.DiscardMayBeGivenUp, Held: &orchestrator.Loss{Entries: pointer(int64(2)), Bytes: pointer(int64(2 << 20))}},
	}}
	var b strings.Builder
	err := errors.Join(view.NewRunReport(r, "plan.yaml").Table(&b, view.Palette{}), view.NewRunReport(lost, "plan.yaml").Table(&b, view.Palette{}))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "discards.txt", b.String())

	story := &orchestrator.RunStory{Run: r.Run, End: r, Ended: &r.Ended, Discards: r.Discards, Kept: []orchestrator.Preserved{*r.Discards[0].Kept, *r.Discards[2].Kept}}
	b.Reset()
	if err := view.NewRunStory(story, "plan.yaml").Markdown(&b, &plans.Plan{Name: "payroll"}, nil); err != nil {
		t.Fatal(err)
	}
	golden(t, "discards.md", b.String())

	// A run that is not over says it, too.
	open := *story
	open.End, open.Ended = nil, nil
	b.Reset()
	if err := view.NewRunStory(&open, "plan.yaml").Table(&b, view.Palette{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "discards-open.txt", b.String())

	text, err := json.Marshal(view.NewRunReport(r, "plan.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Discards []struct {
			State string
			Held  struct{ Entries, Bytes *int64 }
			Kept  struct{ ID string }
		}
		Summary struct{ Discarded view.DiscardSummary }
		Next    []string
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := view.DiscardSummary{LossSummary: view.LossSummary{Images: 2, Unknown: 1, Entries: 4, Bytes: 16 << 10, Seconds: 4}, Copies: 3, Kept: 3, KeptBytes: 9 << 20}
	if got.Summary.Discarded != want {
		t.Errorf("summary %+v, want %+v", got.Summary.Discarded, want)
	}
	if len(got.Discards) != 3 || got.Discards[1].Held.Entries != nil || got.Discards[1].Kept.ID != keptCopy("vm-2").ID || got.Discards[2].State != "asked-for" {
		t.Errorf("discards %+v", got.Discards)
	}
	if len(got.Next) != 1 || !strings.Contains(got.Next[0], "drover verify plan.yaml") {
		t.Errorf("next %q", got.Next)
	}
}

// What a failover gave up is as it was at the look, not for good.
func TestNothingGivenUpIsAsOfTheLook(t *testing.T) {
	gone := failedOver()
	nothing := &orchestrator.Loss{Entries: pointer(int64(0)), Bytes: pointer(int64(0))}
	var b strings.Builder
	r := &orchestrator.RunReport{Run: gone.Run, Outcome: orchestrator.RunDone, Ended: noon, Discards: []orchestrator.Discard{{Image: rbd("vm-7"), Site: "site-a", State: orchestrator.DiscardGivenUp, Held: nothing}}}
	if err := view.NewRunReport(r, "plan.yaml").Table(&b, view.Palette{}); err != nil {
		t.Fatal(err)
	}
	if want := "In all, only there: nothing, of 1 copy; what was written to 1 of them after the look is not known."; !strings.Contains(b.String(), want) {
		t.Errorf("no %q in\n%s", want, b.String())
	}
}

// A failback that has compared the contents does not offer to.
func TestVerifiedOffersNothing(t *testing.T) {
	r := wentBack()
	r.Run.Verify = true
	if next := view.NewRunReport(r, "plan.yaml").Next; len(next) > 0 {
		t.Errorf("next %q", next)
	}
}
