package orchestrator

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
)

// Waiting is a manual step at which a run waits for a person's word.
type Waiting struct {
	Run  Run
	Step string
	// Text is what the person has to do, Until how long the run waits; empty and
	// zero where the plan has no such step any more.
	Text  string
	Since time.Time
	Until time.Time
	// Evidence is the hash of all that a person is shown of the step. Another run,
	// another text, and a run that has come to the step once more have another.
	Evidence string
}

// WaitingSteps are the manual steps that runs wait at and that nobody has approved,
// or not in time, by what is recorded; those that were waited for in vain left out.
func WaitingSteps(plan *plans.Plan, sites *Sites, book *Book, now time.Time) []Waiting {
	runs := unfinished(book)
	if len(runs) == 0 {
		return nil
	}
	entries := book.Entries()
	var out []Waiting
	for i := range runs {
		for _, w := range waitingOf(plan, sites, &runs[i], entries) {
			approval, stale := book.Approved(w.Run.ID, w.Step, "", now)
			if approval != nil && !stale || !w.Until.IsZero() && now.After(w.Until) {
				continue
			}
			out = append(out, w)
		}
	}
	return out
}

// waitingOf are the manual steps of a run of which the beginning is the last that is
// recorded.
func waitingOf(plan *plans.Plan, sites *Sites, run *Run, entries []Entry) []Waiting {
	since := map[string]time.Time{}
	mark := []byte(StepManual) // of many thousands of steps few are
	for _, e := range entries {
		var record StepRecord
		if e.Run != run.ID || e.Kind != EntryStep || !bytes.Contains(e.Body, mark) || json.Unmarshal(e.Body, &record) != nil || record.Kind != StepManual {
			continue
		}
		delete(since, record.Step)
		if record.Phase == PhaseIntent {
			since[record.Step] = e.At
		}
	}
	if len(since) == 0 {
		return nil
	}
	acts := map[string]manualAct{}
	for _, s := range stepsOf(plan, run, sites) {
		if act, ok := s.act.(manualAct); ok {
			acts[s.ID] = act
		}
	}
	var out []Waiting
	for step, began := range since {
		w := Waiting{Run: *run, Step: step, Since: began}
		if act, ok := acts[step]; ok && run.Fingerprint == plan.Fingerprint() {
			w.Text, w.Until = act.text, began.Add(act.limit)
		}
		w.Evidence = w.hash()
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b Waiting) int { return strings.Compare(a.Step, b.Step) })
	return out
}

func (w *Waiting) hash() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %d", w.Run.ID, w.Run.Fingerprint, w.Step, w.Text, w.Since.UnixNano()))
	return hex.EncodeToString(sum[:])
}

// Subject names the step of the run among all of the plan.
func (w *Waiting) Subject() string { return w.Run.ID + " " + w.Step }

// signal asks for the word.
func (w *Waiting) signal(plan *plans.Plan) alert.Signal {
	s := signal(SignalManualStep, "", fmt.Sprintf("the %s waits for a person: %s", w.Run.Runbook, w.Text),
		"drover runs approve "+shellLine(plan.File, w.Run.ID, w.Step))
	s.Key = w.Subject()
	s.Details = []alert.Detail{
		{Name: "run", Text: fmt.Sprintf("%s, from %s to %s, of %d images, begun by %s", w.Run.ID, w.Run.From, w.Run.To, len(w.Run.images()), w.Run.By)},
		{Name: "step", Text: w.Step},
	}
	if w.Text == "" {
		s.What = oneLine(fmt.Sprintf("the %s waits for a person, at a step that the plan does not have so any more", w.Run.Runbook))
		s.Next = "drover runs show " + shellLine(plan.File, w.Run.ID)
		return s
	}
	s.Details = append(s.Details, alert.Detail{Name: "waits until", Text: w.Until.UTC().Format(time.DateTime) + " UTC; then the step has failed"})
	s.Asks = &alert.Question{Kind: alert.AskApprove, Subject: w.Subject(), Evidence: w.Evidence, Options: []string{alert.Approve}, Until: w.Until}
	return s
}

// ApproveStep records that a person says of a manual step that it is done; good for
// as long as the plan says, from now. A run that is not there or is over, and a step
// that is none of its manual ones, are refused ([ErrRefused]).
func ApproveStep(ctx context.Context, plan *plans.Plan, sites *Sites, book *Book, a Approval) error {
	story, err := FindRun(book, a.Run)
	if err != nil {
		return err
	}
	if story.End != nil {
		return refusal("drover runs show "+shellLine(plan.File, a.Run), "run %s is over: %s", a.Run, story.End.Outcome)
	}
	if err := isManual(story.Outline(plan, sites), a.Step); err != nil {
		return err
	}
	if a.At.IsZero() {
		a.At = book.now().UTC()
	}
	a.Run, a.Until = story.Run.ID, a.At.Add(plan.Runbooks.Approval.Std())
	return book.Approve(ctx, a)
}

// isManual refuses what is no manual step of the run.
func isManual(steps []Step, id string) error {
	var manual []string
	for i := range steps {
		if steps[i].Kind != StepManual {
			continue
		}
		if steps[i].ID == id {
			return nil
		}
		manual = append(manual, steps[i].ID)
	}
	if len(manual) == 0 {
		return refusal("there is nothing to approve: it has none at all", "the run has no manual step %q", id)
	}
	return refusal("it has these: "+strings.Join(manual, ", "), "the run has no manual step %q", id)
}

// StepState says in words how a manual step of a run stands, for whoever comes too
// late to approve it.
func StepState(book *Book, run, step string, now time.Time) string {
	story, err := FindRun(book, run)
	if err != nil {
		return err.Error()
	}
	a, stale := book.Approved(run, step, "", now)
	switch {
	case a != nil && !stale:
		return fmt.Sprintf("it was approved by %s at %s", a.By, a.At.UTC().Format(time.DateTime+" UTC"))
	case story.End != nil:
		return fmt.Sprintf("the run is over: %s", story.End.Outcome)
	}
	for _, s := range slices.Backward(story.Steps) {
		if s.Step != step {
			continue
		}
		text := fmt.Sprintf("the step is recorded as %s at %s", s.Phase, s.At.UTC().Format(time.DateTime+" UTC"))
		if s.Fault != "" {
			text += " (" + s.Fault + ")"
		}
		return text
	}
	return "the run has not come to that step"
}
