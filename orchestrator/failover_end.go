package orchestrator

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// wayOut is what to do about a run that cannot be resumed because one of its
// sites is lost; "": whichever it is.
func wayOut(run *Run, lost string) string {
	other := "OTHER"
	switch lost {
	case "":
		lost = run.From + " or " + run.To
	case run.From:
		other = run.To
	case run.To:
		other = run.From
	}
	return "if " + lost + " is lost: drover runs end FILE " + run.ID + " --reason TEXT, then drover failover FILE --to " + other
}

// silentOf is the one of a run's sites whose records cannot be read; "" when
// that is none, or both.
func silentOf(book *Book, run *Run) string {
	faults, found := book.Faults(), ""
	for _, site := range []string{run.From, run.To} {
		if faults[site] == nil {
			continue
		}
		if found != "" {
			return ""
		}
		found = site
	}
	return found
}

// Returned are the images of a failover that can be moved without loss by now:
// the old site, which did not answer when the word was given, does, they are
// primary there, and nothing was done yet to the unit that they move with.
func Returned(ctx context.Context, plan *plans.Plan, sites *Sites, book *Book, run *Run) []replay.ImageRef {
	if run.Runbook != Failover || run.Answered {
		return nil
	}
	left := spared(book, run)
	var refs []replay.ImageRef
	for i := range run.Units {
		unit := run.Units[i].refs()
		if !slices.ContainsFunc(unit, func(ref replay.ImageRef) bool { return !slices.Contains(left, ref) }) {
			refs = append(refs, unit...)
		}
	}
	if len(refs) == 0 || !probeOSDs(ctx, plan, sites, run.From).Answers {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime(plan))
	defer cancel()
	seen := newLookout(sites, run.From)
	primary := make([]bool, len(refs))
	var wg parallel.Group
	for i, ref := range refs {
		wg.Go(func() {
			if sighted, err := seen.fresh(ctx, ref); err == nil {
				copied, err := sighted.at(run.From)
				primary[i] = err == nil && copied.Image.Role == replay.RolePrimary
			}
		})
	}
	wg.Wait()
	var out []replay.ImageRef
	for i, ref := range refs {
		if primary[i] {
			out = append(out, ref)
		}
	}
	return out
}

// spared are the images of a failover that was never begun with: whoever takes
// it up, or ends it, finds their copies at the old site as they were.
func spared(book *Book, run *Run) []replay.ImageRef {
	touched := map[replay.ImageRef]bool{}
	for _, e := range book.Entries() {
		var record StepRecord
		if e.Run == run.ID && e.Kind == EntryStep && json.Unmarshal(e.Body, &record) == nil && record.Kind == StepForce && record.Image != nil && record.Phase != PhaseFailed {
			touched[*record.Image] = true
		}
	}
	var out []replay.ImageRef
	for _, ref := range run.images() {
		if !touched[ref] {
			out = append(out, ref)
		}
	}
	return out
}
