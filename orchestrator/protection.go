package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/looplab/fsm"

	"github.com/drover-io/drover/replay"
)

// Protection is the protection state of one image: those that an observation
// can tell are replay's.
type Protection = replay.State

// ResyncRequested is when a person has said which copy stays, and nothing is
// seen of it yet.
const ResyncRequested Protection = "resync-requested"

// ProtectionEvent is what moves an image from one protection state to another.
type ProtectionEvent string

// The events. Those of the first group come from observation, the others from
// people and runs.
const (
	EventVanished  ProtectionEvent = "vanished"   // mirroring is seen to be off
	EventCopying   ProtectionEvent = "copying"    // a first copy is seen in the making
	EventCaughtUp  ProtectionEvent = "caught-up"  // replay is seen within the objective
	EventBehind    ProtectionEvent = "behind"     // replay is seen behind the objective
	EventBroken    ProtectionEvent = "broken"     // replay is seen not to go on
	EventDiverged  ProtectionEvent = "diverged"   // split-brain is seen
	EventBothDown  ProtectionEvent = "both-down"  // no primary is seen
	EventRecopying ProtectionEvent = "re-copying" // a resync is seen under way

	EventEnable   ProtectionEvent = "enable"    // an apply sets mirroring up
	EventHandOver ProtectionEvent = "hand-over" // a run demotes the primary
	EventKeep     ProtectionEvent = "keep"      // a person says which copy stays
	EventRetire   ProtectionEvent = "retire"    // a destroy takes mirroring down
)

// Transition is one row of the table of protection states.
type Transition struct {
	From  Protection
	Event ProtectionEvent
	To    Protection
}

// protectionStates are all states, in the order in which they are drawn.
var protectionStates = []Protection{
	replay.Unprotected, replay.Enabling, replay.Syncing, replay.Replaying, replay.Lagging, replay.Degraded, replay.HandingOver,
	replay.SplitBrain, replay.Stranded, ResyncRequested, replay.Resyncing, replay.Retired,
}

// moves is the table in short: from each of the states, the event leads to one.
var moves = []struct {
	event ProtectionEvent
	to    Protection
	from  []Protection
}{
	{EventEnable, replay.Enabling, []Protection{replay.Unprotected, replay.Retired}},
	{EventCopying, replay.Syncing, []Protection{replay.Unprotected, replay.Enabling, replay.Replaying, replay.Lagging, replay.Degraded, replay.HandingOver, replay.Stranded}},
	{EventCaughtUp, replay.Replaying, []Protection{replay.Unprotected, replay.Enabling, replay.Syncing, replay.Lagging, replay.Degraded, replay.HandingOver, replay.Stranded, replay.Resyncing}},
	{EventBehind, replay.Lagging, []Protection{replay.Unprotected, replay.Enabling, replay.Syncing, replay.Replaying, replay.Degraded, replay.HandingOver, replay.Stranded, replay.Resyncing}},
	{EventBroken, replay.Degraded, []Protection{replay.Unprotected, replay.Enabling, replay.Syncing, replay.Replaying, replay.Lagging, replay.HandingOver, replay.Stranded, replay.Resyncing}},
	{EventHandOver, replay.HandingOver, []Protection{replay.Replaying, replay.Lagging}},
	{EventBothDown, replay.Stranded, []Protection{replay.Unprotected, replay.Enabling, replay.Syncing, replay.Replaying, replay.Lagging, replay.Degraded, replay.HandingOver, replay.SplitBrain, ResyncRequested, replay.Resyncing}},
	// Split-brain is left only by a person's word: no observation of a healthy
	// pair ends it, because two primaries look healthy to Ceph.
	{EventDiverged, replay.SplitBrain, []Protection{replay.Unprotected, replay.Enabling, replay.Syncing, replay.Replaying, replay.Lagging, replay.Degraded, replay.HandingOver, replay.Stranded, replay.Resyncing, ResyncRequested}},
	{EventKeep, ResyncRequested, []Protection{replay.SplitBrain, replay.Degraded}},
	{EventRecopying, replay.Resyncing, []Protection{ResyncRequested, replay.Degraded}},
	{EventVanished, replay.Unprotected, []Protection{replay.Enabling, replay.Syncing, replay.Replaying, replay.Lagging, replay.Degraded, replay.HandingOver, replay.SplitBrain, replay.Stranded, ResyncRequested, replay.Resyncing}},
	{EventRetire, replay.Retired, []Protection{replay.Unprotected, replay.Enabling, replay.Syncing, replay.Replaying, replay.Lagging, replay.Degraded, replay.SplitBrain, replay.Stranded}},
}

// Transitions is the one table of protection states. The machine of each
// image, the drawing in the documentation and the labels of metrics are made
// from it.
func Transitions() []Transition {
	var table []Transition
	for _, m := range moves {
		for _, from := range m.from {
			table = append(table, Transition{From: from, Event: m.event, To: m.to})
		}
	}
	return table
}

// ProtectionStates are all states.
func ProtectionStates() []Protection { return slices.Clone(protectionStates) }

// Mermaid draws the table as a Mermaid state diagram.
func Mermaid() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n    [*] --> unprotected\n")
	name := func(p Protection) string { return strings.ReplaceAll(string(p), "-", "_") }
	for _, state := range protectionStates {
		if name(state) != string(state) {
			fmt.Fprintf(&b, "    %s: %s\n", name(state), state)
		}
	}
	for _, t := range Transitions() {
		fmt.Fprintf(&b, "    %s --> %s: %s\n", name(t.From), name(t.To), t.Event)
	}
	return b.String()
}

// ErrNoTransition says that an event has no place in a state.
var ErrNoTransition = errors.New("no such transition")

// Machine is the protection of one image. It must be driven from one
// goroutine.
type Machine struct{ states *fsm.FSM }

// NewMachine makes a machine that begins in a state that was observed.
func NewMachine(state Protection) *Machine {
	events := make([]fsm.EventDesc, 0, len(moves))
	for _, m := range moves {
		row := fsm.EventDesc{Name: string(m.event), Dst: string(m.to)}
		for _, from := range m.from {
			row.Src = append(row.Src, string(from))
		}
		events = append(events, row)
	}
	return &Machine{states: fsm.NewFSM(string(state), events, nil)}
}

// State is the present state.
func (m *Machine) State() Protection { return Protection(m.states.Current()) }

// Can reports whether the event has a place in the present state.
func (m *Machine) Can(event ProtectionEvent) bool { return m.states.Can(string(event)) }

// Fire moves the machine. An event without a place in the present state is
// [ErrNoTransition] and changes nothing.
func (m *Machine) Fire(event ProtectionEvent) error {
	// A context that ends in the middle of an event would leave the machine
	// unable to ever move again; so it gets one that cannot.
	err := m.states.Event(context.Background(), string(event))
	var still fsm.NoTransitionError
	if err == nil || errors.As(err, &still) {
		return nil
	}
	return fmt.Errorf("%w: %s in state %s: %w", ErrNoTransition, event, m.State(), err)
}

// observed tells by which event an observed state is reached.
var observed = map[Protection]ProtectionEvent{
	replay.Unprotected: EventVanished, replay.Syncing: EventCopying, replay.Replaying: EventCaughtUp, replay.Lagging: EventBehind,
	replay.Degraded: EventBroken, replay.SplitBrain: EventDiverged, replay.Stranded: EventBothDown, replay.Resyncing: EventRecopying,
	replay.Enabling: EventEnable,
}

// Observe moves the machine to a state that was observed, and reports whether
// it moved. A state that cannot follow on the present one (a healthy look of
// an image in split-brain) leaves the machine where it is.
func (m *Machine) Observe(state Protection) bool {
	event, ok := observed[state]
	if !ok || m.State() == state || !m.Can(event) {
		return false
	}
	return m.Fire(event) == nil && m.State() == state
}
