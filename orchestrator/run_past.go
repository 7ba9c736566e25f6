package orchestrator

import (
	"encoding/json"
	"sync"
	"time"
)

// past is what the records tell of a run so far: this process's own and those
// of earlier ones.
type past struct {
	mu    sync.Mutex
	steps map[string]stepPast
	undo  map[string]bool // units that were being taken back
	mine  map[string]bool // steps that this process has done itself
}

// stepPast is how far a step had come.
type stepPast struct {
	tried bool      // an intent was written
	since time.Time // when this process noted the intent, or read of it
	phase StepPhase
}

func newPast(entries []Entry, run string) (*past, error) {
	p := &past{steps: map[string]stepPast{}, undo: map[string]bool{}, mine: map[string]bool{}}
	for _, e := range entries {
		if e.Run != run || e.Kind != EntryStep {
			continue
		}
		var record StepRecord
		if err := json.Unmarshal(e.Body, &record); err != nil {
			return nil, err
		}
		p.note(&record)
	}
	return p, nil
}

func (p *past) note(r *StepRecord) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.steps[r.Step]
	if r.Phase == PhaseIntent && !s.tried {
		s.tried, s.since = true, time.Now()
	}
	s.phase = r.Phase
	p.steps[r.Step] = s
	if r.Undo && r.Phase != PhaseFailed {
		p.undo[r.Unit] = true
	}
}

// tried reports whether a step may ever have been done.
func (p *past) tried(step string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.steps[step].tried
}

// triedAny reports whether any step of the stages may ever have been done.
func (p *past) triedAny(stages []stage) bool {
	for _, s := range stages {
		for i := range s {
			if p.tried(s[i].ID) {
				return true
			}
		}
	}
	return false
}

// phase is how far a step has come; "" when it was never taken.
func (p *past) phase(step string) StepPhase {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.steps[step].phase
}

// goesBack reports whether a unit was being taken back.
func (p *past) goesBack(unit string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.undo[unit]
}

// age is how long ago this process noted that a step was begun.
func (p *past) age(step string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.steps[step]; s.tried {
		return time.Since(s.since)
	}
	return 0
}

// claim notes that this process does a step itself.
func (p *past) claim(step string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mine[step] = true
}

// here reports whether this process did a step itself.
func (p *past) here(step string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mine[step]
}
