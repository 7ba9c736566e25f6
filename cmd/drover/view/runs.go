package view

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/drover-io/drover/orchestrator"
)

// Runs is what `drover runs list` says.
type Runs struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"` // Runs
	Plan       string    `json:"plan"`
	Runs       []RunLine `json:"runs"` // the oldest first
}

// RunLine is one run of a list.
type RunLine struct {
	ID      string               `json:"id"`
	Runbook orchestrator.Runbook `json:"runbook"`
	From    string               `json:"from"`
	To      string               `json:"to"`
	Began   time.Time            `json:"began"`
	By      string               `json:"by"`
	Reason  string               `json:"reason,omitempty"`
	// Outcome is "" while the run is not over.
	Outcome orchestrator.RunOutcome `json:"outcome,omitempty"`
	Over    bool                    `json:"over"`
	Images  int                     `json:"images"`
}

// NewRuns makes a list of runs ready to be shown.
func NewRuns(plan string, stories []orchestrator.RunStory) *Runs {
	v := &Runs{APIVersion: "drover/v1", Kind: "Runs", Plan: plan, Runs: []RunLine{}}
	for i := range stories {
		s := &stories[i]
		v.Runs = append(v.Runs, RunLine{
			ID: s.Run.ID, Runbook: s.Run.Runbook, From: s.Run.From, To: s.Run.To, Began: s.Run.Began, By: s.Run.By,
			Reason: s.Run.Reason, Outcome: s.Outcome(), Over: s.End != nil, Images: len(imagesOf(&s.Run).order),
		})
	}
	return v
}

// Table writes a line for each run.
func (v *Runs) Table(w io.Writer, p Palette) error {
	if len(v.Runs) == 0 {
		return put(w, "No run is recorded.\n")
	}
	g := grid{header: []string{"run", "way", "began", "by", "outcome", "images"}, right: map[int]bool{5: true}}
	for _, r := range v.Runs {
		g.rows = append(g.rows, []string{r.ID, r.From + " → " + r.To, stamp(r.Began), r.By, paintOutcome(p, r.Outcome), fmt.Sprint(r.Images)})
	}
	return g.write(w, p)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// notOver stands for the outcome of a run that has none yet.
const notOver = "not over"

func paintOutcome(p Palette, o orchestrator.RunOutcome) string {
	switch o {
	case "":
		return p.Warn(notOver)
	case orchestrator.RunDone:
		return p.Good(string(o))
	}
	return p.Bad(string(o))
}

// RunStory is what `drover runs show` says.
type RunStory struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // Run
	*orchestrator.RunStory
	Outcome orchestrator.RunOutcome `json:"outcome,omitempty"`
	// Open are the steps of which an intent is recorded and no result.
	Open []string `json:"open,omitempty"`

	file string
}

// NewRunStory makes a run's story ready to be shown; file is the plan's.
func NewRunStory(s *orchestrator.RunStory, file string) *RunStory {
	v := &RunStory{APIVersion: "drover/v1", Kind: "Run", RunStory: s, Outcome: s.Outcome(), file: file}
	last, order := map[string]orchestrator.StepPhase{}, []string{}
	for i := range s.Steps {
		step := s.Steps[i].Step
		if _, known := last[step]; !known {
			order = append(order, step)
		}
		last[step] = s.Steps[i].Phase
	}
	for _, step := range order {
		if last[step] == orchestrator.PhaseIntent {
			v.Open = append(v.Open, step)
		}
	}
	return v
}

// Table writes what the run is, what was done, by whom and on what evidence.
func (v *RunStory) Table(w io.Writer, p Palette) error {
	if err := v.head(w, p); err != nil {
		return err
	}
	by := ""
	if len(v.Who) > 0 {
		by = v.Who[0].By
	}
	for i := range v.Steps {
		s := &v.Steps[i]
		if s.Phase == orchestrator.PhaseIntent && !v.open(s.Step, i) {
			continue // its result follows
		}
		if s.By != by {
			by = s.By
			if err := putf(w, "%s\n", p.Faint("by "+by)); err != nil {
				return err
			}
		}
		if err := storyStep(w, p, s); err != nil {
			return err
		}
	}
	if len(v.Steps) == 0 {
		if err := put(w, "No step is recorded.\n"); err != nil {
			return err
		}
	}
	if v.End != nil && v.End.Outcome != orchestrator.RunGivenUp {
		if err := put(w, "\n"); err != nil {
			return err
		}
		if err := NewRunReport(v.End, v.file).Table(w, p); err != nil {
			return err
		}
	} else if err := discards(w, p, v.Discards); err != nil {
		return err
	}
	return kept(w, p, "Kept copies", v.Kept, v.file)
}

// open reports whether the intent at i is the last word on its step.
func (v *RunStory) open(step string, i int) bool {
	for j := i + 1; j < len(v.Steps); j++ {
		if v.Steps[j].Step == step {
			return false
		}
	}
	return true
}

func (v *RunStory) head(w io.Writer, p Palette) error {
	run := &v.Run
	lines := [][2]string{
		{"run", run.ID},
		{"runbook", fmt.Sprintf("%s of plan %s: %s → %s", run.Runbook, run.Plan, run.From, run.To)},
		{"began", stamp(run.Began) + " by " + run.By},
		{"reason", run.Reason},
		{"approved", run.Approved},
		{"images", fmt.Sprintf("%d in %s, %d left alone", len(imagesOf(run).order), Count(len(run.Units), "unit"), len(run.Left))},
	}
	for _, who := range v.Who[min(1, len(v.Who)):] {
		lines = append(lines, [2]string{"resumed", stamp(who.At) + " by " + who.By})
	}
	for i := range v.ShutOut {
		lines = append(lines, [2]string{"shut out", stamp(v.ShutOut[i].At) + ": " + v.ShutOut[i].String()})
	}
	outcome := paintOutcome(p, v.Outcome)
	if v.Ended != nil {
		outcome += " at " + stamp(*v.Ended)
	}
	if v.End != nil && v.End.Why != "" {
		outcome += ": " + indent(v.End.Why)
	}
	lines = append(lines, [2]string{"outcome", outcome})
	if v.End == nil {
		lines = append(lines, [2]string{"next", FillIn("drover runs resume FILE "+run.ID, v.file)})
	}
	for _, line := range lines {
		if line[1] == "" {
			continue
		}
		if err := putf(w, "%-9s %s\n", line[0], line[1]); err != nil {
			return err
		}
	}
	return put(w, "\n")
}

func storyStep(w io.Writer, p Palette, s *orchestrator.StepStory) error {
	mark := p.Good("✓")
	switch s.Phase {
	case orchestrator.PhaseFailed:
		mark = p.Bad("✗")
	case orchestrator.PhaseUnknown:
		mark = p.Bad("?")
	case orchestrator.PhaseIntent:
		mark = p.Warn("…")
	}
	notes := []string{string(s.Phase)}
	if s.Phase == orchestrator.PhaseIntent {
		notes[0] = "begun, no result is recorded"
	}
	if s.Took > 0 {
		notes = append(notes, "in "+Span(s.Took))
	}
	text := fmt.Sprintf("%s %s %s (%s)", s.At.UTC().Format(time.TimeOnly), mark, s.Step, strings.Join(notes, " "))
	for _, more := range []string{s.Evidence, s.Fault} {
		if more != "" {
			text += ": " + indent(more)
		}
	}
	return put(w, text+"\n")
}
