package view

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/drover-io/drover/orchestrator"
)

// Result is what `drover plan apply` and `drover plan destroy` say.
type Result struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // ApplyResult or DestroyResult
	*orchestrator.Result
	Summary ResultSummary `json:"summary"`
}

// ResultSummary counts changes by what became of them.
type ResultSummary struct {
	Done     int     `json:"done"` // or found to be so already
	Failed   int     `json:"failed"`
	NotDone  int     `json:"not_done"` // blocked, not begun
	Images   int     `json:"images"`
	Pending  int     `json:"pending"` // images still without a copy
	Seconds  float64 `json:"seconds"`
	Complete bool    `json:"complete"` // all that was wanted is so
}

// NewResult makes a result ready to be shown.
func NewResult(kind string, r *orchestrator.Result) *Result {
	v := &Result{APIVersion: "drover/v1", Kind: kind, Result: r}
	v.Summary = ResultSummary{
		Done:   r.Count(orchestrator.OutcomeDone) + r.Count(orchestrator.OutcomeAlready),
		Failed: r.Count(orchestrator.OutcomeFailed) + r.Count(orchestrator.OutcomeUnproven),
		Images: len(r.Images), Pending: r.Pending(), Seconds: r.Took.Round(time.Millisecond).Seconds(), Complete: r.Err() == nil,
	}
	v.Summary.NotDone = len(r.Changes) - v.Summary.Done - v.Summary.Failed
	return v
}

// manyChanges is the number above which what went well is counted, not listed.
const manyChanges = 40

// Table writes what was done and what was not. The causes of failures are
// errors, and go to stderr.
func (v *Result) Table(w io.Writer, p Palette) error {
	var advice []orchestrator.Notice
	for _, n := range v.Notices {
		if n.Fails() == nil {
			advice = append(advice, n)
		}
	}
	if err := notices(w, p, advice); err != nil {
		return err
	}
	if len(v.Changes) > manyChanges {
		if err := v.counts(w, p); err != nil {
			return err
		}
	}
	for i := range v.Changes {
		c := &v.Changes[i]
		good := c.Outcome == orchestrator.OutcomeDone || c.Outcome == orchestrator.OutcomeAlready
		if good && len(v.Changes) > manyChanges {
			continue
		}
		mark, note := p.Good("✓"), ""
		switch c.Outcome {
		case orchestrator.OutcomeFailed, orchestrator.OutcomeUnproven:
			mark, note = p.Bad("✗"), " (failed)"
		case orchestrator.OutcomeAlready:
			note = " (was so already)"
		case orchestrator.OutcomeBlocked:
			mark, note = p.Warn("·"), " (not done: something it needs was not done)"
		case orchestrator.OutcomeUntried:
			mark, note = p.Warn("·"), " (not done: still wanted, and not tried)"
		case orchestrator.OutcomeNotBegun:
			mark, note = p.Warn("·"), " (not begun)"
		case orchestrator.OutcomePlanned:
			mark = p.Faint("·")
		}
		if err := putf(w, "%s %s%s\n", mark, c.Change.Title(), note); err != nil {
			return err
		}
	}
	return put(w, v.count(p))
}

// counts writes one line for each kind of change and site that went well.
func (v *Result) counts(w io.Writer, p Palette) error {
	for _, kind := range orchestrator.Kinds {
		var sites []string
		done := make(map[string]int)
		for i := range v.Changes {
			c := &v.Changes[i]
			if c.Change.Kind != kind.Kind || c.Outcome != orchestrator.OutcomeDone && c.Outcome != orchestrator.OutcomeAlready {
				continue
			}
			if done[c.Change.Site] == 0 {
				sites = append(sites, c.Change.Site)
			}
			done[c.Change.Site]++
		}
		for _, site := range sites {
			if err := putf(w, "%s %s: %s: %d done\n", p.Good("✓"), site, kind.Doc, done[site]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *Result) count(p Palette) string {
	if v.Refused != nil {
		return p.Bad("Nothing was done.") + "\n"
	}
	var b strings.Builder
	switch {
	case len(v.Changes) == 0 && v.Summary.Complete && v.Kind == "ApplyResult" && elsewhere(v.Notices):
		b.WriteString("No changes: what differs, apply leaves alone; see above.")
	case len(v.Changes) == 0 && v.Summary.Complete && v.Kind == "ApplyResult":
		b.WriteString(p.Good("No changes: the sites are as the plan says."))
	case len(v.Changes) == 0 && v.Summary.Complete:
		b.WriteString(p.Good("No changes: nothing of the plan is set up."))
	case len(v.Changes) == 0:
		b.WriteString(p.Warn("No changes were made."))
	default:
		fmt.Fprintf(&b, "%s: %s", Count(len(v.Changes), "change"), p.Good(fmt.Sprintf("%d done", v.Summary.Done)))
		if v.Summary.Failed > 0 {
			b.WriteString(", " + p.Bad(fmt.Sprintf("%d failed", v.Summary.Failed)))
		}
		if v.Summary.NotDone > 0 {
			b.WriteString(", " + p.Warn(fmt.Sprintf("%d not done", v.Summary.NotDone)))
		}
		fmt.Fprintf(&b, " in %s.", Span(v.Took))
	}
	b.WriteString("\n")
	if states := v.states(); states != "" && v.Kind == "ApplyResult" {
		fmt.Fprintf(&b, "%s: %s.\n", Count(len(v.Images), "image"), states)
	}
	return b.String()
}

// states counts images by protection state, in the order in which states are
// passed through.
func (v *Result) states() string {
	count := make(map[orchestrator.Protection]int)
	var order []orchestrator.Protection
	for i := range v.Images {
		state := v.Images[i].State
		if count[state] == 0 {
			order = append(order, state)
		}
		count[state]++
	}
	parts := make([]string, len(order))
	for i, state := range order {
		parts[i] = fmt.Sprintf("%d %s", count[state], state)
	}
	return strings.Join(parts, ", ")
}
