package orchestrator_test

import (
	"errors"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
)

func TestApprovals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		book := b.read()
		now := time.Now()
		a := orchestrator.Approval{Run: "run-1", Step: "promote", Evidence: "abc", Reason: "the hall is flooded", Until: now.Add(15 * time.Minute)}
		for name, broken := range map[string]orchestrator.Approval{
			"no run":  {Step: "promote", Until: a.Until},
			"no step": {Run: "run-1", Until: a.Until},
			"no end":  {Run: "run-1", Step: "promote"},
		} {
			if err := book.Approve(t.Context(), broken); !errors.Is(err, orchestrator.ErrRefused) {
				t.Errorf("%s: %v", name, err)
			}
		}
		b.must(book.Approve(t.Context(), a))
		other := b.read()
		for name, c := range map[string]struct {
			run, step, hash string
			after           time.Duration
			found, stale    bool
		}{
			"good":           {"run-1", "promote", "abc", 0, true, false},
			"at its end":     {"run-1", "promote", "abc", 15 * time.Minute, true, true},
			"other evidence": {"run-1", "promote", "abd", 0, true, true},
			"other step":     {"run-1", "demote", "abc", 0, false, false},
			"other run":      {"run-2", "promote", "abc", 0, false, false},
		} {
			got, stale := other.Approved(c.run, c.step, c.hash, now.Add(c.after))
			if (got != nil) != c.found || stale != c.stale {
				t.Errorf("%s: %+v, stale %v", name, got, stale)
			}
			if got != nil && (got.By == "" || got.At.IsZero() || got.Reason != a.Reason) {
				t.Errorf("%s: not filled: %+v", name, got)
			}
		}
		// The newest one counts.
		a.Evidence, a.Until = "abd", now.Add(time.Hour)
		b.must(book.Approve(t.Context(), a))
		if got, stale := book.Approved("run-1", "promote", "abd", now.Add(20*time.Minute)); got == nil || stale {
			t.Errorf("a newer approval: %+v, stale %v", got, stale)
		}
		if got, stale := book.Approved("run-1", "promote", "abc", now); got == nil || !stale {
			t.Errorf("one that was overtaken: %+v, stale %v", got, stale)
		}
	})
}
