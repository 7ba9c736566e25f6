package orchestrator

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay/parallel"
)

// Watch keeps watch over one plan: it looks on the plan's schedule at how the images
// are, halts split-brains, keeps the history, and does what the plan lets it do by
// itself: keep daemons running, repair harmless drift, verify copies. Of several
// watches of one plan one acts and the others stand by. It never takes the plan's
// own lease but to repair drift, so that no runbook waits for it.
type Watch struct {
	plan    *plans.Plan
	options WatchOptions
	kick    chan struct{}
	times   cron.Schedule // of the checks
	keepers []*keeper     // of daemons; they remember starts from tenure to tenure

	pace Pace // of the checks, which come one after another
	// Of the last check that could read the records; checks come one after another.
	silences []alert.Silence
	acks     []Acknowledgement
	waiting  []Waiting
	ended    endedRuns
	// aloneSince is since when sites answer, and none lets it act.
	aloneSince time.Time

	sites     atomic.Pointer[Sites]
	reopening atomic.Bool
	took      atomic.Int64 // by the last check, in nanoseconds
	opening   parallel.Group
	looking   sync.RWMutex // held by checks without a tenure, as long as they use the sites

	// turn is held while the standing changes or a check is told of, so that nobody is
	// told what a check has found by a standing that is over.
	turn sync.Mutex

	mu       sync.Mutex
	standing Standing
	tenure   *tenure // while it acts
	pending  []Entry // of the history, that no site has taken yet
	losses   []loss  // of the right to act
	// aloneBlind are the sites that did not answer the last check that it made alone, which
	// began at aloneAt. doubted is when one of them answered all the same, so that it was
	// looked at again.
	aloneBlind       []string
	aloneAt, doubted time.Time
}

// WatchOptions are how a watch reaches the sites, and whom it tells.
type WatchOptions struct {
	Open  Opener
	Hands HandsFor
	// Checked is given each check, one at a time; the next waits for it.
	Checked func(CheckResult)
	// Newer is the evidence of a halt that people are shown instead of what was
	// recorded with it, where there is any; may be nil.
	Newer func(check *CheckResult, halt string) *SplitEvidence
	// Stood is told when the watch begins to act or to stand by; may be nil.
	Stood func(Standing)
	// Started is told of each start of a daemon by the watch, and how it went; may be nil.
	Started func(site string, err error)
	// Panicked is told of a panic in a check, which is contained; may be nil.
	Panicked func(value any, stack []byte)
	// Version is that of this Drover, for reports.
	Version string
	// Now is the clock by which schedules go and records are dated; nil: time.Now.
	Now func() time.Time
}

// Role is what a watch does.
type Role string

// The roles of a watch.
const (
	RoleStarting Role = "starting"
	RoleActing   Role = "acting"
	RoleStandby  Role = "standby" // another watch acts
	// RoleAlone: no site lets it have the lease. It looks, and tells what it sees,
	// and changes and records nothing.
	RoleAlone Role = "alone"
)

// Standing is what a watch does, and why it does no more.
type Standing struct {
	Role Role   `json:"role"`
	Why  string `json:"why,omitempty"`
}

// CheckResult is what one check has found.
type CheckResult struct {
	Plan string
	Role Role
	At   time.Time
	Took time.Duration
	// Missed is how many checks before it were missed.
	Missed int
	Report *StatusReport
	// Transitions are the changes since the last check, or since the last that is
	// recorded; in order of image.
	Transitions []ProtectionChange
	// Signals are all that holds now and is worth telling.
	Signals []alert.Signal
	// Blind are the sites that do not answer.
	Blind []string
	// Unseen is what the check could not learn, at these or at others.
	Unseen []alert.Unseen
	// Halts are all that are open.
	Halts []Halt
	// Silences are those that are not over, by the last look that could read them.
	Silences []alert.Silence
	// Acknowledged are all incidents that were taken on by a record, by that look too.
	Acknowledged []Acknowledgement
	// Waiting are the manual steps that runs wait at, by that look too.
	Waiting []Waiting
	// Drift is how many changes an apply would make, by the last look.
	Drift int
	// Applied is how the repair of drift went that has ended since the last check.
	Applied *Result
	// Verified are the comparisons that were heard of since the last check; in the
	// first, all that are recorded. In order of time.
	Verified []VerifiedCopy
	// Ended are the runs that have ended since the last check.
	Ended []RunEnd
	// Faulty: the check ended in a panic, and has found nothing. Signals and Silences are
	// then those of records, by the last check that could read them.
	Faulty bool
	// Drills are those that were heard of since the last check.
	Drills []report.Summary
	// Abandoned is how many calls hang that were given up, by site.
	Abandoned map[string]int
	// Faults are what the watch itself could not do.
	Faults []error
}

// NewWatch makes a watch; [Watch.Run] begins it.
func NewWatch(plan *plans.Plan, o WatchOptions) *Watch {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Stood == nil {
		o.Stood = func(Standing) {}
	}
	return &Watch{plan: plan, options: o, kick: make(chan struct{}, 1), keepers: keepersOf(plan), standing: Standing{Role: RoleStarting}}
}

// Run watches until ctx ends, and answers with its error; or at once with that of a
// schedule that cannot be read. What it has begun it ends in good order, within the
// plan's answer time.
func (w *Watch) Run(ctx context.Context) error {
	times, err := plans.CronSchedule(w.plan.Checks.Schedule, w.plan.Checks.TimeZone)
	if err != nil {
		return fmt.Errorf("schedule of checks: %w", err)
	}
	w.times = times
	w.sites.Store(w.open(ctx))
	var work parallel.Group
	work.Go(func() { w.lasting(ctx, func() { w.seekTenure(ctx) }) })
	timer := Timer{Times: times, Do: w.tick, Also: w.kick, Panicked: w.options.Panicked, Now: w.options.Now}
	err = timer.Run(ctx)
	work.Wait()
	w.opening.Wait()
	_ = w.sites.Load().Close() // nothing more is asked of them
	return err
}

// open opens the sites, for one look after the other.
func (w *Watch) open(ctx context.Context) *Sites {
	sites := OpenSites(ctx, w.plan, w.options.Open, w.options.Hands)
	sites.DateBy(w.options.Now)
	sites.panicked = w.options.Panicked
	sites.hangs = &hangs{parts: map[sitePart]patience{}}
	return sites
}

// CheckNow asks for a check beside the schedule.
func (w *Watch) CheckNow() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// Standing tells what the watch does at present.
func (w *Watch) Standing() Standing {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.standing
}

// stand notes what the watch does now, and has it checked at once where that is
// to look.
func (w *Watch) stand(s Standing, t *tenure) {
	w.turn.Lock()
	defer w.turn.Unlock()
	w.mu.Lock()
	before := w.standing
	w.standing, w.tenure = s, t
	w.mu.Unlock()
	if before != s {
		w.options.Stood(s)
		if s.Role != RoleStandby {
			w.CheckNow()
		}
	}
}

// tell tells what a check has found in a tenure, or without one, unless the watch has
// come to stand otherwise meanwhile: then somebody else tells, or the next check does.
func (w *Watch) tell(t *tenure, result *CheckResult) bool {
	w.turn.Lock()
	defer w.turn.Unlock()
	w.mu.Lock()
	now, role := w.tenure, w.standing.Role
	w.mu.Unlock()
	if now != t || t == nil && role != RoleAlone {
		return false
	}
	if t == nil {
		w.mu.Lock()
		w.aloneBlind, w.aloneAt = result.Blind, time.Now().Add(-result.Took)
		w.mu.Unlock()
	}
	w.options.Checked(*result)
	return true
}

// reopen tries sites again that could not be opened, beside the checks.
func (w *Watch) reopen(ctx context.Context) {
	sites := w.sites.Load()
	if !sites.unopened() || !w.reopening.CompareAndSwap(false, true) {
		return
	}
	w.beside(&w.opening, func() {
		defer w.reopening.Store(false)
		more := sites.reopened(ctx, w.plan)
		if more == nil {
			return
		}
		if !w.sites.CompareAndSwap(sites, more) {
			more.closeBut(sites) // all were opened anew meanwhile
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.tenure != nil {
			w.tenure.cancel() // the next one knows of all sites
		}
	})
}
