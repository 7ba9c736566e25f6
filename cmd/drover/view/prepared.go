package view

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/drover-io/drover/orchestrator"
)

// Prepared is what a runbook would do, and all that was checked for it.
type Prepared struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // PreparedRun
	*orchestrator.Prepared
	// Refusal is why it may not begin; Next what to do about it.
	Refusal string              `json:"refusal,omitempty"`
	Next    string              `json:"next,omitempty"`
	Summary PreparedSummary     `json:"summary"`
	Steps   []orchestrator.Step `json:"steps,omitempty"`

	file string
}

// PreparedSummary counts what a run would do.
type PreparedSummary struct {
	Images   int          `json:"images"` // that move
	Units    int          `json:"units"`
	Waves    int          `json:"waves"`
	Left     int          `json:"left"` // images that are left alone
	Failed   int          `json:"failed_checks"`
	Warnings int          `json:"warnings"`
	Loss     *LossSummary `json:"loss,omitempty"` // what a failover gives up
}

// NewPrepared makes a prepared run ready to be shown. Steps may be left out;
// file is the plan's, for commands that a person may type.
func NewPrepared(p *orchestrator.Prepared, steps []orchestrator.Step, file string) *Prepared {
	v := &Prepared{APIVersion: "drover/v1", Kind: "PreparedRun", Prepared: p, Steps: steps, file: file}
	if p.Refused != nil {
		text, next := hint(p.Refused)
		v.Refusal, v.Next = text, FillIn(next, file)
	}
	waves := map[string]bool{}
	for i := range p.Run.Units {
		waves[p.Run.Units[i].Wave] = true
		v.Summary.Images += len(p.Run.Units[i].Images)
	}
	v.Summary.Units, v.Summary.Waves, v.Summary.Left = len(p.Run.Units), len(waves), len(p.Run.Left)
	for i := range p.Checks {
		if !p.Checks[i].Holds() {
			v.Summary.Failed++
		}
		for _, f := range p.Checks[i].Failures {
			if f.Warning {
				v.Summary.Warnings++
			}
		}
	}
	if losses := lossesOf(&p.Run); len(losses) > 0 {
		v.Summary.Loss = sumLosses(losses)
	}
	return v
}

// manyRows is how many of a list a table shows; JSON has all of them.
const manyRows = 20

// Table writes what a person has to see before saying yes.
func (v *Prepared) Table(w io.Writer, p Palette) error {
	run := &v.Run
	heading := fmt.Sprintf("%s of plan %s: %s → %s", title(string(run.Runbook)), run.Plan, run.From, run.To)
	if err := putf(w, "%s\n\n", p.Strong(heading)); err != nil {
		return err
	}
	parts := []func(io.Writer, Palette) error{v.probes, v.evidence, v.checks, v.moves, v.losses, v.left, v.steps}
	for _, part := range parts {
		if err := part(w, p); err != nil {
			return err
		}
	}
	return nil
}

// title begins a word with a capital.
func title(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func (v *Prepared) probes(w io.Writer, p Palette) error {
	if len(v.Probes) == 0 {
		return nil
	}
	if err := putf(w, "How %s was looked at:\n", v.Run.From); err != nil {
		return err
	}
	g := grid{header: []string{"from", "how", "answers", "after", "what"}}
	for _, probe := range v.Probes {
		answers := p.Bad("no")
		if probe.Answers {
			answers = p.Good("yes")
		}
		g.rows = append(g.rows, []string{probe.From, probe.How, answers, Span(probe.Took), oneLine(probe.What)})
	}
	if err := g.write(w, p); err != nil {
		return err
	}
	if !slices.ContainsFunc(v.Probes, func(probe orchestrator.Probe) bool { return probe.From != v.Run.To && !probe.Answers }) {
		if err := putf(w, "%s %s answers: while it is well, a switchover loses nothing\n", p.Warn("!"), v.Run.From); err != nil {
			return err
		}
	}
	return put(w, "\n")
}

// evidence is what each side holds of the images of which one copy has to be
// chosen.
func (v *Prepared) evidence(w io.Writer, p Palette) error {
	for i, e := range v.Evidence {
		if i == manyRows {
			return putf(w, "and %d images more: -o json shows all\n\n", len(v.Evidence)-manyRows)
		}
		if err := putf(w, "%s\n", p.Strong(e.Image.String())); err != nil {
			return err
		}
		for _, line := range e.Lines() {
			if err := putf(w, "  %s\n", line); err != nil {
				return err
			}
		}
		if err := put(w, "\n"); err != nil {
			return err
		}
	}
	return nil
}

func (v *Prepared) checks(w io.Writer, p Palette) error {
	for i := range v.Checks {
		c := &v.Checks[i]
		var err error
		switch {
		case len(c.Failures) == 0:
			err = putf(w, "%s %s: %s\n", p.Good("ok      "), c.Name, c.What)
		case c.Holds():
			err = putf(w, "%s %s\n", p.Warn("warning "), c.Name)
		default:
			err = putf(w, "%s %s\n", p.Bad("FAILED  "), c.Name)
		}
		if err != nil {
			return err
		}
		if err := v.failures(w, p, c.Failures); err != nil {
			return err
		}
	}
	return put(w, "\n")
}

// failures lists why a check does not hold, those with the same remedy
// together.
func (v *Prepared) failures(w io.Writer, p Palette, all []orchestrator.CheckFailure) error {
	for i, f := range all {
		if i == manyRows {
			return putf(w, "         and %d more\n", len(all)-manyRows)
		}
		mark := p.Bad("✗")
		if f.Warning {
			mark = p.Warn("!")
		}
		if err := putf(w, "         %s %s%s\n", mark, failing(f), indent(f.What)); err != nil {
			return err
		}
		if f.Next == "" || i+1 < min(len(all), manyRows) && all[i+1].Next == f.Next {
			continue
		}
		if err := putf(w, "           next: %s\n", FillIn(f.Next, v.file)); err != nil {
			return err
		}
	}
	return nil
}

// failing says of what a check does not hold, unless its words do.
func failing(f orchestrator.CheckFailure) string {
	switch {
	case f.Image != nil:
		return place(f.Image.String(), "")
	case strings.Contains(f.What, f.Site):
		return ""
	}
	return place(f.Site, "")
}

// waves gathers the units of each wave, in order.
func waves(units []orchestrator.RunUnit) (names []string, byName map[string][]orchestrator.RunUnit) {
	byName = map[string][]orchestrator.RunUnit{}
	for _, u := range units {
		if byName[u.Wave] == nil {
			names = append(names, u.Wave)
		}
		byName[u.Wave] = append(byName[u.Wave], u)
	}
	return names, byName
}

func (v *Prepared) moves(w io.Writer, p Palette) error {
	switch {
	case v.Summary.Images == 0 && v.Refusal != "": // the error tells
		return nil
	case v.Summary.Images == 0:
		return put(w, p.Strong("Nothing to move.")+"\n")
	}
	text := fmt.Sprintf("%s, to be primary at %s", Count(v.Summary.Images, "image"), v.Run.To)
	if err := putf(w, "%s:\n", p.Strong(text)); err != nil {
		return err
	}
	names, byName := waves(v.Run.Units)
	for i, name := range names {
		var groups, singles []string
		images := 0
		for _, u := range byName[name] {
			images += len(u.Images)
			if u.Group != "" {
				groups = append(groups, fmt.Sprintf("group %s (%s)", u.Group, Count(len(u.Images), "image")))
			} else {
				singles = append(singles, u.Name)
			}
		}
		label := "  "
		if name != "" {
			label = fmt.Sprintf("  %d. wave %s, %s: ", i+1, name, Count(images, "image"))
		} else if len(names) > 1 {
			label = fmt.Sprintf("  %d. in no wave, %s: ", i+1, Count(images, "image"))
		}
		if err := putf(w, "%s%s\n", label, some(append(groups, singles...))); err != nil {
			return err
		}
	}
	return put(w, "\n")
}

// some are the first of many names.
func some(names []string) string {
	const shown = 8
	if len(names) > shown+1 {
		names = append(slices.Clone(names[:shown]), fmt.Sprintf("and %d more", len(names)-shown))
	}
	return strings.Join(names, ", ")
}

func (v *Prepared) left(w io.Writer, p Palette) error {
	if len(v.Run.Left) == 0 {
		return nil
	}
	if err := putf(w, "%s\n", p.Strong("Left alone:")); err != nil {
		return err
	}
	if err := left(w, v.Run.Left); err != nil {
		return err
	}
	return put(w, "\n")
}

func left(w io.Writer, all []orchestrator.LeftImage) error {
	for i, l := range all {
		if i == manyRows {
			return putf(w, "  and %d more\n", len(all)-manyRows)
		}
		if err := putf(w, "  %s: %s\n", l.Ref, l.Why); err != nil {
			return err
		}
	}
	return nil
}

// steps lists the steps of a dry run.
func (v *Prepared) steps(w io.Writer, p Palette) error {
	if len(v.Steps) == 0 || v.Summary.Images == 0 {
		return nil
	}
	if err := putf(w, "%s\n", p.Strong("Steps (images and groups of one wave move side by side):")); err != nil {
		return err
	}
	n := 0
	for i := range v.Steps {
		s := &v.Steps[i]
		number := "    "
		what := s.What
		if s.Undo {
			what = "only if a step before it fails: " + what
		} else {
			n++
			number = fmt.Sprintf("%3d.", n)
		}
		if s.Image != nil {
			what = s.Image.String() + ": " + what
		}
		if err := putf(w, "%s %s\n", number, FillIn(what, v.file)); err != nil {
			return err
		}
		if s.Command == "" {
			continue
		}
		if err := putf(w, "     %s\n", p.Faint("$ "+FillIn(s.Command, v.file))); err != nil {
			return err
		}
	}
	return nil
}

// Changed says in words what differs between two preparations of the same
// runbook, as far as a decision rests on it.
func Changed(before, now *orchestrator.Prepared) []string {
	var out []string
	if before.Run.From != now.Run.From || before.Run.To != now.Run.To {
		out = append(out, fmt.Sprintf("it goes %s → %s, where it was %s → %s", now.Run.From, now.Run.To, before.Run.From, before.Run.To))
	}
	old, current := imagesOf(&before.Run), imagesOf(&now.Run)
	for _, ref := range current.order {
		was, known := old.by[ref]
		is := current.by[ref]
		switch {
		case !known:
			out = append(out, ref+": moves now, and did not before")
		case was.unit != is.unit:
			out = append(out, fmt.Sprintf("%s: moves with %s now, with %s before", ref, is.unit, was.unit))
		case lossText(was.loss) != lossText(is.loss):
			out = append(out, fmt.Sprintf("%s: would lose %s now, %s before", ref, lossText(is.loss), lossText(was.loss)))
		}
	}
	for _, ref := range old.order {
		if _, still := current.by[ref]; !still {
			out = append(out, ref+": does not move now, and did before")
		}
	}
	if before.Refused == nil && now.Refused != nil {
		out = append(out, "it is refused now")
	}
	return out
}

// Changes writes what [Changed] says, the first of it.
func Changes(w io.Writer, p Palette, before, now *orchestrator.Prepared) error {
	if err := putf(w, "%s\n", p.Warn("What was shown has changed meanwhile:")); err != nil {
		return err
	}
	changed := Changed(before, now)
	for i, line := range changed {
		if i == manyRows {
			return errors.Join(putf(w, "  and %d more\n", len(changed)-manyRows), put(w, "\n"))
		}
		if err := putf(w, "  %s\n", line); err != nil {
			return err
		}
	}
	return put(w, "\n")
}

// imageFacts are what a decision about an image rests on.
type imageFacts struct {
	unit string
	loss *orchestrator.Loss
}

type runImages struct {
	order []string
	by    map[string]imageFacts
}

func imagesOf(run *orchestrator.Run) runImages {
	out := runImages{by: map[string]imageFacts{}}
	for i := range run.Units {
		for _, image := range run.Units[i].Images {
			ref := image.Ref.String()
			out.order = append(out.order, ref)
			out.by[ref] = imageFacts{unit: run.Units[i].Name, loss: image.Loss}
		}
	}
	return out
}
