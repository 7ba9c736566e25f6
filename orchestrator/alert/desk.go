package alert

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Route sends incidents of some severities to channels.
type Route struct {
	Severities []Severity
	Channels   []string
	// EscalateAfter, where it is not 0, is how long an incident must have been
	// acknowledged by nobody before these channels are told of it at all.
	EscalateAfter time.Duration
}

// Options are how a desk decides. Zero means without: no hold-off, no limit.
type Options struct {
	Plan   string
	Routes []Route
	// HoldOff is how long a signal must hold before its incident opens, Settle how
	// long it must be away before the incident is over.
	HoldOff, Settle map[Severity]time.Duration
	// Immediate are the codes that open at their first check where they are
	// critical, because whoever finds them has looked twice.
	Immediate []string
	// Recorded are the codes of what is read from records and not observed: they
	// open at their first check, are over at the first that does not find them, and
	// are known however many sites are silent.
	Recorded []string
	// Crowds are, by code, the signals that are told together once they are many,
	// though each has a key of its own.
	Crowds map[string]Crowd
	// AnswerWithin is how long a question may be answered.
	AnswerWithin time.Duration
	// Effects are, for the code of a cause, the codes that merely follow from it at
	// the same site. They are shown with their cause, unless they are more severe,
	// and are silent where it is silenced.
	Effects map[string][]string
	// Across are the codes that are found only where all sites are seen: they are not
	// over as long as any site is blind.
	Across []string
	// Slow are the codes that only several checks can find, and for how long after its
	// first one a desk that goes on does not take them to be over.
	Slow map[string]time.Duration
	// Each are the codes of which each image matters for itself: one more is told within
	// seconds, and to whoever has taken the others on as well.
	Each []string
	// Updates are the channels that can put right what they have shown without telling
	// anybody (see [Message.Silent]).
	Updates []string
	// MinInterval is the least time from one message of an incident to the next
	// that says only that it has changed.
	MinInterval time.Duration
	// Flaps is how often an incident may open within FlapWindow. When it opens once
	// more, it stays open until nothing was seen of it for as long as that.
	Flaps      int
	FlapWindow time.Duration
	// PerMinute is how many messages a channel may be handed within a minute.
	PerMinute int
	// FailingAfter is how long a channel may take nothing before the other channels
	// are told; when it refuses a message for good, they are told anyway.
	FailingAfter time.Duration
	// Forget is how long an incident that is over is kept for a channel that still
	// has not taken the message of it.
	Forget time.Duration
	// BeatEvery is the time between two heartbeats.
	BeatEvery time.Duration
	// Seed is of the random part of the time between attempts, and of the ids of
	// incidents: two desks that know nothing of each other have two.
	Seed uint64
}

// DefaultOptions are the options of a plan that says nothing but its routes.
func DefaultOptions(plan string, routes []Route) Options {
	return Options{
		Plan: plan, Routes: routes,
		HoldOff:     map[Severity]time.Duration{Info: 2 * time.Minute, Warning: time.Minute, Critical: 20 * time.Second},
		Settle:      map[Severity]time.Duration{Info: 2 * time.Minute, Warning: 2 * time.Minute, Critical: time.Minute},
		MinInterval: 5 * time.Minute,
		Flaps:       3, FlapWindow: time.Hour,
		PerMinute:    20,
		FailingAfter: 10 * time.Minute,
		Forget:       7 * 24 * time.Hour,
		BeatEvery:    time.Minute,
		AnswerWithin: time.Hour,
	}
}

// Desk decides for one plan who is told what, and when. It sends nothing itself:
// its owner gives it what checks find ([Desk.Check]), sends what is due
// ([Desk.Due]) and says how that went ([Desk.Done], [Desk.Failed]), and stores
// its memory after each of these. Its methods may be called at the same time.
type Desk struct {
	options Options
	after   map[string][]string // by code of a cause: all codes that follow from it

	mu     sync.Mutex
	memory Memory
	began  time.Time // its first check
}

// NewDesk returns a desk that goes on from a memory; the zero memory is that of
// a first start. Where the memory is of a version that this program does not know
// the desk begins with none, and an error that wraps [ErrMemory] says so: the
// desk can be used all the same, and tells anew what still holds.
func NewDesk(options Options, memory Memory) (*Desk, error) {
	d := &Desk{options: options, after: closure(options.Effects)}
	if !memory.known() {
		d.memory.Version = memoryVersion
		return d, fmt.Errorf("%w: its record has version %d, and this program knows version %d", ErrMemory, memory.Version, memoryVersion)
	}
	d.memory = memory.clone()
	d.memory.Version = memoryVersion
	d.takeUp()
	return d, nil
}

// takeUp makes the deliveries that were under way when the memory was stored due
// again, as well as those that a channel had refused, which may have been mended,
// and forgets channels that the plan has no more.
func (d *Desk) takeUp() {
	channels := d.channels()
	gone := func(name string) bool { return !slices.Contains(channels, name) }
	for _, in := range d.memory.Incidents {
		in.Threads = slices.DeleteFunc(in.Threads, func(t *thread) bool { return gone(t.Channel) })
		for _, t := range in.Threads {
			t.putBack()
			if t.Next != nil && t.Next.Refused > 0 {
				t.Next.NotBefore = time.Time{}
			}
		}
	}
	d.memory.Outlets = slices.DeleteFunc(d.memory.Outlets, func(o *outlet) bool { return gone(o.Name) })
}

// channels are the names of all channels that a route leads to.
func (d *Desk) channels() []string {
	var names []string
	for _, r := range d.options.Routes {
		names = append(names, r.Channels...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Memory returns all that the desk must remember over a restart.
func (d *Desk) Memory() Memory {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.memory.clone()
}

// Open returns what is known of each open incident, the most severe first, as
// messages of the kind [Opened].
func (d *Desk) Open() []Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	var open []Message
	for _, in := range d.memory.Incidents {
		if !in.Over {
			open = append(open, in.Now)
		}
	}
	slices.SortStableFunc(open, func(a, b Message) int { return b.Severity.rank() - a.Severity.rank() })
	return open
}

// ErrNoIncident is of an id that no open incident has.
var ErrNoIncident = errors.New("no such open incident")

// Acknowledge notes who has taken an incident on. It is not escalated any more,
// and the channels that know of it are told, unless it is silenced. The only
// error is [ErrNoIncident].
func (d *Desk) Acknowledge(now time.Time, id, who string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock(now)
	for _, in := range d.memory.Incidents {
		if in.ID != id || in.Over {
			continue
		}
		if in.Now.Acknowledged != who {
			in.Now.Acknowledged = who
			if !in.Quiet {
				in.say(now, Changed)
			}
		}
		return nil
	}
	return ErrNoIncident
}

// Recorded is [Desk.Acknowledge] by a record, which counts once. Records that are older
// than the last one, by their ids, and of incidents that are not open count no more.
func (d *Desk) Recorded(now time.Time, id, record, who string) {
	d.mu.Lock()
	in := d.incident(id)
	counts := in != nil && in.Answer < record
	if counts {
		in.Answer = record
	}
	d.mu.Unlock()
	if counts {
		_ = d.Acknowledge(now, id, who) // it may have ended by now
	}
}

// rank orders severities. A word that is none ranks with the most severe, so that
// nobody misses it.
func (s Severity) rank() int {
	switch s {
	case Info:
		return 1
	case Warning:
		return 2
	}
	return 3
}
