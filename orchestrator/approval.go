package orchestrator

import (
	"context"
	"encoding/json"
	"time"
)

// Approval is a person's word for one step of a run, bound to what they were
// shown and to a time.
type Approval struct {
	Run      string    `json:"run"`
	Step     string    `json:"step"`
	Evidence string    `json:"evidence"` // hash of what was shown
	By       string    `json:"by,omitempty"`
	At       time.Time `json:"at"`
	Reason   string    `json:"reason,omitempty"`
	Until    time.Time `json:"until"` // it is good until then
}

// Approve records an approval. One without a run, a step or an end is refused.
func (b *Book) Approve(ctx context.Context, a Approval) error {
	switch {
	case a.Run == "" || a.Step == "":
		return refusal("name the run and the step", "an approval of no step")
	case a.Until.IsZero():
		return refusal("say until when it is good", "an approval without end")
	}
	if a.At.IsZero() {
		a.At = time.Now().UTC()
	}
	if a.By == "" {
		a.By = b.by
	}
	return b.appendBody(ctx, Entry{Kind: EntryApproval, At: a.At, By: a.By, Run: a.Run}, a)
}

// Approved returns the newest approval of a step; nil when there is none. It is
// stale when it was given for other evidence, or is over by now: then it is
// returned only for saying so.
func (b *Book) Approved(run, step, hash string, now time.Time) (approval *Approval, stale bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	given := b.standing[EntryApproval]
	for i := len(given) - 1; i >= 0; i-- {
		if given[i].Run != run {
			continue
		}
		var a Approval
		if json.Unmarshal(given[i].Body, &a) != nil || a.Step != step {
			continue
		}
		return &a, a.Evidence != hash || !now.Before(a.Until)
	}
	return nil, false
}
