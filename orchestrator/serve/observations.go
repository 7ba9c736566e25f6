package serve

import (
	"cmp"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/replay"
)

// observations are the last facts of each plan. They are kept small, and made
// into metrics only when somebody asks.
type observations struct {
	descs map[string]*prometheus.Desc // by name

	mu    sync.Mutex
	plans map[string]*planFacts
}

// planFacts are what is told of one plan. What seen points to never changes.
type planFacts struct {
	seen     *sight
	signals  map[problem]int // images, or 1
	verified map[replay.ImageRef]time.Time
}

// sight is what one report says.
type sight struct {
	at             time.Time
	images         []imageFacts
	sites          []siteFacts
	problems       map[problem]int
	healthy, total int
	openRuns       int
}

// imageFacts are the facts of one image.
type imageFacts struct {
	ref    replay.ImageRef
	state  string
	roles  []siteRole
	copies []siteLag
	rpo    *float64 // seconds
	halted bool
}

type siteRole struct{ site, role string }

// siteLag is how far a copy is behind; nil is not known.
type siteLag struct {
	site                             string
	seconds, entries, bytes, catchUp *float64
}

type siteFacts struct {
	name    string
	up      bool
	seconds float64
	daemons int                // -1: not known
	full    map[string]float64 // seconds until a pool is, where that is known
}

type problem struct{ site, code, severity string }

func newObservations() *observations {
	o := &observations{descs: make(map[string]*prometheus.Desc, len(observed)), plans: make(map[string]*planFacts)}
	for _, f := range observed {
		o.descs[f.name] = f.desc()
	}
	return o
}

func (o *observations) saw(report *orchestrator.StatusReport) {
	seen := newSight(report)
	o.mu.Lock()
	defer o.mu.Unlock()
	facts := o.of(report.Plan)
	facts.seen = seen
	if len(report.Summary.Silent) == 0 { // else an image may only be out of sight
		facts.verified = seen.only(facts.verified)
	}
}

func (o *observations) told(plan string, all []alert.Signal) {
	images := map[problem]map[string]bool{}
	for i := range all {
		s := &all[i]
		p := problem{s.Site, s.Code, string(s.Severity)}
		if images[p] == nil {
			images[p] = map[string]bool{}
		}
		if s.Image != "" {
			images[p][s.Image] = true
		}
	}
	counts := make(map[problem]int, len(images))
	for p, of := range images {
		counts[p] = max(len(of), 1)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.of(plan).signals = counts
}

func (o *observations) proven(plan string, image replay.ImageRef, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.of(plan).verified[image] = at
}

func (o *observations) forget(plan string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.plans, plan)
}

// of gives the facts of a plan. The lock must be held.
func (o *observations) of(plan string) *planFacts {
	facts := o.plans[plan]
	if facts == nil {
		facts = &planFacts{verified: make(map[replay.ImageRef]time.Time)}
		o.plans[plan] = facts
	}
	return facts
}

func newSight(report *orchestrator.StatusReport) *sight {
	s := &sight{
		at: report.At, images: make([]imageFacts, 0, len(report.Images)), problems: make(map[problem]int),
		healthy: report.Summary.Healthy, total: report.Summary.Images,
	}
	known, running := make(map[replay.ImageRef]bool, len(report.Images)), make(map[string]bool)
	for i := range report.Images {
		image := &report.Images[i]
		if known[image.Ref] {
			continue
		}
		known[image.Ref] = true
		s.images = append(s.images, newImageFacts(image))
		if image.Run != "" {
			running[image.Run] = true
		}
		has := make(map[problem]bool, len(image.Problems))
		for _, p := range image.Problems {
			has[problem{p.Site, string(p.Code), string(p.Severity)}] = true
		}
		for p := range has {
			s.problems[p]++
		}
	}
	for _, p := range report.Problems {
		if p.Images == 0 {
			s.problems[problem{p.Site, string(p.Code), string(p.Severity)}] += 0
		}
	}
	s.openRuns = len(running)
	for i := range report.Sites {
		s.sites = append(s.sites, newSiteFacts(&report.Sites[i]))
	}
	return s
}

// only gives those times that are of images that were seen.
func (s *sight) only(times map[replay.ImageRef]time.Time) map[replay.ImageRef]time.Time {
	seen := make(map[replay.ImageRef]time.Time, len(times))
	for i := range s.images {
		if at, ok := times[s.images[i].ref]; ok {
			seen[s.images[i].ref] = at
		}
	}
	return seen
}

func newImageFacts(image *orchestrator.ImageStatus) imageFacts {
	f := imageFacts{ref: image.Ref, state: string(cmp.Or(image.Protection, image.State)), halted: image.Halt != "", roles: make([]siteRole, 0, len(image.Roles)), copies: make([]siteLag, 0, len(image.Copies))}
	if image.Objective != nil {
		f.rpo = number(*image.Objective)
	}
	for site, role := range image.Roles {
		f.roles = append(f.roles, siteRole{site, role})
	}
	for i := range image.Copies {
		c := &image.Copies[i]
		lag := siteLag{site: c.Site}
		if c.Lag.Seconds != nil {
			lag.seconds = number(c.Lag.Seconds.Seconds())
		}
		if c.Lag.Entries != nil {
			lag.entries = number(float64(*c.Lag.Entries))
		}
		if c.Lag.Bytes != nil {
			lag.bytes = number(float64(*c.Lag.Bytes))
		}
		if c.CatchUpSeconds != nil {
			lag.catchUp = number(*c.CatchUpSeconds)
		}
		f.copies = append(f.copies, lag)
	}
	return f
}

func newSiteFacts(site *orchestrator.SiteStatus) siteFacts {
	f := siteFacts{name: site.Name, up: site.Reachable, seconds: site.Seconds, daemons: -1}
	for i := range site.Filling {
		if p := &site.Filling[i]; p.FullSeconds != nil {
			if f.full == nil {
				f.full = map[string]float64{}
			}
			f.full[p.Pool] = *p.FullSeconds
		}
	}
	if site.Reachable && site.Error == "" {
		f.daemons = 0
		for i := range site.Daemons {
			if len(site.Daemons[i].Serves) > 0 {
				f.daemons++
			}
		}
	}
	return f
}

func number(n float64) *float64 { return &n }
