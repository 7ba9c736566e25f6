package orchestrator

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// aloneTold is for how long no site may give the watch its lease, though some answer,
// until that is told: whoever was cut off has it back within a few tries.
const aloneTold = time.Minute

// aloneSignals tell that the watch can only look, where sites answer and let it have no
// lease, and add to each split-brain that nobody halts it.
func (w *Watch) aloneSignals(acts bool, result *CheckResult) {
	if acts {
		w.aloneSince = time.Time{}
		return
	}
	why := w.Standing().Why
	for i := range result.Signals {
		if s := &result.Signals[i]; tellsOfSplit(replay.ProblemCode(s.Code)) {
			s.What += "; Drover cannot halt it, as no site lets it have the lease to: " + why
		}
	}
	now := time.Now()
	switch {
	case len(result.Blind) == len(w.plan.Sites):
		w.aloneSince = time.Time{} // that is told as such
	case w.aloneSince.IsZero():
		w.aloneSince = now
	case now.Sub(w.aloneSince) >= aloneTold:
		what := "Drover sees the plan's images and can do nothing, so that no split-brain is halted: " + why
		result.Signals = append(result.Signals, signal(SignalCannotAct, "", what, "check Drover's caps at the sites, and that the plan's first pool can be written to: drover status "+w.plan.File))
	}
}

// stillAlone reports whether the sites that did not answer the last check, which the
// watch made alone, are silent still. A process that was stopped meanwhile knows only
// how they were before; where one of them answers, it is looked at once more, and what
// that finds holds: a site may answer this question, and not those of a check.
func (w *Watch) stillAlone(ctx context.Context) bool {
	w.looking.RLock()
	defer w.looking.RUnlock()
	w.mu.Lock()
	blind := w.aloneBlind
	lookedAgain := !w.doubted.IsZero() && w.aloneAt.After(w.doubted)
	w.mu.Unlock()
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, shortAnswer) // nothing depends on who is slower
	defer cancel()
	var (
		wg       parallel.Group
		answered atomic.Bool
		opened   atomic.Bool
	)
	sites := w.sites.Load()
	if sites.unopened() {
		wg.Go(func() {
			if more := sites.reopened(ctx, w.plan); more != nil {
				opened.Store(true) // no check has asked it anything yet
				if !w.sites.CompareAndSwap(sites, more) {
					more.closeBut(sites) // all were opened anew meanwhile
				}
			}
		})
	}
	for _, name := range blind {
		site, err := sites.Site(name)
		if err != nil {
			continue
		}
		wg.Go(func() {
			if _, err := alive(ctx, w.plan, site); err == nil {
				answered.Store(true)
			}
		})
	}
	wg.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case time.Since(began) > 2*shortAnswer: // it was stopped while it asked, and knows no more than before
	case opened.Load():
	case !answered.Load():
		return true
	case lookedAgain:
		w.doubted = time.Time{} // the next time it is doubted anew
		return true
	}
	w.doubted = time.Now()
	w.CheckNow()
	return false
}

// CannotAct reports whether sites answer the watch, and it can only look all the same.
func (r *CheckResult) CannotAct() bool {
	return slices.ContainsFunc(r.Signals, func(s alert.Signal) bool { return s.Code == SignalCannotAct })
}
