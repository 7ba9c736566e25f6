package orchestrator

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/drover-io/drover/plans"
)

// Steps lists all steps of the run in the order in which they come; those of
// units of one wave are side by side. Steps with Undo are only taken when their
// unit has to go back.
func (p *Prepared) Steps(plan *plans.Plan, sites *Sites) []Step {
	return stepsOf(plan, &p.Run, sites)
}

// Outline lists the steps of a run that is recorded, as the plan has them now.
func (s *RunStory) Outline(plan *plans.Plan, sites *Sites) []Step {
	return stepsOf(plan, &s.Run, sites)
}

func stepsOf(plan *plans.Plan, run *Run, sites *Sites) []Step {
	it := itineraryOf(plan, run, sites)
	var out []Step
	h := &hooks{}
	at := func(when, of string, unit *RunUnit) {
		for _, hook := range selectHooks(plan, string(run.Runbook), when, of) {
			out = append(out, hookStep(run, hook, when, of, unit, h))
		}
	}
	stages := func(list []stage) {
		for _, s := range list {
			out = append(out, s...)
		}
	}
	at("before-run", "", nil)
	stages(it.opening)
	wave, open := "", false
	for i := range run.Units {
		unit := &run.Units[i]
		if unit.Wave != wave || !open {
			if open {
				at("after-wave", wave, nil)
			}
			wave, open = unit.Wave, true
			at("before-wave", wave, nil)
		}
		if unit.Group != "" {
			at("before-group", unit.Group, unit)
		}
		p := it.program(*unit)
		stages(p.stages)
		if unit.Group != "" {
			at("after-group", unit.Group, unit)
		}
		stages(p.undo)
	}
	if open {
		at("after-wave", wave, nil)
	}
	stages(it.closing)
	at("after-run", "", nil)
	return out
}

// EndRun ends a run by hand that will not be resumed. It touches no image and
// acts at no site, so that no site can stand in its way; tell is told of the
// processes that have not ended their sessions, which whoever acts next shuts
// out.
func EndRun(ctx context.Context, plan *plans.Plan, sites *Sites, id, reason string, tell func(line string)) (err error) {
	book, err := ReadBook(ctx, plan, sites)
	if err != nil {
		return err
	}
	s, err := story(book, id)
	if err != nil {
		return err
	}
	if s.End != nil {
		return refusal("drover runs show FILE "+s.Run.ID, "the run is over: %s", s.End.Outcome)
	}
	session, err := book.Begin(ctx, Purpose{What: "end", Run: s.Run.ID, RecordsOnly: true, Partial: true})
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*answerTime(plan))
		defer cancel()
		_ = session.End(closing) // what could not be recorded costs the next one a fence
		if closed := book.Close(closing); err == nil {
			err = closed
		}
	}()
	session.Tell(tell)
	s.Account(book)
	if s.Run.Runbook == Failover {
		// Nobody has given those copies up.
		if err := book.Lift(ctx, s.Run.From, spared(book, &s.Run), s.Run.ID); err != nil {
			return fmt.Errorf("the run is not ended: %w", err)
		}
	}
	body, err := json.Marshal(RunReport{Run: s.Run, Outcome: RunGivenUp, Why: reason, Discards: s.Discards, Ended: book.now().UTC()})
	if err != nil {
		return err
	}
	if err := book.Append(ctx, Entry{Kind: EntryEnd, Run: s.Run.ID, Body: body}); err != nil {
		return fmt.Errorf("the run is not ended: %w", err)
	}
	return nil
}
