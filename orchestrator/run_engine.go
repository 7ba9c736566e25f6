package orchestrator

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// itinerary is a run compiled: what is done once, and what each unit goes
// through.
type itinerary struct {
	opening []stage // before the first unit; a failure aborts the run
	closing []stage // behind the last, whatever became of them
	// program compiles what a unit goes through.
	program func(u RunUnit) program
}

// engine carries a run out: waves in their order, the units of a wave side by
// side, each at its own pace.
type engine struct {
	crew      *crew
	itinerary itinerary
	hooks     *hooks
	parallel  int           // units that move at the same time
	slots     chan struct{} // one for each
	session   *Session

	mu     sync.Mutex
	report *RunReport
	awaits error // a person has to say something before the run can end
}

// wave is units that move side by side.
type wave struct {
	name     string
	priority int
	units    []int // in the run's order
}

// wavesOf cuts the units of a run, which are in the order of their waves.
func (e *engine) wavesOf() []wave {
	var waves []wave
	for i := range e.crew.run.Units {
		name := e.crew.run.Units[i].Wave
		if len(waves) == 0 || waves[len(waves)-1].name != name {
			priority, _ := wavePlace(e.crew.plan, name)
			waves = append(waves, wave{name: name, priority: priority})
		}
		last := &waves[len(waves)-1]
		last.units = append(last.units, i)
	}
	return waves
}

// travel carries the run out and answers with what became of it.
func (e *engine) travel() *RunReport {
	c := e.crew
	began := time.Now()
	e.report = &RunReport{Run: *c.run, Units: make([]UnitReport, len(c.run.Units))}
	for i := range c.run.Units {
		e.report.Units[i] = UnitReport{Unit: c.run.Units[i], Outcome: UnitNotBegun}
	}
	c.tell(RunEvent{Kind: RunBegins, Run: c.run, Total: len(c.run.images())})
	e.session.Tell(e.note) // whom it had to shut out
	if e.opens() {
		e.takeWaves()
	}
	e.closes()
	outcomeOf(e.report, c.soft.Err(), c.hardCause())
	if e.report.Outcome == RunAborted && e.left() {
		// An earlier process had begun with units that this one did not come to:
		// the run has to stay theirs.
		e.report.Outcome = RunStuck
	}
	e.keepOpen()
	e.report.Discards = c.discards()
	e.report.Ended, e.report.Took = c.sites.now().UTC(), time.Since(began)
	c.outcome = string(e.report.Outcome)
	if e.report.Outcome.over() {
		e.forget()
	}
	if e.report.Outcome != RunAborted && e.report.Outcome.over() {
		if err := e.hooks.at(e, "after-run", "", nil); err != nil {
			e.note("after the run: " + err.Error())
		}
	}
	e.keepOpen() // an after-run hook may await a word, too
	e.end()
	c.tell(RunEvent{Kind: RunEnds, Run: c.run, Note: string(e.report.Outcome)})
	return e.report
}

func (c *crew) hardCause() error {
	if c.hard.Err() == nil {
		return nil
	}
	return c.may()
}

// left reports whether a unit that this process did not begin may have been
// changed by an earlier one.
func (e *engine) left() bool {
	for i := range e.report.Units {
		if e.report.Units[i].Outcome != UnitNotBegun {
			continue
		}
		p := e.itinerary.program(e.report.Units[i].Unit)
		if e.crew.past.triedAny(p.stages) {
			return true
		}
	}
	return false
}

// awaitWord notes that the run cannot end before a person has said something.
func (e *engine) awaitWord(why error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.awaits = why
}

// keepOpen lets a run that awaits a person's word be resumed.
func (e *engine) keepOpen() {
	if e.awaits != nil && e.report.Outcome.over() {
		e.report.Outcome, e.report.Why, e.report.cause = RunStuck, e.awaits.Error(), ErrRefused
	}
}

// forget lifts the tombstones of images that a failover has marked and then not
// promoted: nobody has given their copies up.
func (e *engine) forget() {
	book, ok := e.crew.records.(*Book)
	if !ok || e.crew.run.Runbook != Failover {
		return
	}
	var refs []replay.ImageRef
	for i := range e.report.Units {
		if e.report.Units[i].Outcome != UnitMoved {
			refs = append(refs, e.report.Units[i].Unit.refs()...)
		}
	}
	if err := book.Lift(context.WithoutCancel(e.crew.hard), e.crew.run.From, refs, e.crew.run.ID); err != nil {
		e.note("the tombstones of images that were not promoted could not be lifted: " + err.Error())
	}
}

// end records that the run is over, where it is.
func (e *engine) end() {
	if !e.report.Outcome.over() {
		return
	}
	if err := e.crew.write(EntryEnd, e.report); err != nil {
		e.note("the end of the run could not be recorded: " + err.Error())
	}
}

// opens does what comes before the first unit.
func (e *engine) opens() bool {
	if err := e.hooks.at(e, "before-run", "", nil); err != nil {
		e.abort("before the run: "+err.Error(), err)
		return false
	}
	for _, s := range e.itinerary.opening {
		if e.crew.soft.Err() != nil {
			return false
		}
		if end := e.takeStage(s); end.bad != nil {
			e.abort(end.bad.What+": "+end.end.err.Error(), end.end.err)
			return false
		}
	}
	return true
}

// takeStage takes a stage. A step that fails because this process has been shut
// out is the last thing that it does: somebody else is at the run.
func (e *engine) takeStage(s stage) stageEnd {
	end := e.crew.takeStage(s)
	if end.bad != nil {
		e.session.saw(end.end.err)
	}
	return end
}

// closes does what comes behind the last unit. It does not wait for a person
// to want it: a daemon that was stopped is started again.
func (e *engine) closes() {
	for _, s := range e.itinerary.closing {
		if end := e.takeStage(s); end.bad != nil {
			e.note(end.bad.What + ": " + end.end.err.Error())
		}
	}
}

func (e *engine) abort(why string, cause error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.report.Outcome, e.report.Why = RunAborted, why
	switch {
	case errors.Is(cause, ErrRefused):
		e.report.cause = ErrRefused
	case errors.Is(cause, ErrHalted):
		e.report.cause = ErrHalted
	case errors.Is(cause, ErrInterrupted):
		e.report.Outcome = ""
	}
}

func (e *engine) note(text string) {
	e.mu.Lock()
	e.report.Notes = append(e.report.Notes, text)
	e.mu.Unlock()
	e.crew.tell(RunEvent{Kind: RunNotes, Note: text})
}

// aborted reports whether nothing more shall be begun.
func (e *engine) aborted() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.report.Outcome == RunAborted || e.awaits != nil
}

// takeWaves moves wave after wave; those of equal priority side by side.
func (e *engine) takeWaves() {
	waves := e.wavesOf()
	e.slots = make(chan struct{}, max(e.parallel, 1))
	for begin := 0; begin < len(waves); {
		end := begin
		for end < len(waves) && waves[end].priority == waves[begin].priority {
			end++
		}
		var wg parallel.Group
		for i := begin; i < end; i++ {
			wg.Go(func() { e.takeWave(&waves[i]) })
		}
		wg.Wait()
		if e.crew.soft.Err() != nil || e.aborted() {
			return
		}
		begin = end
	}
}

func (e *engine) takeWave(w *wave) {
	if e.crew.soft.Err() != nil || e.aborted() {
		return
	}
	total := 0
	for _, i := range w.units {
		total += len(e.crew.run.Units[i].Images)
	}
	e.crew.tell(RunEvent{Kind: RunWaveBegin, Wave: w.name, Total: total})
	if err := e.hooks.at(e, "before-wave", w.name, nil); err != nil {
		e.abort("before wave "+w.name+": "+err.Error(), err)
		return
	}
	var wg parallel.Group
	for _, i := range w.units {
		select {
		case e.slots <- struct{}{}:
		case <-e.crew.soft.Done():
		}
		if e.crew.soft.Err() != nil {
			break
		}
		if e.aborted() {
			<-e.slots
			break
		}
		wg.Go(func() {
			defer func() { <-e.slots }()
			e.takeUnit(i)
		})
	}
	wg.Wait()
	if e.crew.soft.Err() == nil && !e.aborted() {
		if err := e.hooks.at(e, "after-wave", w.name, nil); err != nil {
			e.abort("after wave "+w.name+": "+err.Error(), err)
		}
	}
	e.crew.tell(RunEvent{Kind: RunWaveEnd, Wave: w.name, Total: total})
}

func (e *engine) takeUnit(i int) {
	unit := &e.crew.run.Units[i]
	began := time.Now()
	e.crew.tell(RunEvent{Kind: RunUnitBegin, Unit: unit, Wave: unit.Wave})
	var report UnitReport
	if caught := parallel.Catch(func() { report = e.moved(unit) }); caught != nil {
		e.abort("a fault of the program", nil) // no other unit is begun
		panic(caught)
	}
	report.Unit, report.Took = *unit, time.Since(began)
	e.mu.Lock()
	e.report.Units[i] = report
	e.mu.Unlock()
	var err error
	if report.Why != "" {
		err = errors.New(report.Why)
	}
	e.crew.tell(RunEvent{Kind: RunUnitEnd, Unit: unit, Wave: unit.Wave, Outcome: report.Outcome, Err: err, Took: report.Took})
}

// takeUnitStage takes a stage of a unit. One that waits for a person to stop clients
// makes room for other units meanwhile.
func (e *engine) takeUnitStage(s stage) stageEnd {
	if s[0].Kind == StepClients && e.crew.run.Runbook == Failback {
		<-e.slots
		defer func() { e.slots <- struct{}{} }()
	}
	return e.takeStage(s)
}

// moved takes a unit through its program.
func (e *engine) moved(unit *RunUnit) UnitReport {
	p := e.itinerary.program(*unit)
	if why := e.crew.haltOf(unit); why != "" && !e.crew.past.triedAny(p.stages) {
		return UnitReport{Outcome: UnitUntouched, Why: why}
	}
	if unit.Group != "" {
		if err := e.hooks.at(e, "before-group", unit.Group, unit); err != nil {
			report := UnitReport{Outcome: UnitUntouched, Why: "before the group: " + err.Error()}
			switch {
			case e.crew.past.triedAny(p.stages):
				report.Outcome = UnitStuck // an earlier process had begun with it
			case errors.Is(err, errAwaitsWord):
				report.Outcome = UnitNotBegun
			}
			return report
		}
	}
	if e.crew.past.goesBack(unit.Name) {
		// An earlier process had begun to take it back. Where it had come too far
		// for that after all, forward is the only way.
		const why = "an earlier attempt was being taken back"
		switch gone, err := e.gone(&p); {
		case err != nil:
			return UnitReport{Outcome: UnitStuck, Why: why + ": " + err.Error()}
		case !gone:
			return e.takeBack(&p, why, "")
		}
	}
	for n, s := range p.stages {
		if n <= min(p.partAt, p.changesAt) && e.crew.soft.Err() != nil && !e.crew.past.triedAny(p.stages[min(p.partAt, p.changesAt):]) {
			return UnitReport{Outcome: UnitNotBegun} // nothing is changed yet
		}
		end := e.takeUnitStage(s)
		if end.bad == nil {
			continue
		}
		why := end.bad.What + ": " + end.end.err.Error()
		report := UnitReport{Step: end.bad.ID, Why: why}
		stopped := e.crew.hard.Err() != nil
		// What an earlier process has done counts, too, although its steps lie
		// behind the one that fails now.
		past := e.crew.past
		changed := n >= p.changesAt || past.triedAny(p.stages[p.changesAt:])
		parted := n > p.partAt || p.partAt < len(p.stages) && past.triedAny(p.stages[p.partAt:])
		switch {
		case end.end.phase == PhaseUnknown, stopped && changed, n > p.commits, n == p.commits && end.any(), len(p.undo) == 0 && changed:
			report.Outcome = UnitStuck
		case stopped, !changed && !parted && errors.Is(end.end.err, ErrInterrupted):
			report.Outcome = UnitNotBegun
		case !changed && parted:
			report.Outcome = UnitStuck
		case !changed:
			report.Outcome = UnitUntouched
		default:
			return e.takeBack(&p, why, end.bad.ID)
		}
		return report
	}
	if unit.Group != "" {
		if err := e.hooks.at(e, "after-group", unit.Group, unit); err != nil {
			e.note("after group " + unit.Group + ": " + err.Error())
		}
	}
	return UnitReport{Outcome: UnitMoved}
}
