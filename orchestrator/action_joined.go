package orchestrator

import (
	"context"
	"errors"
	"time"

	"github.com/drover-io/drover/replay"
)

// journaled is what journal mode needs of an image, and so what enabling
// mirroring in it switches on.
const journaled = replay.FeatureExclusiveLock | replay.FeatureJournaling

// joinable tells whether two changes of one image can be carried out by a
// single call: the features that journal mode needs, and the mirroring in that
// mode. Opening an image is most of what either costs.
func joinable(first, second action) bool {
	features, ok := first.(enableFeatures)
	if !ok || features.features&^journaled != 0 {
		return false
	}
	mirroring, ok := second.(enableMirroring)
	return ok && mirroring.mode == replay.ModeJournal && mirroring.site == features.site && mirroring.ref == features.ref
}

// carryOutBoth does two changes that are joinable. It tells of the second only
// when the first has been done; else the first stands in its way.
func (x *execution) carryOutBoth(i int, first action, j int, second action) ending {
	began := time.Now()
	features, _ := first.(enableFeatures)
	mirroring, _ := second.(enableMirroring)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.stop), x.callTime)
	defer cancel()
	err := features.explained(ctx, x, mirroring.do(ctx, x))
	e := ending{index: i, outcome: OutcomeDone, err: err}
	switch {
	case err == nil:
		e.also = &ending{index: j, outcome: OutcomeDone}
	case errors.Is(err, ErrRefused):
		e.outcome = OutcomeFailed
	default:
		// The error may be of either, or only the answer was lost.
		e = x.whatWasDone(i, features, j, mirroring, err)
	}
	e.took = time.Since(began)
	if e.also != nil {
		e.also.took = e.took
	}
	return e
}

// whatWasDone finds out, behind an error, which of two joined changes has taken
// effect all the same. The error is that of the first that has not.
func (x *execution) whatWasDone(i int, features enableFeatures, j int, mirroring enableMirroring, err error) ending {
	ctx, stop := context.WithTimeout(context.WithoutCancel(x.stop), x.callTime)
	defer stop()
	if on, look := features.done(ctx, x); look != nil || !on {
		return ending{index: i, outcome: OutcomeFailed, err: err}
	}
	also := &ending{index: j, outcome: OutcomeFailed, err: err}
	if done, look := mirroring.done(ctx, x); look == nil && done {
		also.outcome, also.err = OutcomeAlready, nil
	}
	return ending{index: i, outcome: OutcomeAlready, also: also}
}
