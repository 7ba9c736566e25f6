package orchestrator

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/drover-io/drover/replay"
)

// Outcome is what became of one change.
type Outcome string

// The outcomes.
const (
	OutcomeDone     Outcome = "done"      // done, and seen to be
	OutcomeAlready  Outcome = "already"   // it was so by the time it was looked at
	OutcomeFailed   Outcome = "failed"    // see the error
	OutcomeUnproven Outcome = "unproven"  // done, but still wanted when looked at again
	OutcomeBlocked  Outcome = "blocked"   // something that it needs was not done
	OutcomeNotBegun Outcome = "not-begun" // interrupted before
	OutcomeUntried  Outcome = "untried"   // still wanted at the end; see the error for why it was not tried
	OutcomePlanned  Outcome = "planned"   // a dry run
)

// ChangeResult is one change and what became of it.
type ChangeResult struct {
	Change  Change        `json:"change"`
	Outcome Outcome       `json:"outcome"`
	Fault   *Fault        `json:"fault,omitempty"`
	Took    time.Duration `json:"took"`
}

// ImageResult is the protection of one image of the plan at the end.
type ImageResult struct {
	Ref   replay.ImageRef `json:"ref"`
	State Protection      `json:"state"`
	// Pending are the secondaries that were waited for in vain.
	Pending []string `json:"pending,omitempty"`
}

// Result is what an apply or a destroy did and did not do.
type Result struct {
	Plan    string         `json:"plan"`
	Reason  string         `json:"reason,omitempty"` // a person's, for deleting data
	Changes []ChangeResult `json:"changes"`
	Notices []Notice       `json:"notices"`
	Images  []ImageResult  `json:"images,omitempty"`
	// Interrupted: it was asked to stop.
	Interrupted bool          `json:"interrupted,omitempty"`
	Took        time.Duration `json:"took"`

	// Refused is why nothing was tried at all.
	Refused *Fault `json:"refused,omitempty"`
	// Lost is why it had to stop: another process has taken over, or the records
	// can be read no more.
	Lost *Fault `json:"lost,omitempty"`
}

// Unchanged reports that there was nothing to do.
func (r *Result) Unchanged() bool { return len(r.Changes) == 0 && r.Refused == nil }

// Count is the number of changes with an outcome.
func (r *Result) Count(o Outcome) int {
	n := 0
	for i := range r.Changes {
		if r.Changes[i].Outcome == o {
			n++
		}
	}
	return n
}

// Pending is the number of images that have no copy yet somewhere.
func (r *Result) Pending() int {
	n := 0
	for i := range r.Images {
		if len(r.Images[i].Pending) > 0 {
			n++
		}
	}
	return n
}

// Err is nil when everything that was wanted is so; else errors that wrap
// [ErrHalted], [ErrLeased], [ErrLeaseLost], [ErrStale], [ErrRefused], [ErrUnreachable], [ErrInterrupted] or
// [ErrIncomplete].
func (r *Result) Err() error {
	if r.Refused != nil {
		if r.Interrupted {
			return errors.Join(ErrInterrupted, r.Refused)
		}
		return r.Refused
	}
	var errs []error
	if r.Lost != nil {
		errs = append(errs, r.Lost)
	}
	if r.Interrupted {
		errs = append(errs, fmt.Errorf("%w: %d of %d changes were done", ErrInterrupted,
			r.Count(OutcomeDone)+r.Count(OutcomeAlready), len(r.Changes)))
	}
	for i := range r.Changes {
		c := &r.Changes[i]
		switch {
		case c.Outcome == OutcomeFailed || c.Outcome == OutcomeUnproven || c.Outcome == OutcomeUntried:
			errs = append(errs, fmt.Errorf("%w: %s: %w", ErrIncomplete, c.Change.Title(), c.Fault))
		case c.Outcome == OutcomeNotBegun && !r.Interrupted:
			errs = append(errs, fmt.Errorf("%w: %s: not begun", ErrIncomplete, c.Change.Title()))
		}
	}
	if n := r.Pending(); n > 0 && !r.Interrupted {
		errs = append(errs, &Hinted{
			Err:  fmt.Errorf("%w: %d images were waited for in vain: %s", ErrIncomplete, n, r.pendingExamples()),
			Hint: "drover status shows what holds them back; nothing has to be applied again for them",
		})
	}
	for i := range r.Notices {
		if fails := r.Notices[i].Fails(); fails != nil {
			errs = append(errs, advise(fmt.Errorf("%w: %s", fails, r.Notices[i].Line()), r.Notices[i].Next))
		}
	}
	return errors.Join(errs...)
}

// pendingExamples names the first images that were waited for in vain, and
// where.
func (r *Result) pendingExamples() string {
	const shown = 3
	var names []string
	for i := range r.Images {
		if image := &r.Images[i]; len(image.Pending) > 0 {
			names = append(names, image.Ref.String()+" at "+strings.Join(image.Pending, " and "))
		}
	}
	if more := len(names) - shown; more > 0 {
		return strings.Join(names[:shown], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}

// Title is the change in one line, with where it is.
func (c *Change) Title() string {
	if object := c.Object(); object != "" {
		return fmt.Sprintf("%s %s: %s", c.Site, object, c.What)
	}
	return fmt.Sprintf("%s: %s", c.Site, c.What)
}

// EventKind says what an [Event] tells.
type EventKind string

// The kinds of event.
const (
	EventPlanned  EventKind = "planned"  // Total changes will be tried
	EventBegin    EventKind = "begin"    // Change begins
	EventEnd      EventKind = "end"      // Change has ended with Outcome
	EventWaiting  EventKind = "waiting"  // Waiting images have no copy yet
	EventProtects EventKind = "protects" // Image is now in State
)

// Event is progress. Fields that the kind does not name are empty.
type Event struct {
	Kind    EventKind
	Done    int // changes that have ended, or images that have arrived
	Total   int
	Change  *Change
	Outcome Outcome
	Err     error
	Image   replay.ImageRef
	State   Protection
}
