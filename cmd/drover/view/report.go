package view

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/report"
)

// Report is what `drover drill` and `drover report` say.
type Report struct{ *report.Report }

// NewReport makes a report ready to be shown.
func NewReport(r *report.Report) *Report { return &Report{r} }

// verdictWord colours a verdict.
func verdictWord(p Palette, v report.Verdict) string {
	switch v {
	case report.Passed:
		return p.Good(string(v))
	case report.Failed:
		return p.Bad(string(v))
	}
	return p.Warn(string(v))
}

// Table writes the verdict first, then what it rests on.
func (v *Report) Table(w io.Writer, p Palette) error {
	r := v.Report
	name := strings.TrimSpace(r.Kind + " " + r.Name)
	if err := putf(w, "%s %s of plan %s: %s\n", p.Strong(name), r.ID, r.Plan, verdictWord(p, r.Verdict)); err != nil {
		return err
	}
	if r.Scope != "" {
		if err := putf(w, "  of %s only: it does not stand for the plan's drill\n", r.Scope); err != nil {
			return err
		}
	}
	if r.Why != "" {
		if err := putf(w, "  %s\n", r.Why); err != nil {
			return err
		}
	}
	if err := putf(w, "  %s -> %s, begun %s, took %s\n", r.From, r.To, stamp(r.Began), Span(r.Ended.Sub(r.Began))); err != nil {
		return err
	}
	m := r.Measures()
	if err := putf(w, "  RPO %s, RTO %s\n", held(p, &m[0]), held(p, &m[1])); err != nil {
		return err
	}
	if age := r.Achieved.ExposureSeconds; age != nil {
		if err := putf(w, "  exposure %s: what the loss of %s would have cost when it began\n", measured(age), r.From); err != nil {
			return err
		}
	}
	for i := range r.Groups {
		if err := putf(w, "  group %s: %s\n", r.Groups[i].Group, r.Groups[i].Words()); err != nil {
			return err
		}
	}
	for _, lines := range []struct {
		head string
		body []string
	}{{"note", r.Notes}, {p.Warn("left behind"), r.Left}} {
		for _, line := range lines.body {
			if err := putf(w, "  %s: %s\n", lines.head, line); err != nil {
				return err
			}
		}
	}
	return v.lists(w, p)
}

// lists writes the images that did not come up, the checks that are not green, and
// how many of each are.
func (v *Report) lists(w io.Writer, p Palette) error {
	r := v.Report
	good := 0
	g := grid{header: []string{"image", "verdict", "why"}}
	for i := range r.Images {
		if m := &r.Images[i]; m.Verdict == report.Passed {
			good++
		} else {
			g.rows = append(g.rows, []string{m.Image, string(m.Verdict), oneLine(m.Why)})
		}
	}
	if err := putf(w, "\n%d of %s came up\n", good, Count(len(r.Images), "image")); err != nil {
		return err
	}
	if len(g.rows) > 0 {
		if err := g.write(w, p); err != nil {
			return err
		}
	}
	good = 0
	g = grid{header: []string{"check", "of", "verdict", "why"}}
	for i := range r.Checks {
		if c := &r.Checks[i]; c.Verdict == report.Passed {
			good++
		} else {
			g.rows = append(g.rows, []string{c.Name, c.Of, string(c.Verdict), oneLine(c.Why)})
		}
	}
	if err := putf(w, "%d of %s are green\n", good, Count(len(r.Checks), "check")); err != nil {
		return err
	}
	if len(g.rows) == 0 {
		return nil
	}
	return g.write(w, p)
}

// held words what was achieved, beside its objective.
func held(p Palette, m *report.Measure) string {
	text := measured(m.Achieved)
	if m.Objective <= 0 {
		return text
	}
	if m.Outcome == report.Missed {
		text = p.Bad("missed: " + text)
	}
	return text + " (objective " + Span(time.Duration(m.Objective*float64(time.Second))) + ")"
}

// measured words what was achieved.
func measured(got *float64) string {
	if got == nil {
		return "not measured"
	}
	return Span(time.Duration(*got * float64(time.Second)))
}

// Reports is what `drover drill history` and `drover report list` say.
type Reports struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"` // Reports
	Plan       string           `json:"plan"`
	Reports    []report.Summary `json:"reports"`
}

// NewReports makes a list ready to be shown.
func NewReports(plan string, reports []report.Summary) *Reports {
	if reports == nil {
		reports = []report.Summary{}
	}
	return &Reports{APIVersion: "drover/v1", Kind: "Reports", Plan: plan, Reports: reports}
}

// Table writes a line for each.
func (v *Reports) Table(w io.Writer, p Palette) error {
	if len(v.Reports) == 0 {
		return put(w, "Nothing is recorded. drover drill FILE makes a report.\n")
	}
	g := grid{header: []string{"id", "name", "began", "took", "verdict", "rpo", "rto", "images", "why"}, right: map[int]bool{7: true}}
	for i := range v.Reports {
		r := &v.Reports[i]
		g.rows = append(g.rows, []string{
			r.ID, r.Name, stamp(r.Began), Span(time.Duration(r.Seconds * float64(time.Second))), string(r.Verdict),
			reached(r, 0), reached(r, 1), fmt.Sprint(r.Images.All()), oneLine(r.Why),
		})
	}
	return g.write(w, p)
}

// reached words what a report of a list achieved; that it missed its objective, too.
func reached(s *report.Summary, which int) string {
	m := s.Measures()[which]
	text := measured(m.Achieved)
	if m.Outcome == report.Missed {
		text += " (missed)"
	}
	return text
}

// Swept is what `drover drill sweep` says.
type Swept struct {
	APIVersion string                   `json:"apiVersion"`
	Kind       string                   `json:"kind"` // Swept
	Plan       string                   `json:"plan"`
	Left       []orchestrator.DrillLeft `json:"left"`
	// Unseen is where drills may have left more.
	Unseen []orchestrator.DrillUnseen `json:"unseen"`
}

// NewSwept makes it ready to be shown.
func NewSwept(plan string, s *orchestrator.DrillSweep) *Swept {
	v := &Swept{APIVersion: "drover/v1", Kind: "Swept", Plan: plan, Left: s.Left, Unseen: s.Unseen}
	if v.Left == nil {
		v.Left = []orchestrator.DrillLeft{}
	}
	if v.Unseen == nil {
		v.Unseen = []orchestrator.DrillUnseen{}
	}
	return v
}

// Table writes a line for each thing that was found.
func (v *Swept) Table(w io.Writer, p Palette) error {
	if len(v.Left) == 0 && len(v.Unseen) == 0 {
		return put(w, "No drill has left anything.\n")
	}
	g := grid{header: []string{"drill", "site", "what", "removed", "note"}}
	for i := range v.Left {
		l := &v.Left[i]
		what, removed := l.What(), "no"
		if l.Removed {
			removed = "yes"
		}
		g.rows = append(g.rows, []string{l.Drill, l.Site, what, removed, oneLine(l.Note)})
	}
	for i := range v.Unseen {
		u := &v.Unseen[i]
		g.rows = append(g.rows, []string{"?", u.Site, cmp.Or(u.Pool, "all of it"), "no", "could not be looked at: " + oneLine(u.What)})
	}
	return g.write(w, p)
}
