package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/drover-io/drover/replay"
)

// UnitOutcome is what became of a unit of a run.
type UnitOutcome string

// The outcomes of a unit.
const (
	UnitMoved     UnitOutcome = "moved"     // everything was done and seen
	UnitUntouched UnitOutcome = "untouched" // it failed before anything was changed
	UnitReturned  UnitOutcome = "returned"  // it was taken back: the old site is primary again
	UnitStuck     UnitOutcome = "stuck"     // neither: the run has to be resumed
	UnitNotBegun  UnitOutcome = "not-begun"
)

// RunOutcome is what became of a run.
type RunOutcome string

// The outcomes of a run.
const (
	RunDone        RunOutcome = "done"        // every unit moved
	RunIncomplete  RunOutcome = "incomplete"  // it is over, and not every unit moved
	RunAborted     RunOutcome = "aborted"     // a hook or an opening step failed; no further unit was begun
	RunInterrupted RunOutcome = "interrupted" // to be resumed
	RunStuck       RunOutcome = "stuck"       // to be resumed: something could not be completed
	RunGivenUp     RunOutcome = "given-up"    // a person ended it by hand
)

// over reports whether a run with this outcome needs no resuming.
func (o RunOutcome) over() bool { return o != RunInterrupted && o != RunStuck && o != "" }

// UnitReport is one unit of a run and what became of it.
type UnitReport struct {
	Unit    RunUnit       `json:"unit"`
	Outcome UnitOutcome   `json:"outcome"`
	Why     string        `json:"why,omitempty"` // where it did not move
	Next    string        `json:"next,omitempty"`
	Step    string        `json:"step,omitempty"` // the step at which it failed
	Took    time.Duration `json:"took,omitempty"`
}

// RunReport is what became of a run.
type RunReport struct {
	Run     Run          `json:"run"`
	Outcome RunOutcome   `json:"outcome"`
	Why     string       `json:"why,omitempty"`
	Units   []UnitReport `json:"units"`
	// Notes are what went wrong without stopping anything, such as a hook that
	// may fail.
	Notes []string `json:"notes,omitempty"`
	// Discards are the copies that were discarded or given up, by all processes
	// that worked at the run.
	Discards []Discard     `json:"discards,omitempty"`
	Ended    time.Time     `json:"ended"`
	Took     time.Duration `json:"took"`

	cause error
}

// Count is the number of images whose unit has the outcome.
func (r *RunReport) Count(o UnitOutcome) (images int) {
	for i := range r.Units {
		if r.Units[i].Outcome == o {
			images += len(r.Units[i].Unit.Images)
		}
	}
	return images
}

// Err is nil for a run that is done; else it wraps [ErrInterrupted],
// [ErrIncomplete] or what stopped it.
func (r *RunReport) Err() error {
	switch r.Outcome {
	case RunDone:
		return nil
	case RunInterrupted:
		return &Hinted{Err: fmt.Errorf("%w: %s", r.causeOr(ErrInterrupted), r.summary()), Hint: resumeHint(&r.Run)}
	case RunAborted:
		return fmt.Errorf("%w: %s", r.causeOr(ErrIncomplete), r.Why)
	case RunStuck:
		text := r.summary()
		if r.Why != "" {
			text = r.Why + "; " + text
		}
		return &Hinted{Err: fmt.Errorf("%w: %s", r.causeOr(ErrIncomplete), text), Hint: resumeHint(&r.Run)}
	}
	return fmt.Errorf("%w: %s", ErrIncomplete, r.summary())
}

func (r *RunReport) causeOr(other error) error {
	if r.cause != nil {
		return r.cause
	}
	return other
}

func resumeHint(r *Run) string {
	return "go on with: drover runs resume FILE " + r.ID
}

// summary counts images by outcome.
func (r *RunReport) summary() string {
	var parts []string
	for _, o := range []UnitOutcome{UnitMoved, UnitReturned, UnitStuck, UnitUntouched, UnitNotBegun} {
		if n := r.Count(o); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, o))
		}
	}
	return "images: " + strings.Join(parts, ", ")
}

// RunEventKind says what a [RunEvent] tells.
type RunEventKind string

// The kinds of event of a run.
const (
	RunBegins    RunEventKind = "run-begin"
	RunWaveBegin RunEventKind = "wave-begin"
	RunWaveEnd   RunEventKind = "wave-end"
	RunUnitBegin RunEventKind = "unit-begin"
	RunUnitEnd   RunEventKind = "unit-end"
	RunStepBegin RunEventKind = "step-begin"
	RunStepEnd   RunEventKind = "step-end"
	RunWaits     RunEventKind = "waits"  // for a person: Note says for what
	RunCopies    RunEventKind = "copies" // bytes of the image in Note: Done of Whole
	RunNotes     RunEventKind = "note"
	RunEnds      RunEventKind = "run-end"
)

// RunEvent is progress of a run. Fields that the kind does not name are empty.
type RunEvent struct {
	Kind     RunEventKind
	At       time.Time
	Run      *Run
	Wave     string
	Unit     *RunUnit
	Outcome  UnitOutcome
	Step     *Step
	Phase    StepPhase
	Evidence string
	Err      error
	Note     string
	Took     time.Duration
	Total    int // images of the run, or of the wave
	Done     uint64
	Whole    uint64
}

// outcomeOf sums a run up.
func outcomeOf(r *RunReport, soft, hard error) {
	moved, stuck, waiting := 0, 0, 0
	for i := range r.Units {
		switch r.Units[i].Outcome {
		case UnitMoved:
			moved++
		case UnitStuck:
			stuck++
		case UnitNotBegun:
			waiting++
		}
	}
	switch {
	case hard != nil:
		r.Outcome, r.cause = RunInterrupted, hard
	case r.Outcome == RunAborted && stuck == 0:
	case stuck > 0 && soft != nil:
		r.Outcome, r.cause = RunInterrupted, soft
	case stuck > 0:
		r.Outcome = RunStuck
	case waiting > 0 && soft != nil:
		r.Outcome, r.cause = RunInterrupted, soft
	case moved == len(r.Units):
		r.Outcome = RunDone
	default:
		r.Outcome = RunIncomplete
	}
	if errors.Is(r.cause, ErrInterrupted) || errors.Is(r.cause, context.Canceled) {
		r.cause = ErrInterrupted
	}
}

// refs are the unit's images.
func (u *RunUnit) refs() []replay.ImageRef {
	out := make([]replay.ImageRef, len(u.Images))
	for i := range u.Images {
		out[i] = u.Images[i].Ref
	}
	return out
}
