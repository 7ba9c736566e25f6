package alert_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
)

// story is what was told of one incident, on all channels.
type story struct {
	id       string
	ailment  *ailment
	since    time.Time
	resolved time.Time // when it was said to be over
	severity alert.Severity
	threads  map[string][]taken
}

// judge returns what the desk has done wrong.
func (d *day) judge() []string {
	var wrong []string
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	stories := d.stories(bad)
	for _, s := range stories {
		d.judgeThreads(s, bad)
		if len(wrong) > 0 {
			return wrong
		}
		d.judgeTruth(s, bad)
		d.judgeEnd(s, stories, bad)
		d.judgeEscalation(s, bad)
	}
	d.judgeMisses(stories, bad)
	for channel, times := range d.handed {
		for i := perMinute; i < len(times); i++ {
			if times[i].Sub(times[i-perMinute]) < time.Minute {
				bad("%s was handed more than %d messages in a minute at %s", channel, perMinute, times[i])
			}
		}
	}
	if n := len(d.left.Incidents); n > 0 {
		bad("%d incidents are left in the end", n)
	}
	return wrong
}

// stories sorts what was told by incident.
func (d *day) stories(bad func(string, ...any)) []*story {
	of := map[string]*story{}
	var all []*story
	for _, channel := range []string{"log", "chat", "pager", "boss"} {
		for _, m := range d.taken[channel] {
			s := of[m.ID]
			if s == nil {
				s = &story{id: m.ID, since: m.Since, threads: map[string][]taken{}}
				for _, a := range d.ailments {
					if a.code == m.Code && a.site == m.Site {
						s.ailment = a
					}
				}
				of[m.ID] = s
				all = append(all, s)
			}
			if s.ailment == nil || s.ailment.code != m.Code || s.ailment.site != m.Site || !s.since.Equal(m.Since) {
				bad("incident %s is told as one thing and as another", m.ID)
			}
			s.threads[channel] = append(s.threads[channel], m)
			if m.Kind == alert.Resolved {
				s.resolved, s.severity = m.At, m.Severity
			}
		}
	}
	slices.SortFunc(all, func(a, b *story) int { return a.since.Compare(b.since) })
	return all
}

// judgeThreads looks for repeats, and for what has no end or no beginning.
func (d *day) judgeThreads(s *story, bad func(string, ...any)) {
	for channel, thread := range s.threads {
		for i, m := range thread {
			switch {
			case m.Kind == alert.Opened && i > 0:
				bad("%s: %s is told of %s as new again at %s", channel, s.id, s.ailment.code, m.when)
			case m.Kind == alert.Changed && i == 0:
				bad("%s: %s is told of a change of what it does not know at %s", channel, s.id, m.when)
			case (m.Kind == alert.Resolved) != (i == len(thread)-1):
				bad("%s: %s of %s: message %d of %d is %q", channel, s.id, s.ailment.code, i+1, len(thread), m.Kind)
			case i > 0 && !m.At.After(thread[i-1].At):
				bad("%s: %s: twice the same, or the older after the newer, at %s", channel, s.id, m.when)
			}
		}
		if channel == "boss" && thread[0].Kind == alert.Opened {
			bad("%s is told of %s at once", channel, s.id)
		}
	}
}

// at is the index of the last check by a time.
func at(history []seen, t time.Time) int {
	i, exact := slices.BinarySearchFunc(history, t, func(s seen, t time.Time) int { return s.at.Compare(t) })
	if !exact {
		i--
	}
	return i
}

// judgeTruth looks for false alarms: each message, but for the last, must be of
// what held and was not silenced when it was said, and had held for long enough
// when the incident opened.
func (d *day) judgeTruth(s *story, bad func(string, ...any)) {
	history := d.history[s.ailment]
	name := fmt.Sprintf("%s of %s at %q", s.id, s.ailment.code, s.ailment.site)
	for channel, thread := range s.threads {
		for i, m := range thread {
			now := history[at(history, m.At)]
			if m.Kind == alert.Resolved || d.acked[m.At] {
				continue
			}
			if !now.loud && (!now.unseen || m.Kind != alert.Escalated) || now.follows && m.Kind != alert.Escalated {
				bad("%s: %s: %s at %s, when it did not hold: %+v", channel, name, m.Kind, m.At, now)
			}
			if now.loud && m.Severity != now.severity {
				bad("%s: %s: told as %s, when it was %s", channel, name, m.Severity, now.severity)
			}
			if i > 0 && m.Kind == alert.Changed && m.At.Sub(thread[i-1].At) < 5*time.Minute &&
				thread[i-1].Severity == m.Severity && !d.acked[thread[i-1].At] && thread[i-1].Kind == alert.Changed {
				bad("%s: %s: %s again after %s", channel, name, m.Kind, m.At.Sub(thread[i-1].At))
			}
		}
	}
	i := at(history, s.since)
	severity := history[i].severity
	if !history[i].at.Equal(s.since) || !history[i].loud || history[i].follows {
		bad("%s opened when there was no reason: %+v", name, history[i])
	}
	if d.causeOpen(s.ailment, s.since.Add(1-holdOff[severity]), s.since) {
		bad("%s opened at %s, right after what it follows from", name, s.since)
	}
	checks := 0
	first := s.since
	for ; i >= 0 && (history[i].holds || history[i].unseen); i-- {
		if history[i].holds {
			checks++
			first = history[i].at
		}
	}
	if s.ailment.code != "split-brain" && (checks < 2 || s.since.Sub(first) < holdOff[severity]) {
		bad("%s opened after %s and %d checks", name, s.since.Sub(first), checks)
	}
}

// judgeEnd looks at when an incident was said to be over: not while it could
// still come back, not long after; and one at a time of a kind.
func (d *day) judgeEnd(s *story, stories []*story, bad func(string, ...any)) {
	history := d.history[s.ailment]
	name := fmt.Sprintf("%s of %s at %q", s.id, s.ailment.code, s.ailment.site)
	for i := at(history, s.resolved); i >= 0 && s.resolved.Sub(history[i].at) <= settle[s.severity]; i-- {
		if history[i].holds || history[i].unseen {
			bad("%s was over at %s, when it was not: %+v", name, s.resolved, history[i])
			break
		}
	}
	opens := 0
	for _, o := range stories {
		if o.ailment != s.ailment {
			continue
		}
		if o != s && !o.since.Before(s.since) && o.since.Before(s.resolved) {
			bad("%s and %s are the same", name, o.id)
		}
		if !o.since.After(s.since) && s.since.Sub(o.since) < flapLong {
			opens++
		}
	}
	longest := settle[alert.Info] + 2*d.every
	switch {
	case opens > flapCount+1:
		bad("%s opened for the %d. time in %s", name, opens, flapLong)
	case opens == flapCount+1:
		longest = flapLong + 2*d.every
	}
	var gone time.Time
	for _, h := range history[at(history, s.since):] {
		switch {
		case h.holds || h.unseen:
			gone = time.Time{}
		case gone.IsZero():
			gone = h.at
		}
		if !gone.IsZero() && h.at.Sub(gone) > longest && s.resolved.After(h.at) {
			bad("%s is gone since %s, and was over only at %s", name, gone, s.resolved)
			break
		}
	}
}

// judgeEscalation looks at who is told when nobody acknowledges. What can rise in
// severity is left out: then the waiting begins anew.
func (d *day) judgeEscalation(s *story, bad func(string, ...any)) {
	boss := s.threads["boss"]
	if s.ailment.rises {
		return
	}
	ackedBy := func(t time.Time) bool {
		return slices.ContainsFunc(d.acks[s.id], func(a time.Time) bool { return !a.After(t) })
	}
	for _, m := range boss {
		if m.At.Sub(s.since) < escalated || ackedBy(s.since.Add(escalated-d.every)) {
			bad("%s of %s is escalated at %s, open since %s, acknowledged at %v", s.id, s.ailment.code, m.At, s.since, d.acks[s.id])
		}
	}
	limit := s.since.Add(escalated + d.every)
	if s.ailment.severity != alert.Critical || ackedBy(limit) {
		return
	}
	history := d.history[s.ailment]
	for _, h := range history[at(history, s.since) : at(history, limit)+1] {
		if !h.loud || h.follows {
			return
		}
	}
	if d.causeOpen(s.ailment, s.since, limit) {
		return
	}
	if len(boss) == 0 {
		bad("%s of %s is open since %s, and was not escalated", s.id, s.ailment.code, s.since)
	}
}

// causeOpen tells whether a cause of an ailment may have explained it.
func (d *day) causeOpen(a *ailment, from, to time.Time) bool {
	if a.code != "lag" && a.code != "stalled" {
		return false
	}
	for _, m := range d.taken["log"] {
		if m.Code != "site-unknown" || m.Site != a.site || m.Kind != alert.Resolved {
			continue
		}
		if !m.Since.After(to) && !m.At.Before(from) {
			return true
		}
	}
	return false
}

// judgeMisses looks for what held for long enough, and was not told to everybody
// whom it concerns; nor in time, where their channel worked.
func (d *day) judgeMisses(stories []*story, bad func(string, ...any)) {
	for _, a := range d.ailments {
		var first time.Time
		checks := 0
		for _, h := range d.history[a] {
			switch {
			case h.holds && first.IsZero():
				first, checks = h.at, 1
			case h.holds:
				checks++
			case !h.unseen:
				first = time.Time{}
			}
			if d.causeOpen(a, h.at, h.at) {
				checks = 0 // it is looked at anew when its cause is over
			}
			enough := holdOff[h.severity] + 2*d.every
			if !h.loud || h.follows || checks < 3 || h.at.Sub(first) < enough || d.causeOpen(a, h.at.Add(-enough), h.at) {
				continue
			}
			for _, channel := range direct[h.severity] {
				d.judgeTold(a, h, channel, stories, bad)
			}
		}
	}
}

// judgeTold looks for the thread that tells a channel what held at a time.
func (d *day) judgeTold(a *ailment, h seen, channel string, stories []*story, bad func(string, ...any)) {
	for _, s := range stories {
		thread := s.threads[channel]
		if s.ailment != a || len(thread) == 0 || s.since.After(h.at) || !s.resolved.After(h.at) {
			continue
		}
		// An outage ends at most the longest pause before this.
		works := !slices.ContainsFunc(d.outages[channel], func(o span) bool {
			return o.to.After(h.at.Add(-8*time.Minute)) && o.from.Before(h.at.Add(8*time.Minute))
		})
		if late := thread[0].when.Sub(h.at); works && late > 3*time.Minute {
			bad("%s: %s at %q held at %s, and was told %s later", channel, a.code, a.site, h.at, late)
		}
		return
	}
	bad("%s: %s at %q held at %s, and was never told", channel, a.code, a.site, h.at)
}
