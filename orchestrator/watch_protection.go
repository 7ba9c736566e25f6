package orchestrator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// Two events are in no table: what is not known follows on everything, and
// anything may follow on it.
const (
	EventSeen       ProtectionEvent = "seen"         // it was not known before
	EventOutOfSight ProtectionEvent = "out-of-sight" // nothing is known of it any more
)

// guard drives the machine of each image by what is seen and recorded.
type guard struct {
	plan     *plans.Plan
	machines map[replay.ImageRef]*Machine
	// resumed: the machines stand where the history ends, not where a check saw them.
	resumed bool
}

// newGuard makes a guard that goes on where the history ends.
func newGuard(plan *plans.Plan, history []Entry) *guard {
	g := &guard{plan: plan, machines: map[replay.ImageRef]*Machine{}, resumed: true}
	for ref, state := range recorded(history) {
		g.machines[ref] = NewMachine(state)
	}
	return g
}

// look moves the machines, and answers with what has changed, in order of image.
func (g *guard) look(result *CheckResult, moving func(replay.ImageRef) *Run) []ProtectionChange {
	var changes []ProtectionChange
	seen := make(map[replay.ImageRef]bool, len(result.Report.Images))
	for i := range result.Report.Images {
		image := &result.Report.Images[i]
		seen[image.Ref] = true
		var run *Run
		if image.Run != "" {
			run = moving(image.Ref)
		}
		g.step(image, image.Protection, whyState(image, run), &changes)
	}
	for _, ref := range slices.SortedFunc(maps.Keys(g.machines), replay.ImageRef.Compare) {
		if seen[ref] {
			continue
		}
		gone := &ImageStatus{Ref: ref, State: replay.Unprotected}
		why := "no site has it, and the plan does not name it"
		if !knowsAll(result.Report) {
			gone.State, why = replay.Unknown, "no site that answers has it"
		}
		g.step(gone, gone.State, why, &changes)
		if gone.State == replay.Unprotected {
			delete(g.machines, ref) // the history has its last state; images come and go
		}
	}
	slices.SortStableFunc(changes, func(a, b ProtectionChange) int { return a.Image.Compare(b.Image) })
	for i := range changes {
		changes[i].At = result.At
		if g.resumed && changes[i].From != replay.Unknown {
			changes[i].Why = "seen after a restart: " + changes[i].Why
		}
	}
	g.resumed = false
	return changes
}

// knowsAll reports whether all sites answered, so that what is not listed is not
// there.
func knowsAll(report *StatusReport) bool {
	return len(report.Summary.Silent) == 0 && report.Summary.States[replay.Unknown] == 0
}

// wanted is the state of an image by what is seen of it and what is recorded: a
// split-brain that was halted lasts until a person has cleared the halt.
func wanted(image *ImageStatus, run *Run, halts []Halt) Protection {
	switch {
	case run != nil && run.Runbook == Resync && image.State == replay.SplitBrain:
		return ResyncRequested
	case run == nil && slices.ContainsFunc(halts, func(h Halt) bool { return h.ID == image.Halt && h.ofSplit() }):
		return replay.SplitBrain
	}
	return image.State
}

// protect notes in a report the state of each image by what is recorded, too.
func protect(result *CheckResult, moving func(replay.ImageRef) *Run) {
	for i := range result.Report.Images {
		image := &result.Report.Images[i]
		var run *Run
		if image.Run != "" {
			run = moving(image.Ref)
		}
		image.Protection = wanted(image, run, result.Halts)
	}
}

// splitWord begins the reason of a halt that HaltSplit sets.
const splitWord = "split-brain: "

// ofSplit reports whether a halt is of a split-brain, not by a person's wish.
func (h *Halt) ofSplit() bool { return strings.HasPrefix(h.Reason, splitWord) }

// step moves one machine to a state.
func (g *guard) step(image *ImageStatus, to Protection, why string, changes *[]ProtectionChange) {
	m := g.machines[image.Ref]
	if m == nil {
		m = NewMachine(replay.Unknown)
		g.machines[image.Ref] = m
	}
	move := func(to Protection, event ProtectionEvent) {
		from, why := m.State(), why
		if !m.Can(event) || m.Fire(event) != nil || m.State() != to {
			// What is seen holds, also where checks have missed what was between.
			m = NewMachine(to)
			g.machines[image.Ref] = m
			if from != replay.Unknown && to != replay.Unknown { // those are of the observer, not of the image
				why += " (what was between was not seen)"
			}
		}
		*changes = append(*changes, ProtectionChange{Image: image.Ref, From: from, To: to, Event: event, Why: why, Roles: image.Roles})
	}
	if m.State() == replay.SplitBrain && to == replay.Resyncing {
		move(ResyncRequested, EventKeep)
	}
	if from := m.State(); from != to {
		move(to, eventOf(from, to))
	}
}

// eventOf is what leads from one state to another that was seen.
func eventOf(from, to Protection) ProtectionEvent {
	switch {
	case to == replay.Unknown:
		return EventOutOfSight
	case from == replay.Unknown:
		return EventSeen
	case to == replay.HandingOver:
		return EventHandOver
	case to == ResyncRequested:
		return EventKeep
	case to == replay.Retired:
		return EventRetire
	}
	return observed[to]
}

// whyState says in one line what an image's state rests on.
func whyState(image *ImageStatus, run *Run) string {
	var parts []string
	if run != nil {
		parts = append(parts, fmt.Sprintf("the %s %s is under way", run.Runbook, run.ID))
	}
	for i := range image.Problems {
		p := &image.Problems[i]
		if p.Code != ProblemUnfinished && p.Severity != replay.SeverityInfo {
			parts = append(parts, p.What)
			break
		}
	}
	for i := range image.Copies {
		if len(parts) == 0 || run != nil {
			parts = append(parts, image.Copies[i].standing())
		}
	}
	return oneLine(cmp.Or(strings.Join(parts, "; "), "roles and reports agree"))
}

// standing says in a few words how a copy stands.
func (c *CopyStatus) standing() string {
	switch {
	case c.SyncPercent != nil && c.State == replay.Syncing:
		return fmt.Sprintf("%s is copying, %.0f%% so far", c.Site, *c.SyncPercent)
	case c.Lag.CaughtUp:
		return c.Site + " holds all that is known of"
	case c.Lag.Seconds != nil:
		return fmt.Sprintf("%s is %v behind", c.Site, c.Lag.Seconds.Round(time.Second))
	case c.Lag.Entries != nil:
		return fmt.Sprintf("%s is %d entries behind", c.Site, *c.Lag.Entries)
	}
	return c.Site + " is " + string(c.State)
}
