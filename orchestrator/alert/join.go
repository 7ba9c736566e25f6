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
// over in the other one's thread; it goes on in this one's. Joining what is known
// already changes nothing.
func (m *Memory) Join(other Memory, now time.Time) Memory {
	out := m.clone()
	other = other.clone()
	for id, at := range other.Ended {
		out.end(id, at)
	}
	watches := map[subject]*watch{}
	for _, w := range out.Watches {
		watches[w.subject] = w
	}
	opened := map[string]*watch{}
	for _, w := range other.Watches {
		opened[w.Open] = w
	}
	known := out.IDs()
	for _, in := range other.Incidents {
		if _, over := out.Ended[in.ID]; over || known[in.ID] {
			continue
		}
		if w := opened[in.ID]; w != nil && !in.Over {
			switch mine := watches[w.subject]; {
			case mine == nil:
				out.Watches, watches[w.subject] = append(out.Watches, w), w
			case mine.Open == "":
				*mine = *w
			default:
				in.close(now)
			}
		}
		out.Incidents = append(out.Incidents, in)
	}
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

// end notes that an incident is over, and told.
func (m *Memory) end(id string, at time.Time) {
	if m.Ended == nil {
		m.Ended = map[string]time.Time{}
	}
	m.Ended[id] = at
	m.Incidents = slices.DeleteFunc(m.Incidents, func(in *incident) bool { return in.ID == id })
	for _, w := range m.Watches {
		if w.Open == id {
			w.Open, w.Began, w.Checks, w.Absent = "", time.Time{}, 0, time.Time{}
		}
	}
	for len(m.Ended) > endedKept {
		oldest := id
		for other, then := range m.Ended {
			if then.Before(m.Ended[oldest]) {
				oldest = other
			}
		}
		delete(m.Ended, oldest)
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

// Part ends what was opened alone, because another one tells people from now on, who
// knows nothing of it. What is known already (by id) is the other's.
func (d *Desk) Part(now time.Time, known map[string]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock(now)
	d.memory.Incidents = slices.DeleteFunc(d.memory.Incidents, func(in *incident) bool { return known[in.ID] })
	d.memory.Watches = nil
	for _, in := range d.memory.Incidents {
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
