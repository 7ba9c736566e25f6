package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// verifySlot names the schedule of the verification in the history.
const verifySlot = "verification"

// verifyOnSchedule compares the copies at the times of the plan, one image at a time,
// for as long as the watch acts. A time that a stopped or slept watch has missed is
// made up for; one that it was interrupted in is not.
func (w *Watch) verifyOnSchedule(t *tenure) {
	if w.plan.Verification.Schedule == "" {
		return
	}
	times, err := plans.CronSchedule(w.plan.Verification.Schedule, w.plan.Verification.TimeZone)
	if err != nil {
		return // a plan with such a line is refused
	}
	last := lastSlot(t.history.Entries(), verifySlot)
	if last.IsZero() {
		// From now on a time that nobody is there for is a missed one.
		last = w.options.Now()
		w.ranFor(t.ctx, t, verifySlot, last)
	}
	timer := Timer{
		Times: times, Last: last, Now: w.options.Now, Panicked: w.options.Panicked,
		Do: func(ctx context.Context, slot Slot) { w.verify(ctx, t, slot) },
	}
	_ = timer.Run(t.ctx)
}

// lastSlot is the last time for which something has run.
func lastSlot(entries []Entry, what string) (last time.Time) {
	for i := range entries {
		var s slotRun
		if entries[i].Kind == EntrySlot && json.Unmarshal(entries[i].Body, &s) == nil && s.What == what {
			last = s.At
		}
	}
	return last
}

// verify compares the copies once, and records each outcome as it comes.
func (w *Watch) verify(ctx context.Context, t *tenure, slot Slot) {
	w.ranFor(ctx, t, verifySlot, slot.At)
	_, err := Verify(ctx, w.plan, t.sites, VerifyOptions{Parallel: 1, Progress: func(e VerifyEvent) {
		if e.Step == VerifyDone && e.Result != nil && e.Result.Comparison != nil {
			w.verifiedOne(ctx, t, e.Result)
		}
	}})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.verifying = nil
	if err != nil && !errors.Is(err, ErrInterrupted) {
		t.verifying = err
	}
}

// ranFor records for which time of a schedule something ran last.
func (w *Watch) ranFor(ctx context.Context, t *tenure, what string, at time.Time) {
	if e, err := bodied(EntrySlot, w.options.Now().UTC(), slotRun{What: what, At: at.UTC()}); err == nil {
		_ = w.record(ctx, t, []Entry{e}) // what cannot be stored now is stored later
	}
}

// verifiedOne records the outcome for one copy.
func (w *Watch) verifiedOne(ctx context.Context, t *tenure, r *VerifiedImage) {
	v, e, err := verifiedEntry(w.options.Now(), r)
	if err != nil {
		return
	}
	_ = w.record(ctx, t, []Entry{e}) // what cannot be stored now is stored later
	t.mu.Lock()
	defer t.mu.Unlock()
	t.proofs.add(v)
	t.news = append(t.news, v)
}

// recall takes in what is recorded of comparisons, also by others.
func (t *tenure) recall() {
	entries := t.history.Entries()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.news = append(t.news, t.proofs.read(entries)...)
	t.proofs.whole = allRead(t.history)
}

// tellProofs fills in what is known of comparisons.
func (t *tenure) tellProofs(plan *plans.Plan, result *CheckResult) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range result.Transitions {
		t.proofs.moved(&result.Transitions[i])
	}
	t.proofs.tell(plan, result.Report)
}

// verifiedSignals tell of copies that differed when they were last compared.
func (w *Watch) verifiedSignals(t *tenure, result *CheckResult) []alert.Signal {
	t.mu.Lock()
	defer t.mu.Unlock()
	result.Verified, t.news = t.news, nil
	secondary := map[trailKey]bool{}
	for i := range result.Report.Images {
		for site, role := range result.Report.Images[i].Roles {
			secondary[trailKey{result.Report.Images[i].Ref, site}] = role == string(replay.RoleSecondary)
		}
	}
	var out []alert.Signal
	for _, v := range t.proofs.inOrder() {
		if v.Identical || !secondary[trailKey{v.Image, v.Secondary}] {
			continue
		}
		s := signal(SignalCopiesDiffer, v.Secondary,
			fmt.Sprintf("the copy at %s differed from %s in %s when it was compared at %s", v.Secondary, v.Primary, sizeText(v.Differing), v.At.Format(evidenceTime)),
			"drover verify "+shellLine(w.plan.File, v.Image.String())+" compares it again; then drover resync "+shellLine(w.plan.File, v.Image.String(), "--keep", v.Primary))
		s.Image, s.Rank = v.Image.String(), float64(v.Differing)
		out = append(out, s)
	}
	if t.verifying != nil {
		out = append(out, signal(SignalUnverified, "", t.verifying.Error(), "drover verify "+w.plan.File))
	}
	return out
}
