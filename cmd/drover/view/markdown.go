package view

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
)

// Markdown writes the run as a runbook that a person can follow by hand, where
// Drover is not at hand: facts, preconditions and how to check them, and each
// step with its command, how it is seen to be done, and what to do if it is not.
func (v *Prepared) Markdown(w io.Writer, plan *plans.Plan) error {
	m := &markdown{plan: plan, run: &v.Run, file: v.file}
	m.linef("# %s of plan %s: %s → %s", title(string(v.Run.Runbook)), v.Run.Plan, v.Run.From, v.Run.To)
	m.linef("")
	m.linef("Written by drover at %s from what the sites said then, for %s. What has", stamp(v.Run.Began), Count(v.Summary.Images, "image"))
	m.linef("changed since is not in it: check the preconditions again before you begin. Only one")
	m.linef("person at a time may follow it, and no drover may be at work on the plan.")
	if v.Refusal != "" {
		m.linef("")
		m.linef("**Do not begin.** %s", indent(v.Refusal))
		if v.Next != "" {
			m.linef("Next: %s", v.Next)
		}
	}
	m.facts()
	if len(v.Probes) > 0 {
		m.linef("")
		m.linef("How %s was looked at:", v.Run.From)
		m.linef("")
		m.columns("from", "how", "answers", "what")
		for _, p := range v.Probes {
			answers := "no"
			if p.Answers {
				answers = "yes"
			}
			m.row(p.From, p.How, answers, p.What)
		}
	}
	m.losses(lossesOf(&v.Run))
	m.evidence(v.Evidence)
	m.preconditions(v.Checks)
	m.steps("## Steps", v.Steps, nil)
	return put(w, m.b.String())
}

// Markdown writes the run as a report, and the steps that remain, if any do, as
// they can be taken by hand. Outline are all steps of the run.
func (v *RunStory) Markdown(w io.Writer, plan *plans.Plan, outline []orchestrator.Step) error {
	m := &markdown{plan: plan, run: &v.Run, file: v.file}
	m.linef("# %s of plan %s: %s → %s", title(string(v.Run.Runbook)), v.Run.Plan, v.Run.From, v.Run.To)
	outcome := string(v.Outcome)
	if v.Ended == nil {
		outcome = "not over; go on with `" + FillIn("drover runs resume FILE "+v.Run.ID, v.file) + "`"
	} else {
		outcome += ", at " + stamp(*v.Ended)
	}
	m.linef("")
	m.linef("Outcome: **%s**", outcome)
	if v.End != nil && v.End.Why != "" {
		m.linef("")
		m.linef("%s", indent(v.End.Why))
	}
	m.facts()
	m.linef("")
	m.linef("Who worked at it:")
	m.linef("")
	for _, who := range v.Who {
		m.linef("- %s, from %s", who.By, stamp(who.At))
	}
	m.losses(lossesOf(&v.Run))
	m.discards(v.Discards)
	m.kept(v.Kept)
	m.section("What was done")
	m.columns("time", "step", "result", "took", "evidence", "by")
	good := map[string]bool{}
	for i := range v.Steps {
		s := &v.Steps[i]
		good[s.Step] = s.Phase == orchestrator.PhaseDone || s.Phase == orchestrator.PhaseAlready
		m.row(s.At.UTC().Format("2006-01-02 15:04:05.000"), s.Step, string(s.Phase), tookText(s.Took), strings.TrimSpace(s.Evidence+" "+s.Fault), s.By)
	}
	if v.End != nil {
		m.section("What became of the images")
		m.columns("image or group", "outcome", "why")
		for i := range v.End.Units {
			u := &v.End.Units[i]
			m.row(u.Unit.Name, outcomeWords(u.Outcome, &v.Run), u.Why)
		}
		for _, l := range v.Run.Left {
			m.row(l.Ref.String(), "left alone", l.Why)
		}
		return put(w, m.b.String())
	}
	m.back = wayOf(v.Steps, outline, good)
	m.linef("")
	m.linef("Better than by hand: `%s`.", FillIn("drover runs resume FILE "+v.Run.ID, v.file))
	m.steps("## What remains, by hand", outline, good)
	return put(w, m.b.String())
}

// wayOf marks as done the steps that must not be taken any more: the steps back
// of what was tried to be promoted, and the steps forward of what goes back.
func wayOf(records []orchestrator.StepStory, outline []orchestrator.Step, done map[string]bool) (back map[string]bool) {
	forward := map[string]bool{}
	back = map[string]bool{}
	for i := range records {
		r := &records[i]
		if r.Undo {
			back[r.Unit] = back[r.Unit] || r.Phase != orchestrator.PhaseFailed
		} else if r.Kind == orchestrator.StepPromote || r.Kind == orchestrator.StepForce {
			forward[r.Unit] = true
		}
	}
	for i := range outline {
		s := &outline[i]
		if s.Unit != "" && (s.Undo && forward[s.Unit] && !back[s.Unit] || !s.Undo && back[s.Unit]) {
			done[s.ID] = true
		}
	}
	return back
}

func tookText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return Span(d)
}

// markdown gathers a document.
type markdown struct {
	b    strings.Builder
	plan *plans.Plan
	run  *orchestrator.Run
	file string
	n    int             // steps so far
	back map[string]bool // units that are being taken back
}

func (m *markdown) linef(format string, args ...any) {
	fmt.Fprintf(&m.b, format, args...)
	m.b.WriteByte('\n')
}

// row writes a row of a table. A cell holds one line without bars.
func (m *markdown) row(cells ...string) {
	m.b.WriteByte('|')
	for _, c := range cells {
		fmt.Fprintf(&m.b, " %s |", strings.ReplaceAll(strings.Join(strings.Fields(c), " "), "|", `\|`))
	}
	m.b.WriteByte('\n')
}

// columns begins a table.
func (m *markdown) columns(names ...string) {
	m.row(names...)
	m.row(slices.Repeat([]string{"---"}, len(names))...)
}

// section begins a section.
func (m *markdown) section(title string) {
	m.linef("")
	m.linef("## %s", title)
	m.linef("")
}

func (m *markdown) facts() {
	m.section("Facts")
	m.linef("- Run: `%s`, prepared by %s at %s", m.run.ID, m.run.By, stamp(m.run.Began))
	if m.run.Reason != "" {
		m.linef("- Reason: %s", indent(m.run.Reason))
	}
	if m.run.Approved != "" {
		m.linef("- Evidence: `%s`", m.run.Approved)
	}
	for _, name := range []string{m.run.From, m.run.To} {
		role := "to be primary"
		switch {
		case m.run.Runbook == orchestrator.Resync && name == m.run.From:
			role = "its copy is discarded"
		case m.run.Runbook == orchestrator.Resync:
			role = "its copy stays"
		case name == m.run.From:
			role = "primary until now"
		}
		m.linef("- %s (%s): `%s`", name, role, m.tool("ceph", name, "-s"))
	}
	names, byName := waves(m.run.Units)
	for i, name := range names {
		label := "in no wave"
		if name != "" {
			label = "wave " + name
		}
		var units []string
		for _, u := range byName[name] {
			text := u.Name
			if u.Group != "" {
				images := make([]string, len(u.Images))
				for j := range u.Images {
					images[j] = u.Images[j].Ref.String()
				}
				text = fmt.Sprintf("group %s, as one (%s)", u.Group, strings.Join(images, ", "))
			}
			units = append(units, text)
		}
		m.linef("- Moves, part %d of %d, %s: %s", i+1, len(names), label, strings.Join(units, "; "))
	}
	for _, l := range m.run.Left {
		m.linef("- Stays: %s: %s", l.Ref, l.Why)
	}
}

// tool is a command line at a site.
func (m *markdown) tool(name, site string, args ...string) string {
	words := []string{name}
	if s := m.plan.Site(site); s != nil {
		words = append(words, "-c", s.Conf)
		if s.User != "" {
			words = append(words, "--id", strings.TrimPrefix(s.User, "client."))
		}
		if s.Keyring != "" {
			words = append(words, "--keyring", s.Keyring)
		}
	}
	return strings.Join(append(words, args...), " ")
}

func (m *markdown) losses(all []imageLoss) {
	if len(all) == 0 {
		return
	}
	m.section("What is given up")
	m.columns("image", "writes", "bytes", "time", "known from")
	for _, l := range all {
		m.row(l.ref, entries(l.loss), bytesLost(l.loss), timeLost(l.loss), l.loss.Why)
	}
}

// evidence is what each side holds of the images of which one copy is chosen.
func (m *markdown) evidence(all []*orchestrator.SplitEvidence) {
	if len(all) == 0 {
		return
	}
	m.linef("")
	m.linef("## What each side holds")
	for _, e := range all {
		m.linef("")
		m.linef("### %s", e.Image)
		m.linef("")
		m.linef("```")
		for _, line := range e.Lines() {
			m.linef("%s", line)
		}
		m.linef("```")
	}
}

func (m *markdown) preconditions(checks []orchestrator.Check) {
	m.linef("")
	m.linef("## Before you begin")
	for i := range checks {
		c := &checks[i]
		m.linef("")
		switch {
		case len(c.Failures) == 0:
			m.linef("- [ ] **%s**: %s", c.Name, c.What)
		case c.Holds():
			m.linef("- [ ] **%s**: holds, but", c.Name)
		default:
			m.linef("- [ ] **%s**: DOES NOT HOLD", c.Name)
		}
		for _, f := range c.Failures {
			m.linef("  - %s%s", failing(f), indent(f.What))
			if f.Next != "" {
				m.linef("    Remedy: %s", FillIn(f.Next, m.file))
			}
		}
		for _, how := range m.howToCheck(c.Name) {
			m.linef("  - %s", how)
		}
	}
}

// steps writes the steps in order, those of a wave and of an image or group
// below a heading of their own; but not those that are done.
func (m *markdown) steps(heading string, steps []orchestrator.Step, done map[string]bool) {
	m.linef("")
	m.linef("%s", heading)
	m.linef("")
	m.linef("Images and groups of one wave may be moved side by side; a wave begins when the one")
	m.linef("before it is through. One that fails holds up nothing but itself.")
	m.n = 0
	section := ""
	begun := false
	for i := range steps {
		s := &steps[i]
		if done[s.ID] {
			continue
		}
		name := "Before the images"
		switch {
		case s.Unit != "":
			begun = true
			name = s.Unit
			if s.Wave != "" {
				name = fmt.Sprintf("%s (wave %s)", s.Unit, s.Wave)
			}
		case s.Wave != "":
			name = "Wave " + s.Wave
		case begun:
			name = "Behind the images"
		}
		if name != section {
			section = name
			m.linef("")
			m.linef("### %s", name)
		}
		m.step(s)
	}
}

func (m *markdown) step(s *orchestrator.Step) {
	what := title(s.What)
	if s.Image != nil && s.Image.String() != s.Unit {
		what = s.Image.String() + ": " + s.What
	}
	m.linef("")
	pad := ""
	if s.Undo && !m.back[s.Unit] {
		m.linef("**To go back**, only if a step of %s before the promotion fails: %s", s.Unit, s.What)
	} else {
		m.n++
		label := fmt.Sprintf("%d. ", m.n)
		pad = strings.Repeat(" ", len(label))
		m.linef("%s**%s**", label, what)
	}
	if s.Command != "" && s.Kind != orchestrator.StepManual {
		m.linef("")
		m.linef("%s```sh", pad)
		for _, line := range strings.Split(FillIn(s.Command, m.file), "\n") {
			m.linef("%s%s", pad, line)
		}
		m.linef("%s```", pad)
	}
	m.linef("")
	m.linef("%sDone when: %s.", pad, s.Proof)
	if text := m.ifNot(s); text != "" {
		m.linef("%sIf not: %s", pad, text)
	}
}
