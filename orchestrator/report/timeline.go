package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// How a timeline is laid out, in the units of its viewBox, and how much it takes in,
// so that one of 500 images fits a page.
const (
	chartWidth = 960
	plotLeft   = 250
	plotRight  = 925
	plotTop    = 26
	laneHeight = 9
	laneGap    = 2
	rowGap     = 7
	minBar     = 1.5
	maxLabel   = 36

	maxPhases = 24
	maxUnits  = 30
	maxLanes  = 3
	maxBars   = 60 // in a row
)

// px is a coordinate of a drawing.
type px float64

// String is what the drawing's attribute has: never NaN, never an exponent.
func (p px) String() string { return strconv.FormatFloat(finite(float64(p)), 'f', 1, 64) }

// timeline is a drawing of when what was done. All lies within Width and Height.
type timeline struct {
	Width, Height px
	Ticks         []tick
	Rows          []row
	Marks         []mark
	Desc          string
	Left          []string // what is not drawn
	PlotTop       px
	PlotBottom    px
}

type tick struct {
	X    px
	Text string
}

// row is a line of the drawing: a heading, or a phase or a unit with its bars.
type row struct {
	Heading      string
	Label, Title string
	Y            px // of the text
	Bars         []bar
}

type bar struct {
	X, Y, W, H px
	Class      string
	Title      string
}

// mark is an upright line over all rows, such as the objective.
type mark struct {
	X, Y   px // Y is that of its text
	Class  string
	Anchor string
	Text   string
}

// scale turns seconds into coordinates.
type scale struct{ first, last float64 }

func (s scale) x(seconds float64) float64 {
	if s.last <= s.first {
		return plotLeft
	}
	share := (seconds - s.first) / (s.last - s.first)
	return plotLeft + max(0, min(1, share))*(plotRight-plotLeft)
}

// newTimeline draws a report's course, or gives nil where none is known.
func newTimeline(r *Report) *timeline {
	c := courseOf(r)
	phases, units := c.phases(), c.units()
	if len(phases) == 0 {
		return nil
	}
	s := scale{first: 0, last: c.last}
	objective := length(r.Objectives.RTOSeconds)
	if at := c.begin + objective; objective > 0 && at > s.last && at <= 1.5*s.last {
		s.last = at
	}
	t := &timeline{Width: chartWidth, PlotTop: plotTop}
	t.ticks(s, c.begin)
	y := float64(plotTop + rowGap)
	y = t.phases(s, c, phases, y)
	y = t.units(s, c, units, y)
	t.PlotBottom = px(y)
	t.marks(s, c.begin, r, y)
	t.Height = px(y + 34)
	if c.undated > 0 {
		t.Left = append(t.Left, fmt.Sprintf("%d of the steps and checks, of which it is not known when they were", c.undated))
	}
	t.Desc = fmt.Sprintf("%d steps and checks in %s, from the beginning until %s later; %d of them failed. The figures are in the table below.",
		countAll(phases), many(len(phases), "phase"), span(c.last-c.begin), countBad(phases))
	return t
}

func countAll(phases []stretch) int {
	n := 0
	for i := range phases {
		n += phases[i].count
	}
	return n
}

func countBad(phases []stretch) int {
	n := 0
	for i := range phases {
		n += phases[i].bad
	}
	return n
}

// phases draws a row for each phase, and gives where the next row begins. Where there
// are too many, the longest are drawn.
func (t *timeline) phases(s scale, c *course, phases []stretch, y float64) float64 {
	shown := longestOf(phases, maxPhases)
	if left := len(phases) - len(shown); left > 0 {
		t.Left = append(t.Left, many(left, "shorter phase"))
	}
	y = t.heading("Phases, from the first of it to the last", y)
	for i := range shown {
		p := &shown[i]
		label := p.label()
		if p.count > 1 {
			label += fmt.Sprintf(" ×%d", p.count)
			if p.bad > 0 {
				label += fmt.Sprintf(" (%d failed)", p.bad)
			}
		}
		if p.site != "" {
			label += " at " + p.site
		}
		y = t.row(s, label, []stretch{*p}, c.begin, y)
	}
	return y
}

// units draws a row for each unit: those that failed first, then what took longest.
func (t *timeline) units(s scale, c *course, units []unit, y float64) float64 {
	if len(units) == 1 && units[0].whole.of == "" {
		return y
	}
	heading := "Images, groups and others, the longest first"
	if units[0].troubled {
		heading = "Images, groups and others: failed ones, then the longest"
	}
	y = t.heading(heading, y)
	left := 0
	for i := range units {
		u := &units[i]
		if i >= maxUnits {
			left++
			continue
		}
		label := u.whole.of
		if label == "" {
			label = "the whole"
		}
		y = t.row(s, label, u.moments, c.begin, y)
	}
	if left > 0 {
		t.Left = append(t.Left, fmt.Sprintf("%d more images, groups or others, which took less time", left))
	}
	return y
}

func (t *timeline) heading(text string, y float64) float64 {
	t.Rows = append(t.Rows, row{Heading: text, Y: px(y + laneHeight + 2)})
	return y + laneHeight + rowGap + 4
}

// row draws what was done at the same time one below the other, as far as there is
// room for it.
func (t *timeline) row(s scale, label string, moments []stretch, begin, y float64) float64 {
	shown := slices.Clone(longestOf(moments, maxBars))
	slices.SortStableFunc(shown, func(a, b stretch) int { return cmp.Compare(a.start, b.start) })
	if left := len(moments) - len(shown); left > 0 {
		t.Left = append(t.Left, many(left, "shorter bar")+" of "+label)
	}
	one := row{Label: short(label), Title: label}
	var free [maxLanes]float64 // until when each lane is taken
	lanes := 1
	for i := range shown {
		m := &shown[i]
		x := s.x(m.start)
		w := max(minBar, s.x(m.end)-x)
		x = min(x, plotRight-w)
		lane := 0
		for lane < maxLanes-1 && free[lane] > m.start {
			lane++
		}
		free[lane] = max(free[lane], m.end)
		lanes = max(lanes, lane+1)
		one.Bars = append(one.Bars, bar{
			X: px(x), Y: px(y + float64(lane)*(laneHeight+laneGap)), W: px(w), H: laneHeight,
			Class: m.class(), Title: m.words(begin),
		})
	}
	height := float64(lanes*(laneHeight+laneGap) - laneGap)
	one.Y = px(y + height/2 + 4)
	t.Rows = append(t.Rows, one)
	return y + height + rowGap
}

// class is how a bar looks.
func (s *stretch) class() string {
	switch {
	case s.bad > 0:
		return "bad"
	case s.verdict == Skipped:
		return "skipped"
	case s.check:
		return "check"
	}
	return "step"
}

// words say what a bar is.
func (s *stretch) words(begin float64) string {
	text := s.label()
	if s.of != "" {
		text += " of " + s.of
	}
	if s.site != "" {
		text += " at " + s.site
	}
	if s.count > 1 {
		text += fmt.Sprintf(", %d of them", s.count)
	}
	switch {
	case s.bad > 0 && s.count > 1:
		text += fmt.Sprintf(", %d failed", s.bad)
	case s.bad > 0:
		text += ", failed"
	case s.verdict == Skipped:
		text += ", skipped"
	}
	return fmt.Sprintf("%s: %s from +%s", text, span(s.seconds()), span(s.start-begin))
}

// marks draws the objective of the RTO and what was achieved, where they lie inside.
func (t *timeline) marks(s scale, begin float64, r *Report, y float64) {
	add := func(seconds float64, class, text string, y float64) {
		if seconds <= 0 || begin+seconds > s.last {
			return
		}
		m := mark{X: px(s.x(begin + seconds)), Y: px(y), Class: class, Text: text + " " + span(seconds), Anchor: "start"}
		if m.X > (plotLeft+plotRight)/2 {
			m.Anchor = "end"
		}
		t.Marks = append(t.Marks, m)
	}
	add(length(r.Objectives.RTOSeconds), "objective", "RTO objective", y+13)
	if r.Achieved.RTOSeconds != nil {
		add(length(*r.Achieved.RTOSeconds), "achieved", "RTO", y+28)
	}
}

// tickSteps are the distances between ticks that people can read, in seconds.
var tickSteps = []float64{
	0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800,
	3600, 7200, 14400, 21600, 43200, 86400, 2 * 86400, 7 * 86400,
}

// ticks are at round times since the beginning of the report.
func (t *timeline) ticks(s scale, begin float64) {
	const atMost = 7
	whole := s.last - s.first
	step := whole / atMost
	for _, round := range tickSteps {
		if whole/round <= atMost {
			step = round
			break
		}
	}
	at := begin
	for i := 0; i <= atMost && at <= s.last; i++ {
		t.Ticks = append(t.Ticks, tick{X: px(s.x(at)), Text: "+" + span(at-begin)})
		if step <= 0 {
			break
		}
		at = begin + float64(i+1)*step
	}
}

// longestOf are so many of a list, in their order.
func longestOf(all []stretch, limit int) []stretch {
	if len(all) <= limit {
		return all
	}
	order := sortedBy(len(all), func(a, b int) bool {
		if bad := all[a].bad > 0; bad != (all[b].bad > 0) {
			return bad
		}
		return all[a].seconds() > all[b].seconds()
	})
	keep := make(map[int]bool, limit)
	for _, i := range order[:limit] {
		keep[i] = true
	}
	var some []stretch
	for i := range all {
		if keep[i] {
			some = append(some, all[i])
		}
	}
	return some
}

// short is a label that fits beside the drawing: its beginning, and more of its end,
// where names differ. Wide characters count twice.
func short(label string) string {
	const head = 8
	if wide(label) <= maxLabel {
		return label
	}
	runes := []rune(label)
	first := 0
	for first < len(runes) && wide(string(runes[:first+1])) <= head {
		first++
	}
	last := len(runes)
	for last > first && wide(string(runes[last-1:])) <= maxLabel-head-1 {
		last--
	}
	return strings.TrimSpace(string(runes[:first])) + "…" + strings.TrimSpace(string(runes[last:]))
}

func wide(text string) int {
	n := 0
	for _, r := range text {
		n++
		if r >= 0x1100 {
			n++
		}
	}
	return n
}
