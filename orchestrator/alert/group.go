package alert

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// worstShown is how many images a message names.
const worstShown = 10

// subject is what an incident is of.
type subject struct {
	Code string `json:"code"`
	Site string `json:"site,omitempty"`
	Key  string `json:"key,omitempty"`
}

func (s subject) compare(o subject) int {
	return cmp.Or(cmp.Compare(s.Code, o.Code), cmp.Compare(s.Site, o.Site), cmp.Compare(s.Key, o.Key))
}

// group is what one check found of a subject. A group in which nothing holds is
// of a subject that is still watched.
type group struct {
	subject
	severity Severity  // the greatest, silenced ones too
	signals  []*Signal // that are not silenced, the worst first
	silenced int
	open     bool   // it has an incident already
	cause    *group // that it merely follows from
	crowd    *Crowd // it is of many that would have an incident each
	follow   []*group
}

// holds tells whether the check found anything.
func (g *group) holds() bool { return len(g.signals)+g.silenced > 0 }

// group sorts what a check found by subject, and adds the subjects that are
// watched though nothing was found of them.
func (d *Desk) group(now time.Time, signals []Signal, silences []Silence) []*group {
	silences = slices.DeleteFunc(slices.Clone(silences), func(s Silence) bool { return now.Before(s.From) || !now.Before(s.Until) })
	place := d.places(now, signals, silences)
	of := map[subject]*group{}
	var groups []*group
	at := func(s subject) *group {
		g := of[s]
		if g == nil {
			g = &group{subject: s, severity: Info}
			of[s] = g
			groups = append(groups, g)
		}
		return g
	}
	for i := range signals {
		s := &signals[i]
		g := at(place(s))
		g.severity = graver(g.severity, s.Severity)
		if covered(silences, now, s) {
			g.silenced++
			continue
		}
		g.signals = append(g.signals, s)
	}
	for _, w := range d.memory.Watches {
		g := at(w.subject)
		g.open = w.Open != ""
		if in := d.incident(w.Open); in != nil && !g.holds() {
			g.severity = in.Now.Severity
		}
	}
	for _, g := range groups {
		if crowd, ok := d.options.Crowds[g.Code]; ok && g.Key == crowdKey {
			g.crowd = &crowd
		}
		slices.SortFunc(g.signals, worse)
	}
	slices.SortFunc(groups, func(a, b *group) int { return a.compare(b.subject) })
	return groups
}

// worse orders signals, the worst first.
func worse(a, b *Signal) int {
	return cmp.Or(
		cmp.Compare(b.Severity.rank(), a.Severity.rank()),
		cmp.Compare(b.Rank, a.Rank),
		cmp.Compare(a.Image, b.Image),
		cmp.Compare(a.What, b.What),
	)
}

// graver returns the more severe of two.
func graver(a, b Severity) Severity {
	switch {
	case b.rank() > a.rank() && b.rank() == Critical.rank():
		return Critical
	case b.rank() > a.rank():
		return b
	}
	return a
}

// fold finds for each group the cause that it merely follows from: a subject of
// the same site that holds, or is open still, and is no less severe.
func (d *Desk) fold(groups []*group) {
	causes := map[string][]*group{} // by site
	for _, g := range groups {
		if len(d.after[g.Code]) > 0 && (g.holds() || g.open) {
			causes[g.Site] = append(causes[g.Site], g)
		}
	}
	follows := func(g, cause *group) bool {
		return cause.severity.rank() >= g.severity.rank() && slices.Contains(d.after[cause.Code], g.Code) &&
			// Of two that follow from each other, one must be told.
			(!slices.Contains(d.after[g.Code], cause.Code) || cause.Code < g.Code)
	}
	for _, g := range groups {
		for _, cause := range causes[g.Site] {
			isRoot := !slices.ContainsFunc(causes[g.Site], func(c *group) bool { return follows(cause, c) })
			if isRoot && follows(g, cause) {
				g.cause = cause
				cause.follow = append(cause.follow, g)
				break
			}
		}
	}
}

// closure returns for each code all that follow from it, by others too.
func closure(effects map[string][]string) map[string][]string {
	all := map[string][]string{}
	for cause := range effects {
		var seen []string
		for todo := []string{cause}; len(todo) > 0; todo = todo[1:] {
			for _, code := range effects[todo[0]] {
				if code != cause && !slices.Contains(seen, code) {
					seen, todo = append(seen, code), append(todo, code)
				}
			}
		}
		all[cause] = seen
	}
	return all
}

// message says all that a group is known of; it has at least one signal.
func (g *group) message() Message {
	worst := g.signals[0]
	m := Message{
		Code: g.Code, Site: g.Site, Severity: graver(Info, worst.Severity),
		What: worst.What, Next: worst.Next, Details: slices.Clone(worst.Details), Asks: g.question(),
	}
	seen := map[string]bool{}
	count := func(signals []*Signal) {
		for _, s := range signals {
			if s.Image == "" || seen[s.Image] {
				continue
			}
			seen[s.Image] = true
			if len(m.Worst) < worstShown {
				m.Worst = append(m.Worst, s.Image)
			}
		}
	}
	count(g.signals)
	switch {
	case g.crowd != nil:
		g.crowd.tell(&m, g.signals, len(seen))
	case len(seen) > 1 && len(m.Details) > 0:
		m.Details = append([]Detail{{Name: "as an example", Text: worst.Image}}, m.Details...)
	}
	for _, f := range g.follow {
		if len(f.signals) == 0 {
			continue
		}
		before := len(seen)
		count(f.signals)
		text := f.signals[0].What
		if n := len(seen) - before; n > 1 {
			text = fmt.Sprintf("%s, and %d images more", text, n-1)
		}
		m.Details = append(m.Details, Detail{Name: f.Code, Text: text})
	}
	m.Images = len(seen)
	return m
}

// question is what all of a group's signals ask alike; nil where they do not: one
// answer cannot be given on several pieces of evidence.
func (g *group) question() *Question {
	first := g.signals[0].Asks
	for _, s := range g.signals {
		if !first.same(s.Asks) {
			return nil
		}
	}
	if first == nil || g.crowd != nil {
		return nil
	}
	asks := *first
	return &asks
}

// images are those of the group's own signals, the worst first.
func (g *group) images() (names []string) {
	seen := map[string]bool{}
	for _, s := range g.signals {
		if s.Image != "" && !seen[s.Image] {
			seen[s.Image] = true
			names = append(names, s.Image)
		}
	}
	return names
}
