package orchestrator

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// verifySlot names the schedule of the verification in the history.
const verifySlot = "verification"

// What could not be compared is tried again after verifyAgain, and then after twice as
// long each time, up to verifyAgainMost; verifyLook is how often it is looked for
// whether it is well by then.
const (
	verifyAgain     = 10 * time.Minute
	verifyAgainMost = 2 * time.Hour
	verifyLook      = time.Minute
)

// verifyOnSchedule compares the copies at the times of the plan, one image at a time,
// for as long as the watch acts. A time that a stopped or slept watch has missed is
// made up for; one that it was interrupted in is gone on with.
func (w *Watch) verifyOnSchedule(t *tenure) {
	if w.plan.Verification.Schedule == "" {
		return
	}
	times, err := plans.CronSchedule(w.plan.Verification.Schedule, w.plan.Verification.TimeZone)
	if err != nil {
		return // a plan with such a line is refused
	}
	last := lastRun(t.history.Entries(), verifySlot)
	if last.At.IsZero() {
		// From now on a time that nobody is there for is a missed one.
		last.At = w.options.Now()
		w.ranFor(t.ctx, t, verifySlot, last.At)
	}
	if last.Open || last.Unmade != nil {
		w.contain(func() { w.verify(t.ctx, t, times, last.At) })
	}
	timer := Timer{
		Times: times, Last: last.At, Now: w.options.Now, Panicked: w.options.Panicked,
		Do: func(ctx context.Context, slot Slot) { w.verify(ctx, t, times, slot.At) },
	}
	_ = timer.Run(t.ctx)
}

// lastRun is what ran last of a schedule.
func lastRun(entries []Entry, what string) (last slotRun) {
	for i := range entries {
		var s slotRun
		if entries[i].Kind == EntrySlot && json.Unmarshal(entries[i].Body, &s) == nil && s.What == what {
			last = s
		}
	}
	return last
}

// lastSlot is the last time for which something has run.
func lastSlot(entries []Entry, what string) time.Time { return lastRun(entries, what).At }

// firstSlot is the first time of a schedule that is known; zero: it was never followed.
func firstSlot(entries []Entry, what string) (first time.Time) {
	for i := range entries {
		var s slotRun
		if entries[i].Kind != EntrySlot || json.Unmarshal(entries[i].Body, &s) != nil || s.What != what {
			continue
		}
		for _, at := range []time.Time{s.Since, s.At} {
			if !at.IsZero() && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
	}
	return first
}

// verify compares the copies that were not since a time of the schedule. What cannot be
// compared it tries again, once it looks well, until the next time: that one goes on
// with it.
func (w *Watch) verify(ctx context.Context, t *tenure, times cron.Schedule, since time.Time) {
	next := nextTime(times, since)
	retry := false
	for wait := verifyAgain; w.options.Now().Before(next); wait = min(2*wait, verifyAgainMost) {
		left := w.verifyOnce(ctx, t, since, retry)
		retry = true
		if left == nil {
			return
		}
		again := w.options.Now().Add(wait)
		for look := true; look; look = w.options.Now().Before(again) || !left.anyWell(t.last.Load()) {
			if !w.options.Now().Add(verifyLook).Before(next) {
				return
			}
			if pause(ctx, verifyLook); ctx.Err() != nil {
				return
			}
		}
	}
}

// verifyOnce compares each of these copies once and records each outcome as it comes; a
// retry those that are well by now. Until it has ended, what the one before it could not
// compare still holds. It answers with what it could not compare.
func (w *Watch) verifyOnce(ctx context.Context, t *tenure, since time.Time, retry bool) *unmade {
	run := slotRun{What: verifySlot, At: since.UTC(), Open: true}
	t.mu.Lock()
	run.Unmade = t.verifying.Unmade.left(t.proofs, t.verifying.At, t.last.Load())
	t.mu.Unlock()
	w.verifies(ctx, t, run)
	before, begun := run.Unmade, t.last.Load()
	report, err := Verify(ctx, w.plan, t.sites, VerifyOptions{
		Parallel: 1,
		choose: func(all []*verifyTarget) []*verifyTarget {
			chosen := t.uncompared(all, since)
			if retry {
				chosen = wellTargets(chosen, t.last.Load())
			}
			return chosen
		},
		Progress: func(e VerifyEvent) {
			if e.Step == VerifyDone && e.Result != nil && e.Result.Comparison != nil {
				w.verifiedOne(ctx, t, e.Result)
			}
		},
	})
	ended := w.options.Now()
	if ctx.Err() != nil {
		return nil // whoever acts next goes on with it
	}
	run.Open, run.Unmade = false, unmadeOf(report, err, t.last.Load())
	if before != nil && run.Unmade != nil {
		run.Unmade.Firm = run.Unmade.again(before, begun, t.nextSeen(ctx, ended))
		if ctx.Err() != nil {
			return nil
		}
	}
	if retry {
		t.mu.Lock()
		run.Unmade = run.Unmade.with(before.left(t.proofs, since, t.last.Load()))
		t.mu.Unlock()
	}
	w.verifies(ctx, t, run)
	return run.Unmade
}

// wellTargets are those of which a copy is well.
func wellTargets(all []*verifyTarget, seen *StatusReport) []*verifyTarget {
	well := wellCopies(seen)
	return slices.DeleteFunc(slices.Clone(all), func(t *verifyTarget) bool {
		return seen != nil && !slices.ContainsFunc(t.secondaries, func(site string) bool { return well[unmadeCopy{t.ref, site}] })
	})
}

// nextSeen is what the first check has seen that has begun since, or the last one where
// there is none for a while.
func (t *tenure) nextSeen(ctx context.Context, since time.Time) *StatusReport {
	for waited := time.Duration(0); waited < verifyAgain && ctx.Err() == nil; waited += time.Second {
		if seen := t.last.Load(); seen != nil && seen.At.Add(-time.Duration(seen.Seconds*float64(time.Second))).After(since) {
			return seen
		}
		pause(ctx, time.Second)
	}
	return t.last.Load()
}

// verifies records how far a verification is: in the history, as whoever acts next has
// to know what this one could not compare.
func (w *Watch) verifies(ctx context.Context, t *tenure, run slotRun) {
	t.mu.Lock()
	t.verifying = run
	t.mu.Unlock()
	w.recordSlot(ctx, t, run)
}

// ranFor records for which time of a schedule something ran last.
func (w *Watch) ranFor(ctx context.Context, t *tenure, what string, at time.Time) {
	w.recordSlot(ctx, t, slotRun{What: what, At: at.UTC()})
}

func (w *Watch) recordSlot(ctx context.Context, t *tenure, run slotRun) {
	if e, err := bodied(EntrySlot, w.options.Now().UTC(), run); err == nil {
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
	// What this watch has found, and could not record, is newer.
	if r := lastRun(entries, verifySlot); r.At.After(t.verifying.At) || r.At.Equal(t.verifying.At) && !r.Open {
		t.verifying = r
	}
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

// verifiedSignals tell of copies that differed when they were last compared, and of
// those that could not be.
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
	if left := t.verifying.Unmade.left(t.proofs, t.verifying.At, result.Report); left != nil && left.Firm {
		out = append(out, signal(SignalUnverified, "", left.words(), "drover verify "+shellLine(w.plan.File)))
	}
	return out
}
