package orchestrator

import (
	"slices"

	"github.com/drover-io/drover/replay"
)

// DiscardState is how far the discarding of a copy has come.
type DiscardState string

// The states of a discarded copy.
const (
	// DiscardDone: the copy is gone, and was made anew.
	DiscardDone DiscardState = "discarded"
	// DiscardAsked: it was asked for; whether it has happened is not recorded.
	DiscardAsked DiscardState = "asked-for"
	// DiscardGivenUp: another site was promoted over it. The copy is still where
	// it was, and is kept before anybody discards it.
	DiscardGivenUp DiscardState = "given-up"
	// DiscardMayBeGivenUp: whether another site was promoted over it is not
	// recorded. The copy is where it was, as when it was given up.
	DiscardMayBeGivenUp DiscardState = "may-be-given-up"
)

// Discard is a copy that a run discarded or gave up, and what became of what
// only that copy held.
type Discard struct {
	Image replay.ImageRef `json:"image"`
	Site  string          `json:"site"` // whose copy it was
	State DiscardState    `json:"state"`
	// Held is what it held and the copy that stays did not have, as it was shown
	// before the run; nil: it was not known at all. See [Discard.LaterUnknown].
	Held *Loss `json:"held,omitempty"`
	// Kept is where what it held is kept; nil: nowhere but in the copy itself.
	Kept *Preserved `json:"kept,omitempty"`
}

// LaterUnknown reports whether the copy may have been written to after the look
// that Held tells of: a failover gave it up without having seen it demoted.
func (d *Discard) LaterUnknown() bool {
	return (d.State == DiscardGivenUp || d.State == DiscardMayBeGivenUp) && !d.Held.final()
}

// discardsOf lists what a run has discarded or given up so far. taken tells of a
// step whether it may ever have been done, and how far it has come.
func discardsOf(run *Run, taken func(step string) (bool, StepPhase), kept []Preserved) []Discard {
	var out []Discard
	loser := run.From
	if run.Runbook == Failback {
		loser = run.To
	}
	for _, image := range run.all() {
		d := Discard{Image: image.Ref, Site: loser, State: DiscardDone, Held: image.Loss}
		step := recopyStep(StepResync, image.Ref)
		if run.Runbook == Failover {
			// That nothing was lost at the time of the look is no reason to leave a
			// copy out: its site may have gone on writing.
			d.State, step = DiscardGivenUp, string(StepForce)+"/"+image.Ref.String()
			if image.Loss.final() {
				continue
			}
		} else if !image.Resync {
			continue
		}
		tried, phase := taken(step)
		switch {
		case phase == PhaseDone, phase == PhaseAlready:
		case tried && run.Runbook == Failover:
			d.State = DiscardMayBeGivenUp
		case tried:
			d.State = DiscardAsked
		default:
			continue
		}
		if i := slices.IndexFunc(kept, func(p Preserved) bool { return p.Image == image.Ref && p.Site == loser }); i >= 0 {
			d.Kept = &kept[i]
		}
		out = append(out, d)
	}
	return out
}

// recopyStep names a step of [writer.recopy].
func recopyStep(kind StepKind, ref replay.ImageRef) string {
	return "recopy-" + string(kind) + "/" + ref.String()
}

// final reports whether it is proven that nothing is lost, whatever happens.
func (l *Loss) final() bool { return l != nil && l.Final }

// copiesOf are the copies that a run has kept and nobody has dropped, the oldest
// first.
func copiesOf(entries []Entry, run string) []Preserved {
	return slices.DeleteFunc(preservedOf(entries), func(p Preserved) bool { return p.Run != run || p.Removed != nil })
}

// discards are what the run has discarded by now.
func (c *crew) discards() []Discard {
	var kept []Preserved
	if book, ok := c.records.(*Book); ok {
		kept = copiesOf(book.Entries(), c.run.ID)
	}
	return discardsOf(c.run, func(step string) (bool, StepPhase) { return c.past.tried(step), c.past.phase(step) }, kept)
}

// Account adds to a run's story what it has kept and discarded, as the book
// tells by now.
func (s *RunStory) Account(book *Book) { s.account(copiesOf(book.Entries(), s.Run.ID)) }

func (s *RunStory) account(kept []Preserved) {
	last, tried := map[string]StepPhase{}, map[string]bool{}
	for i := range s.Steps {
		step := &s.Steps[i]
		last[step.Step] = step.Phase
		tried[step.Step] = tried[step.Step] || step.Phase == PhaseIntent
	}
	s.Kept = kept
	s.Discards = discardsOf(&s.Run, func(step string) (bool, StepPhase) { return tried[step], last[step] }, s.Kept)
}
