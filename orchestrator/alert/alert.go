// Package alert decides who is told what, and when. A check says what holds
// now, as signals; the desk makes incidents of them, and messages of what
// happens to an incident: it has opened, has changed, is not acknowledged, is
// over. Everything is a function of what it is given and of the time it is told,
// and what it must remember is one value that can be stored.
package alert

import (
	"context"
	"time"
)

// Severity is how much a signal matters; the words are those of plan routes.
type Severity string

// The severities.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Signal is one thing that a check found to hold: of an image, or of a site or
// the plan as a whole where Image is empty.
type Signal struct {
	Code     string   `json:"code"` // of the problem, as status shows it
	Severity Severity `json:"severity"`
	Site     string   `json:"site,omitempty"`
	Image    string   `json:"image,omitempty"` // pool/image
	What     string   `json:"what"`
	Next     string   `json:"next,omitempty"` // what a person does
	// Rank orders images of one incident, the worst (greatest) first.
	Rank float64 `json:"rank,omitempty"`
	// Key tells incidents of the same code and site apart that do not belong
	// together, such as the id of a halt.
	Key string `json:"key,omitempty"`
	// Details are shown with the incident, in this order: roles, evidence.
	Details []Detail `json:"details,omitempty"`
	// Asks is a question that a person can answer by a button.
	Asks *Question `json:"asks,omitempty"`
}

// Detail is one line of facts.
type Detail struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Question is what a person is asked: to choose one of several actions, on the
// evidence that its hash names.
type Question struct {
	Kind     string   `json:"kind"`     // [AskResync] or [AskApprove]
	Subject  string   `json:"subject"`  // what it is of: a halt's id, a run's id and its step
	Evidence string   `json:"evidence"` // hash of what was shown
	Options  []string `json:"options"`  // such as the sites whose copy may stay
	// Until is when an answer is no good any more. Of a signal it is what whoever
	// asks says, if anything; the desk makes it no longer than [Options.AnswerWithin].
	Until time.Time `json:"until,omitzero"`
}

// Choice is what a person has chosen of a question's options.
type Choice struct {
	Who     string    `json:"who"`            // an id, such as Slack's
	Name    string    `json:"name,omitempty"` // as people know them
	Channel string    `json:"channel"`        // where they have chosen
	Option  string    `json:"option"`
	At      time.Time `json:"at"`
}

// Kind is what has happened to an incident.
type Kind string

// The kinds of message.
const (
	Opened    Kind = "opened"
	Changed   Kind = "changed"
	Escalated Kind = "escalated" // nobody has acknowledged it
	Resolved  Kind = "resolved"
	Test      Kind = "test" // of drover notify test; means nothing
	Beat      Kind = "beat" // of a heartbeat: the daemon lives and its checks end
)

// Message is what is told of an incident at one moment. It says all that is
// known, so that who gets only one of several misses nothing.
type Message struct {
	// ID is of the incident: messages with the same ID belong to one thread, and
	// are one alert wherever alerts have a key.
	ID       string   `json:"id"`
	Kind     Kind     `json:"kind"`
	Plan     string   `json:"plan"`
	Code     string   `json:"code,omitempty"`
	Severity Severity `json:"severity"`
	Site     string   `json:"site,omitempty"`
	What     string   `json:"what"`
	Next     string   `json:"next,omitempty"`
	// Images is how many images are concerned, Worst the worst of them.
	Images  int       `json:"images"`
	Worst   []string  `json:"worst,omitempty"`
	Details []Detail  `json:"details,omitempty"`
	Asks    *Question `json:"asks,omitempty"`
	// Choices are the answers so far, one a person, where one is not enough.
	Choices []Choice `json:"choices,omitempty"`
	// Since is when the incident opened; At when this was said.
	Since time.Time `json:"since"`
	At    time.Time `json:"at"`
	// Acknowledged is who has taken it on, if anybody.
	Acknowledged string `json:"acknowledged,omitempty"`
	// Silent messages only put right what is shown of an incident: nobody is to be
	// told anything. They go to Options.Updates alone.
	Silent bool `json:"silent,omitempty"`
}

// Receipt is what a channel needs to go on with the same incident: the place of
// a thread, say. It is stored as it is; "" is none.
type Receipt string

// Channel is one place that messages go to.
type Channel interface {
	// Name is the channel's name in the plan.
	Name() string
	// Send delivers a message. last is the receipt of the incident's last message
	// that this channel has taken, or that of an error after it, by a method
	// Receipt() Receipt: the next try finds by it whether the message has come all the
	// same. An error that [Permanent] wraps is tried again only now and then.
	Send(ctx context.Context, m Message, last Receipt) (Receipt, error)
}

// Permanent marks an error that trying again does not mend by itself, such as a
// refused token.
func Permanent(err error) error { return &permanent{err} }

type permanent struct{ err error }

func (p *permanent) Error() string { return p.err.Error() }

func (p *permanent) Unwrap() error { return p.err }
