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
		a.At = b.now().UTC()
	}
	if a.By == "" {
		a.By = b.by
	}
	return b.appendBody(ctx, Entry{Kind: EntryApproval, At: a.At, By: a.By, Run: a.Run}, a)
}

// clocksDiffer is by how much the clocks of two hosts may differ. A word from
// further ahead is no word: with a clock that is wrong it would be good for ever.
const clocksDiffer = 5 * time.Minute

// wordTooOld tells how long ago a person's word was given, where that is too long
// for it to be good, or is yet to come; "" where it is good.
func wordTooOld(given, now time.Time, good time.Duration) string {
	switch age := now.Sub(given); {
	case age > good:
		return age.Round(time.Second).String() + " ago"
	case age < -clocksDiffer:
		return "by a clock that is " + (-age).Round(time.Second).String() + " ahead of this host's"
	}
	return ""
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
		return &a, a.Evidence != hash || !now.Before(a.Until) || a.At.Sub(now) > clocksDiffer
	}
	return nil, false
}
