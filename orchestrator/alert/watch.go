package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// watch is what is remembered of a subject from check to check.
type watch struct {
	subject
	Began  time.Time `json:"began,omitzero"`  // it holds since; zero when it does not
	Checks int       `json:"checks"`          // that found it to hold since then, up to checksCounted
	Absent time.Time `json:"absent,omitzero"` // it is open, and not found since
	Open   string    `json:"open,omitempty"`  // id of its open incident
	// Opens are the times within Options.FlapWindow at which it opened, or would
	// have if it had not been flapping.
	Opens []time.Time `json:"opens,omitempty"`
}

// checksCounted is how many checks must find what holds before it is told. More are
// not counted: what is stored would be another after each check.
const checksCounted = 2

// Check is given all that holds now. What a check before this one has found, and
// this one has not, is taken to be over, but for what it could not see.
func (d *Desk) Check(now time.Time, signals []Signal, hidden []Unseen, silences []Silence) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock(now)
	if d.began.IsZero() || now.Before(d.began) {
		d.began = now
	}
	groups := d.group(now, append(slices.Clip(signals), d.failing(now)...), silences)
	d.fold(groups)
	watches := map[subject]*watch{}
	for _, w := range d.memory.Watches {
		watches[w.subject] = w
	}
	for _, g := range groups {
		w := watches[g.subject]
		if w == nil {
			w = &watch{subject: g.subject}
			d.memory.Watches = append(d.memory.Watches, w)
		}
		d.look(now, w, g, !d.recorded(g.Code) && (unseen(hidden, g.subject, d.incident(w.Open)) ||
			g.Code == ChannelFailing && d.doubted(now, g.Key) ||
			anyBlind(hidden) && slices.Contains(d.options.Across, g.Code) || now.Sub(d.began) < d.options.Slow[g.Code]))
	}
	d.forget(now)
}

// look goes on with one subject after a check.
func (d *Desk) look(now time.Time, w *watch, g *group, unseen bool) {
	if !g.holds() {
		d.absent(now, w, unseen)
		return
	}
	if w.Began.IsZero() {
		w.Began = now
	}
	w.Checks = min(w.Checks+1, checksCounted)
	in := d.incident(w.Open)
	if in == nil {
		d.pending(now, w, g)
		return
	}
	if in.Flapping && !w.Absent.IsZero() && now.Sub(w.Absent) >= d.options.Settle[in.Now.Severity] {
		w.Opens = append(w.Opens, now)
	}
	w.Absent, in.Gone = time.Time{}, false
	in.Quiet = len(g.signals) == 0 || g.cause != nil
	if len(g.signals) > 0 {
		d.learn(now, in, g, unseen, d.flapping(w, in))
	}
	d.tell(now, in)
}

// pending opens the incident of a subject that has held for long enough, and is
// neither silenced nor explained by another.
func (d *Desk) pending(now time.Time, w *watch, g *group) {
	switch {
	case g.cause != nil && g.cause.open:
		// It matters for itself when it outlasts its cause.
		w.Began, w.Checks = now, 0
		return
	case g.cause != nil, len(g.signals) == 0:
		return
	}
	severity := graver(Info, g.signals[0].Severity)
	held := w.Checks >= checksCounted && now.Sub(w.Began) >= d.options.HoldOff[severity]
	if held || d.recorded(g.Code) || severity == Critical && slices.Contains(d.options.Immediate, g.Code) {
		d.openIncident(now, w, g)
	}
}

// openIncident opens an incident and tells of it.
func (d *Desk) openIncident(now time.Time, w *watch, g *group) {
	w.Open, w.Absent = d.newID(now, w.subject), time.Time{}
	w.Opens = append(w.Opens, now)
	in := &incident{
		ID: w.Open, Key: w.Key, Alone: now,
		Flapping: d.options.Flaps > 0 && len(d.recent(now, w.Opens)) > d.options.Flaps,
	}
	in.Now = Message{ID: in.ID, Kind: Opened, Plan: d.options.Plan, Since: now}
	d.learn(now, in, g, false, d.flapping(w, in))
	d.memory.Incidents = append(d.memory.Incidents, in)
	d.tell(now, in)
}

// newID is an id for an incident of a subject that opens now. Where the clock was put
// back, there may have been one at the same time.
func (d *Desk) newID(now time.Time, s subject) string {
	known := d.memory.IDs()
	for n := 0; ; n++ {
		name := fmt.Sprintf("%q %q %q %q %d %d %d", d.options.Plan, s.Code, s.Site, s.Key, now.UnixNano(), d.options.Seed, n)
		sum := sha256.Sum256([]byte(name))
		id := hex.EncodeToString(sum[:6])
		if _, ended := d.memory.Ended[id]; !ended && !known[id] {
			return id
		}
	}
}

// absent ends the incident of a subject that has not been found for long enough.
// What nobody could look for is not over, however long ago it was last found.
func (d *Desk) absent(now time.Time, w *watch, unseen bool) {
	in := d.incident(w.Open)
	switch {
	case unseen:
		w.Absent = time.Time{}
		return
	case in == nil:
		w.Began, w.Checks = time.Time{}, 0
		return
	case w.Absent.IsZero():
		w.Absent = now
	}
	in.Gone = true
	settle := d.options.Settle[in.Now.Severity]
	if d.recorded(in.Now.Code) {
		settle = 0
	}
	if in.Flapping {
		settle = max(settle, d.options.FlapWindow)
	}
	if now.Sub(w.Absent) < settle {
		return
	}
	in.close(now)
	w.Open, w.Began, w.Checks, w.Absent = "", time.Time{}, 0, time.Time{}
}

// recorded tells whether a code is of what is read from records.
func (d *Desk) recorded(code string) bool { return slices.Contains(d.options.Recorded, code) }

// flapping says of an incident that it keeps coming and going.
func (d *Desk) flapping(w *watch, in *incident) []Detail {
	if !in.Flapping {
		return nil
	}
	return []Detail{{
		Name: "flapping",
		Text: fmt.Sprintf("opened %d times within %s; it stays open until it has been away for as long", len(w.Opens), d.options.FlapWindow),
	}}
}

// recent are the times that lie within the window for flapping.
func (d *Desk) recent(now time.Time, times []time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(times), func(t time.Time) bool { return now.Sub(t) >= d.options.FlapWindow })
}

// forget drops what is of no further use: subjects of which there is nothing to
// remember, and incidents that are over and told.
func (d *Desk) forget(now time.Time) {
	m := &d.memory
	m.Watches = slices.DeleteFunc(m.Watches, func(w *watch) bool {
		w.Opens = d.recent(now, w.Opens)
		return w.Began.IsZero() && w.Open == "" && len(w.Opens) == 0
	})
	for _, in := range slices.Clone(m.Incidents) {
		if in.told() || in.Over && d.options.Forget > 0 && now.Sub(in.Ended) > d.options.Forget {
			m.end(in.ID, in.Upheld, in.Ended)
		}
	}
}

// incident returns the open incident with an id; nil when there is none.
func (d *Desk) incident(id string) *incident {
	for _, in := range d.memory.Incidents {
		if id != "" && in.ID == id && !in.Over {
			return in
		}
	}
	return nil
}
