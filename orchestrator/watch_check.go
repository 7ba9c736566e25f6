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
	default:
		w.looking.RLock()
		defer w.looking.RUnlock()
	}
	began := time.Now()
	result := w.check(ctx, t, slot)
	w.took.Store(int64(time.Since(began)))
	if result == nil || !w.tell(t, result) {
		return
	}
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
	seen := look(ctx, w.plan, sites, StatusOptions{Now: w.options.Now, Pace: &w.pace}, recall)
	if ctx.Err() != nil {
		return nil
	}
	result.Report, result.At, result.Blind = seen.report, seen.report.At, seen.report.Summary.Silent
	result.Unseen = unseenIn(seen.report)
	if seen.obs.Records != nil {
		result.Halts = seen.obs.Records.Halts
		if book := seen.obs.Records.book; book != nil {
			w.silences = book.Silences(w.options.Now())
			w.waiting = WaitingSteps(w.plan, sites, book, w.options.Now())
		}
	}
	result.Silences, result.Waiting, result.Abandoned = w.silences, w.waiting, sites.abandoned()
	if t != nil && (!w.halt(t, seen, result) || t.lease.confirm(ctx, result.Blind) != nil) {
		return nil
	}
	protect(result, w.moves(seen))
	if t != nil {
		result.Transitions = t.guard.look(result, w.moves(seen))
		w.explain(t, result)
		t.tellProofs(w.plan, result)
	}
	if t != nil && t.unrecorded != nil {
		result.Faults = append(result.Faults, fmt.Errorf("record the history: %w", t.unrecorded))
	}
	w.renew(result)
	result.Signals = append(haltSignals(w.plan, result), reportSignals(w.plan, result)...)
	signals, undecided := w.pace.clocks.hide(result.Signals)
	result.Signals, result.Unseen = signals, append(result.Unseen, undecided...)
	result.Signals = append(result.Signals, w.lossSignals()...)
	result.Signals = append(result.Signals, w.keepStopped(t, seen, result)...)
	for i := range result.Waiting {
		result.Signals = append(result.Signals, result.Waiting[i].signal(w.plan))
	}
	if t != nil {
		t.shots.explain(result.Signals)
		result.Signals = append(result.Signals, t.trails.look(ctx, w.plan, sites, seen)...)
		result.Signals = append(result.Signals, w.converge(t, seen, result)...)
		result.Signals = append(result.Signals, w.daemonSignals(t)...)
		result.Signals = append(result.Signals, w.verifiedSignals(t, result)...)
		result.Signals = append(result.Signals, w.drillSignals(t, result)...)
		t.last.Store(seen.report)
	}
	w.aloneSignals(t != nil, result)
	result.Took = time.Since(began)
	return result
}

// renew puts the newest evidence in the place of that which halts were recorded with.
func (w *Watch) renew(result *CheckResult) {
	if w.options.Newer == nil {
		return
	}
	result.Halts = slices.Clone(result.Halts)
	for i := range result.Halts {
		h := &result.Halts[i]
		if !h.ofSplit() {
			continue
		}
		if e := w.options.Newer(result, h.ID); e != nil {
			h.Split = e
		}
	}
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
	halts, err := haltSplit(t.ctx, w.plan, t.sites, w.splitPause(), answerTime(w.plan))
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

// explain has the evidence gathered, beside the checks, of halts that were recorded
// without; where a site is silent, that waits.
func (w *Watch) explain(t *tenure, result *CheckResult) {
	if len(result.Blind) > 0 {
		return
	}
	var bare []Halt
	for i := range result.Halts {
		if h := &result.Halts[i]; h.ofSplit() && len(h.Evidence) == 0 && len(h.Images) == 1 {
			bare = append(bare, *h)
		}
	}
	if len(bare) == 0 || !t.explaining.CompareAndSwap(false, true) {
		return
	}
	w.beside(&t.work, func() {
		defer t.explaining.Store(false)
		if explainHalts(t.ctx, w.plan, t.sites, bare) == nil { // else a later check tries again
			w.CheckNow()
		}
	})
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
	switch {
	case len(entries)+waiting == 0:
	case len(result.Blind) == len(w.plan.Sites):
		w.pend(entries) // until some site answers
	default:
		t.history.passOver(result.Blind)
		t.unrecorded = w.record(context.WithoutCancel(t.ctx), t, entries)
	}
	w.tidy(t)
}
