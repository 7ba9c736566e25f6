package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// How a trend is laid out, in the units of its viewBox.
const (
	trendWidth  = 470
	trendHeight = 190
	trendLeft   = 82
	trendRight  = 455
	trendTop    = 28
	trendBottom = 158

	maxPast = 60 // reports that a trend takes in
)

// trend is the drawing of one measure over past reports.
type trend struct {
	Name          string
	Width, Height px
	Left, Right   px
	Bottom        px
	Levels        []level
	Lines         []string // points of polylines: what was achieved
	Objective     []string // and what was asked for
	Dots          []dot
	When          []mark
	Desc          string
	Measured      bool
}

// level is a line of the scale.
type level struct {
	Y    px
	Text string
}

type dot struct {
	X, Y  px
	Class string
	Title string
}

// history is this report and those of its kind and scope before it, the oldest first: each once,
// none that began later, and at most maxPast.
func history(r *Report, past []Summary) []Summary {
	seen := map[string]bool{r.ID: true}
	all := []Summary{Summarize(r)}
	for _, s := range past {
		alike := s.Plan == r.Plan && s.Kind == r.Kind && s.Name == r.Name && s.Scope == r.Scope
		if !alike || seen[s.ID] || s.Began.After(r.Began) {
			continue
		}
		seen[s.ID] = true
		all = append(all, s)
	}
	// This report stays the last of those that began when it did.
	slices.SortStableFunc(all, func(a, b Summary) int {
		return cmp.Or(a.Began.Compare(b.Began), compareBool(a.ID == r.ID, b.ID == r.ID))
	})
	return all[max(0, len(all)-maxPast):]
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// newTrend draws the measure with an index in Measures.
func newTrend(all []Summary, which int) *trend {
	t := &trend{
		Width: trendWidth, Height: trendHeight, Left: trendLeft, Right: trendRight, Bottom: trendBottom,
	}
	measured := make([]Measure, len(all))
	top, count, missed := 0.0, 0, 0
	for i := range all {
		m := all[i].Measures()[which]
		measured[i], t.Name = m, m.Name
		top = max(top, length(m.Objective))
		if m.Achieved != nil {
			count++
			top = max(top, length(*m.Achieved))
		}
		if m.Outcome == Missed {
			missed++
		}
	}
	t.Measured = count > 0
	if top == 0 {
		top = 1
	}
	top *= 1.1
	for _, share := range []float64{0, 0.5, 1} {
		t.Levels = append(t.Levels, level{Y: px(trendY(share*top, top)), Text: span(rounded(share * top))})
	}
	t.achieved(all, measured, top)
	t.objectives(measured, top)
	first, last := day(all[0]), day(all[len(all)-1])
	t.When = []mark{{X: trendLeft, Anchor: "middle", Text: first}, {X: trendRight, Anchor: "end", Text: last}}
	if len(all) == 1 {
		t.When = []mark{{X: px(trendX(0, 1)), Anchor: "middle", Text: first}}
	}
	t.Desc = fmt.Sprintf("%s of %s, from %s to %s: measured in %d, the objective missed in %d. The figures are in the table below.",
		t.Name, many(len(all), "report"), first, last, count, missed)
	return t
}

func day(s Summary) string {
	if s.Began.IsZero() {
		return "not known"
	}
	return s.Began.UTC().Format("2006-01-02")
}

// rounded leaves of a number on the scale what people read.
func rounded(seconds float64) float64 {
	if seconds < 10 {
		return seconds
	}
	return float64(int64(seconds + 0.5))
}

func trendX(i, n int) float64 {
	if n == 1 {
		return (trendLeft + trendRight) / 2.0
	}
	return trendLeft + float64(i)*(trendRight-trendLeft)/float64(n-1)
}

func trendY(seconds, top float64) float64 {
	return trendBottom - max(0, min(1, length(seconds)/top))*(trendBottom-trendTop)
}

// achieved draws the dots, and lines between neighbours. What was not measured is a
// cross at the bottom, and a gap.
func (t *trend) achieved(all []Summary, measured []Measure, top float64) {
	var run []string
	end := func() {
		if len(run) > 1 {
			t.Lines = append(t.Lines, strings.Join(run, " "))
		}
		run = nil
	}
	for i, m := range measured {
		d := dot{X: px(trendX(i, len(all))), Y: trendBottom, Class: "unmeasured"}
		d.Title = fmt.Sprintf("%s: %s, %s %s, objective %s", moment(all[i].Began), all[i].Verdict.word(), m.Name, spanOf(m.Achieved), m.asked())
		if m.Achieved == nil {
			end()
		} else {
			d.Y, d.Class = px(trendY(*m.Achieved, top)), "good"
			if m.Outcome == Missed {
				d.Class = "bad"
			}
			run = append(run, d.X.String()+","+d.Y.String())
		}
		t.Dots = append(t.Dots, d)
	}
	end()
}

// objectives draws the objective of each report around its dot, as it was then.
func (t *trend) objectives(measured []Measure, top float64) {
	var run []string
	for i := 0; i <= len(measured); i++ {
		if i == len(measured) || measured[i].Objective <= 0 {
			if run != nil {
				t.Objective = append(t.Objective, strings.Join(run, " "))
			}
			run = nil
			continue
		}
		left, right := float64(trendLeft), float64(trendRight)
		if i > 0 {
			left = (trendX(i-1, len(measured)) + trendX(i, len(measured))) / 2
		}
		if i < len(measured)-1 {
			right = (trendX(i, len(measured)) + trendX(i+1, len(measured))) / 2
		}
		y := px(trendY(measured[i].Objective, top)).String()
		run = append(run, px(left).String()+","+y, px(right).String()+","+y)
	}
}
