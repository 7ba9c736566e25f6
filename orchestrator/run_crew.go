package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// lookTime bounds one look of a run at a site. It is longer than the time in
// which a site has to prove that it lives: a slow answer delays one step, while
// taking a slow site for dead would end it.
const lookTime = 30 * time.Second

// recorder takes the records of a run.
type recorder interface {
	Append(ctx context.Context, entries ...Entry) error
}

// crew is what the steps of a run work with.
type crew struct {
	plan    *plans.Plan
	sites   *Sites
	run     *Run
	records recorder
	seen    *lookout
	past    *past
	// soft ends when nothing new shall be begun; hard when nothing more shall be
	// done at all, not even what would complete a unit: the lease is lost, or a
	// person has insisted.
	soft, hard context.Context
	slots      chan struct{} // bounds the calls that change something
	copies     chan struct{} // bounds the copies that are made at a time
	events     *eventQueue
	resumed    bool // an earlier process had begun the run
	proofTime  time.Duration
	callTime   time.Duration
	outcome    string // of the run, for hooks that come last
	reading    sync.Once
	limits     map[string]*rate.Limiter // of what comparisons read; see bandwidth
}

// may tells whether anything may still be done.
func (c *crew) may() error {
	if c.hard.Err() == nil {
		return nil
	}
	if cause := context.Cause(c.hard); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return ErrInterrupted
}

// site opens no site: it is one of those that are open, or the reason why not.
func (c *crew) site(name string) (Site, error) { return c.sites.Site(name) }

// change makes a call that changes something: bounded in time and number, and
// not given up because somebody wants to stop. An abandoned call is errUnknown;
// one that was not even made, because the site is not open to this process, is
// not, however that came.
func (c *crew) change(name string, call func(ctx context.Context, site Site) error) error {
	site, err := c.site(name)
	if err != nil {
		return err
	}
	select {
	case c.slots <- struct{}{}:
	case <-c.hard.Done():
		return c.may()
	}
	defer func() { <-c.slots }()
	if err := c.may(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.hard), c.callTime)
	defer cancel()
	// Who insists, or has lost the lease, does not wait for a call that hangs.
	defer context.AfterFunc(c.hard, func() { time.AfterFunc(insistGrace, cancel) })()
	err = call(ctx, site)
	if err != nil && !notMade(err) && (ctx.Err() != nil || errors.Is(err, replay.ErrTimeout)) {
		return fmt.Errorf("%w: %w", errUnknown, err)
	}
	return err
}

// changesAtOnce bounds the calls that change something. More images than that are
// on their way at a time: a hand-over mostly waits for rbd-mirror, which looks for
// the demotion every few seconds (rbd_mirror_journal_poll_age).
const changesAtOnce = 32

// insistGrace is how long a call in the air may still take once nothing more
// shall be done.
const insistGrace = 3 * time.Second

// errUnknown says that a call has not come back: it may have taken effect, or
// still do so.
var errUnknown = errors.New("what it did is not known")

// errNotInTime says that a step was not seen to be done within its time.
var errNotInTime = errors.New("not seen to be done in time")

// stepEnd is how a step ended.
type stepEnd struct {
	phase    StepPhase
	evidence string
	err      error
}

func (e stepEnd) good() bool { return e.phase == PhaseDone || e.phase == PhaseAlready }

// take takes one step: looks, writes the intent, acts, looks until it is seen
// to be done, and writes the result.
func (c *crew) take(s *Step) stepEnd {
	began := time.Now()
	c.tell(RunEvent{Kind: RunStepBegin, Step: s})
	end := c.taken(s)
	record := StepRecord{
		Step: s.ID, Kind: s.Kind, Phase: end.phase, Unit: s.Unit, Image: s.Image, Site: s.Site,
		Evidence: end.evidence, Undo: s.Undo, Took: time.Since(began),
	}
	if end.err != nil {
		record.Fault = end.err.Error()
	}
	c.past.note(&record)
	if err := c.write(EntryStep, record); err != nil && end.good() {
		// What was done is seen at the sites by whoever looks next.
		end = stepEnd{phase: PhaseUnknown, evidence: end.evidence, err: fmt.Errorf("it is done, but could not be recorded: %w", err)}
	}
	c.tell(RunEvent{Kind: RunStepEnd, Step: s, Phase: end.phase, Evidence: end.evidence, Err: end.err, Took: time.Since(began)})
	return end
}

func (c *crew) taken(s *Step) stepEnd {
	if err := c.may(); err != nil {
		return stepEnd{phase: PhaseFailed, err: err}
	}
	done, evidence, err := s.act.look(c.hard, c)
	switch {
	case done && err == nil:
		return stepEnd{phase: PhaseAlready, evidence: evidence}
	case errors.Is(err, errAwaitsWord):
		// Not a failure: the record of one would hide that it had begun.
		return stepEnd{phase: PhaseUnknown, err: err}
	case final(err):
		return stepEnd{phase: PhaseFailed, err: err}
	}
	limit, again := s.act.patience(c)
	if !s.watches() {
		intent := StepRecord{Step: s.ID, Kind: s.Kind, Phase: PhaseIntent, Unit: s.Unit, Image: s.Image, Site: s.Site, Undo: s.Undo}
		if err := c.write(EntryStep, intent); err != nil {
			return stepEnd{phase: PhaseFailed, err: fmt.Errorf("nothing was done, because the intent could not be recorded: %w", err)}
		}
		c.past.note(&intent)
	}
	return c.pursue(s, limit, again)
}

// watches reports whether the step only waits for something to be seen.
func (s *Step) watches() bool {
	switch s.Kind {
	case StepLink, StepClients, StepProve, StepVerify, StepFollow:
		return true
	}
	return false
}

// waitsLong reports whether the step waits for what may take long, so that who
// wants to stop the run does not wait for it: a copy of an image, a person, or what
// has to be there before an image is changed.
func (s *Step) waitsLong(c *crew) bool {
	switch s.Kind {
	case StepFollow, StepCompare, StepManual, StepLink, StepClients:
		return true
	case StepStopDaemon:
		return c.sites.Runner(s.Site) == nil
	}
	return false
}

// pursue does the step, and again where that may help, until it is seen to be
// done or its time is up.
func (c *crew) pursue(s *Step, limit, again time.Duration) stepEnd {
	deadline := time.Now().Add(limit)
	pause := firstPause
	var (
		tried    time.Time
		last     error
		lastLook error
		evidence string
	)
	for {
		if err := c.may(); err != nil {
			return stepEnd{phase: PhaseFailed, err: err}
		}
		// What was not even done is tried again by any step.
		unmade := notMade(last) && !errors.Is(last, errUnknown)
		if tried.IsZero() || again > 0 && time.Since(tried) >= again || unmade && time.Since(tried) >= faultStands {
			last = s.act.do(c.hard, c)
			tried = time.Now()
			if final(last) {
				return stepEnd{phase: PhaseFailed, err: last}
			}
		}
		if s.waitsLong(c) && c.soft.Err() != nil {
			// It may take a day, or a person; whoever resumes goes on to wait.
			return stepEnd{phase: PhaseFailed, err: ErrInterrupted}
		}
		var done bool
		done, evidence, lastLook = s.act.look(c.hard, c)
		switch {
		case done && lastLook == nil:
			return stepEnd{phase: PhaseDone, evidence: evidence}
		case errors.Is(last, errUnknown):
			return stepEnd{phase: PhaseUnknown, err: last}
		case final(lastLook):
			return stepEnd{phase: PhaseFailed, evidence: evidence, err: lastLook}
		case last != nil && again == 0 && !notMade(last):
			return stepEnd{phase: PhaseFailed, err: last}
		case !time.Now().Before(deadline):
			return stepEnd{phase: PhaseFailed, err: late(limit, evidence, last, lastLook)}
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-c.hard.Done():
			timer.Stop()
		}
		longest := longestPause
		if limit >= followTime {
			longest = 5 * longestPause // what may take days is not looked for every second
		}
		pause = min(pause*3/2, longest)
	}
}

// The pauses between two looks for the same thing.
const (
	firstPause   = 20 * time.Millisecond
	longestPause = time.Second
)

// late words why a step was given up.
func late(limit time.Duration, evidence string, acting, looking error) error {
	why := fmt.Errorf("%w (%s)", errNotInTime, limit)
	switch {
	case looking != nil:
		return fmt.Errorf("%w: %w", why, looking)
	case acting != nil:
		return fmt.Errorf("%w: %w", why, acting)
	case evidence != "":
		return fmt.Errorf("%w: %s", why, evidence)
	}
	return why
}

// final reports whether an error ends a step at once.
func final(err error) bool {
	return errors.Is(err, ErrRefused) || errors.Is(err, ErrHalted) || errors.Is(err, ErrInterrupted) ||
		errors.Is(err, replay.ErrPermission) || errors.Is(err, replay.ErrUnsupported)
}

// write records something of the run.
func (c *crew) write(kind EntryKind, body any) error {
	if cause := context.Cause(c.hard); c.hard.Err() != nil && errors.Is(cause, ErrLeaseLost) {
		// Somebody else may be at the run by now: what this process has to say
		// comes too late.
		return cause
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.records.Append(context.WithoutCancel(c.hard), Entry{Kind: kind, Run: c.run.ID, Body: raw})
}

// tell never waits for who listens: a terminal that stands still holds up
// nothing.
func (c *crew) tell(e RunEvent) {
	e.At = time.Now()
	c.events.put(e)
}

// eventQueue hands events on in order, and takes as many as come.
type eventQueue struct {
	mu     sync.Mutex
	more   sync.Cond
	events []RunEvent
	closed bool
}

func newEventQueue() *eventQueue {
	q := &eventQueue{}
	q.more.L = &q.mu
	return q
}

func (q *eventQueue) put(e RunEvent) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.events = append(q.events, e)
	q.more.Signal()
}

func (q *eventQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.more.Signal()
}

// drain hands on what there is until the queue is closed and empty.
func (q *eventQueue) drain(take func(RunEvent)) {
	for {
		q.mu.Lock()
		for len(q.events) == 0 && !q.closed {
			q.more.Wait()
		}
		events := q.events
		q.events = nil
		done := q.closed && len(events) == 0
		q.mu.Unlock()
		if done {
			return
		}
		for _, e := range events {
			take(e)
		}
	}
}

// haltOf is why a unit must not be begun: a person has halted one of its images
// since the run began.
func (c *crew) haltOf(unit *RunUnit) string {
	book, ok := c.records.(*Book)
	if !ok || c.run.Runbook == Resync {
		return ""
	}
	for _, ref := range unit.refs() {
		if h := book.Halted(ref); h != nil {
			return ref.String() + " is halted (" + h.ID + "): " + h.Reason
		}
	}
	return ""
}

// stageEnd is how a stage of a unit ended.
type stageEnd struct {
	ends map[string]stepEnd // by step
	bad  *Step              // the first step that was not done
	end  stepEnd            // and how it ended
}

// any reports whether any step of the stage was done.
func (s stageEnd) any() bool {
	for _, end := range s.ends {
		if end.good() {
			return true
		}
	}
	return false
}

// takeStage takes the steps of a stage side by side. All of them come to an
// end: one that fails does not leave another half done.
func (c *crew) takeStage(steps stage) stageEnd {
	out := stageEnd{ends: make(map[string]stepEnd, len(steps))}
	if len(steps) == 1 {
		end := c.take(&steps[0])
		out.ends[steps[0].ID] = end
		if !end.good() {
			out.bad, out.end = &steps[0], end
		}
		return out
	}
	ends := make([]stepEnd, len(steps))
	var wg parallel.Group
	for i := range steps {
		wg.Go(func() { ends[i] = c.take(&steps[i]) })
	}
	wg.Wait()
	for i, end := range ends {
		out.ends[steps[i].ID] = end
		// An unknown end counts before a failure: nothing may be taken back then.
		if !end.good() && (out.bad == nil || end.phase == PhaseUnknown && out.end.phase != PhaseUnknown) {
			out.bad, out.end = &steps[i], end
		}
	}
	return out
}
