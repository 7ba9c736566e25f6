package orchestrator_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
)

// TestTransitionsComplete wants the table to be one: no row twice, each state
// reachable and, but for the last, left again, and each event used.
func TestTransitionsComplete(t *testing.T) {
	states := orchestrator.ProtectionStates()
	entered, left := map[orchestrator.Protection]bool{replay.Unprotected: true}, map[orchestrator.Protection]bool{}
	next := map[orchestrator.Transition]bool{}
	for _, row := range orchestrator.Transitions() {
		key := orchestrator.Transition{From: row.From, Event: row.Event}
		if next[key] {
			t.Errorf("two rows for %s in %s", row.Event, row.From)
		}
		next[key] = true
		for _, s := range []orchestrator.Protection{row.From, row.To} {
			if !slices.Contains(states, s) {
				t.Errorf("%s is no state", s)
			}
		}
		if row.From == row.To {
			t.Errorf("%s leads from %s to itself", row.Event, row.From)
		}
		entered[row.To], left[row.From] = true, true
	}
	for _, s := range states {
		if !entered[s] || !left[s] {
			t.Errorf("%s: entered %v, left %v", s, entered[s], left[s])
		}
	}
	events := []orchestrator.ProtectionEvent{
		orchestrator.EventVanished, orchestrator.EventCopying, orchestrator.EventCaughtUp, orchestrator.EventBehind,
		orchestrator.EventBroken, orchestrator.EventDiverged, orchestrator.EventBothDown, orchestrator.EventRecopying,
		orchestrator.EventEnable, orchestrator.EventHandOver, orchestrator.EventKeep, orchestrator.EventRetire,
	}
	for _, e := range events {
		if !slices.ContainsFunc(orchestrator.Transitions(), func(row orchestrator.Transition) bool { return row.Event == e }) {
			t.Errorf("%s is in no row", e)
		}
	}
}

// TestMachineFollowsTable fires every event in every state.
func TestMachineFollowsTable(t *testing.T) {
	for _, from := range orchestrator.ProtectionStates() {
		for _, row := range orchestrator.Transitions() {
			m := orchestrator.NewMachine(from)
			want, ok := from, false
			for _, r := range orchestrator.Transitions() {
				if r.From == from && r.Event == row.Event {
					want, ok = r.To, true
				}
			}
			err := m.Fire(row.Event)
			if m.State() != want || ok != (err == nil) || !ok && !errors.Is(err, orchestrator.ErrNoTransition) {
				t.Errorf("%s in %s: %s, %v", row.Event, from, m.State(), err)
			}
		}
	}
}

// TestSplitBrainHolds wants no observation of a healthy pair to end a
// split-brain: two primaries look healthy to Ceph.
func TestSplitBrainHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := orchestrator.NewMachine(replay.SplitBrain)
		healthy := rapid.SampledFrom([]orchestrator.Protection{replay.Replaying, replay.Syncing, replay.Lagging, replay.Degraded, replay.Enabling, replay.Resyncing})
		for range rapid.IntRange(1, 20).Draw(t, "observations") {
			m.Observe(healthy.Draw(t, "state"))
		}
		if m.State() != replay.SplitBrain {
			t.Fatalf("it became %s", m.State())
		}
	})
}

// TestMachineGoesOn wants no history of events to wedge a machine: what the
// table allows stays possible.
func TestMachineGoesOn(t *testing.T) {
	table := orchestrator.Transitions()
	rapid.Check(t, func(t *rapid.T) {
		m := orchestrator.NewMachine(replay.Unprotected)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			row := rapid.SampledFrom(table).Draw(t, "row")
			from := m.State()
			allowed := slices.ContainsFunc(table, func(r orchestrator.Transition) bool { return r.From == from && r.Event == row.Event })
			if m.Can(row.Event) != allowed {
				t.Fatalf("%s in %s: allowed %v", row.Event, from, allowed)
			}
			if err := m.Fire(row.Event); allowed != (err == nil) {
				t.Fatalf("%s in %s: %v", row.Event, from, err)
			}
		}
	})
}

func TestMermaid(t *testing.T) {
	golden(t, filepath.Join("testdata", "protection.mmd"), orchestrator.Mermaid())
	text, err := os.ReadFile(filepath.Join("..", "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "```mermaid\n"+orchestrator.Mermaid()+"```") {
		t.Error("the drawing in ARCHITECTURE.md is not this one: drover plan states -o mermaid")
	}
}
