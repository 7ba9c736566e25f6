package orchestrator

import (
	"fmt"

	"github.com/drover-io/drover/replay"
)

// takeBack takes a unit back to where it was, if that can still be.
func (e *engine) takeBack(p *program, why, step string) UnitReport {
	switch gone, err := e.gone(p); {
	case err != nil:
		return UnitReport{Outcome: UnitStuck, Step: step, Why: why + "; and it is not taken back: " + err.Error()}
	case gone:
		return UnitReport{Outcome: UnitStuck, Step: step, Why: why + "; it is not taken back, because " + e.crew.run.To + " is primary by now: resumed, the run goes forward from here"}
	}
	for _, s := range p.undo {
		end := e.takeStage(s)
		if end.bad != nil {
			return UnitReport{
				Outcome: UnitStuck, Step: end.bad.ID,
				Why: why + "; and it could not be taken back: " + end.bad.What + ": " + end.end.err.Error(),
			}
		}
	}
	return UnitReport{Outcome: UnitReturned, Step: step, Why: why}
}

// gone reports whether any image of a unit is primary at the other side: then
// the unit can only go forward, or its images would end at different sides. It
// fails when that cannot be seen of an image that somebody may have promoted.
func (e *engine) gone(p *program) (bool, error) {
	c := e.crew
	for _, s := range p.undo {
		for i := range s {
			back, ok := s[i].act.(returnAct)
			if !ok {
				continue
			}
			seen, err := c.seen.fresh(c.hard, back.ref)
			if err != nil {
				return false, err
			}
			to, silent := seen.at(back.to)
			if silent != nil && (c.resumed || c.past.tried(back.promote)) {
				return false, fmt.Errorf("%s may be primary at %s, which cannot be seen: %w", back.ref, back.to, silent)
			}
			// One that is primary at both sides is nobody's to judge by here; the
			// others shall not wait for it.
			from, hidden := seen.at(back.from)
			split := hidden == nil && from.Image.Role == replay.RolePrimary
			if silent == nil && to.Image.Role == replay.RolePrimary && !split {
				return true, nil
			}
		}
	}
	return false, nil
}
