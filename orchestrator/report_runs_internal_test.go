package orchestrator

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func pointer[T any](v T) *T { return &v }

// recordedRun is the story of a run of a group and of an image in none, all of which has
// gone as it should: one step of each kind for each image, a second apart.
func recordedRun(book Runbook, kinds ...StepKind) *RunStory {
	s := &RunStory{Run: Run{
		ID: string(book) + "-20260301T120000Z-1a2b", Runbook: book, Plan: "shop", Fingerprint: "sha256:4be1f2", From: "paris", To: "lyon",
		By: "eva@ops1", Reason: "test", Began: noon, Drover: "1.2", Releases: map[string]string{"paris": "16.2.15", "lyon": "18.2.4"},
		Objectives: &report.Objectives{RPOSeconds: 300, RTOSeconds: 60},
	}, Who: []ActorStory{{At: noon, By: "eva@ops1", Drover: "1.2"}}}
	pool := replay.Pool{Name: "rbd"}
	s.Run.Units = []RunUnit{
		{Name: "shop", Group: "shop", Wave: "first", Images: []RunImage{{Ref: pool.Image("data"), Mode: replay.ModeJournal}, {Ref: pool.Image("logs"), Mode: replay.ModeSnapshot}}},
		{Name: "rbd/mail", Images: []RunImage{{Ref: pool.Image("mail"), Mode: replay.ModeSnapshot}}},
	}
	end := &RunReport{Outcome: RunDone, Ended: noon.Add(30 * time.Second), Took: 30 * time.Second}
	for i := range s.Run.Units {
		end.Units = append(end.Units, UnitReport{Unit: s.Run.Units[i], Outcome: UnitMoved, Took: 20 * time.Second})
	}
	s.End, s.Ended = end, &end.Ended
	at := noon
	for _, kind := range kinds {
		at = at.Add(2 * time.Second)
		for _, image := range s.Run.all() {
			s.step(at, kind, image.Ref)
		}
	}
	return s
}

// step is the intent and the result of one step.
func (s *RunStory) step(at time.Time, kind StepKind, ref replay.ImageRef) {
	id := string(kind) + "/" + ref.String()
	if kind == StepResync {
		id = recopyStep(kind, ref)
	}
	r := StepRecord{Step: id, Kind: kind, Phase: PhaseIntent, Unit: ref.String(), Image: &ref, Site: s.Run.To}
	s.Steps = append(s.Steps, StepStory{At: at.Add(-time.Second), By: s.Run.By, StepRecord: r})
	r.Phase, r.Evidence, r.Took = PhaseDone, "seen so", time.Second
	s.Steps = append(s.Steps, StepStory{At: at, By: s.Run.By, StepRecord: r})
}

// losing gives the images of a run what is given up of them.
func (s *RunStory) losing(losses ...*Loss) *RunStory {
	n := 0
	for i := range s.Run.Units {
		for k := range s.Run.Units[i].Images {
			image := &s.Run.Units[i].Images[k]
			image.Loss, image.Resync = losses[n], s.Run.gives() && s.Run.Runbook != Failover && losses[n] != nil
			n++
		}
	}
	return s
}

func lost(entries int64, lag float64) *Loss {
	return &Loss{Entries: &entries, Bytes: pointer(entries * 4096), Seconds: &lag, Why: "as rbd-mirror at lyon reported"}
}

var (
	noLoss      = &Loss{Entries: new(int64), Bytes: new(int64), Seconds: new(float64), Final: true, Why: "the demotion has been replayed"}
	unknownLoss = &Loss{Entries: pointer(int64(40)), Why: "nothing tells how old they are"}
)

// TestReportsOfRuns: what is recorded of runs, as reports, in Markdown and JSON.
func TestReportsOfRuns(t *testing.T) {
	moves := []StepKind{StepDemote, StepProve, StepPromote, StepVerify}
	forces := []StepKind{StepForce, StepVerify}
	for name, c := range map[string]struct {
		of      *RunStory
		change  func(s *RunStory)
		verdict report.Verdict
		rpo     *float64
		rto     bool
		why     string
	}{
		"switchover": {of: recordedRun(Switchover, moves...), verdict: report.Passed, rpo: new(float64), rto: true},
		"switchover-slow": {of: recordedRun(Switchover, moves...), change: func(s *RunStory) {
			s.End.Ended = noon.Add(61 * time.Second)
		}, verdict: report.Failed, rpo: new(float64), rto: true, why: "RTO: it took 61 s, and the objective is 60 s"},
		"switchover-unbegun": {of: recordedRun(Switchover), change: func(s *RunStory) {
			s.End = &RunReport{Run: s.Run, Outcome: RunGivenUp, Why: "it was not begun: it could not be recorded at both sites", Ended: noon.Add(time.Second)}
		}, verdict: report.Aborted, why: "it was not begun"},
		"switchover-returned": {of: recordedRun(Switchover, moves[:2]...), change: func(s *RunStory) {
			s.End.Outcome = RunIncomplete
			s.End.Units[0].Outcome, s.End.Units[0].Why = UnitReturned, "the proof has not come within 5m"
			s.End.Units[1].Outcome, s.End.Units[1].Why = UnitUntouched, "it has clients"
			last := &s.Steps[len(s.Steps)-1]
			last.Phase, last.Evidence, last.Fault = PhaseFailed, "", "paris does not answer"
			s.Run.Left = []LeftImage{{Ref: replay.Pool{Name: "rbd"}.Image("old"), Why: "it is primary at lyon already"}}
		}, verdict: report.Failed},
		"switchover-resumed": {of: recordedRun(Switchover, moves...), change: func(s *RunStory) {
			s.Who = append(s.Who, ActorStory{At: noon.Add(9 * time.Second), By: "ada@ops2", Drover: "1.3"})
			ref := s.Run.all()[0].Ref
			s.step(noon.Add(10*time.Second), StepProve, ref)
			n := len(s.Steps)
			// A first try of it has failed, before the one that is recorded.
			first := s.Steps[n-1]
			first.At, first.Phase, first.Evidence, first.Fault = noon.Add(3*time.Second), PhaseFailed, "", "the time is over"
			s.Steps = append([]StepStory{first}, s.Steps[:n-2]...)
		}, verdict: report.Passed, rpo: new(float64), rto: true},
		"switchover-old-record": {of: recordedRun(Switchover, moves...), change: func(s *RunStory) {
			s.Run.Drover, s.Run.Releases, s.Run.Objectives, s.Who[0].Drover = "", nil, nil, ""
		}, verdict: report.Passed, rpo: new(float64), rto: true},
		"failover":       {of: recordedRun(Failover, forces...).losing(lost(12, 41.5), lost(0, 200), noLoss), verdict: report.Passed, rpo: pointer(200.0), rto: true},
		"failover-lossy": {of: recordedRun(Failover, forces...).losing(lost(12, 41.5), lost(0, 300.004), noLoss), verdict: report.Failed, rpo: pointer(300.004), rto: true, why: "RPO: 300.004 s of writes were given up, and the objective is 300 s"},
		"failover-unknown": {of: recordedRun(Failover, forces...).losing(lost(12, 41.5), unknownLoss, noLoss), change: func(s *RunStory) {
			delete(s.Run.Releases, "paris")
			s.ShutOut = []ShutOut{{Who: "ada@ops2"}}
		}, verdict: report.Failed, rto: true, why: "RPO: it is not known, and the objective is 300 s"},
		"failover-unknown-unasked": {of: recordedRun(Failover, forces...).losing(unknownLoss, unknownLoss, noLoss), change: func(s *RunStory) {
			s.Run.Objectives = &report.Objectives{}
		}, verdict: report.Passed, rto: true},
		"failover-interrupted": {of: recordedRun(Failover, StepForce).losing(lost(12, 41.5), unknownLoss, lost(7, 1)), change: func(s *RunStory) {
			s.End, s.Ended = nil, nil
			s.Steps = s.Steps[:len(s.Steps)-3] // of rbd/logs only the intent, of rbd/mail nothing
		}, verdict: report.Aborted, why: "it is not over"},
		"failback": {of: recordedRun(Failback, append([]StepKind{StepPreserve, StepResync, StepCompare}, moves...)...).losing(lost(9, 120), nil, nil), change: func(s *RunStory) {
			s.Run.From, s.Run.To = "lyon", "paris"
			s.Run.Units[0].Images[0].Loss.Snapshots = []string{"before-upgrade"}
		}, verdict: report.Passed, rpo: pointer(120.0), rto: true},
		"resync": {of: recordedRun(Resync, StepPreserve, StepResync, StepCompare).losing(lost(9, 12), lost(1, 30), noLoss), change: func(s *RunStory) {
			s.Run.Objectives.RTOSeconds = 0
		}, verdict: report.Passed, rpo: pointer(30.0), rto: true},
	} {
		t.Run(name, func(t *testing.T) {
			if c.change != nil {
				c.change(c.of)
			}
			c.of.account(nil)
			r := reportOfRun(&plans.Plan{Name: "shop"}, c.of)
			if r.Verdict != c.verdict || !strings.Contains(r.Why, c.why) {
				t.Errorf("%s: %s", r.Verdict, r.Why)
			}
			if n := report.Summarize(&r).Checks.Failed; n > 0 && r.Verdict == report.Passed {
				t.Errorf("it has passed with %d checks that failed", n)
			}
			if got := r.Achieved.RPOSeconds; (got == nil) != (c.rpo == nil) || got != nil && *got != *c.rpo {
				t.Errorf("RPO %v", got)
			}
			if (r.Achieved.RTOSeconds != nil) != c.rto {
				t.Errorf("RTO %v", r.Achieved.RTOSeconds)
			}
			for _, form := range []report.Format{report.FormatMarkdown, report.FormatJSON} {
				var b strings.Builder
				if err := report.Write(&b, form, &r, nil); err != nil {
					t.Fatal(err)
				}
				goldenReport(t, name+form.Extension(), b.String())
			}
		})
	}
}

// goldenReport compares a report with a file of testdata/reports.
func goldenReport(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "reports", name)
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; run with -update and look at the change:\n%s", file, diff)
	}
}

// TestObjectivesOfOldRuns: where a record tells no objectives, and the plan is as it was,
// they are the plan's.
func TestObjectivesOfOldRuns(t *testing.T) {
	plan := &plans.Plan{Name: "shop", RPO: plans.Duration(time.Minute)}
	s := recordedRun(Switchover)
	s.Run.Objectives, s.Run.Fingerprint = nil, plan.Fingerprint()
	r := reportOfRun(plan, s)
	if want := (report.Objectives{RPOSeconds: 60}); r.Objectives != want {
		t.Errorf("%+v", r.Objectives)
	}
}
