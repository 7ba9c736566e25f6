package report

import (
	"bytes"
	_ "embed" // the page and its style lie beside this file
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// maxOpen is how many images, checks or lines of output lie open on the page; more of
// what is good are folded away.
const maxOpen = 25

// HTML writes a report as one page that needs nothing else: no script, no file, no
// network. past are earlier reports, in any order, for the trend of RPO and RTO: those of
// the same plan, kind and name count, and of more than 60 the newest.
func HTML(w io.Writer, r *Report, past []Summary) error {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, newPage(r, past)); err != nil {
		return fmt.Errorf("write report %s as HTML: %w", r.ID, err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// page is what page.html shows, in words.
type page struct {
	Title, Verdict, Mark, Class, Why string
	Sub                              string
	Facts                            []pageFact
	Measures                         []pageMeasure
	Left, Notes                      []string
	Timeline                         *timeline
	Phases                           []pagePhase
	FailedSteps                      []string
	Trends                           []*trend
	Past                             []pagePast
	Images, GoodImages               []pageImage
	ImageCount, GoodImageCount       string
	MoreImages                       string
	Groups                           []pageGroup
	Checks, GoodChecks               []pageCheck
	CheckCount, GoodCheckCount       string
	Versions                         []pageFact
}

type pageFact struct{ Name, Value string }

type pageMeasure struct{ Name, Means, Asked, Achieved, Outcome, Mark, Class string }

type pagePhase struct{ Label, Site, Count, Bad, From, Until string }

type pagePast struct{ When, What, Verdict, Mark, Class, Why, RPO, RTO, Checks string }

type pageImage struct {
	Image, Verdict, Mark, Class, Mode, Group, Wave, Taken, RPO, Clone, Size, Why string
}

type pageGroup struct{ Name, Images, Words string }

type pageCheck struct {
	Name, Of, How, Verdict, Mark, Class, From, Took, Why, Output, Lines string
	Open                                                                bool
}

func newPage(r *Report, past []Summary) *page {
	p := &page{Title: r.title(), Verdict: r.Verdict.word(), Why: line(r.Why)}
	p.Mark, p.Class = look(r.Verdict)
	p.Sub = strings.Join(nonEmpty(route(r), moment(r.Began), "took "+span(took(r.Began, r.Ended))), " · ")
	for _, f := range r.facts() {
		p.Facts = append(p.Facts, pageFact{strings.ToUpper(f.name[:1]) + f.name[1:], f.value})
	}
	for _, m := range r.shown() {
		one := pageMeasure{Name: m.Name, Means: m.Means, Asked: m.asked(), Achieved: spanOf(m.Achieved), Outcome: string(m.Outcome)}
		one.Mark, one.Class = look(m.verdict())
		p.Measures = append(p.Measures, one)
	}
	p.Left, p.Notes = mapped(r.Left, line), mapped(r.Notes, line)
	p.course(r)
	p.past(r, past)
	p.images(r)
	for i := range r.Groups {
		g := &r.Groups[i]
		p.Groups = append(p.Groups, pageGroup{line(g.Group), fmt.Sprint(g.Images), g.Words()})
	}
	p.checks(r)
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		p.Versions = append(p.Versions, pageFact{line(name), line(r.Versions[name])})
	}
	return p
}

// look is the mark and the class of a verdict: none is told by its colour alone.
func look(v Verdict) (mark, class string) {
	switch v {
	case Passed:
		return "✓", "passed"
	case Failed:
		return "✗", "failed"
	case Aborted:
		return "■", "aborted"
	case Skipped:
		return "–", "skipped"
	}
	return "?", "skipped"
}

func route(r *Report) string {
	if r.From == "" || r.To == "" {
		return ""
	}
	return line(r.From) + " → " + line(r.To)
}

func nonEmpty(texts ...string) []string {
	return slices.DeleteFunc(texts, func(text string) bool { return text == "" })
}

func mapped(texts []string, change func(string) string) []string {
	var changed []string
	for _, text := range texts {
		changed = append(changed, change(text))
	}
	return changed
}

// course is the timeline, and its figures for whoever cannot see it.
func (p *page) course(r *Report) {
	p.Timeline = newTimeline(r)
	c := courseOf(r)
	phases := c.phases()
	for i := range phases {
		x := &phases[i]
		p.Phases = append(p.Phases, pagePhase{
			x.label(), x.site, fmt.Sprint(x.count), fmt.Sprint(x.bad), "+" + span(x.start-c.begin), "+" + span(x.end-c.begin),
		})
	}
	for i := range r.Steps {
		if !r.Steps[i].OK {
			p.FailedSteps = append(p.FailedSteps, r.Steps[i].words())
		}
	}
}

// past is the trend, and its figures. A first drill has one too, of one point.
func (p *page) past(r *Report, past []Summary) {
	all := history(r, past)
	for which := range all[0].Measures() {
		p.Trends = append(p.Trends, newTrend(all, which))
	}
	for i := range slices.Backward(all) {
		s := &all[i]
		m := s.Measures()
		one := pagePast{
			When: moment(s.Began), What: strings.Join(nonEmpty(line(s.Kind), line(s.Name), line(s.ID)), " "), Verdict: s.Verdict.word(),
			Why: line(s.Why), RPO: m[0].past(), RTO: m[1].past(), Checks: s.Checks.words(),
		}
		one.Mark, one.Class = look(s.Verdict)
		p.Past = append(p.Past, one)
	}
}

// past is a measure in the table of past reports.
func (m *Measure) past() string {
	if m.Outcome == Missed {
		return spanOf(m.Achieved) + ", missed " + m.asked()
	}
	return spanOf(m.Achieved)
}

func (p *page) images(r *Report) {
	s := Summarize(r)
	p.ImageCount = s.Images.words()
	if r.MoreImages.All() > 0 {
		p.MoreImages = r.MoreImages.words()
	}
	fold := len(r.Images) > maxOpen
	for _, i := range sorted(len(r.Images), func(i int) Verdict { return r.Images[i].Verdict }) {
		image := &r.Images[i]
		one := pageImage{
			Image: line(image.Image), Verdict: image.Verdict.word(), Mode: line(image.Mode), Group: line(image.Group), Wave: line(image.Wave),
			Taken: image.takenText(), RPO: image.rpoText(), Clone: line(image.Clone), Size: size(image.Bytes), Why: image.reason(),
		}
		one.Mark, one.Class = look(image.Verdict)
		if fold && image.Verdict == Passed {
			p.GoodImages = append(p.GoodImages, one)
		} else {
			p.Images = append(p.Images, one)
		}
	}
	p.GoodImageCount = many(len(p.GoodImages), "image")
}

func (p *page) checks(r *Report) {
	p.CheckCount = Summarize(r).Checks.words()
	fold := len(r.Checks) > maxOpen
	for _, i := range sorted(len(r.Checks), func(i int) Verdict { return r.Checks[i].Verdict }) {
		c := &r.Checks[i]
		one := newPageCheck(c, r)
		if fold && c.Verdict == Passed {
			p.GoodChecks = append(p.GoodChecks, one)
		} else {
			p.Checks = append(p.Checks, one)
		}
	}
	p.GoodCheckCount = many(len(p.GoodChecks), "row")
}

func newPageCheck(c *Check, r *Report) pageCheck {
	one := pageCheck{
		Name: line(c.Name), Of: c.ofText(), How: line(c.How), Verdict: c.Verdict.word(),
		Took: span(length(c.Seconds)), Why: line(c.Why), Output: strings.TrimRight(lines(c.Output), "\n"),
	}
	one.Mark, one.Class = look(c.Verdict)
	if !c.Began.IsZero() && !r.Began.IsZero() {
		one.From = "+" + span(c.Began.Sub(r.Began).Seconds())
	}
	n := 1 + strings.Count(one.Output, "\n")
	one.Lines = many(n, "line")
	one.Open = c.Verdict != Passed && c.Verdict != Skipped && n <= maxOpen
	return one
}
