package alert

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"
)

// memoryVersion is raised when an older program would misread what is stored.
const memoryVersion = 1

// Memory is all that a desk must remember over a restart, to be stored as JSON.
// Silences are not in it: they are given to each check.
type Memory struct {
	Version   int         `json:"version"`
	Clock     time.Time   `json:"clock,omitzero"` // the latest time that the desk was told
	Watches   []*watch    `json:"watches,omitempty"`
	Incidents []*incident `json:"incidents,omitempty"`
	Outlets   []*outlet   `json:"outlets,omitempty"`
	Handed    uint64      `json:"handed,omitempty"` // the number of the last delivery
	Beat      time.Time   `json:"beat,omitzero"`    // when the last heartbeat was due
	// Notes are what the desk's owner has to remember with it; they mean nothing here.
	Notes map[string]json.RawMessage `json:"notes,omitempty"`
	// Ended are the incidents that are over and told, by id, and since when: who
	// remembers them still is not to tell them again. The last 500.
	Ended map[string]time.Time `json:"ended,omitempty"`
	// Upheld is how often those had been upheld by then, if ever.
	Upheld map[string]int `json:"upheld,omitempty"`
}

// UnmarshalJSON reads a memory. Of one whose version it does not know it takes
// the version alone, so that [NewDesk] can say what is wrong with it.
func (m *Memory) UnmarshalJSON(text []byte) error {
	var v struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return err
	}
	*m = Memory{Version: v.Version}
	if !m.known() {
		return nil
	}
	type plain Memory
	return json.Unmarshal(text, (*plain)(m))
}

// ErrMemory is of a memory that cannot be gone on from.
var ErrMemory = errors.New("what was told before is not known")

// known tells whether this program knows the version of a memory.
func (m *Memory) known() bool { return m.Version >= 0 && m.Version <= memoryVersion }

// clone copies all that a desk changes in place. Messages are shared: what they
// hold is never changed.
func (m *Memory) clone() Memory {
	c := *m
	c.Notes = maps.Clone(m.Notes)
	c.Ended, c.Upheld = maps.Clone(m.Ended), maps.Clone(m.Upheld)
	c.Watches = copies(m.Watches, func(w *watch) { w.Opens = slices.Clone(w.Opens) })
	c.Outlets = copies(m.Outlets, func(o *outlet) { o.Sent = slices.Clone(o.Sent) })
	c.Incidents = copies(m.Incidents, func(in *incident) {
		in.Told.Known = maps.Clone(in.Told.Known)
		in.Threads = copies(in.Threads, func(t *thread) { t.Next, t.Away = t.Next.copy(), t.Away.copy() })
	})
	return c
}

// Note remembers something of the desk's owner under a name; nil forgets it.
func (d *Desk) Note(name string, note json.RawMessage) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if note == nil {
		delete(d.memory.Notes, name)
		return
	}
	if d.memory.Notes == nil {
		d.memory.Notes = map[string]json.RawMessage{}
	}
	d.memory.Notes[name] = note
}

// Noted is what was remembered under a name; nil: nothing.
func (d *Desk) Noted(name string) json.RawMessage {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.memory.Notes[name]
}

// copies returns a slice of copies, each of which deepen makes independent. What
// a stored memory has as null is left out.
func copies[T any](from []*T, deepen func(*T)) []*T {
	var to []*T
	for _, p := range from {
		if p == nil {
			continue
		}
		c := *p
		deepen(&c)
		to = append(to, &c)
	}
	return to
}

// clockSlack is by how much calls may be out of order before it is taken for a
// clock that was put back.
const clockSlack = time.Minute

// clock takes note of the time. Where the clock was put back, all that is waited
// for moves with it: else the desk would be silent until the old time is reached.
func (d *Desk) clock(now time.Time) {
	m := &d.memory
	back := m.Clock.Sub(now)
	if back <= 0 {
		m.Clock = now
		return
	}
	if back < clockSlack {
		return
	}
	m.Clock = now
	move := func(times ...*time.Time) {
		for _, t := range times {
			if !t.IsZero() {
				*t = t.Add(-back)
			}
		}
	}
	move(&m.Beat)
	for _, w := range m.Watches {
		move(&w.Began, &w.Absent)
		for i := range w.Opens {
			move(&w.Opens[i])
		}
	}
	for _, in := range m.Incidents {
		move(&in.Told.At, &in.Alone, &in.Ended)
		if in.Now.Asks != nil {
			asks := *in.Now.Asks // messages are shared
			move(&asks.Until)
			in.Now.Asks = &asks
		}
		for _, t := range in.Threads {
			for _, l := range []*letter{t.Next, t.Away} {
				if l != nil {
					move(&l.NotBefore)
				}
			}
		}
	}
	for _, o := range m.Outlets {
		move(&o.Since, &o.Tried)
		for i := range o.Sent {
			move(&o.Sent[i])
		}
	}
}
