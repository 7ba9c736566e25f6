package orchestrator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// RunOptions say how a run is carried out.
type RunOptions struct {
	// Parallel is how many units move at once; 0: as the plan says.
	Parallel int
	// Insist ends when a person has asked a second time to stop: then nothing
	// more is done, not even what would complete an image. nil: never.
	Insist <-chan struct{}
	// Word: a person has just given the word for it (again).
	Word bool
	// Unfenced is why an earlier process of the run that cannot be shut out need not
	// be: the word of a person who has seen it dead. See [Purpose.Unfenced].
	Unfenced string
	// Hooks: see [UnfinishedHooks].
	Hooks UnfinishedHooks
	// Version is that of this Drover, for the report.
	Version string
	// Progress is told what happens, from one goroutine; may be nil.
	Progress func(RunEvent)
}

// Start begins a prepared run and carries it out. ctx ending stops it softly:
// no unit is begun any more, and those in the air are completed.
//
// The report is nil when nothing was begun.
func Start(ctx context.Context, plan *plans.Plan, sites *Sites, p *Prepared, o RunOptions) (*RunReport, error) {
	if p.Refused != nil {
		return nil, p.Refused
	}
	if len(p.Run.Units) == 0 {
		return &RunReport{Run: p.Run, Outcome: RunDone, Ended: sites.now().UTC()}, nil
	}
	p.Run.Drover, p.Run.Objectives = o.Version, p.Run.objectives(plan)
	r := &running{plan: plan, sites: sites, book: p.book, run: &p.Run, options: o}
	return r.carryOut(ctx)
}

// Resume takes up a run that is not over; "" is the newest such. What was done
// is seen at the sites; what is not is done.
func Resume(ctx context.Context, plan *plans.Plan, sites *Sites, id string, o RunOptions) (*RunReport, error) {
	book, err := ReadBook(ctx, plan, sites)
	if err != nil {
		return nil, err
	}
	s, err := story(book, id)
	if err != nil {
		return nil, err
	}
	if s.End != nil {
		return nil, refusal("drover runs show FILE "+s.Run.ID, "the run is over: %s", s.End.Outcome)
	}
	if s.Run.Fingerprint != plan.Fingerprint() {
		return nil, &Hinted{
			Err:  fmt.Errorf("%w: the plan has changed since run %s began", ErrStale, s.Run.ID),
			Hint: "resume with the plan as it was; or end the run as it stands: drover runs end FILE " + s.Run.ID + " --reason TEXT",
		}
	}
	if old := wordTooOld(s.Run.Began, sites.now(), plan.Runbooks.Approval.Std()); old != "" && s.Run.gives() && !o.Word {
		return nil, &Hinted{
			Err:  fmt.Errorf("%w: the word for run %s was given %s, and is good for %s", ErrStale, s.Run.ID, old, plan.Runbooks.Approval),
			Hint: "drover status shows how the sites are now; drover runs resume FILE " + s.Run.ID + ", without --yes, asks again",
		}
	}
	if returned := Returned(ctx, plan, sites, book, &s.Run); len(returned) > 0 && !o.Word {
		return nil, &Hinted{
			Err: fmt.Errorf("%w: %s answers again, and %d images of run %s that are not promoted yet are primary there (%s): they can be moved without loss",
				ErrStale, s.Run.From, len(returned), s.Run.ID, returned[0]),
			Hint: "drover runs end FILE " + s.Run.ID + " --reason TEXT, then drover switchover FILE; or drover runs resume FILE " + s.Run.ID + ", without --yes, asks for the word again",
		}
	}
	s.Run.Drover = o.Version
	r := &running{plan: plan, sites: sites, book: book, run: &s.Run, options: o, resumed: true}
	return r.carryOut(ctx)
}

// gives reports whether the run gives up data, for which a person's word is
// needed.
func (r *Run) gives() bool {
	return r.Runbook == Failover || r.Runbook == Failback || r.Runbook == Resync
}

// Gives reports whether the run gives up data.
func (s *RunStory) Gives() bool { return s.Run.gives() }

// haltsEvery is how often a run looks for what people record meanwhile.
const haltsEvery = 3 * time.Second

// running is a run that is being carried out by this process.
type running struct {
	plan    *plans.Plan
	sites   *Sites
	book    *Book
	run     *Run
	options RunOptions
	resumed bool
}

func (r *running) carryOut(ctx context.Context) (report *RunReport, err error) {
	purpose := Purpose{What: string(r.run.Runbook), Run: r.run.ID, Sites: []string{r.run.From, r.run.To}, Unfenced: r.options.Unfenced}
	if r.run.Runbook == Failover {
		// The lost site may be able to answer and not to write.
		purpose.Lost = r.run.From
	}
	// Where only one site had the session and the run, and died, the other would
	// know neither of the run nor whom to shut out. What is recorded later may lie
	// at one site: a run whose other site falls silent has to come to its end.
	r.book.Require(r.run.From, r.run.To)
	if r.run.Runbook == Failover {
		r.book.Require(r.run.To)
	}
	known := r.book.sessions()
	session, err := r.book.Begin(ctx, purpose)
	if err != nil {
		return nil, err
	}
	sites := r.sites
	defer func() {
		session.saw(err)
		if taken := session.TakenOver(ctx, r.plan, sites); taken != nil {
			err = taken
		}
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*answerTime(r.plan))
		defer cancel()
		_ = session.End(closing) // what could not be recorded costs the next one a fence
		// Whoever has shut this process out has the records from another site.
		if closed := r.book.Close(closing); session.Err() == nil && !errors.Is(closed, replay.ErrShutOut) {
			err = errors.Join(err, closed)
		}
	}()
	r.sites = sites.guarded(session)
	if err := r.current(session, known); err != nil {
		return nil, err
	}
	if err := r.alone(); err != nil {
		return nil, err
	}
	c, done, err := r.crew(ctx, session.Lease)
	if err != nil {
		return nil, err
	}
	defer done()
	body, err := json.Marshal(r.run)
	if err != nil {
		return nil, err
	}
	err = r.book.Append(ctx, Entry{Kind: EntryRun, Run: r.run.ID, Body: body})
	r.book.Require()
	if err != nil {
		return nil, fmt.Errorf("nothing was changed, because the run could not be recorded: %w", errors.Join(err, r.unbegun(ctx)))
	}
	e := &engine{
		crew: c, itinerary: itineraryOf(r.plan, r.run, r.sites),
		hooks:    &hooks{approved: r.approved, unfinished: r.options.Hooks},
		parallel: cmp.Or(r.options.Parallel, r.plan.Runbooks.Parallel),
		session:  session,
	}
	report = e.travel()
	return report, report.Err()
}

// unbegun ends a run that was recorded at one of its sites only: nobody shall take
// it for one that goes on.
func (r *running) unbegun(ctx context.Context) error {
	if s, err := story(r.book, r.run.ID); err != nil || r.resumed || s.End != nil {
		return nil // no site has it
	}
	body, err := json.Marshal(RunReport{Run: *r.run, Outcome: RunGivenUp, Why: "it was not begun: it could not be recorded at both sites", Ended: r.book.now().UTC()})
	if err != nil {
		return err
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*answerTime(r.plan))
	defer cancel()
	return r.book.Append(ending, Entry{Kind: EntryEnd, Run: r.run.ID, Body: body})
}

// current sees, under the lease, that what this process has looked at before it
// had that is not overtaken: it may have waited for the lease for hours, asleep.
func (r *running) current(session *Session, known map[string]string) error {
	if r.resumed {
		s, err := story(r.book, r.run.ID)
		if err != nil {
			return err
		}
		if s.End != nil {
			return refusal("drover runs show FILE "+r.run.ID, "the run is over: %s", s.End.Outcome)
		}
		return nil
	}
	return session.overtaken(known)
}

// alone sees, under the lease, that nobody has begun another run or halted an
// image meanwhile.
func (r *running) alone() error {
	for _, run := range unfinished(r.book) {
		if run.ID != r.run.ID && run.ID != r.run.Follows {
			return refusal(resumeHint(&run), "the %s %s is not over", run.Runbook, run.ID)
		}
	}
	if r.run.Runbook == Resync {
		return nil
	}
	for _, ref := range r.run.images() {
		if h := r.book.Halted(ref); h != nil {
			return &Hinted{Err: fmt.Errorf("%w: %s: %s", ErrHalted, ref, h.Reason), Hint: "drover halt list FILE"}
		}
	}
	return nil
}

// crew makes what steps work with. done ends it, when all steps have ended.
func (r *running) crew(ctx context.Context, lease *Lease) (c *crew, done func(), err error) {
	history, err := newPast(r.book.Entries(), r.run.ID)
	if err != nil {
		return nil, nil, fmt.Errorf("the records of run %s cannot be read: %w", r.run.ID, err)
	}
	hard, cancel := context.WithCancelCause(lease.Context())
	stop := make(chan struct{})
	var wg parallel.Group
	if r.options.Insist != nil {
		wg.Go(func() {
			select {
			case <-r.options.Insist:
				cancel(ErrInterrupted)
			case <-stop:
			}
		})
	}
	events := newEventQueue()
	wg.Go(func() {
		events.drain(func(e RunEvent) {
			if r.options.Progress != nil {
				r.options.Progress(e)
			}
		})
	})
	// Halts that people set meanwhile are seen before the next unit is begun.
	wg.Go(func() {
		tick := time.NewTicker(haltsEvery)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			look, cancel := context.WithTimeout(hard, answerTime(r.plan))
			_, _ = r.book.Refresh(look) // look again
			cancel()
		}
	})
	names := []string{r.run.From, r.run.To}
	if r.run.Runbook == Failover {
		names = names[1:] // the other one is lost: waiting for it would help nobody
	}
	c = &crew{
		plan: r.plan, sites: r.sites, run: r.run, records: r.book, past: history, resumed: r.resumed,
		seen: newLookout(r.sites, names...), soft: softly(ctx, hard), hard: hard,
		slots: make(chan struct{}, changesAtOnce), copies: make(chan struct{}, 4), events: events,
		proofTime: r.plan.Runbooks.ProofTimeout.Std(), callTime: r.plan.Runbooks.CallTimeout.Std(),
	}
	return c, func() {
		close(stop)
		events.close()
		wg.Wait()
		cancel(nil)
	}, nil
}

// softly is a context that ends when either does.
func softly(ctx, hard context.Context) context.Context {
	soft, cancel := context.WithCancelCause(ctx)
	context.AfterFunc(hard, func() { cancel(context.Cause(hard)) })
	return soft
}

// approved looks whether a person has approved a manual step.
func (r *running) approved(ctx context.Context, step string) (string, bool) {
	if _, err := r.book.Refresh(ctx); err != nil {
		return "", false // look again
	}
	a, stale := r.book.Approved(r.run.ID, step, "", r.book.now())
	if a == nil || stale {
		return "", false
	}
	return a.By, true
}
