package orchestrator

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/drover-io/drover/replay"
)

// tick is one check, where this watch is the one to look.
func (w *Watch) tick(ctx context.Context, slot Slot) {
	t, standing := w.enter()
	switch {
	case t != nil:
		defer t.work.Done()
		ctx = t.ctx
	case standing.Role != RoleAlone:
		return
	}
	result := w.check(ctx, t, slot)
	if result == nil {
		return
	}
	w.options.Checked(*result)
	if t != nil {
		w.remember(t, result)
	}
	w.reopen(ctx)
}

// check looks once. It is nil when the watch was stopped meanwhile, or had lost its
// lease: another one tells then what there is to tell.
func (w *Watch) check(ctx context.Context, t *tenure, slot Slot) *CheckResult {
	began := time.Now()
	result := &CheckResult{Plan: w.plan.Name, Role: RoleAlone, Missed: slot.Missed}
	sites, recall := w.sites.Load(), func([]replay.Evidence) {}
	if t != nil {
		sites, recall, result.Role = t.sites, t.trails.recall, RoleActing
	}
	seen := look(ctx, w.plan, sites, StatusOptions{Now: w.options.Now}, recall)
	if ctx.Err() != nil {
		return nil
	}
	result.Report, result.At, result.Blind = seen.report, seen.report.At, seen.report.Summary.Silent
	if seen.obs.Records != nil {
		result.Halts = seen.obs.Records.Halts
		if book := seen.obs.Records.book; book != nil {
			w.silences = book.Silences(w.options.Now())
		}
	}
	result.Silences = w.silences
	if t != nil {
		if !w.halt(t, seen, result) || t.lease.confirm(ctx, result.Blind) != nil {
			return nil
		}
		result.Transitions = t.guard.look(result, w.moves(seen))
	}
	if t != nil && t.unrecorded != nil {
		result.Faults = append(result.Faults, fmt.Errorf("record the history: %w", t.unrecorded))
	}
	result.Signals = append(haltSignals(w.plan, result), reportSignals(w.plan, result)...)
	if t != nil {
		result.Signals = append(result.Signals, t.trails.look(w.plan, seen)...)
		result.Signals = append(result.Signals, w.converge(t, seen, result)...)
		result.Signals = append(result.Signals, w.daemonSignals(t)...)
		result.Signals = append(result.Signals, w.verifiedSignals(t, result)...)
		t.last.Store(seen.report)
	}
	result.Took = time.Since(began)
	return result
}

// moves are the runs that have images in their hands.
func (w *Watch) moves(seen *sight) func(replay.ImageRef) *Run {
	return func(ref replay.ImageRef) *Run { return seen.obs.Records.moving(ref) }
}

// halt halts the split-brains that nobody has halted. It is false where the watch
// has no right to any more.
func (w *Watch) halt(t *tenure, seen *sight, result *CheckResult) bool {
	open := func(i ImageStatus) bool {
		return i.State == replay.SplitBrain && i.Halt == "" && i.Run == "" && i.Quarantined == ""
	}
	if !slices.ContainsFunc(seen.report.Images, open) {
		return true
	}
	if t.lease.confirm(t.ctx, result.Blind) != nil {
		return false
	}
	halts, err := haltSplit(t.ctx, w.plan, t.sites, w.splitPause())
	if t.ctx.Err() != nil && len(halts) == 0 {
		return false
	}
	if err != nil {
		result.Faults = append(result.Faults, fmt.Errorf("halt split-brains: %w", err))
	}
	by := map[replay.ImageRef]string{}
	for i := range halts {
		for _, ref := range halts[i].Images {
			by[ref] = halts[i].ID
		}
	}
	for i := range seen.report.Images {
		if id := by[seen.report.Images[i].Ref]; id != "" {
			seen.report.Images[i].Halt = id
		}
	}
	result.Halts = append(slices.Clone(result.Halts), halts...)
	return true
}

// splitPause is for how long a split-brain has to last: as long as for people, but
// no longer than until the next check, and a second at least.
func (w *Watch) splitPause() time.Duration {
	next := w.times.Next(w.options.Now())
	return min(splitPause, max(time.Second, w.times.Next(next).Sub(next)))
}

// remember records what a check has found.
func (w *Watch) remember(t *tenure, result *CheckResult) {
	var entries []Entry
	for i := range result.Transitions {
		// It has nothing in it that JSON cannot hold.
		if e, err := bodied(EntryTransition, result.Transitions[i].At, result.Transitions[i]); err == nil {
			entries = append(entries, e)
		}
	}
	w.mu.Lock()
	waiting := len(w.pending)
	w.mu.Unlock()
	if len(entries)+waiting > 0 {
		t.unrecorded = w.record(context.WithoutCancel(t.ctx), t, entries)
	}
	w.tidy(t)
}
