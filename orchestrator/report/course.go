package report

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// course is when the steps and checks of a report were, in seconds since its
// beginning (or since whatever was first, should clocks disagree).
type course struct {
	begin   float64 // of the report; 0 but where clocks disagree
	last    float64 // when the last of it was over
	moments []stretch
	undated int // steps and checks of which nobody knows when they were
}

// stretch is one step or check, or a phase of many.
type stretch struct {
	name, site, of string
	check          bool
	verdict        Verdict
	start, end     float64
	count, bad     int // how many it stands for, and how many of them failed
}

// seconds is how long it took.
func (s *stretch) seconds() float64 { return s.end - s.start }

func courseOf(r *Report) *course {
	origin := r.Began
	earlier := func(t time.Time) {
		if !t.IsZero() && (origin.IsZero() || t.Before(origin)) {
			origin = t
		}
	}
	for i := range r.Steps {
		earlier(r.Steps[i].Began)
	}
	for i := range r.Checks {
		earlier(r.Checks[i].Began)
	}
	c := &course{}
	since := func(t time.Time) float64 { return length(t.Sub(origin).Seconds()) }
	if !r.Began.IsZero() {
		c.begin = since(r.Began)
		c.last = max(c.begin, since(r.Ended))
	}
	add := func(s stretch, began time.Time, seconds float64) {
		if began.IsZero() {
			c.undated++
			return
		}
		s.start = since(began)
		s.end = s.start + length(seconds)
		c.last = max(c.last, s.end)
		c.moments = append(c.moments, s)
	}
	for i := range r.Steps {
		s := &r.Steps[i]
		one := stretch{name: line(s.Name), site: line(s.Site), of: line(s.Of), verdict: Passed, count: s.count()}
		if !s.OK {
			one.verdict, one.bad = Failed, one.count
		}
		add(one, s.Began, s.Seconds)
	}
	for i := range r.Checks {
		k := &r.Checks[i]
		one := stretch{name: line(k.Name), of: line(k.Of), check: true, verdict: k.Verdict, count: k.count()}
		if k.Verdict != Passed && k.Verdict != Skipped {
			one.bad = one.count
		}
		add(one, k.Began, k.Seconds)
	}
	return c
}

// phases are what was done, in order: each step or check by its name and site, from
// the first of it to the last.
func (c *course) phases() []stretch {
	type key struct {
		name, site string
		check      bool
	}
	at := make(map[key]int)
	var phases []stretch
	for _, m := range c.moments {
		k := key{m.name, m.site, m.check}
		i, known := at[k]
		if !known {
			at[k] = len(phases)
			m.of = ""
			phases = append(phases, m)
			continue
		}
		phases[i].join(m)
	}
	slices.SortStableFunc(phases, func(a, b stretch) int { return cmp.Compare(a.start, b.start) })
	return phases
}

// join takes in another of the same phase; the worst verdict is that of all.
func (s *stretch) join(other stretch) {
	s.start, s.end = min(s.start, other.start), max(s.end, other.end)
	s.count, s.bad = s.count+other.count, s.bad+other.bad
	if other.verdict.rank() < s.verdict.rank() {
		s.verdict = other.verdict
	}
}

// unit is an image, a group or what else steps and checks were of.
type unit struct {
	whole    stretch
	moments  []stretch
	firstAt  int // where it came in the report
	troubled bool
}

// units are the moments of each thing: what failed first, then what took longest.
func (c *course) units() []unit {
	at := make(map[string]int)
	var units []unit
	for _, m := range c.moments {
		i, known := at[m.of]
		if !known {
			i = len(units)
			at[m.of] = i
			units = append(units, unit{whole: m, firstAt: i})
		} else {
			units[i].whole.join(m)
		}
		units[i].moments = append(units[i].moments, m)
		units[i].troubled = units[i].troubled || m.bad > 0
	}
	slices.SortFunc(units, func(a, b unit) int {
		if a.troubled != b.troubled {
			if a.troubled {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.whole.seconds(), a.whole.seconds()), cmp.Compare(a.firstAt, b.firstAt))
	})
	return units
}

// sorted are the indices of a list, the worst verdicts first, else as they came.
func sorted(n int, verdict func(int) Verdict) []int {
	return sortedBy(n, func(a, b int) bool { return verdict(a).rank() < verdict(b).rank() })
}

// sortedBy are the indices of a list, sorted; those that are alike, as they came.
func sortedBy(n int, before func(a, b int) bool) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return before(order[a], order[b]) })
	return order
}
