package daemon

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
)

// commons is where the plans of a process tell together what is one loss for all of
// them: a site that does not answer. Where people would hear of it in the same way, the
// first plan that has to tell tells for all, and the others are silent about it for as
// long as that one speaks. Where no site answers each plan tells it for itself, as there
// another process may do so, too.
//
// Nothing of it is stored. After a restart the plan that has told goes on, as its own
// memory says; plans that are in the hands of two processes are told by both.
type commons struct {
	mu    sync.Mutex
	rooms []*room
}

// room is of the plans that have a site and all of their notifications in common.
type room struct {
	site    plans.Site
	people  plans.Notifications
	speaker string           // the plan that tells; "": none has to yet
	voices  map[string]voice // by plan
}

// voice is what a plan has to say.
type voice struct {
	signals []alert.Signal
	open    bool      // it tells people itself
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

// leave takes a plan out of all rooms: somebody else tells of it, or nobody.
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
	if r.speaker == plan {
		r.speaker = ""
	}
}

// check has a desk look at what a check found, with what other plans have found of the
// same losses. next is when the plan's next check is overdue; it must be one that acts.
func (c *commons) check(plan *plans.Plan, desk *alert.Desk, now, next time.Time, signals []alert.Signal, hidden []alert.Unseen, silences []alert.Silence) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var inside []*room
	signals = slices.Clone(signals)
	for i := range plan.Sites {
		site := plan.Sites[i].Name
		own, open := of(signals, site), opened(desk, site)
		if len(own) == 0 && !open || hushed(site, now, silences) {
			c.leaveOf(plan.Name, site)
			continue
		}
		r := c.room(plan.Sites[i], plan.Notifications)
		r.voices[plan.Name] = voice{own, open, next}
		inside = append(inside, r)
		others := r.others(plan.Name, time.Now())
		switch {
		case r.speaker != "" && r.speaker != plan.Name && !open:
			silences = append(slices.Clip(silences), alert.Silence{
				From: now, Until: now.Add(time.Minute), Match: alert.Match{Code: siteUnknown, Site: r.site.Name},
				Reason: "the plan " + r.speaker + " tells of it",
			})
		case len(own) > 0 && len(others) > 0 && (!open || r.speaker == plan.Name):
			signals = append(signals, r.joined(others)...)
			also(signals, r.site.Name, append(others, plan.Name))
		}
	}
	desk.Check(now, signals, hidden, silences)
	for _, r := range inside {
		v := r.voices[plan.Name]
		v.open = opened(desk, r.site.Name)
		r.voices[plan.Name] = v
		switch {
		case v.open && r.speaker == "":
			r.speaker = plan.Name
		case !v.open && r.speaker == plan.Name:
			r.speaker = ""
		}
	}
}

// hushed reports whether somebody has silenced the loss for this plan, or some of its
// images: what others have to say must not be silenced by that.
func hushed(site string, now time.Time, silences []alert.Silence) bool {
	return slices.ContainsFunc(silences, func(s alert.Silence) bool {
		return !now.Before(s.From) && now.Before(s.Until) &&
			(s.Match.Code == "" || s.Match.Code == siteUnknown) && (s.Match.Site == "" || s.Match.Site == site)
	})
}

// others are the other plans that have something to say, and do not tell it themselves.
func (r *room) others(plan string, now time.Time) (names []string) {
	for name, v := range r.voices {
		switch {
		case name == plan:
		case now.After(v.until):
			r.leave(name)
		case !v.open && len(v.signals) > 0:
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
	told := fmt.Sprintf("; %d plans need it: %s", len(names), brief(names))
	for i := range signals {
		if signals[i].Code == siteUnknown && signals[i].Site == site {
			signals[i].What += told
		}
	}
}

// brief names up to ten.
func brief(names []string) string {
	const shown = 10
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}

func of(signals []alert.Signal, site string) []alert.Signal {
	return slices.DeleteFunc(slices.Clone(signals), func(s alert.Signal) bool { return s.Code != siteUnknown || s.Site != site })
}

func opened(desk *alert.Desk, site string) bool {
	return slices.ContainsFunc(desk.Open(), func(m alert.Message) bool { return m.Code == siteUnknown && m.Site == site })
}
