package orchestrator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// Wait says what an apply waits for once all changes are done.
type Wait string

// What can be waited for.
const (
	WaitCopies    Wait = "copies"    // each image has a copy at each secondary
	WaitReplaying Wait = "replaying" // and each copy follows its primary
	WaitNone      Wait = "none"
)

// Options say how changes are carried out. The zero value is sensible.
type Options struct {
	// Prune: see [DiffOptions].
	Prune bool
	// DryRun only tells what would be done.
	DryRun bool
	// Approved is a saved diff that a person has seen: nothing is done when it
	// does not describe plan and sites any more, and nothing beyond it.
	Approved *SavedDiff
	// Unconfirmed says that nobody was asked, because nothing was seen that
	// takes protection or data away: is there such a change by now, then nothing
	// is done at all ([ErrStale]).
	Unconfirmed bool
	// Parallel is how many changes are carried out at once; 0: 16.
	Parallel int
	// Wait says what is waited for at the end; "": WaitCopies.
	Wait Wait
	// WaitTime bounds that; 0: 5 minutes.
	WaitTime time.Duration
	// Patience bounds how long a single change waits for daemons; 0: 90 s.
	Patience time.Duration
	// CallTime bounds the calls of a single change; 0: 2 minutes.
	CallTime time.Duration
	// Progress is told what happens, from one goroutine; may be nil.
	Progress func(Event)
}

func (o Options) filled() Options {
	fill := func(d *time.Duration, standard time.Duration) {
		if *d <= 0 {
			*d = standard
		}
	}
	fill(&o.WaitTime, 5*time.Minute)
	fill(&o.Patience, 90*time.Second)
	fill(&o.CallTime, 2*time.Minute)
	if o.Parallel <= 0 {
		o.Parallel = 16
	}
	if o.Wait == "" {
		o.Wait = WaitCopies
	}
	if o.Progress == nil {
		o.Progress = func(Event) {}
	}
	return o
}

// maxRounds bounds how often an apply looks again for what its own changes
// have made possible.
const maxRounds = 3

// Apply makes the sites match the plan. It observes, does what [Diff] wants as
// far as each change's needs allow, and observes again for proof. It can be
// stopped at any point by ctx: what has begun is finished, and the next Apply
// goes on from what it sees. Applying again what is so changes nothing.
//
// The result is never nil; the error is its [Result.Err].
func Apply(ctx context.Context, plan *plans.Plan, sites *Sites, o Options) (*Result, error) {
	o = o.filled()
	if o.Approved != nil {
		o.Prune = o.Approved.Difference.Options.Prune
	}
	r := &runner{
		plan: plan, sites: sites, options: o, began: time.Now(), verb: "apply",
		diff: func(obs *Observation) *Difference { return Diff(plan, obs, DiffOptions{Prune: o.Prune}) },
	}
	result := r.run(ctx)
	if result.Refused == nil && result.Lost == nil && !o.DryRun && !result.Interrupted {
		r.wait(ctx, result)
	}
	if result.Refused != nil && ctx.Err() != nil {
		result.Interrupted = true // since it was refused
	}
	result.Took = time.Since(r.began)
	return result, result.Err()
}

// runner brings the sites to where a comparison finds nothing more to do.
type runner struct {
	plan    *plans.Plan
	sites   *Sites
	options Options
	began   time.Time
	diff    func(*Observation) *Difference
	seen    *Observation
	fleet   *fleet
	// neighbours: see [ObserveOptions].
	neighbours bool
	// verb is what the lease is taken for.
	verb string
	// exact: what was approved must be all that is wanted, no more and no less.
	exact bool
	// reason is a person's, for the record.
	reason string
}

func (r *runner) observe(ctx context.Context) *Observation {
	r.seen = Observe(ctx, r.plan, r.sites, ObserveOptions{Detail: replay.WithHeader, Reports: true, Neighbours: r.neighbours, Records: true, Elsewhere: true})
	return r.seen
}

func (r *runner) run(ctx context.Context) *Result {
	result := &Result{Plan: r.plan.Name, Changes: []ChangeResult{}, Notices: []Notice{}}
	d := r.diff(r.observe(ctx))
	if ctx.Err() != nil {
		result.Interrupted = true
		return result
	}
	result.Notices = d.Notices
	if err := r.stale(d); err != nil {
		return refused(ctx, result, err)
	}
	r.fleet = newFleet(r.plan, r.seen, r.options.Progress)
	if r.options.DryRun {
		for i := range d.Changes {
			result.Changes = append(result.Changes, ChangeResult{Change: d.Changes[i], Outcome: OutcomePlanned})
		}
		return result
	}
	session, err := r.session(ctx, d)
	if err != nil {
		return refused(ctx, result, err)
	}
	if session != nil {
		defer func() { r.close(ctx, session, result) }()
		r.sites = r.sites.guarded(session)
		if len(session.ShutOut()) > 0 {
			// What it had under way may have come to its end before it was shut out.
			d = r.diff(r.observe(ctx))
			if err := cmp.Or(r.unread(), r.stale(d)); err != nil {
				return refused(ctx, result, err)
			}
		}
	}
	x := &execution{sites: r.sites, stop: ctx, patience: r.options.Patience, callTime: r.options.CallTime, reason: r.reason}
	if session != nil {
		x.book = session.book
	}
	tried := map[string]bool{}
	for round := 0; round < maxRounds; round++ {
		changes := r.untried(d, tried)
		if len(changes) == 0 {
			break
		}
		g := graph{x: x, parallel: r.options.Parallel, progress: r.fleet.watch(r.options.Progress)}
		results := g.run(changes)
		result.Changes = append(result.Changes, results...)
		if ctx.Err() != nil {
			result.Interrupted = true
			return result
		}
		d = r.diff(r.observe(ctx))
		if ctx.Err() != nil {
			result.Interrupted = true
			return result
		}
		result.Notices = d.Notices
		prove(result, d)
		if err := r.unread(); err != nil {
			// What is wanted now may be halted.
			result.Lost = faultOf(err)
			result.Notices = slices.DeleteFunc(result.Notices, func(n Notice) bool { return n.Code == NoticeNoRecords })
			return result
		}
	}
	r.leftOver(result, d, tried)
	return result
}

// refused is the result of a run that did not begin because of err, and, where
// it was also asked to stop, says both. What the end of ctx itself brought about
// is no refusal.
func refused(ctx context.Context, result *Result, err error) *Result {
	result.Interrupted = ctx.Err() != nil
	if !result.Interrupted || !errors.Is(err, context.Canceled) {
		result.Refused = faultOf(err)
	}
	return result
}

// leftOver adds what the last look still wants and nobody has tried.
func (r *runner) leftOver(result *Result, d *Difference, tried map[string]bool) {
	for _, c := range d.Changes {
		if tried[c.ID] {
			continue
		}
		why := fmt.Sprintf("what was changed made it possible only after %d rounds", maxRounds)
		switch {
		case !r.approved(c.ID):
			why = "it is not in the diff that was approved"
		case c.Destructive:
			why = "it takes protection or data away, and was not shown before"
		}
		result.Changes = append(result.Changes, ChangeResult{
			Change: c, Outcome: OutcomeUntried, Fault: &Fault{What: why, Hint: "run the same command again: it looks again"},
		})
	}
}

// stale tells whether a person has seen something else than what is wanted now.
func (r *runner) stale(d *Difference) error {
	if approved := r.options.Approved; approved != nil {
		if err := approved.Check(r.plan, d); err != nil || !r.exact {
			return err
		}
		return approved.sameChanges(d)
	}
	if r.options.Unconfirmed && d.Destructive() {
		unseen := &StaleError{}
		for i := range d.Changes {
			if d.Changes[i].Destructive {
				unseen.Changed = append(unseen.Changed, d.Changes[i].Title())
			}
		}
		return unseen
	}
	return nil
}

// untried are the changes that have not been tried yet. After the first round
// none that wants a person's word is among them, and of an approved diff only
// what was in it.
func (r *runner) untried(d *Difference, tried map[string]bool) []Change {
	first := len(tried) == 0
	var out []Change
	for _, c := range d.Changes {
		if tried[c.ID] || !first && c.Destructive || !r.approved(c.ID) {
			continue
		}
		out = append(out, c)
	}
	for i := range out {
		tried[out[i].ID] = true
	}
	return out
}

func (r *runner) approved(id string) bool {
	if r.options.Approved == nil {
		return true
	}
	for i := range r.options.Approved.Difference.Changes {
		if r.options.Approved.Difference.Changes[i].ID == id {
			return true
		}
	}
	return false
}

// errStillWanted says that a change that was done shows no effect.
var errStillWanted = errors.New("it was done, but looking again it is still wanted; someone else may be changing it")

// prove corrects the outcomes by what a new look at the sites wants.
func prove(result *Result, d *Difference) {
	wanted := make(map[string]bool, len(d.Changes))
	for i := range d.Changes {
		wanted[d.Changes[i].ID] = true
	}
	silent := map[string]bool{}
	unread := map[replay.ImageRef]error{}
	for i := range d.Notices {
		switch n := &d.Notices[i]; n.Code {
		case NoticeSiteSilent:
			silent[n.Site] = true
		case NoticeImageFault:
			unread[n.Pool.Image(n.Image)] = errors.New(n.What)
		}
	}
	for i := range result.Changes {
		c := &result.Changes[i]
		done := c.Outcome == OutcomeDone || c.Outcome == OutcomeAlready
		ref, ofImage := c.Change.Ref()
		switch {
		case done && wanted[c.Change.ID]:
			c.Outcome, c.Fault = OutcomeUnproven, faultOf(errStillWanted)
		case done && silent[c.Change.Site]:
			c.Outcome, c.Fault = OutcomeUnproven, faultOf(fmt.Errorf("%w: %s, so that it could not be seen", ErrUnreachable, c.Change.Site))
		case done && ofImage && unread[ref] != nil:
			c.Outcome, c.Fault = OutcomeUnproven, faultOf(unread[ref])
		}
	}
}

// session keeps other drovers away while there is something to change. Sites
// without a place for records yet, because none of the plan's pools is made, are
// changed without; it is nil then.
func (r *runner) session(ctx context.Context, d *Difference) (*Session, error) {
	if len(d.Changes) == 0 {
		return nil, nil
	}
	if err := r.unread(); err != nil {
		return nil, err
	}
	if r.seen.Records.None {
		return nil, r.placeless(r.seen.Records.Fault)
	}
	book := r.seen.Records.book
	known := book.sessions()
	session, err := book.Begin(ctx, Purpose{What: r.verb, Partial: true})
	if err == nil {
		if err = session.overtaken(known); err != nil {
			r.end(ctx, session)
		}
	}
	switch {
	case errors.Is(err, errNoLease) && errors.Is(err, errNoPlace):
		return nil, r.placeless(err)
	case errors.Is(err, errNoLease):
		return nil, advise(fmt.Errorf("%w: nothing was changed, because nobody else could be kept away: %w", ErrRefused, err),
			"make the plan's first pool usable at a site: check its OSDs and Drover's caps there; then try again")
	case err != nil:
		return nil, err
	}
	return session, nil
}

// unread is why nothing may be changed for want of records; nil where they were
// read, or there are none.
func (r *runner) unread() error {
	fault := r.seen.Records.unreadable()
	if fault == nil {
		return nil
	}
	bare := Fault{What: fault.What, Err: fault.Err}
	return advise(fmt.Errorf("%w: nothing is changed while halts and runs are not known: %w", ErrRefused, &bare), cmp.Or(fault.Hint, unreadHint))
}

// placeless is nil where nothing that a lease guards can be there yet: no site has
// any pool of the plan.
func (r *runner) placeless(cause error) error {
	for i := range r.seen.Sites {
		for j := range r.seen.Sites[i].Pools {
			if p := &r.seen.Sites[i].Pools[j]; !p.Missing {
				first := r.plan.Pools[0].Name
				return advise(fmt.Errorf("%w: nothing was changed, because the lease and the records of plan %s lie in the pool %s: %w", ErrRefused, r.plan.Name, first, cause),
					"create the pool "+first+" at the sites, or name another one first in the plan")
			}
		}
	}
	return nil
}

// close ends the session, and tells whom it has shut out, or that it has been
// shut out itself.
func (r *runner) close(ctx context.Context, session *Session, result *Result) {
	for _, out := range session.ShutOut() {
		n := Notice{Code: NoticeShutOut, Severity: severityOf(NoticeShutOut), Site: out.Site, What: out.Said()}
		result.Notices = append([]Notice{n}, result.Notices...)
	}
	if err := session.TakenOver(ctx, r.plan, r.sites); err != nil {
		result.Lost = faultOf(err)
	}
	r.end(ctx, session)
}

func (r *runner) end(ctx context.Context, session *Session) {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime(r.plan))
	defer cancel()
	_ = session.End(closing)        // what could not be recorded costs the next one a fence
	_ = session.book.Close(closing) // the same
}
