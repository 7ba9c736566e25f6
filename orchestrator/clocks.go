package orchestrator

import (
	"fmt"
	"slices"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// ProblemClockDiffers is that this host's clock and that of a site's rbd-mirror differ.
const ProblemClockDiffers replay.ProblemCode = "clock-differs"

const (
	// clockTold is by how much clocks differ that is told: more than reports, which are
	// written every half a minute, can make it seem.
	clockTold = 2 * time.Minute
	// clockDoubt is how exactly a report has to keep pace with this host's time, or how
	// short ago it must have been looked, for it to be known as new.
	clockDoubt = time.Minute
	// clockPatience is how long it takes, at most, to see a daemon write a report anew.
	clockPatience = 90 * time.Second
)

// clocks are what is known, by looking again and again, of the clocks of the hosts that
// rbd-mirror runs on, against this host's. A daemon that lives writes its reports anew
// every half a minute: what it dates one that has just been written is its time.
//
// Ages go by how long this process has waited, which no clock that is set changes.
type clocks struct {
	began time.Time // of the first look; what has passed since is monotonic
	sites map[string]*siteClock
}

// siteClock is one site's.
type siteClock struct {
	began  time.Time // when it was first looked at
	looked time.Time // when last
	looks  int
	newest time.Time // what its newest report is dated
	seen   time.Time // when that was first seen
	// ahead is by how much this process's time is ahead of the site's; 0: they agree, or
	// nothing is known.
	ahead time.Duration
	known bool // its daemon was seen to write
}

// look takes in what the sites report. It must be called once for each look.
func (c *clocks) look(obs *Observation) {
	if c.sites == nil {
		c.began, c.sites = time.Now(), map[string]*siteClock{}
	}
	for i := range obs.Sites {
		site := &obs.Sites[i]
		newest := newestReport(site)
		if newest.IsZero() {
			continue
		}
		s := c.sites[site.Name]
		if s == nil {
			s = &siteClock{began: c.now()}
			c.sites[site.Name] = s
		}
		s.look(newest, c.now())
	}
}

// now is this process's time.
func (c *clocks) now() time.Time { return c.began.Round(0).Add(time.Since(c.began)) }

// newestReport is when the site's daemons wrote last, by their own clocks.
func newestReport(site *SiteObservation) (newest time.Time) {
	for i := range site.Pools {
		pool := &site.Pools[i]
		for k := range pool.Reports {
			r := &pool.Reports[k]
			own := r.MirrorUUID == "" || r.MirrorUUID == pool.Mirroring.UUID
			if r.Up && own && r.Updated.After(newest) {
				newest = r.Updated
			}
		}
	}
	return newest
}

// look takes in what the newest report is dated.
func (s *siteClock) look(newest, now time.Time) {
	last, before := s.looked, s.newest
	s.looked = now
	s.looks++
	if newest.Sub(now) > clockTold && newest.Sub(now) > -s.ahead {
		s.is(now.Sub(newest)) // nobody dates what is to come
	}
	if newest.Equal(before) {
		return
	}
	passed, wrote := now.Sub(s.seen), newest.Sub(before)
	s.newest, s.seen = newest, now
	if before.IsZero() {
		return
	}
	// Either it was written since the last look, which was just now; or as much time has
	// passed there as here since it was seen before, so that the daemon has kept pace.
	if now.Sub(last) <= clockDoubt || (passed-wrote).Abs() <= clockDoubt {
		s.is(now.Sub(newest))
		s.known = true
	}
}

// is takes in how much this process is ahead.
func (s *siteClock) is(ahead time.Duration) {
	if ahead.Abs() < clockTold {
		ahead = 0
	}
	s.ahead = ahead
}

// undecided reports whether a report that seems old may be that of a daemon whose clock
// differs: it was not looked at for as long as it takes to see it write.
func (c *clocks) undecided(site string) bool {
	s := c.sites[site]
	return s != nil && !s.known && (s.looks < 2 || s.looked.Sub(s.began) < clockPatience)
}

// hide takes out of signals the stale reports of sites where that cannot be told yet, so
// that it is neither begun nor over.
func (c *clocks) hide(signals []alert.Signal) (left []alert.Signal, unseen []alert.Unseen) {
	const stale = string(replay.ProblemReportStale)
	for name := range c.sites {
		if c.undecided(name) {
			unseen = append(unseen, alert.Unseen{Site: name, Codes: []string{stale}})
		}
	}
	left = slices.DeleteFunc(signals, func(s alert.Signal) bool { return s.Code == stale && c.undecided(s.Site) })
	return left, unseen
}

// correct makes evidence of a wall clock's now such that it can be judged: reports by
// their sites' clocks, and all else by this host's, or by that of the sites where all
// that are known agree on another one, so that it is this host's that is wrong.
func (c *clocks) correct(evidence []replay.Evidence, wall time.Time) {
	ahead := map[string]time.Duration{}
	for name := range c.sites {
		ahead[name] = c.differs(name, wall)
	}
	shift := agreed(ahead)
	for i := range evidence {
		e := &evidence[i]
		e.Now = e.Now.Add(-shift)
		for k := range e.Sites {
			if by, ok := ahead[e.Sites[k].Site]; ok {
				e.Sites[k].ClockAhead = by - shift
			}
		}
	}
}

// differs is by how much a wall clock is ahead of a site's.
func (c *clocks) differs(site string, wall time.Time) time.Duration {
	s := c.sites[site]
	if s == nil {
		return 0
	}
	by := s.ahead + wall.Sub(c.now())
	if by.Abs() < clockTold && s.ahead == 0 {
		return 0
	}
	return by
}

// agreed is by how much this host is ahead of several sites that agree with each other;
// 0: it is not, or that cannot be told.
func agreed(ahead map[string]time.Duration) time.Duration {
	var least, most time.Duration
	n := 0
	for _, by := range ahead {
		if n == 0 {
			least, most = by, by
		}
		least, most = min(least, by), max(most, by)
		n++
	}
	if n < 2 || most-least > clockTold || least.Abs() < clockTold || most.Abs() < clockTold {
		return 0
	}
	return (least + most) / 2
}

// problems tell of clocks that differ.
func (c *clocks) problems(plan *plans.Plan, wall time.Time) []StatusProblem {
	var out []StatusProblem
	for _, site := range plan.Sites {
		by := c.differs(site.Name, wall)
		if by.Abs() < clockTold {
			continue
		}
		word := "ahead of"
		if by < 0 {
			word = "behind"
		}
		out = append(out, StatusProblem{Problem: replay.Problem{
			Code: ProblemClockDiffers, Severity: replay.SeverityWarning, Site: site.Name,
			What: fmt.Sprintf("the clock of this host is %v %s that of rbd-mirror at %s", by.Abs().Round(time.Minute), word, site.Name),
			Next: "set the clocks of both hosts by NTP (timedatectl timesync-status shows which one is wrong); until then lags in seconds may be wrong",
		}})
	}
	return out
}
