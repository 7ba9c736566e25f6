package orchestrator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

const (
	// driftEvery is how often a watch looks for drift, which has to last for two
	// looks: what an apply or a daemon is about to do is none.
	driftEvery = time.Minute
	// convergeRest and convergeLast bound how many looks a repair waits for after
	// one that failed; the number doubles each time.
	convergeRest, convergeLast = 2, 60
)

// drift is what a watch knows of how the sites differ from the plan.
type drift struct {
	looked  time.Time
	changes []Change // by the last look
	lasts   bool     // those of the one before are among them

	mu      sync.Mutex // guards what follows
	busy    bool
	rest    int // looks until the next repair
	fails   int
	failure error
	applied *Result // since the last check
}

// converge looks for drift now and then, and repairs it where the plan allows.
func (w *Watch) converge(t *tenure, seen *sight, result *CheckResult) []alert.Signal {
	d := &t.drift
	d.mu.Lock()
	defer d.mu.Unlock()
	result.Applied, d.applied = d.applied, nil
	if !quiet(seen) {
		d.changes, d.lasts = nil, false
		return nil
	}
	if d.looked.IsZero() || time.Since(d.looked) >= driftEvery {
		d.look(w.plan, seen.obs)
		auto := w.plan.Converge == plans.ConvergeAuto && d.lasts && !slices.ContainsFunc(d.changes, func(c Change) bool { return !harmless(&c) })
		if d.rest--; auto && d.rest <= 0 && !d.busy {
			d.busy = true
			w.beside(&t.work, func() { w.repair(t) })
		}
	}
	result.Drift = len(d.changes)
	return d.signals(w.plan)
}

// quiet reports whether nothing else goes on: all sites answer, nothing is halted,
// and no run is under way.
func quiet(seen *sight) bool {
	r := seen.obs.Records
	if r == nil || r.Fault != nil || len(r.Unread)+len(r.Halts)+len(r.Unfinished) > 0 || len(seen.report.Summary.Silent) > 0 {
		return false
	}
	return !slices.ContainsFunc(seen.report.Images, func(i ImageStatus) bool {
		return i.Quarantined != "" || i.State == replay.SplitBrain || i.State == replay.Stranded || i.State == replay.Unknown
	})
}

// look compares plan and sites. Daemons have signals of their own.
func (d *drift) look(plan *plans.Plan, obs *Observation) {
	d.looked = time.Now()
	before := map[string]bool{}
	for i := range d.changes {
		before[d.changes[i].ID] = true
	}
	d.changes = slices.DeleteFunc(Diff(plan, obs, DiffOptions{}).Changes, func(c Change) bool { return c.Kind == KindDaemonStart })
	d.lasts = len(d.changes) > 0 && !slices.ContainsFunc(d.changes, func(c Change) bool { return !before[c.ID] })
}

// harmless reports whether a watch may make a change without a person: it takes
// nothing away, makes no image that somebody may miss, and leaves roles as they are.
func harmless(c *Change) bool {
	switch c.Kind {
	case KindSiteName, KindNamespace, KindPoolMode, KindPeer, KindDaemonRestart, KindFeatures, KindMirror, KindSnapshot, KindSchedule:
		return !c.Destructive
	}
	return false
}

// repair applies what is harmless: exactly what a new look finds.
func (w *Watch) repair(t *tenure) {
	d := &t.drift
	// A panic ends the repair, and is told as what else fails is.
	result, err := (*Result)(nil), errors.New("a fault of the program, see the log")
	defer func() { d.repaired(result, err) }()
	result, err = w.applyHarmless(t.ctx, t.sites)
}

// repaired notes how a repair went.
func (d *drift) repaired(result *Result, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy, d.applied, d.failure = false, result, nil
	if err == nil {
		d.fails, d.rest = 0, convergeRest
		return
	}
	d.rest = min(convergeRest<<min(d.fails, 10), convergeLast)
	if !errors.Is(err, ErrLeased) && !errors.Is(err, ErrStale) { // somebody else is at work
		d.fails, d.failure = d.fails+1, err
	}
}

func (w *Watch) applyHarmless(ctx context.Context, sites *Sites) (*Result, error) {
	obs := Observe(ctx, w.plan, sites, ObserveOptions{Detail: replay.WithHeader, Reports: true, Records: true, Elsewhere: true})
	d := Diff(w.plan, obs, DiffOptions{})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	starts := func(c Change) bool { return c.Kind == KindDaemonStart }
	// Daemons that have nothing to replay yet are started with what they will
	// replay; where there is nothing else, those who keep them know better.
	if !slices.ContainsFunc(d.Changes, func(c Change) bool { return !starts(c) }) ||
		slices.ContainsFunc(d.Changes, func(c Change) bool { return !harmless(&c) && !starts(c) }) {
		return nil, nil
	}
	return Apply(ctx, w.plan, sites, Options{Approved: NewSavedDiff(w.plan, d), Wait: WaitNone})
}

// driftShown is how many changes a signal names.
const driftShown = 5

func (d *drift) signals(plan *plans.Plan) []alert.Signal {
	var titles []string
	for i := range d.changes[:min(len(d.changes), driftShown)] {
		titles = append(titles, d.changes[i].Title())
	}
	next := "drover plan diff " + plan.File + " shows all; drover plan apply " + plan.File
	switch {
	case !d.lasts:
		return nil
	case d.failure != nil:
		why := cmp.Or(oneLine(d.failure.Error()), "no reason was given")
		return []alert.Signal{signal(SignalConvergeFailed, "", plural(uint64(len(d.changes)), "change", "changes")+" could not be made: "+why, next)}
	case d.busy:
		return nil
	}
	what := fmt.Sprintf("%s would make the sites match the plan: %s", plural(uint64(len(d.changes)), "change", "changes"), strings.Join(titles, "; "))
	if len(d.changes) > driftShown {
		what += "; …"
	}
	return []alert.Signal{signal(SignalDrift, "", what, next)}
}
