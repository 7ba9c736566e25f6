package orchestrator

import (
	"time"

	"github.com/drover-io/drover/replay"
)

const (
	// paceWindow is over which time the rate is taken at which copies close in, where
	// looks are frequent; else it is paceLooks of them.
	paceWindow = 5 * time.Minute
	paceLooks  = 4
	// paceSamples bounds what is kept of a copy.
	paceSamples = 16
	// paceSpan is how long a copy must have been looked at until a rate is told:
	// rbd-mirror commits what it has replayed every 5 s.
	paceSpan = 15 * time.Second
	// paceLast is beyond what an estimate means nothing.
	paceLast = 30 * 24 * time.Hour
)

// Pace is what several looks at the same plan, one after another, tell and one alone
// cannot: how fast copies close in on their primaries. The zero value knows nothing
// yet. It is not safe for concurrent use.
type Pace struct {
	looks  int
	copies map[trailKey]*approach
	clocks clocks
}

// approach is how one copy has come closer over the last looks.
type approach struct {
	look    int
	unit    paceUnit
	samples []paceSample
}

// paceUnit is what the distance of a copy is measured in.
type paceUnit string

const (
	paceEntries paceUnit = "entries"
	pacePercent paceUnit = "percent"
)

// paceSample is how much a copy lacked at a time. Samples are at times of one clock,
// which need not be this process's: seen is when it was heard of here.
type paceSample struct {
	at, seen time.Time
	left     float64
}

// note learns from a look, and fills in the estimates that the looks so far allow.
func (p *Pace) note(report *StatusReport, now time.Time) {
	p.looks++
	if p.copies == nil {
		p.copies = map[trailKey]*approach{}
	}
	for i := range report.Images {
		image := &report.Images[i]
		for j := range image.Copies {
			p.noteCopy(trailKey{image.Ref, image.Copies[j].Site}, &image.Copies[j], now)
		}
	}
	for key, a := range p.copies {
		if a.look != p.looks {
			delete(p.copies, key)
		}
	}
}

func (p *Pace) noteCopy(key trailKey, c *CopyStatus, now time.Time) {
	unit, sample, ok := distanceOf(c, now)
	if !ok {
		if c.Lag.CaughtUp {
			c.CatchUpSeconds = new(float64)
		}
		return // what is not known breaks the row
	}
	a := p.copies[key]
	if a == nil || a.unit != unit {
		a = &approach{unit: unit}
		p.copies[key] = a
	}
	a.look = p.looks
	a.add(sample)
	if left, closing := a.estimate(now); closing {
		s := left.Seconds()
		c.CatchUpSeconds = &s
	}
	c.FallsBehind = a.recedes()
}

// distanceOf is how much a copy lacks: entries of its primary's journal, or what is
// left of a first sync or of the mirror snapshot that is being copied. Old numbers
// are none.
func distanceOf(c *CopyStatus, now time.Time) (unit paceUnit, s paceSample, ok bool) {
	switch {
	case c.Lag.Exact && c.Lag.Entries != nil:
		return paceEntries, paceSample{at: now, seen: now, left: float64(*c.Lag.Entries)}, true
	case c.SyncPercent != nil && c.Report != nil && !c.Lag.CaughtUp && c.State != replay.Unknown:
		return pacePercent, paceSample{at: c.Report.Updated, seen: now, left: 100 - *c.SyncPercent}, true
	}
	return unit, s, false
}

// add adds a sample, and forgets those that are too old to matter.
func (a *approach) add(s paceSample) {
	n := len(a.samples)
	switch {
	case n > 0 && !s.at.After(a.samples[n-1].at):
		if s.at.Equal(a.samples[n-1].at) {
			return // the daemon has not reported anew
		}
		a.samples = nil // a clock was set back
	case n > 0 && s.left < a.samples[n-1].left/4:
		a.samples = nil // it has caught up all at once: nothing follows for what comes
	case n >= paceLooks && s.at.Sub(a.samples[n-2].at) < paceWindow/paceSamples:
		a.samples = a.samples[:n-1]
	}
	a.samples = append(a.samples, s)
	old := 0
	for len(a.samples)-old > paceLooks && (s.at.Sub(a.samples[old].at) > paceWindow || len(a.samples)-old > paceSamples) {
		old++
	}
	a.samples = a.samples[old:]
}

// estimate is how long the copy still needs at the rate since it lacked most; ok is
// false while that cannot be told, or it does not close in.
func (a *approach) estimate(now time.Time) (left time.Duration, ok bool) {
	last := a.samples[len(a.samples)-1]
	if last.left <= 0 {
		return 0, true
	}
	peak := 0
	for i := range a.samples {
		if a.samples[i].left >= a.samples[peak].left {
			peak = i
		}
	}
	since := a.samples[peak:]
	if len(since) < 3 || last.at.Sub(since[0].at) < paceSpan {
		return 0, false
	}
	rate := -slope(since)
	if rate <= 0 {
		return 0, false
	}
	seconds := last.left / rate
	if seconds > paceLast.Seconds() {
		return 0, false
	}
	left = time.Duration(seconds*float64(time.Second)) - now.Sub(last.seen)
	return max(left, 0), true
}

// recedes reports whether the copy lacks more and more.
func (a *approach) recedes() bool {
	n := len(a.samples)
	if n < paceLooks {
		return false
	}
	first, last := a.samples[0], a.samples[n-1]
	for i := range a.samples {
		if a.samples[i].left > last.left {
			return false
		}
	}
	return last.at.Sub(first.at) >= 2*paceSpan && last.left > first.left*1.1 && slope(a.samples) > 0
}

// slope is by how much what is lacking grows in a second, as the line tells that
// fits the samples best.
func slope(samples []paceSample) float64 {
	var at, left float64
	n := float64(len(samples))
	for _, s := range samples {
		at += s.at.Sub(samples[0].at).Seconds() / n
		left += s.left / n
	}
	var up, across float64
	for _, s := range samples {
		d := s.at.Sub(samples[0].at).Seconds() - at
		up += d * (s.left - left)
		across += d * d
	}
	if across == 0 {
		return 0
	}
	return up / across
}
