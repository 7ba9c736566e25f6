package orchestrator

import (
	"encoding/json"
	"time"
)

// RunEnd is how a run ended.
type RunEnd struct {
	Run     string
	Runbook Runbook
	Outcome RunOutcome
	At      time.Time
}

// endedRuns are the runs whose end a watch knows of, so that it tells of each once. It
// tells of none that ended before it began, or while another watch told of it.
type endedRuns struct {
	since time.Time
	known map[string]bool
}

// news are the runs that have ended since the last look, by what is recorded.
func (e *endedRuns) news(entries []Entry, now time.Time) (out []RunEnd) {
	first := e.known == nil
	if first {
		e.since, e.known = now, map[string]bool{}
	}
	for i := range entries {
		entry := &entries[i]
		if entry.Kind != EntryEnd || e.known[entry.Run] {
			continue
		}
		e.known[entry.Run] = true
		var end RunReport
		// One of before is heard of late where the site that has it was away.
		if first || entry.At.Before(e.since) || json.Unmarshal(entry.Body, &end) != nil {
			continue
		}
		out = append(out, RunEnd{Run: entry.Run, Runbook: end.Run.Runbook, Outcome: end.Outcome, At: entry.At})
	}
	return out
}
