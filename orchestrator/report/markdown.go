package report

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// maxGood is how many images, and how many checks, that passed Markdown lists: a
// ticket is read for the others.
const maxGood = 50

// Markdown writes a report for people and tickets, in GitHub's flavour. It lists all
// that did not pass, and the output of such checks; of what passed, the first 50.
func Markdown(w io.Writer, r *Report) error {
	m := &markdown{}
	m.head(r)
	m.objectives(r)
	m.list("What could not be cleaned up", r.Left)
	m.images(r)
	m.groups(r)
	m.checks(r)
	m.phases(r)
	m.versions(r)
	m.list("Notes", r.Notes)
	_, err := io.WriteString(w, m.b.String())
	return err
}

type markdown struct{ b strings.Builder }

func (m *markdown) sayf(format string, args ...any) { _, _ = fmt.Fprintf(&m.b, format+"\n", args...) }

func (m *markdown) head(r *Report) {
	m.sayf("# %s: %s", inline(r.title()), inline(r.Verdict.word()))
	if r.Why != "" {
		m.sayf("\n%s", opened(r.Why))
	}
	m.sayf("")
	m.table("what", "value")
	for _, f := range r.facts() {
		m.row(f.name, f.value)
	}
}

// fact is a line of what a report says of itself.
type fact struct{ name, value string }

// facts say what it was, who did it and when.
func (r *Report) facts() []fact {
	facts := []fact{
		{"kind", line(r.Kind)},
		{"id", line(r.ID)},
		{"plan", line(r.Plan)},
		{"fingerprint of the plan", line(r.Fingerprint)},
		{"from", line(r.From)},
		{"to", line(r.To)},
		{"by", line(r.By)},
		{"begun by", line(r.Trigger)},
		{"reason", line(r.Reason)},
		{"only", line(r.Scope)},
		{"began", moment(r.Began)},
		{"ended", moment(r.Ended)},
		{"took", span(took(r.Began, r.Ended))},
		{"images", Summarize(r).Images.words()},
		{"checks", Summarize(r).Checks.words()},
	}
	return slices.DeleteFunc(facts, func(f fact) bool { return f.value == "" })
}

// words are the counts for people, without those that are none.
func (c Counts) words() string {
	var words []string
	for _, one := range []struct {
		n    int
		word string
	}{{c.Failed, "failed"}, {c.Aborted, "aborted"}, {c.Skipped, "skipped"}, {c.None, "without a verdict"}, {c.Passed, "passed"}} {
		if one.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", one.n, one.word))
		}
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

func (m *markdown) objectives(r *Report) {
	m.sayf("\n## Objectives\n")
	m.table("measure", "objective", "achieved", "outcome", "meaning")
	for _, x := range r.shown() {
		m.row(x.Name, x.asked(), spanOf(x.Achieved), string(x.Outcome), x.Means)
	}
}

func (m *markdown) images(r *Report) {
	m.sayf("\n## Images\n")
	if len(r.Images) == 0 && r.MoreImages.All() == 0 {
		m.sayf("None.")
		return
	}
	m.table("image", "verdict", "mode", "group", "wave", "data of", "RPO", "brought up as", "size", "why")
	good, more := 0, r.MoreImages
	for _, i := range sorted(len(r.Images), func(i int) Verdict { return r.Images[i].Verdict }) {
		image := &r.Images[i]
		if image.Verdict == Passed {
			if good++; good > maxGood {
				more.Passed++
				continue
			}
		}
		m.row(image.Image, image.Verdict.word(), image.Mode, image.Group, image.Wave, image.takenText(), image.rpoText(),
			image.Clone, size(image.Bytes), image.reason())
	}
	if more.All() > 0 {
		m.sayf("\nMore images, not listed here: %s.", more.words())
	}
}

func (m *markdown) groups(r *Report) {
	if len(r.Groups) == 0 {
		return
	}
	m.sayf("\n## Groups\n")
	m.table("group", "images", "whether their data are of one moment")
	for i := range r.Groups {
		g := &r.Groups[i]
		m.row(g.Group, fmt.Sprint(g.Images), g.Words())
	}
}

func (i *Image) takenText() string {
	if i.Taken == nil {
		return ""
	}
	return moment(*i.Taken)
}

func (i *Image) rpoText() string {
	if i.RPOSeconds == nil {
		return ""
	}
	return span(*i.RPOSeconds)
}

// reason is why an image came to its verdict, and what was given up of it.
func (i *Image) reason() string {
	if i.Lost == "" {
		return line(i.Why)
	}
	return strings.TrimPrefix(line(i.Why)+"; ", "; ") + "given up: " + line(i.Lost)
}

func (m *markdown) checks(r *Report) {
	m.sayf("\n## Checks\n")
	if len(r.Checks) == 0 {
		m.sayf("None were made.")
		return
	}
	m.table("check", "of", "verdict", "how", "took", "why")
	var told []int
	good, left := 0, 0
	for _, i := range sorted(len(r.Checks), func(i int) Verdict { return r.Checks[i].Verdict }) {
		c := &r.Checks[i]
		if c.Verdict == Passed {
			if good++; good > maxGood {
				left += c.count()
				continue
			}
		} else if strings.TrimSpace(c.Output) != "" {
			told = append(told, i)
		}
		m.row(c.Name, c.ofText(), c.Verdict.word(), c.How, span(length(c.Seconds)), c.Why)
	}
	if left > 0 {
		m.sayf("\nMore checks, not listed here: %d passed.", left)
	}
	for _, i := range told {
		c := &r.Checks[i]
		m.sayf("\n### What %s said\n", inline(strings.TrimSuffix(line(c.Name)+" of "+c.ofText(), " of ")))
		m.sayf("%s", fenced(c.Output))
	}
}

// ofText is what a check was of.
func (c *Check) ofText() string { return ofText(c.Of, c.Per, c.Count) }

func ofText(of, per string, count int) string {
	text := line(of)
	if text == "" && per == "drill" {
		text = "the drill"
	}
	if count > 1 {
		return strings.TrimSpace(fmt.Sprintf("%s (%d times)", text, count))
	}
	return text
}

func (m *markdown) phases(r *Report) {
	m.sayf("\n## Timeline\n")
	c := courseOf(r)
	phases := c.phases()
	if len(phases) == 0 {
		m.sayf("No step is known.")
		return
	}
	m.table("step or check", "site", "how many", "failed", "from", "until")
	for i := range phases {
		p := &phases[i]
		m.row(p.label(), p.site, fmt.Sprint(p.count), fmt.Sprint(p.bad), "+"+span(p.start-c.begin), "+"+span(p.end-c.begin))
	}
	failed := slices.DeleteFunc(slices.Clone(r.Steps), func(s Step) bool { return s.OK })
	if len(failed) == 0 {
		return
	}
	m.sayf("\nSteps that failed:\n")
	for i := range failed {
		m.sayf("- %s", opened(failed[i].words()))
	}
}

// label is what a phase is called.
func (s *stretch) label() string {
	if s.check {
		return "check " + s.name
	}
	return s.name
}

// words say which step it is and what is noted of it.
func (s *Step) words() string {
	text := line(s.Name)
	if of := ofText(s.Of, "", s.Count); of != "" {
		text += " of " + of
	}
	if s.Site != "" {
		text += " at " + line(s.Site)
	}
	if s.Note != "" {
		text += ": " + line(s.Note)
	}
	return text
}

func (m *markdown) versions(r *Report) {
	if len(r.Versions) == 0 {
		return
	}
	m.sayf("\n## Versions\n")
	m.table("of", "version")
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		m.row(name, r.Versions[name])
	}
}

func (m *markdown) list(title string, texts []string) {
	if len(texts) == 0 {
		return
	}
	m.sayf("\n## %s\n", title)
	for _, text := range texts {
		m.sayf("- %s", opened(text))
	}
}

func (m *markdown) table(columns ...string) {
	m.row(columns...)
	m.sayf("|%s", strings.Repeat("---|", len(columns)))
}

func (m *markdown) row(cells ...string) {
	for i := range cells {
		cells[i] = inline(cells[i])
	}
	m.sayf("| %s |", strings.Join(cells, " | "))
}

// marks are the characters that mean something to Markdown anywhere in a line (also
// $, between which GitHub reads mathematics). < and & become entities, so that no
// reader takes them for HTML.
var marks = strings.NewReplacer(
	"\\", "\\\\", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]", "|", "\\|", "~", "\\~", "$", "\\$",
	"<", "&lt;", ">", "&gt;", "&", "&amp;",
)

// inline is a text that Markdown shows as it is, within a line.
func inline(text string) string { return marks.Replace(line(text)) }

// opening is what means something at the beginning of a line or a list item.
var opening = regexp.MustCompile(`^([0-9]{0,9})([-+#=.)])`)

// opened is such a text that begins a line.
func opened(text string) string { return opening.ReplaceAllString(inline(text), `$1\$2`) }

var ticks = regexp.MustCompile("`+")

// fenced is an output as a block that it cannot end: the fence is longer than any in it.
func fenced(output string) string {
	output = strings.TrimRight(lines(output), "\n")
	fence := "```"
	for _, run := range ticks.FindAllString(output, -1) {
		if len(run) >= len(fence) {
			fence = run + "`"
		}
	}
	return fence + "text\n" + output + "\n" + fence
}
