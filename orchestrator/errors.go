package orchestrator

import (
	"errors"
	"fmt"
	"strings"
)

// The kinds of outcome that a caller tells apart, in the chain of what
// [Apply] and [Destroy] return.
var (
	// ErrIncomplete: something that was wanted was not done or failed.
	ErrIncomplete = errors.New("not everything was done")
	// ErrHalted: an image is in split-brain and must not be touched.
	ErrHalted = errors.New("halted")
	// ErrStale: what was approved no longer describes the plan and the sites.
	ErrStale = errors.New("what was approved is stale")
	// ErrRefused: a precondition does not hold.
	ErrRefused = errors.New("precondition refused")
	// ErrInterrupted: the context ended; what was in the air was finished.
	ErrInterrupted = errors.New("interrupted")
	// ErrUnreachable: a site could not be opened or observed.
	ErrUnreachable = errors.New("a site does not answer")
	// ErrLeased: somebody else holds the plan's lease.
	ErrLeased = errors.New("another drover is at work")
	// ErrLeaseLost: the plan's lease ended while it was needed.
	ErrLeaseLost = errors.New("the plan's lease is lost")
)

// StaleError says what has changed since a diff was shown. It is [ErrStale].
type StaleError struct {
	Changed []string // in words, such as "site-a rbd/image-1"
}

// Error names the first changes.
func (e *StaleError) Error() string {
	const shown = 5
	changed := e.Changed
	more := ""
	if len(changed) > shown {
		more = fmt.Sprintf(" and %d more", len(changed)-shown)
		changed = changed[:shown]
	}
	return fmt.Sprintf("%v: changed since it was shown: %s%s; make a new diff and approve that",
		ErrStale, strings.Join(changed, ", "), more)
}

// Is makes it an ErrStale.
func (e *StaleError) Is(target error) bool { return target == ErrStale }

// Hinted is an error together with the next step for a person.
type Hinted struct {
	Err  error
	Hint string
}

// Error is the cause, then the hint.
func (e *Hinted) Error() string { return e.Err.Error() + "; " + e.Hint }

// Unwrap gives the cause.
func (e *Hinted) Unwrap() error { return e.Err }

// advise gives an error a next step, where there is one.
func advise(err error, hint string) error {
	if hint == "" {
		return err
	}
	return &Hinted{Err: err, Hint: hint}
}

// refusal is an ErrRefused with its reason and what to do about it.
func refusal(hint, format string, args ...any) error {
	return &Hinted{Err: fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, args...)), Hint: hint}
}
