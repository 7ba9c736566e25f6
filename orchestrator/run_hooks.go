package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/drover-io/drover/plans"
)

// hooks takes the plan's hooks at their points of a run.
type hooks struct {
	// approved tells whether a person has approved a manual step of the run.
	approved func(ctx context.Context, step string) (by string, ok bool)
	// unfinished says what a hook shall be taken for of which only the beginning
	// is recorded.
	unfinished UnfinishedHooks
}

// UnfinishedHooks is what a resumed run does with hooks that had begun and of
// which nobody knows how they ended.
type UnfinishedHooks string

// The ways.
const (
	HooksAsk   UnfinishedHooks = ""      // refuse, and say so
	HooksAgain UnfinishedHooks = "again" // do them again
	HooksDone  UnfinishedHooks = "done"  // take them for done
)

// errAwaitsWord says that a person has to tell how something ended before the
// run can go on: it is not over.
var errAwaitsWord = errors.New("it waits for a person's word")

// at takes the hooks of one point, one after the other. The error is of one
// whose failure stops the run.
func (h *hooks) at(e *engine, when, of string, unit *RunUnit) error {
	c := e.crew
	for _, hook := range selectHooks(c.plan, string(c.run.Runbook), when, of) {
		s := hookStep(c.run, hook, when, of, unit, h)
		end := c.take(&s)
		if end.good() {
			continue
		}
		err := end.err
		if hook.Manual != "" {
			err = fmt.Errorf("manual step %s: %w", hook.Name, err)
		}
		if hook.OnFailure == plans.OnFailureContinue && c.hard.Err() == nil {
			e.note(err.Error())
			continue
		}
		if errors.Is(err, errAwaitsWord) {
			e.awaitWord(err)
		}
		return err
	}
	return nil
}

// hookStep compiles one hook at one point.
func hookStep(run *Run, hook *plans.Hook, when, of string, unit *RunUnit, h *hooks) Step {
	id := "hook/" + when
	if of != "" {
		id += "/" + of
	}
	s := Step{ID: id + "/" + hook.Name, Kind: StepHook, What: "hook " + hook.Name, Proof: "it ends well"}
	if unit != nil {
		s.Unit, s.Wave = unit.Name, unit.Wave
	}
	facts := HookFacts{Plan: run.Plan, Runbook: string(run.Runbook), Run: run.ID, When: when, Of: of, From: run.From, To: run.To}
	switch {
	case unit != nil:
		facts.Group, facts.Wave, facts.Images = unit.Name, unit.Wave, unit.refs()
	case of != "":
		facts.Wave, s.Wave = of, of
		for i := range run.Units {
			if run.Units[i].Wave == of {
				facts.Images = append(facts.Images, run.Units[i].refs()...)
			}
		}
	default:
		facts.Images = run.images()
	}
	switch {
	case hook.Manual != "":
		s.Kind, s.What, s.Proof = StepManual, "by hand: "+hook.Manual, "a person approves it"
		s.Command = "drover runs approve FILE " + run.ID + " " + s.ID
		s.act = manualAct{step: s.ID, text: hook.Manual, limit: hook.Timeout.Std(), hooks: h}
	case hook.HTTP != nil:
		s.What, s.Command = "hook "+hook.Name, hook.HTTP.Method+" "+shownAddress(hook.HTTP.URL)
		s.act = hookAct{step: s.ID, hook: hook, facts: facts, hooks: h}
	default:
		s.Command = shellLine(hook.Command...)
		s.act = hookAct{step: s.ID, hook: hook, facts: facts, hooks: h}
	}
	return s
}

// hookAct runs a command or makes an HTTP call. What it does is not ours to
// see: its own word is the evidence.
type hookAct struct {
	step  string
	hook  *plans.Hook
	facts HookFacts
	hooks *hooks
}

func (a hookAct) look(_ context.Context, c *crew) (bool, string, error) {
	switch c.past.phase(a.step) {
	case PhaseDone, PhaseAlready:
		return true, "it ended well", nil
	case PhaseIntent, PhaseUnknown:
		if c.past.here(a.step) {
			return false, "", nil
		}
		switch a.hooks.unfinished {
		case HooksDone:
			return true, "taken for done by a person", nil
		case HooksAgain:
			return false, "", nil
		}
		return false, "", &Hinted{
			Err:  fmt.Errorf("%w: %w: hook %s had begun when the run was interrupted, and how it ended is not known", ErrRefused, errAwaitsWord, a.hook.Name),
			Hint: "find out whether it took effect, then resume with --hooks again or --hooks done",
		}
	}
	return false, "", nil
}

func (a hookAct) do(_ context.Context, c *crew) error {
	c.past.claim(a.step)
	facts := a.facts
	facts.Outcome, facts.hidden = c.outcome, planSecrets(c.plan)
	result, err := runHook(context.WithoutCancel(c.hard), a.hook, facts)
	if err != nil {
		return err
	}
	c.past.note(&StepRecord{Step: a.step, Phase: PhaseDone})
	c.tell(RunEvent{Kind: RunNotes, Note: "hook " + a.hook.Name + ": " + result.Output})
	return nil
}

func (a hookAct) patience(*crew) (time.Duration, time.Duration) { return 0, 0 }

// manualAct waits for a person.
type manualAct struct {
	step, text string
	limit      time.Duration
	hooks      *hooks
}

func (a manualAct) look(ctx context.Context, c *crew) (bool, string, error) {
	if p := c.past.phase(a.step); p == PhaseDone || p == PhaseAlready {
		return true, "approved before", nil
	}
	if by, ok := a.hooks.approved(ctx, a.step); ok {
		return true, "approved by " + by, nil
	}
	return false, "nobody has approved it yet", nil
}

func (a manualAct) do(_ context.Context, c *crew) error {
	c.tell(RunEvent{Kind: RunWaits, Note: fmt.Sprintf("%s (then: drover runs approve FILE %s %s)", a.text, c.run.ID, a.step)})
	return nil
}

func (a manualAct) patience(*crew) (time.Duration, time.Duration) { return a.limit, 0 }

// shownAddress is an address as it may be shown.
func shownAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that cannot be read"
	}
	return shownURL(u)
}
