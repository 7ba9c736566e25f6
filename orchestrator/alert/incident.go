package alert

import (
	"fmt"
	"hash/fnv"
	"slices"
	"time"
)

// incident is something that is told, from its opening until every channel that
// knows of it knows that it is over.
type incident struct {
	ID       string    `json:"id"`
	Key      string    `json:"key,omitempty"`
	Now      Message   `json:"now"`   // what is known of it
	Facts    facts     `json:"facts"` // of Now
	Told     told      `json:"told"`
	Threads  []*thread `json:"threads,omitempty"`
	Flapping bool      `json:"flapping,omitempty"`
	// Quiet is whether all of it is silenced, or follows from another incident: then
	// only its end is told.
	Quiet bool `json:"quiet,omitempty"`
	// Gone is whether it was not found any more, though it may come back.
	Gone bool `json:"gone,omitempty"`
	// Doubted is whether people may have been told that it is over, by somebody whose
	// memory is out of reach.
	Doubted bool `json:"doubted,omitempty"`
	// Upheld is how often people were told that it goes on, for all that.
	Upheld int       `json:"upheld,omitempty"`
	Alone  time.Time `json:"alone"` // since then nobody has acknowledged it
	// Answer is the last record by which somebody has taken it on.
	Answer string    `json:"answer,omitempty"`
	Over   bool      `json:"over,omitempty"`
	Ended  time.Time `json:"ended,omitzero"`

	images    []string // that have it, by the last check
	newcomers []string // those of them that nobody was told of
}

// facts are what makes an incident worth telling again where it changes.
type facts struct {
	Severity Severity `json:"severity"`
	Images   int      `json:"images"`
	Asks     string   `json:"asks,omitempty"`
	Names    []string `json:"names,omitempty"` // of details
}

// told is what was last said of an incident.
type told struct {
	facts
	At   time.Time `json:"at,omitzero"`
	Peak Severity  `json:"peak,omitempty"` // the greatest severity that was ever told
	// Known are the images that people know of; nil where there are too many.
	Known known `json:"known"`
	// Streak counts messages that came soon behind each other.
	Streak int `json:"streak,omitempty"`
	// Shown is what channels that update their messages show, by a hash, and Corrected
	// when it was last put right without a word.
	Shown     uint64    `json:"shown,omitempty"`
	Corrected time.Time `json:"corrected,omitzero"`
}

// thread is what one channel has been told of an incident.
type thread struct {
	Channel string  `json:"channel"`
	Receipt Receipt `json:"receipt,omitempty"`
	Next    *letter `json:"next,omitempty"` // what it is to be told
	Away    *letter `json:"away,omitempty"` // what it is being told
	// Escalated is the EscalateAfter of the last route that was told here.
	Escalated time.Duration `json:"escalated,omitempty"`
}

// learn takes in what a check found; part says that there may be more than that.
func (d *Desk) learn(now time.Time, in *incident, g *group, part bool, more []Detail) {
	was, m := in.Now, g.message()
	m.ID, m.Kind, m.Plan = was.ID, was.Kind, was.Plan
	m.Since, m.At, m.Acknowledged = was.Since, was.At, was.Acknowledged
	images := g.images()
	in.meet(now, images, !part && g.silenced == 0, d.options.FlapWindow)
	m.Details = append(m.Details, more...)
	m.Details = append(m.Details, in.welcome()...)
	d.ask(now, &m, &was)
	in.Now = m
	// What follows from an incident is shown with it, and is no reason to tell it.
	in.Facts = facts{Severity: m.Severity, Images: len(images)}
	if m.Asks != nil {
		in.Facts.Asks = m.Asks.key()
	}
	for _, s := range g.signals[0].Details {
		in.Facts.Names = append(in.Facts.Names, s.Name)
	}
	if part || g.silenced > 0 {
		// What is not seen, or silenced, makes the images no fewer.
		in.Facts.Images = max(in.Facts.Images, in.Told.Images)
	}
}

// tell says of an open incident what is worth saying, to whom it concerns.
func (d *Desk) tell(now time.Time, in *incident) {
	if in.Quiet {
		return
	}
	urgent, minor := in.news()
	waited := now.Sub(in.Told.At)
	more := len(in.newcomers) > 0 && slices.Contains(d.options.Each, in.Now.Code)
	switch {
	case in.Told.At.IsZero():
		in.note(now)
	case in.Doubted:
		in.Upheld++
		in.say(now, Changed)
		in.note(now)
	case urgent, more && waited >= in.patience(d.options.MinInterval), minor && waited >= d.options.MinInterval:
		switch {
		case in.Facts.Severity.rank() > in.Told.Severity.rank():
			in.rise(now)
		case more && in.Now.Acknowledged != "":
			in.nobodys(now) // whoever took on the others does not know of these
		}
		in.Told.Streak++
		if waited > 2*d.options.MinInterval {
			in.Told.Streak = 0
		}
		in.say(now, Changed)
		in.note(now)
	default:
		d.correct(now, in)
	}
	for _, channel := range d.direct(in) {
		if in.thread(channel) == nil {
			in.Threads = append(in.Threads, &thread{Channel: channel})
			in.sayTo(now, channel, Opened)
		}
	}
	d.escalate(now, in)
}

// news tells whether an incident is not any more what was told of it: urgent
// where it cannot wait, minor where it can.
func (in *incident) news() (urgent, minor bool) {
	now, was := in.Facts, in.Told.facts
	urgent = now.Severity.rank() > was.Severity.rank() || now.Asks != was.Asks
	minor = now.Severity.rank() >= Critical.rank() && len(in.newcomers) > 0 || now.Images > 2*was.Images || 2*now.Images < was.Images
	for _, name := range now.Names {
		minor = minor || !slices.Contains(was.Names, name)
	}
	return urgent, minor
}

// note remembers what has been said. A detail that has been told once is never
// news again.
func (in *incident) note(now time.Time) {
	names := in.Told.Names
	for _, name := range in.Facts.Names {
		if !slices.Contains(names, name) {
			names = append(slices.Clip(names), name)
		}
	}
	in.Told.facts, in.Told.At, in.Doubted = in.Facts, now, false
	in.Told.Names = names
	in.Told.Shown, in.Told.Corrected = in.Now.looks(), now
	in.introduce()
	if in.Told.Peak == "" || in.Facts.Severity.rank() > in.Told.Peak.rank() {
		in.Told.Peak = in.Facts.Severity
	}
}

// rise makes an incident that has become more severe nobody's again. One that was
// nobody's is only escalated later for it where it was never that severe: else it
// could go up and down and never be escalated.
func (in *incident) rise(now time.Time) {
	if in.Now.Acknowledged == "" && in.Facts.Severity.rank() <= in.Told.Peak.rank() {
		return
	}
	in.nobodys(now)
}

// nobodys makes it an incident that nobody has taken on.
func (in *incident) nobodys(now time.Time) {
	in.Now.Acknowledged = ""
	in.Alone = now
	for _, t := range in.Threads {
		t.Escalated = 0
	}
}

// direct are the channels that are told of an incident at once. That a channel
// fails is told to others, and to all others where no route leads to another.
func (d *Desk) direct(in *incident) []string {
	var to []string
	for _, r := range d.options.Routes {
		if r.EscalateAfter > 0 || !slices.Contains(r.Severities, in.Now.Severity) {
			continue
		}
		to = append(to, r.Channels...)
	}
	to = slices.DeleteFunc(to, in.isFailing)
	if len(to) == 0 && in.Now.Code == ChannelFailing {
		to = slices.DeleteFunc(d.channels(), in.isFailing)
	}
	return to
}

// isFailing tells whether the incident is that this channel fails.
func (in *incident) isFailing(channel string) bool {
	return in.Now.Code == ChannelFailing && in.Key == channel
}

// escalate tells an incident that nobody has acknowledged to the channels that
// are for such ones.
func (d *Desk) escalate(now time.Time, in *incident) {
	if in.Over || in.Quiet || in.Gone || in.Now.Acknowledged != "" {
		return
	}
	for _, r := range d.options.Routes {
		after := r.EscalateAfter
		if after <= 0 || now.Sub(in.Alone) < after || !slices.Contains(r.Severities, in.Now.Severity) {
			continue
		}
		for _, channel := range r.Channels {
			if in.isFailing(channel) {
				continue
			}
			if in.thread(channel) == nil {
				in.Threads = append(in.Threads, &thread{Channel: channel})
			}
			if t := in.thread(channel); t.Escalated < after {
				t.Escalated = after
				in.sayTo(now, channel, Escalated)
			}
		}
	}
}

// correct puts right what channels show that update their messages, where it is not
// worth a message of its own.
func (d *Desk) correct(now time.Time, in *incident) {
	looks := in.Now.looks()
	if looks == in.Told.Shown || now.Sub(in.Told.Corrected) < d.options.MinInterval {
		return
	}
	in.Told.Shown, in.Told.Corrected = looks, now
	for _, t := range in.Threads {
		if slices.Contains(d.options.Updates, t.Channel) && t.Receipt != "" && t.idle() {
			in.sayTo(now, t.Channel, Changed)
			t.Next.Message.Silent = true
		}
	}
}

// looks is a hash of what people look for in a message.
func (m *Message) looks() uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%q %q %d %q", m.Severity, m.What, m.Images, m.Worst)
	return h.Sum64()
}

// say puts a message into every thread of an incident.
func (in *incident) say(now time.Time, kind Kind) {
	for _, t := range in.Threads {
		in.sayTo(now, t.Channel, kind)
	}
}

// sayTo puts a message into one thread of an incident.
func (in *incident) sayTo(now time.Time, channel string, kind Kind) {
	m := in.Now
	m.Kind, m.At = kind, now
	in.thread(channel).put(m)
}

// thread returns the thread of a channel; nil when it was told nothing yet.
func (in *incident) thread(channel string) *thread {
	for _, t := range in.Threads {
		if t.Channel == channel {
			return t
		}
	}
	return nil
}

// told tells whether an incident is over, and everybody knows.
func (in *incident) told() bool {
	return in.Over && !slices.ContainsFunc(in.Threads, func(t *thread) bool { return !t.idle() })
}
