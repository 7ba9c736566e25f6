package alert

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// ChannelFailing is the code of an incident that a channel takes no messages.
const ChannelFailing = "channel-failing"

// outlet is what is remembered of a channel.
type outlet struct {
	Name    string      `json:"name"`
	Sent    []time.Time `json:"sent,omitempty"`    // within the last minute
	Since   time.Time   `json:"since,omitzero"`    // it has failed since; zero when it works
	Refused bool        `json:"refused,omitempty"` // it has refused a message for good since
	Error   string      `json:"error,omitempty"`
	Tried   time.Time   `json:"tried,omitzero"` // last, well or not
}

// outlet returns what is remembered of a channel.
func (d *Desk) outlet(name string) *outlet {
	for _, o := range d.memory.Outlets {
		if o.Name == name {
			return o
		}
	}
	o := &outlet{Name: name}
	d.memory.Outlets = append(d.memory.Outlets, o)
	return o
}

// admit tells whether a channel may be handed one more message, and counts it.
func (o *outlet) admit(now time.Time, perMinute int) bool {
	if perMinute <= 0 {
		return true
	}
	o.Sent = slices.DeleteFunc(o.Sent, func(t time.Time) bool { return now.Sub(t) >= time.Minute })
	if len(o.Sent) >= perMinute {
		return false
	}
	o.Sent = append(o.Sent, now)
	return true
}

// errorShown is how much of an error is shown, in characters.
const errorShown = 200

// failed notes an error.
func (o *outlet) failed(now time.Time, err error) {
	o.Tried = now
	if o.Since.IsZero() {
		o.Since = now
	}
	o.Refused = o.Refused || IsPermanent(err)
	if err == nil {
		return
	}
	text := []rune(strings.Join(strings.Fields(err.Error()), " "))
	if len(text) > errorShown {
		text = append(text[:errorShown], '…')
	}
	o.Error = string(text)
}

// mended notes that a channel works, and tells whether it had failed.
func (o *outlet) mended(now time.Time) bool {
	had := !o.Since.IsZero()
	o.Tried = now
	o.Since, o.Refused, o.Error = time.Time{}, false, ""
	return had
}

// stale reports whether a channel has not been tried for so long that what is
// remembered of it may be over: one that fails is tried again at least that often.
func (o *outlet) stale(now time.Time) bool {
	return now.Sub(o.Tried) > max(lastRetry, refusedRetry)+time.Minute
}

// doubted reports whether a channel has failed, and nobody knows whether it still does.
func (d *Desk) doubted(now time.Time, channel string) bool {
	return slices.ContainsFunc(d.memory.Outlets, func(o *outlet) bool {
		return o.Name == channel && !o.Since.IsZero() && o.stale(now)
	})
}

// latest are what is remembered of channels by whoever has tried them last. One whose
// clock was ahead does not count.
func latest(mine, theirs []*outlet, now time.Time) []*outlet {
	for _, o := range theirs {
		at := slices.IndexFunc(mine, func(m *outlet) bool { return m.Name == o.Name })
		switch {
		case at < 0:
			mine = append(mine, o)
		case o.Tried.After(mine[at].Tried) && !o.Tried.After(now):
			o.Sent, mine[at] = mine[at].Sent, o
		}
	}
	return mine
}

// failing are the signals of channels that take no messages. Each is as severe as
// the most severe of what it is not told.
func (d *Desk) failing(now time.Time) []Signal {
	var signals []Signal
	for _, o := range d.memory.Outlets {
		long := d.options.FailingAfter > 0 && now.Sub(o.Since) >= d.options.FailingAfter
		if o.Since.IsZero() || o.stale(now) || !o.Refused && !long {
			continue
		}
		signals = append(signals, Signal{
			Code: ChannelFailing, Key: o.Name, Severity: d.gravest(o.Name),
			What: fmt.Sprintf("alerts do not reach the channel %q: %s", o.Name, o.Error),
			Next: "mend the channel; what it has missed is sent to it then",
		})
	}
	return signals
}

// gravest is the most severe of what a channel is told.
func (d *Desk) gravest(channel string) Severity {
	severity := Info
	for _, r := range d.options.Routes {
		if !slices.Contains(r.Channels, channel) {
			continue
		}
		for _, s := range r.Severities {
			severity = graver(severity, s)
		}
	}
	return severity
}

// unheard reports whether something waits for a channel that has failed for long, and
// no channel works that would be told of that: then nobody hears of anything.
func (d *Desk) unheard(now time.Time) bool {
	return slices.ContainsFunc(d.memory.Outlets, func(o *outlet) bool {
		return d.dead(now, o) && d.awaits(o.Name) && !d.vouched(o.Name)
	})
}

// dead reports whether a channel has taken nothing for so long that it counts as failing.
func (d *Desk) dead(now time.Time, o *outlet) bool {
	return d.options.FailingAfter > 0 && !o.Since.IsZero() && now.Sub(o.Since) >= d.options.FailingAfter && !o.stale(now)
}

// awaits reports whether a channel has not taken all that it is to be told.
func (d *Desk) awaits(channel string) bool {
	return slices.ContainsFunc(d.memory.Incidents, func(in *incident) bool {
		t := in.thread(channel)
		return t != nil && !t.idle()
	})
}

// vouched reports whether another channel, that has not failed, is told where this one
// does.
func (d *Desk) vouched(channel string) bool {
	severity := d.gravest(channel)
	return slices.ContainsFunc(d.options.Routes, func(r Route) bool {
		return slices.Contains(r.Severities, severity) && slices.ContainsFunc(r.Channels, func(other string) bool {
			failed := slices.ContainsFunc(d.memory.Outlets, func(o *outlet) bool { return o.Name == other && !o.Since.IsZero() })
			return other != channel && !failed
		})
	})
}
