package orchestrator

import (
	"context"
	"time"

	"github.com/drover-io/drover/replay"
)

// StepKind says what a step of a run does.
type StepKind string

// The kinds of step.
const (
	StepHook       StepKind = "hook"
	StepManual     StepKind = "manual"
	StepLink       StepKind = "link"
	StepFence      StepKind = "fence"
	StepClients    StepKind = "clients"
	StepSnapshot   StepKind = "snapshot"
	StepDemote     StepKind = "demote"
	StepProve      StepKind = "prove"
	StepPromote    StepKind = "promote"
	StepForce      StepKind = "force-promote"
	StepReturn     StepKind = "promote-back"
	StepVerify     StepKind = "verify"
	StepSchedule   StepKind = "schedule"
	StepStopDaemon StepKind = "stop-daemon"
	StepRunDaemon  StepKind = "start-daemon"
	StepPreserve   StepKind = "preserve"
	StepGuard      StepKind = "guard"
	StepAlone      StepKind = "alone"
	StepResync     StepKind = "resync"
	StepFollow     StepKind = "follow"
	StepCompare    StepKind = "compare"
	StepReverse    StepKind = "reverse"
	StepClear      StepKind = "clear"
	StepBury       StepKind = "bury"
	StepSweep      StepKind = "sweep-drills"
)

// Step is one step of a run: what it will do, the equivalent command, and how
// it is seen to be done. Steps are compiled from a [Run] and the plan, the same
// each time.
type Step struct {
	ID      string           `json:"id"` // unique within the run, such as demote/rbd/vm-1
	Kind    StepKind         `json:"kind"`
	Site    string           `json:"site,omitempty"`
	Wave    string           `json:"wave,omitempty"`
	Unit    string           `json:"unit,omitempty"`
	Image   *replay.ImageRef `json:"image,omitempty"`
	What    string           `json:"what"`
	Command string           `json:"command,omitempty"` // equivalent; empty when none is needed
	Proof   string           `json:"proof"`             // how it is seen to be done
	// Undo: the step is only taken when the unit has to go back.
	Undo bool `json:"undo,omitempty"`

	act stepAct
}

// stepAct carries a step out. It holds no state of how it went: a step can be
// looked at and done again by another process.
type stepAct interface {
	// look observes whether nothing is left to do, and on what that rests. An
	// error that is final for the step ([ErrRefused], [ErrHalted]) ends it.
	look(ctx context.Context, c *crew) (done bool, evidence string, err error)
	// do does it once. It checks, in the same moment, that it may.
	do(ctx context.Context, c *crew) error
	// patience is how long it may take from do until look says that it is done,
	// and how often do may be tried again meanwhile (0: once only).
	patience(c *crew) (limit, again time.Duration)
}

// StepPhase is how far a step has come.
type StepPhase string

// The phases. Intent stands before the act, one of the others behind it.
const (
	PhaseIntent  StepPhase = "intent"
	PhaseDone    StepPhase = "done"
	PhaseAlready StepPhase = "already" // it was so when it was looked at
	PhaseFailed  StepPhase = "failed"
	PhaseUnknown StepPhase = "unknown" // a call has not come back: what it did is not known
)

// StepRecord is the body of a step's record.
type StepRecord struct {
	Step     string           `json:"step"`
	Kind     StepKind         `json:"kind"`
	Phase    StepPhase        `json:"phase"`
	Unit     string           `json:"unit,omitempty"`
	Image    *replay.ImageRef `json:"image,omitempty"`
	Site     string           `json:"site,omitempty"`
	Evidence string           `json:"evidence,omitempty"`
	Fault    string           `json:"fault,omitempty"`
	Undo     bool             `json:"undo,omitempty"`
	Took     time.Duration    `json:"took,omitempty"`
}

// stage is steps that are taken side by side; the next stage begins when all of
// them are done.
type stage []Step

// program is what one unit of a run goes through.
type program struct {
	unit   RunUnit
	stages []stage
	// undo is taken instead of the rest when a stage before the committed one
	// fails after the first that changes something.
	undo      []stage
	changesAt int // index of the first stage that undo has to take back
	// commits is the index of the stage of which no step may have been done if
	// the unit shall still go back.
	commits int
	// partAt is the index of the first stage after which a failure leaves the
	// unit half way, although nothing can be taken back.
	partAt int
}
