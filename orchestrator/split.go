package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// splitPause is how long a split-brain has to last before it is taken for one:
// a role is changed in a moment, but reports and journals follow.
const splitPause = 2 * time.Second

// HaltSplit looks for split-brains, and halts what it finds: the halt is
// recorded at every site that answers, with the evidence; schedules of its own
// are paused, and replay of the image and of its group is stopped where the daemon
// can be told so. What a run has in
// its hands, what is halted already, and copies that a failover gave up are left
// alone. A look that finds one is repeated after a moment before it counts.
//
// The error tells what could not be recorded or stopped; halts are those that
// were recorded.
func HaltSplit(ctx context.Context, plan *plans.Plan, sites *Sites) (halts []Halt, err error) {
	records := readRecords(ctx, plan, sites)
	if records.book == nil {
		return nil, records.Fault
	}
	first := splits(ctx, plan, sites, records)
	if len(first) == 0 {
		return nil, nil
	}
	select {
	case <-time.After(splitPause):
	case <-ctx.Done():
		return nil, ErrInterrupted
	}
	records = readRecords(ctx, plan, sites)
	if records.book == nil {
		return nil, records.Fault
	}
	again := splits(ctx, plan, sites, records)
	var errs []error
	for ref, why := range again {
		if _, twice := first[ref]; !twice {
			continue
		}
		h := Halt{Images: []replay.ImageRef{ref}, Reason: "split-brain: " + why}
		if group := plan.GroupOf(ref.Pool.Name, ref.Namespace, ref.Name); group != nil {
			h.Group = group.Name
		}
		if e, err := splitEvidence(ctx, plan, sites, ref, false); err == nil {
			if h.Evidence, err = json.Marshal(e); err != nil {
				errs = append(errs, err)
			}
		}
		set, err := SetHalt(ctx, plan, sites, records.book, h)
		if err != nil {
			errs = append(errs, fmt.Errorf("halt %s: %w", ref, err))
		}
		if set == nil {
			continue
		}
		halts = append(halts, *set)
		errs = append(errs, stopReplay(ctx, plan, sites, ref, h.Group))
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime(plan))
	defer cancel()
	return halts, errors.Join(append(errs, records.book.Close(closing))...)
}

// splits are the images in split-brain that nothing recorded explains.
func splits(ctx context.Context, plan *plans.Plan, sites *Sites, records *Recorded) map[replay.ImageRef]string {
	_, stands := surveyOf(ctx, plan, sites)
	out := map[replay.ImageRef]string{}
	for i := range stands {
		s := &stands[i]
		ref := s.evidence.Ref
		if s.verdict.State != replay.SplitBrain || records.halted(ref) != nil || records.moving(ref) != nil || records.quarantined(ref, s.primaries()) != nil {
			continue
		}
		out[ref] = splitWords(s)
	}
	return out
}
