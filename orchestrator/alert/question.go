package alert

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// The kinds of question, and the one option of a manual step.
const (
	AskResync  = "resync"       // which copy stays; the options are sites
	AskApprove = "approve-step" // whether a manual step is done
	Approve    = "approve"
)

// key tells questions apart. One that is good for longer is the same question.
func (q *Question) key() string {
	return fmt.Sprintf("%q %q %q %q", q.Kind, q.Subject, q.Evidence, q.Options)
}

// same tells whether two questions are the same, or both none.
func (q *Question) same(o *Question) bool {
	if q == nil || o == nil {
		return q == o
	}
	return q.key() == o.key()
}

// ask has a message ask what it asks for no longer than it may be answered. What was
// asked before goes on, with the answers that it has got.
func (d *Desk) ask(now time.Time, m, was *Message) {
	if m.Asks == nil {
		return
	}
	until := d.until(now, m.Asks.Until)
	if m.Asks.same(was.Asks) {
		m.Choices = was.Choices
		if before := was.Asks.Until; !before.IsZero() && (until.IsZero() || before.Before(until)) {
			until = before
		}
	}
	m.Asks.Until = until
}

// until is the end of a question that is asked now and may have one already.
func (d *Desk) until(now, end time.Time) time.Time {
	if d.options.AnswerWithin <= 0 {
		return end
	}
	if own := now.Add(d.options.AnswerWithin); end.IsZero() || own.Before(end) {
		return own
	}
	return end
}

// The reasons why an answer does not count, besides [ErrNoIncident].
var (
	// ErrAnswered is of an incident that asks nothing any more.
	ErrAnswered = errors.New("nothing is asked any more")
	// ErrOtherEvidence is of an answer to a question that was asked on other evidence.
	ErrOtherEvidence = errors.New("the question rests on other evidence by now")
	// ErrExpired is of a question that was asked too long ago.
	ErrExpired = errors.New("the question was asked too long ago")
)

// Question is what an open incident asks now, where an answer to it that rests on
// some evidence would count. Where it would not, the question is returned too, as far
// as there is one, with [ErrNoIncident], [ErrAnswered], [ErrOtherEvidence] or
// [ErrExpired].
func (d *Desk) Question(now time.Time, id, evidence string) (*Question, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	in, err := d.asking(now, id, evidence)
	if in == nil || in.Now.Asks == nil {
		return nil, err
	}
	asks := *in.Now.Asks
	return &asks, err
}

func (d *Desk) asking(now time.Time, id, evidence string) (*incident, error) {
	d.clock(now)
	in := d.incident(id)
	if in == nil {
		return nil, ErrNoIncident
	}
	switch q := in.Now.Asks; {
	case q == nil:
		return in, ErrAnswered
	case q.Evidence != evidence:
		return in, ErrOtherEvidence
	case !q.Until.IsZero() && !now.Before(q.Until):
		return in, ErrExpired
	}
	return in, nil
}

// AskAgain asks what an incident asks once more, from now on, because it was looked
// that the evidence is still the same. What was answered before does not count.
func (d *Desk) AskAgain(now time.Time, id, evidence string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	in, err := d.asking(now, id, evidence)
	if err != nil && !errors.Is(err, ErrExpired) {
		return err
	}
	asks := *in.Now.Asks
	asks.Until = d.until(now, time.Time{})
	in.Now.Asks, in.Now.Choices = &asks, nil
	in.tellChoices(now)
	return nil
}

// tellChoices tells of answers, unless all of it is silenced.
func (in *incident) tellChoices(now time.Time) {
	if !in.Quiet {
		in.say(now, Changed)
	}
}

// Rule is who may answer, and how many of them have to answer the same.
type Rule struct {
	Listed []string
	Needed int
}

// Choose notes what a person has chosen. It returns all who have chosen by the rule:
// agreed says that they are as many as it needs, and of one mind. Then the question is
// answered, and their choices are not kept. One person counts once, with what they
// chose last. Choices count only at the channel where they were made; whoever is not
// listed any more does not.
//
// Errors are those of [Desk.Question].
func (d *Desk) Choose(now time.Time, id, evidence string, c Choice, r Rule) (all []Choice, agreed bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	in, err := d.asking(now, id, evidence)
	if err != nil {
		return nil, false, err
	}
	c.At = now
	agreed = true
	for _, other := range in.Now.Choices {
		if other.Who != c.Who && other.Channel == c.Channel && slices.Contains(r.Listed, other.Who) {
			all = append(all, other)
			agreed = agreed && other.Option == c.Option
		}
	}
	all = append(all, c)
	if agreed = agreed && len(all) >= r.Needed; agreed {
		in.Now.Choices = nil
		return all, true, nil
	}
	others := slices.DeleteFunc(slices.Clone(in.Now.Choices), func(o Choice) bool { return o.Channel == c.Channel })
	in.Now.Choices = append(others, all...)
	in.tellChoices(now)
	return slices.Clone(all), false, nil
}
