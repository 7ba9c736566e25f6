package daemon

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
)

// commons is where the plans of a process tell together what is one loss for all of
// them: a site that answers nothing at all. Where people would hear of it in the same
// way, the first plan that has to tell tells for all, and the others are silent about it
// while that one speaks. Where no site answers each plan tells it for itself, as there
// another process may do so, too.
//
// That a plan is silent is bound to one incident of the one that speaks ([bond]), and
// remembered with what the plan has told: what begins later is told anew, and who goes
// on after a restart is silent about the same incident.
type commons struct {
	mu    sync.Mutex
	rooms []*room
}

const (
	// joinTime is for how long after an incident began plans may leave it to that one to
	// tell them: a loss comes to all within their next checks.
	joinTime = 10 * time.Minute
	// speakTime is how long a plan that spoke may be away, as for a restart or while its
	// lease is taken anew, until others tell what goes on.
	speakTime = 2 * time.Minute
)

// bond is what a silent plan remembers: whose incident tells of its loss.
type bond struct {
	Plan     string `json:"plan"`
	Incident string `json:"incident"`
}

// room is of the plans that have a site and all of their notifications in common.
type room struct {
	site    plans.Site
	people  plans.Notifications
	speaker bond             // who tells; zero: nobody has to yet
	since   time.Time        // when that incident began, by the clock of its messages
	gone    time.Time        // since when it does not speak; zero: it does
	voices  map[string]voice // by plan
}

// voice is what a plan has to say of a loss that it sees.
type voice struct {
	signals []alert.Signal
	began   time.Time // when it was heard here first
	open    bool      // it tells people itself
	silent  bool      // the speaker tells it
	until   time.Time // its next check is overdue then, and it counts no more
}

// room is the one of a plan and a site. c.mu is held.
func (c *commons) room(site plans.Site, people plans.Notifications) *room {
	site.Daemon, site.Fence = plans.Daemon{}, plans.Fence{} // say nothing of whether it answers
	for _, r := range c.rooms {
		if reflect.DeepEqual(r.site, site) && reflect.DeepEqual(r.people, people) {
			return r
		}
	}
	r := &room{site: site, people: people, voices: map[string]voice{}}
	c.rooms = append(c.rooms, r)
	return r
}

// leave takes a plan out of all rooms: somebody else looks after it, or nobody.
func (c *commons) leave(plan string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaveOf(plan, "")
}

// leaveOf takes a plan out of the rooms of a site, or of all. c.mu is held.
func (c *commons) leaveOf(plan, site string) {
	c.rooms = slices.DeleteFunc(c.rooms, func(r *room) bool {
		if site == "" || site == r.site.Name {
			r.leave(plan)
		}
		return len(r.voices) == 0
	})
}

func (r *room) leave(plan string) {
	delete(r.voices, plan)
	if r.speaker.Plan == plan && r.gone.IsZero() {
		r.gone = time.Now()
	}
}

// check has a desk look at what a check of a plan that acts has found, with what other
// plans have found of the same losses. next is when the plan's next check is overdue.
func (c *commons) check(plan *plans.Plan, desk *alert.Desk, now, next time.Time, result *orchestrator.CheckResult, signals []alert.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var inside []*room
	signals, silences := slices.Clone(signals), result.Silences
	for i := range plan.Sites {
		name := plan.Sites[i].Name
		own := of(signals, name)
		if len(own) == 0 || !slices.Contains(result.Blind, name) || hushed(name, now, silences) {
			c.leaveOf(plan.Name, name)
			if remembered(desk, name) != (bond{}) {
				desk.Note(bondNote+name, nil)
			}
			continue
		}
		r := c.room(plan.Sites[i], plan.Notifications)
		inside = append(inside, r)
		v, heard := r.voices[plan.Name]
		if !heard {
			v.began = time.Now()
		}
		_, v.open = opened(desk, name)
		v.signals, v.until = own, next
		r.expire()
		v.silent = !v.open && r.speaksFor(desk, plan.Name, v.began, now)
		r.voices[plan.Name] = v
		if v.silent {
			silences = append(slices.Clip(silences), alert.Silence{
				From: now, Until: now.Add(time.Minute), Match: alert.Match{Code: siteUnknown, Site: name},
				Reason: "the plan " + r.speaker.Plan + " tells of it",
			})
			continue
		}
		if others := r.others(plan.Name, now); len(others) > 0 {
			signals = append(signals, r.joined(others)...)
			also(signals, name, append(others, plan.Name))
		}
	}
	desk.Check(now, signals, result.Unseen, silences)
	for _, r := range inside {
		r.told(desk, plan.Name)
	}
}

// expire takes out those whose checks do not come.
func (r *room) expire() {
	for name, v := range r.voices {
		if time.Now().After(v.until) {
			r.leave(name)
		}
	}
	if !r.gone.IsZero() && time.Since(r.gone) > speakTime {
		r.speaker, r.gone = bond{}, time.Time{}
	}
}

// speaksFor reports whether another plan tells of a plan's loss, or is about to go on
// doing so.
func (r *room) speaksFor(desk *alert.Desk, plan string, began, now time.Time) bool {
	bound := remembered(desk, r.site.Name)
	switch {
	case r.speaker == bond{}:
		// After a restart the one that has told must have its first check.
		return bound != bond{} && bound.Plan != plan && time.Since(began) < speakTime
	case r.speaker.Plan == plan:
		return false
	case r.speaker == bound:
		return true
	case now.Sub(r.since) >= joinTime:
		return false
	}
	if text, err := json.Marshal(r.speaker); err == nil {
		desk.Note(bondNote+r.site.Name, text)
	}
	return true
}

// told takes in whether a plan tells people after a check.
func (r *room) told(desk *alert.Desk, plan string) {
	v := r.voices[plan]
	m, open := opened(desk, r.site.Name)
	v.open = open
	r.voices[plan] = v
	switch own := r.speaker.Plan == plan; {
	case open && (r.speaker == bond{} || own):
		r.speaker, r.since, r.gone = bond{plan, m.ID}, m.Since, time.Time{}
	case own:
		r.leave(plan)
		r.voices[plan] = v
	}
}

// others are the plans of whose losses a plan tells besides its own.
func (r *room) others(plan string, now time.Time) (names []string) {
	for name, v := range r.voices {
		mine := r.speaker == bond{} || r.speaker.Plan == plan && (v.silent || now.Sub(r.since) < joinTime)
		if name != plan && !v.open && mine {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// joined is what plans have to say, for another one to say it.
func (r *room) joined(names []string) (out []alert.Signal) {
	for _, name := range names {
		for _, s := range r.voices[name].signals {
			if s.Image != "" {
				s.Image = fmt.Sprintf("%s (plan %s)", s.Image, name)
			}
			out = append(out, s)
		}
	}
	return out
}

// also adds to what is said of a site of how many plans it is said.
func also(signals []alert.Signal, site string, names []string) {
	slices.Sort(names)
	told := fmt.Sprintf("; this is of %d plans: %s", len(names), named(names))
	for i := range signals {
		if signals[i].Code == siteUnknown && signals[i].Site == site {
			signals[i].What += told
		}
	}
}

// named are up to twenty names.
func named(names []string) string {
	const shown = 20
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}

// hushed reports whether somebody has silenced the loss for a plan, or some of its
// images: what others have to say must not be silenced by that.
func hushed(site string, now time.Time, silences []alert.Silence) bool {
	return slices.ContainsFunc(silences, func(s alert.Silence) bool {
		return !now.Before(s.From) && now.Before(s.Until) &&
			(s.Match.Code == "" || s.Match.Code == siteUnknown) && (s.Match.Site == "" || s.Match.Site == site)
	})
}

func of(signals []alert.Signal, site string) []alert.Signal {
	return slices.DeleteFunc(slices.Clone(signals), func(s alert.Signal) bool { return s.Code != siteUnknown || s.Site != site })
}

// opened is the open incident of a site's loss.
func opened(desk *alert.Desk, site string) (alert.Message, bool) {
	for _, m := range desk.Open() {
		if m.Code == siteUnknown && m.Site == site {
			return m, true
		}
	}
	return alert.Message{}, false
}

// bondNote begins the name under which a desk remembers a bond.
const bondNote = "told by another plan: "

// remembered is the incident by which a plan's loss of a site is told; zero: none.
func remembered(desk *alert.Desk, site string) (b bond) {
	if json.Unmarshal(desk.Noted(bondNote+site), &b) != nil {
		return bond{}
	}
	return b
}
