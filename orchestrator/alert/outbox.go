package alert

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"time"
)

// Between two attempts to deliver a message there is a time that doubles from
// the first of these to the second: a service that is back is told within a minute.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// longestLeave is the longest time for which a channel is left alone that asks for it.
const longestLeave = 5 * time.Minute

// refusedRetry is the time until a message is tried again that a channel has
// refused for good: what was wrong is seldom mended sooner, and a service that was
// only broken itself says such things too.
const refusedRetry = 10 * time.Minute

// letter is a message on its way to one channel.
type letter struct {
	Message   Message   `json:"message"`
	Attempt   int       `json:"attempt,omitempty"` // how often it was handed out
	NotBefore time.Time `json:"not_before,omitzero"`
	Refused   int       `json:"refused,omitempty"` // how often for good, by a channel that worked
	Number    uint64    `json:"number,omitempty"`  // of its last delivery
}

// Delivery is a message that is to be sent now. Each must be given back, to
// [Desk.Done] or to [Desk.Failed]: until then the channel is told nothing more of
// that incident.
type Delivery struct {
	Number  uint64 // tells deliveries apart
	Channel string
	Message Message
	Last    Receipt // of the incident's last message that the channel has taken, or may have
	Attempt int     // 1 for the first
}

// Due hands out the messages that are to be sent now, the most severe first. Where
// the process ends before a delivery was given back, the message is handed out
// again: it comes at least once, and twice only if the process ended between the
// channel's taking it and the storing of the memory.
func (d *Desk) Due(now time.Time) []Delivery {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock(now)
	var due []*thread
	for _, in := range d.memory.Incidents {
		d.escalate(now, in)
		for _, t := range in.Threads {
			if t.Away == nil && t.Next != nil && !t.Next.NotBefore.After(now) {
				due = append(due, t)
			}
		}
	}
	slices.SortStableFunc(due, func(a, b *thread) int { return a.Next.Message.urgency(&b.Next.Message) })
	var out []Delivery
	for _, t := range due {
		if !d.outlet(t.Channel).admit(now, d.options.PerMinute) {
			continue
		}
		d.memory.Handed++
		t.Away, t.Next = t.Next, nil
		t.Away.Attempt++
		t.Away.Number = d.memory.Handed
		out = append(out, Delivery{
			Number: t.Away.Number, Channel: t.Channel, Message: t.Away.Message, Last: t.Receipt, Attempt: t.Away.Attempt,
		})
	}
	return out
}

// urgency orders messages: the most severe first, then what is wrong before what
// is over, then the oldest.
func (m *Message) urgency(o *Message) int {
	over := func(m *Message) int {
		switch {
		case m.Silent:
			return 2
		case m.Kind == Resolved:
			return 1
		}
		return 0
	}
	return cmp.Or(o.Severity.rank()-m.Severity.rank(), over(m)-over(o), m.At.Compare(o.At))
}

// Done notes that a channel has taken a message, and its receipt. A delivery that
// the desk does not know any more is ignored.
func (d *Desk) Done(now time.Time, delivery Delivery, receipt Receipt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock(now)
	t := d.delivered(delivery)
	if t == nil {
		return
	}
	t.Receipt = receipt
	if t.Away != nil && t.Away.Number == delivery.Number {
		t.Away = nil
	} else {
		t.Next = nil
	}
	if o := d.outlet(t.Channel); o.mended(now) {
		d.hurry(t.Channel)
	}
}

// Failed notes that a message could not be delivered. It is due again after a
// while: a long one where the error is permanent, which ends when the channel takes
// another message.
func (d *Desk) Failed(now time.Time, delivery Delivery, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock(now)
	t := d.delivered(delivery)
	if t == nil {
		return
	}
	o := d.outlet(t.Channel)
	worked := o.Since.IsZero()
	o.failed(now, err)
	l := t.Away
	if l == nil || l.Number != delivery.Number {
		l = t.Next
	}
	whole := wait(delivery.Attempt)
	if IsPermanent(err) {
		whole = refusedRetry
		if worked || l.Refused == 0 {
			l.Refused++
		}
	}
	l.NotBefore = now.Add(max(d.pause(delivery, whole), asksFor(err)))
	if r := leaves(err); r != "" {
		t.Receipt = r
	}
	t.putBack()
}

// IsPermanent tells whether an error is one that [Permanent] marks.
func IsPermanent(err error) bool {
	var p *permanent
	return errors.As(err, &p)
}

// asksFor is for how long a channel asks to be left alone.
func asksFor(err error) time.Duration {
	var busy interface{ RetryAfter() time.Duration }
	if !errors.As(err, &busy) {
		return 0
	}
	return min(busy.RetryAfter(), longestLeave)
}

// leaves is the receipt of a message that may have been taken all the same.
func leaves(err error) Receipt {
	var doubtful interface{ Receipt() Receipt }
	if !errors.As(err, &doubtful) {
		return ""
	}
	return doubtful.Receipt()
}

// wait is the longest time from an attempt to the next.
func wait(attempt int) time.Duration {
	if n := max(attempt-1, 0); n < 20 {
		return min(firstRetry<<n, lastRetry)
	}
	return lastRetry
}

// pause is the time until the next attempt: between half and all of the longest, so
// that many messages that failed at once do not come back at once.
func (d *Desk) pause(delivery Delivery, whole time.Duration) time.Duration {
	random := rand.New(rand.NewPCG(d.options.Seed, delivery.Number))
	return max(firstRetry, whole/2+time.Duration(random.Int64N(int64(whole/2)+1)))
}

// delivered returns the thread that a delivery belongs to; nil when there is none.
func (d *Desk) delivered(delivery Delivery) *thread {
	for _, in := range d.memory.Incidents {
		if in.ID != delivery.Message.ID {
			continue
		}
		t := in.thread(delivery.Channel)
		if t == nil {
			return nil
		}
		for _, l := range []*letter{t.Away, t.Next} {
			if l != nil && l.Number == delivery.Number {
				return t
			}
		}
	}
	return nil
}

// hurry makes messages that a channel refused due again, now that it has taken
// another; but not where it was taking others when it refused them again, for then
// it may be the message that is at fault.
func (d *Desk) hurry(channel string) {
	for _, in := range d.memory.Incidents {
		if t := in.thread(channel); t != nil && t.Next != nil && t.Next.Refused == 1 {
			t.Next.NotBefore = time.Time{}
		}
	}
}

// Retry makes all that could not be delivered due again: a channel may have been
// mended.
func (d *Desk) Retry() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, in := range d.memory.Incidents {
		for _, t := range in.Threads {
			if t.Next != nil {
				t.Next.NotBefore = time.Time{}
			}
		}
	}
}

// Waiting is how many messages each channel has not taken yet, for whatever reason.
func (d *Desk) Waiting() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	waiting := map[string]int{}
	for _, name := range d.channels() {
		waiting[name] = 0
	}
	for _, in := range d.memory.Incidents {
		for _, t := range in.Threads {
			if !t.idle() {
				waiting[t.Channel]++
			}
		}
	}
	return waiting
}

// put puts a message into a thread, in the place of one that was not sent yet.
func (t *thread) put(m Message) {
	l := &letter{Message: m}
	if t.Next != nil {
		l = t.Next.replacedBy(l)
	}
	t.Next = l
}

// putBack takes back a message that was handed out and not delivered.
func (t *thread) putBack() {
	switch {
	case t.Away == nil:
		return
	case t.Next == nil:
		t.Next = t.Away
	default:
		t.Next = t.Away.replacedBy(t.Next)
	}
	t.Away = nil
}

// replacedBy returns what is sent in the place of two messages of one incident: the
// later, which says all that is known. What was to be told first is told as what
// it is: who was never told of an incident is not told that it has changed. What is
// worse does not wait, nor does what stands in the place of a message that was
// refused: it may have been the message that was at fault.
func (l *letter) replacedBy(later *letter) *letter {
	both := *later
	both.Attempt, both.NotBefore = l.Attempt, l.NotBefore
	both.Refused, both.Number = 0, 0
	both.Message.Silent = l.Message.Silent && later.Message.Silent
	if later.Message.Kind == Changed {
		both.Message.Kind = l.Message.Kind
	}
	if l.Refused > 0 || later.Message.Severity.rank() > l.Message.Severity.rank() {
		both.NotBefore = time.Time{}
	}
	return &both
}

// copy returns a copy of a letter; nil of none.
func (l *letter) copy() *letter {
	if l == nil {
		return nil
	}
	c := *l
	return &c
}
