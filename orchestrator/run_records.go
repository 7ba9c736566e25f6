package orchestrator

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/drover-io/drover/replay"
)

// RunStory is all that is recorded of one run.
type RunStory struct {
	Run   Run          `json:"run"`
	Steps []StepStory  `json:"steps"`
	End   *RunReport   `json:"end,omitempty"` // nil: it is not over
	Ended *time.Time   `json:"ended,omitempty"`
	Who   []ActorStory `json:"who"` // who worked at it, in order
	// Kept are the copies that it has kept of what it discarded, those that were
	// dropped since left out; Discards is what it has discarded or given up. See
	// [RunStory.Account].
	Kept     []Preserved `json:"kept,omitempty"`
	Discards []Discard   `json:"discards,omitempty"`
	// ShutOut are processes that did not end their sessions, and that those who
	// took the run up after them have shut out.
	ShutOut []ShutOut `json:"shut_out,omitempty"`
}

// StepStory is one record of a step.
type StepStory struct {
	At time.Time `json:"at"`
	By string    `json:"by"`
	StepRecord
}

// ActorStory is one process that worked at a run.
type ActorStory struct {
	At time.Time `json:"at"`
	By string    `json:"by"`
	// Drover is its version; "": the record does not tell.
	Drover string `json:"drover,omitempty"`
}

// Outcome is how the run ended; "" while it is not over.
func (s *RunStory) Outcome() RunOutcome {
	if s.End == nil {
		return ""
	}
	return s.End.Outcome
}

// Runs tells the story of each run in the book, the oldest first.
func Runs(book *Book) []RunStory {
	var stories []RunStory
	index := map[string]int{}
	for _, e := range book.Entries() {
		if e.Kind == EntryRun {
			var run Run
			if json.Unmarshal(e.Body, &run) != nil {
				continue // a later version's: shown by whoever can read it
			}
			if at, known := index[run.ID]; known {
				// Taken up again by another process.
				stories[at].Who = append(stories[at].Who, ActorStory{At: e.At, By: e.By, Drover: run.Drover})
				continue
			}
			index[run.ID] = len(stories)
			stories = append(stories, RunStory{Run: run, Who: []ActorStory{{At: e.At, By: e.By, Drover: run.Drover}}})
		}
	}
	for _, e := range book.Entries() {
		at, known := index[e.Run]
		if !known {
			continue
		}
		story := &stories[at]
		switch e.Kind {
		case EntryStep:
			var record StepRecord
			if json.Unmarshal(e.Body, &record) == nil {
				story.Steps = append(story.Steps, StepStory{At: e.At, By: e.By, StepRecord: record})
			}
		case EntryShutOut:
			var out ShutOut
			if json.Unmarshal(e.Body, &out) == nil {
				story.ShutOut = append(story.ShutOut, out)
			}
		case EntryEnd:
			var end RunReport
			if json.Unmarshal(e.Body, &end) == nil {
				when := e.At
				story.End, story.Ended = &end, &when
			}
		}
	}
	return stories
}

// unfinished are the runs that are not over, the oldest first.
func unfinished(book *Book) []Run {
	var out []Run
	for _, s := range Runs(book) {
		if s.End == nil {
			out = append(out, s.Run)
		}
	}
	return out
}

// lastPrimaries are the sites at which runs have left images, where any did.
func lastPrimaries(book *Book) map[replay.ImageRef]string {
	out := map[replay.ImageRef]string{}
	for _, s := range Runs(book) {
		if s.End == nil {
			continue
		}
		for i := range s.End.Units {
			unit := &s.End.Units[i]
			for _, ref := range unit.Unit.refs() {
				switch unit.Outcome {
				case UnitMoved:
					out[ref] = s.Run.To
				case UnitReturned:
					out[ref] = s.Run.From
				}
			}
		}
	}
	return out
}

// story finds a run by its name; "" is the newest that is not over.
func story(book *Book, id string) (*RunStory, error) {
	stories := Runs(book)
	for i := range slices.Backward(stories) {
		s := &stories[i]
		if s.Run.ID == id || id == "" && s.End == nil {
			return s, nil
		}
	}
	if id == "" {
		return nil, refusal("drover runs list FILE shows all runs", "no run waits to be resumed")
	}
	return nil, refusal("drover runs list FILE shows all runs", "no run %q is recorded", id)
}

// FindRun finds a run by its name; "" is the newest that is not over.
func FindRun(book *Book, id string) (*RunStory, error) { return story(book, id) }
