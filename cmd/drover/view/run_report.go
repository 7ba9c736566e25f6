package view

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/orchestrator"
)

// RunReport is what became of a run.
type RunReport struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // RunReport
	*orchestrator.RunReport
	Summary RunSummary `json:"summary"`
	// Next is what a person may want to do now.
	Next []string `json:"next,omitempty"`

	file string
}

// RunSummary counts the images of a run by what became of them.
type RunSummary struct {
	Images    int     `json:"images"`
	Moved     int     `json:"moved"`
	Returned  int     `json:"returned"`
	Stuck     int     `json:"stuck"`
	Untouched int     `json:"untouched"`
	NotBegun  int     `json:"not_begun"`
	Left      int     `json:"left"`
	Seconds   float64 `json:"seconds"`
	// Slowest is the unit that took longest.
	Slowest        string  `json:"slowest,omitempty"`
	SlowestSeconds float64 `json:"slowest_seconds,omitempty"`
	// Discarded adds up what was discarded or given up; absent when nothing was.
	Discarded *DiscardSummary `json:"discarded,omitempty"`
}

// NewRunReport makes a report ready to be shown; file is the plan's.
func NewRunReport(r *orchestrator.RunReport, file string) *RunReport {
	v := &RunReport{APIVersion: "drover/v1", Kind: "RunReport", RunReport: r, file: file}
	s := &v.Summary
	s.Moved, s.Returned, s.Stuck = r.Count(orchestrator.UnitMoved), r.Count(orchestrator.UnitReturned), r.Count(orchestrator.UnitStuck)
	s.Untouched, s.NotBegun = r.Count(orchestrator.UnitUntouched), r.Count(orchestrator.UnitNotBegun)
	s.Images, s.Left, s.Seconds = s.Moved+s.Returned+s.Stuck+s.Untouched+s.NotBegun, len(r.Run.Left), milliseconds(r.Took)
	s.Discarded = sumDiscards(r.Discards)
	v.Next = v.offers()
	if len(r.Units) > 0 {
		slowest := slices.MaxFunc(r.Units, func(a, b orchestrator.UnitReport) int { return cmp.Compare(a.Took, b.Took) })
		if slowest.Took > 0 {
			s.Slowest, s.SlowestSeconds = slowest.Unit.Name, milliseconds(slowest.Took)
		}
	}
	return v
}

// milliseconds are seconds, to the millisecond.
func milliseconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

// Table writes what became of each image that did not move, then the count.
// The causes are errors too, and go to stderr.
func (v *RunReport) Table(w io.Writer, p Palette) error {
	for i := range v.Units {
		u := &v.Units[i]
		if u.Outcome == orchestrator.UnitMoved && len(v.Units) > manyChanges {
			continue
		}
		if err := v.unit(w, p, u); err != nil {
			return err
		}
	}
	for _, note := range v.Notes {
		if err := putf(w, "%s %s\n", p.Warn("!"), indent(FillIn(note, v.file))); err != nil {
			return err
		}
	}
	if len(v.Run.Left) > 0 {
		if err := putf(w, "Left alone:\n"); err != nil {
			return err
		}
		if err := left(w, v.Run.Left); err != nil {
			return err
		}
	}
	if err := discards(w, p, v.Discards); err != nil {
		return err
	}
	if err := put(w, v.count(p)); err != nil {
		return err
	}
	for _, next := range v.Next {
		if err := putf(w, "next: %s\n", next); err != nil {
			return err
		}
	}
	return nil
}

// offers is what may well come next.
func (v *RunReport) offers() []string {
	var out []string
	switch {
	case v.Run.Runbook == orchestrator.Failback && v.Outcome == orchestrator.RunDone && v.Summary.Moved > 0 && !v.Run.Verify:
		out = append(out, FillIn("drover verify FILE", v.file)+" proves, byte by byte, that "+v.Run.From+" holds what "+v.Run.To+" holds")
	case v.Run.Runbook == orchestrator.Resync && v.Outcome == orchestrator.RunDone && v.Summary.Moved > 0 && !v.Run.Verify:
		out = append(out, FillIn("drover verify FILE", v.file)+" proves, byte by byte, that "+v.Run.From+" holds what "+v.Run.To+" holds; this run has not compared them")
	}
	return out
}

func (v *RunReport) unit(w io.Writer, p Palette, u *orchestrator.UnitReport) error {
	name := u.Unit.Name
	if u.Unit.Group != "" {
		name = fmt.Sprintf("group %s (%s)", u.Unit.Group, Count(len(u.Unit.Images), "image"))
	}
	took := ""
	if u.Took > 0 {
		took = " (" + Span(u.Took) + ")"
	}
	if err := putf(w, "%s %s: %s%s\n", outcomeMark(p, u.Outcome), name, outcomeWords(u.Outcome, &v.Run), took); err != nil {
		return err
	}
	if u.Why != "" {
		if err := putf(w, "    %s\n", indent(FillIn(u.Why, v.file))); err != nil {
			return err
		}
	}
	if u.Next != "" {
		return putf(w, "    next: %s\n", FillIn(u.Next, v.file))
	}
	return nil
}

func outcomeMark(p Palette, o orchestrator.UnitOutcome) string {
	switch o {
	case orchestrator.UnitMoved:
		return p.Good("✓")
	case orchestrator.UnitNotBegun:
		return p.Warn("·")
	}
	return p.Bad("✗")
}

// outcomeWords says where an outcome leaves an image.
func outcomeWords(o orchestrator.UnitOutcome, run *orchestrator.Run) string {
	switch o {
	case orchestrator.UnitMoved:
		return "moved to " + run.To
	case orchestrator.UnitReturned:
		return "returned: primary at " + run.From + " again"
	case orchestrator.UnitUntouched:
		return "untouched"
	case orchestrator.UnitStuck:
		return "stuck: the run has to be resumed"
	case orchestrator.UnitNotBegun:
		return "not begun"
	}
	return string(o)
}

func (v *RunReport) count(p Palette) string {
	s := v.Summary
	if s.Images == 0 {
		return p.Good("Nothing to move.") + "\n"
	}
	parts := []string{p.Good(fmt.Sprintf("%d moved to %s", s.Moved, v.Run.To))}
	for _, other := range []struct {
		n     int
		words string
		paint func(string) string
	}{
		{s.Returned, "returned", p.Warn},
		{s.Stuck, "stuck", p.Bad},
		{s.Untouched, "untouched", p.Warn},
		{s.NotBegun, "not begun", p.Warn},
	} {
		if other.n > 0 {
			parts = append(parts, other.paint(fmt.Sprintf("%d %s", other.n, other.words)))
		}
	}
	text := fmt.Sprintf("%s: %s in %s.", Count(s.Images, "image"), strings.Join(parts, ", "), Span(v.Took))
	if s.Slowest != "" {
		text += fmt.Sprintf(" Slowest: %s, %s.", s.Slowest, seconds(s.SlowestSeconds))
	}
	return fmt.Sprintf("%s\nRun %s: %s.\n", text, v.Run.ID, v.Outcome)
}
