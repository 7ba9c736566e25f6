package daemon

import (
	"errors"
	"fmt"
	"slices"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
)

// panicked is told of a panic in what is done for the plan. It ends that and nothing
// else; readiness says so until a check ends well.
func (g *guard) panicked(value any, stack []byte) {
	g.log.Error("a check, or other work of the watch, has failed for a fault of the program", "panic", value, "stack", string(stack))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.panics = fmt.Sprint(value)
	g.fault = errors.New("panic: " + g.panics)
}

// faulty is the signal of a panic of which nobody was told yet. What it says is left to
// the log, as a panic may hold anything.
func (g *guard) faulty() []alert.Signal {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.panics == "" {
		return nil
	}
	return []alert.Signal{{
		Code: orchestrator.SignalWatchFaulty, Severity: alert.Critical,
		What: "a check of this plan, or other work of its watch, has failed for a fault of the program, so that something may be overlooked",
		Next: "read the daemon's log, and report the fault; where it lasts, start the daemon anew",
	}}
}

// toldFaulty notes that people are told of the last panic.
func (g *guard) toldFaulty() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.panics = ""
}

// lookFaulty is given a check that has ended in a panic: people are told of that, and all
// else is as it was.
func (g *guard) lookFaulty(r *orchestrator.CheckResult) {
	g.o.Metrics.Checked(g.plan.Name, r.Took, errors.New("panic"))
	g.mu.Lock()
	r.Blind = g.blind
	g.mu.Unlock()
	desk := g.at(r)
	if desk == nil {
		return
	}
	desk.Check(g.o.Now(), append(slices.Clip(r.Signals), g.faulty()...), []alert.Unseen{{}}, r.Silences)
	g.toldFaulty()
	g.beside(func() { g.store(desk) })
	g.poke()
}
