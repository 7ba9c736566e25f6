package alert

import (
	"encoding/json"
	"slices"
	"time"
)

// endedKept is how many incidents that are over and told are remembered by their ids.
const endedKept = 500

// Join is what is to be remembered where two have told people and neither knew of
// the other, as across a cut: all that either remembers. What is open in both is
// over in the other one's thread; it goes on in this one's. Of an incident that both
// remember, what either has told is told. Joining what is known already changes nothing.
func (m *Memory) Join(other Memory, now time.Time) Memory {
	out := m.clone()
	other = other.clone()
	known := map[string]*incident{}
	for _, in := range out.Incidents {
		known[in.ID] = in
	}
	for id, at := range other.Ended {
		if in := known[id]; in == nil || other.over(in) {
			out.end(id, other.Upheld[id], at)
		}
	}
	for _, in := range other.Incidents {
		if out.over(in) {
			continue
		}
		mine, goesOn := known[in.ID], !in.Over
		if mine != nil {
			over := mine.Over
			out.catchUp(mine, in)
			in, goesOn = mine, over && !mine.Over
		} else {
			out.Incidents = append(out.Incidents, in)
		}
		if goesOn {
			out.adopt(in, &other, now)
		}
	}
	out.Outlets = latest(out.Outlets, other.Outlets, now)
	out.Handed = max(out.Handed, other.Handed)
	for name, note := range other.Notes {
		if _, mine := out.Notes[name]; !mine {
			if out.Notes == nil {
				out.Notes = map[string]json.RawMessage{}
			}
			out.Notes[name] = note
		}
	}
	return out
}

// adopt has an incident that is open elsewhere go on here, where the same is not open
// already.
func (m *Memory) adopt(in *incident, from *Memory, now time.Time) {
	at := slices.IndexFunc(from.Watches, func(w *watch) bool { return w.Open == in.ID })
	if at < 0 {
		in.close(now) // nobody would ever look for its end
		return
	}
	theirs := from.Watches[at]
	mine := slices.IndexFunc(m.Watches, func(w *watch) bool { return w.subject == theirs.subject })
	switch {
	case mine < 0:
		m.Watches = append(m.Watches, theirs)
	case m.Watches[mine].Open == "":
		*m.Watches[mine] = *theirs
	default:
		in.close(now)
	}
}

// over reports whether whoever has this memory told the end of an incident, and people
// were not told since that it goes on: see [Desk.Doubt].
func (m *Memory) over(in *incident) bool {
	_, ended := m.Ended[in.ID]
	return ended && m.Upheld[in.ID] >= in.Upheld
}

// end notes that an incident is over, and told, after it was upheld so often.
func (m *Memory) end(id string, upheld int, at time.Time) {
	if m.Ended == nil {
		m.Ended = map[string]time.Time{}
	}
	m.Ended[id] = at
	if upheld > m.Upheld[id] {
		if m.Upheld == nil {
			m.Upheld = map[string]int{}
		}
		m.Upheld[id] = upheld
	}
	m.Incidents = slices.DeleteFunc(m.Incidents, func(in *incident) bool { return in.ID == id })
	m.closed(id)
	for len(m.Ended) > endedKept {
		oldest := id
		for other, then := range m.Ended {
			if then.Before(m.Ended[oldest]) {
				oldest = other
			}
		}
		delete(m.Ended, oldest)
		delete(m.Upheld, oldest)
	}
}

// closed notes that an incident is open no more.
func (m *Memory) closed(id string) {
	for _, w := range m.Watches {
		if w.Open == id {
			w.Open, w.Began, w.Checks, w.Absent = "", time.Time{}, 0, time.Time{}
		}
	}
}

// catchUp has an incident know what somebody else, who remembers it as well, has told
// of it.
func (m *Memory) catchUp(in, other *incident) {
	if other.later(in) {
		*in, *other = *other, *in
	}
	if in.Over {
		m.closed(in.ID)
	}
	more := in.Over != other.Over || in.Told.At.After(other.Told.At)
	for _, theirs := range other.Threads {
		switch mine := in.thread(theirs.Channel); {
		case mine == nil:
			in.Threads = append(in.Threads, theirs)
		case mine.opens() && !theirs.opens(), in.Over && !more && theirs.idle():
			mine.goOnFrom(theirs, more)
		}
	}
}

// later reports whether what is known of an incident came after what somebody else
// knows of it, as far as that can be told.
func (in *incident) later(other *incident) bool {
	switch {
	case in.Upheld != other.Upheld:
		return in.Upheld > other.Upheld
	case in.Over != other.Over:
		return in.Over
	}
	return in.Told.At.After(other.Told.At)
}

// opens reports whether a channel is still to be told that there is an incident.
func (t *thread) opens() bool {
	is := func(l *letter) bool { return l != nil && l.Message.Kind == Opened }
	return is(t.Next) || is(t.Away)
}

// idle reports whether a channel knows all that it is to be told.
func (t *thread) idle() bool { return t.Next == nil && t.Away == nil }

// goOnFrom goes on from a thread of the same channel that is ahead. What else is to be
// told, if there is more, is told as a change.
func (t *thread) goOnFrom(other *thread, more bool) {
	t.putBack()
	t.Receipt = other.Receipt
	if !more {
		t.Next, t.Away = other.Next.copy(), other.Away.copy()
		return
	}
	if t.Next.Message.Kind == Opened {
		t.Next.Message.Kind = Changed
	}
}

// Join has the desk go on from what another has remembered, too.
func (d *Desk) Join(now time.Time, other Memory) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock(now)
	if other.known() {
		// Deliveries of others that are under way come to nobody here.
		joined := d.memory.Join(other, now)
		mine := d.memory.IDs()
		for _, in := range joined.Incidents {
			for _, t := range in.Threads {
				if !mine[in.ID] {
					t.putBack()
				}
			}
		}
		d.memory = joined
	}
}

// Doubt is called where there may be a newer memory than the one that the desk goes on
// from, at a site that is silent: whatever is found to hold still is told once more, in
// its thread, lest people take it for over.
func (d *Desk) Doubt() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, in := range d.memory.Incidents {
		in.Doubted = !in.Over
	}
}

// Old reports whether a memory has not been stored for longer than some time.
func (m *Memory) Old(now time.Time, than time.Duration) bool { return now.Sub(m.Clock) > than }

// Part ends what was opened alone, because another one tells people from now on, who
// knows nothing of it. What is known already (by id) is the other's. Whoever was never
// told that there is something is not told that it is over, either.
func (d *Desk) Part(now time.Time, known map[string]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock(now)
	d.memory.Incidents = slices.DeleteFunc(d.memory.Incidents, func(in *incident) bool { return known[in.ID] })
	d.memory.Watches = nil
	for _, in := range d.memory.Incidents {
		in.Threads = slices.DeleteFunc(in.Threads, func(t *thread) bool { return t.Away == nil && t.opens() })
		if !in.Over {
			in.close(now)
		}
	}
}

// Told reports whether everybody knows all that there is to be told.
func (d *Desk) Told() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !slices.ContainsFunc(d.memory.Incidents, func(in *incident) bool { return !in.told() })
}

// IDs are those of all incidents that are remembered.
func (m *Memory) IDs() map[string]bool {
	all := map[string]bool{}
	for _, in := range m.Incidents {
		all[in.ID] = true
	}
	return all
}

// close ends an incident.
func (in *incident) close(now time.Time) {
	in.Over, in.Ended = true, now
	in.say(now, Resolved)
}
