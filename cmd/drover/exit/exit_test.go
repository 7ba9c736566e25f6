package exit_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/drover-io/drover/cmd/drover/exit"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
)

// The numbers are a public contract: scripts depend on them.
func TestCodes(t *testing.T) {
	joined := errors.Join(fmt.Errorf("%w: rbd/a", orchestrator.ErrIncomplete), fmt.Errorf("%w: rbd/b", orchestrator.ErrHalted))
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("anything"), 1},
		{orchestrator.ErrIncomplete, 1},
		{orchestrator.ErrUnreachable, 1},
		{orchestrator.ErrDifferent, 1},
		{exit.ErrChanges, 2},
		{fmt.Errorf("plan: %w", plans.Errors{{File: "p.yaml", Line: 1, Column: 1, What: "x"}}), 3},
		{fmt.Errorf("take the lease: %w", orchestrator.ErrLeased), 10},
		{orchestrator.ErrLeaseLost, 10},
		{joined, 11},
		{&orchestrator.StaleError{Changed: []string{"the plan"}}, 12},
		{fmt.Errorf("verb: %w", &orchestrator.Hinted{Err: orchestrator.ErrRefused, Hint: "do"}), 13},
		{errors.Join(orchestrator.ErrHalted, orchestrator.ErrInterrupted), 130},
	} {
		if got := exit.Of(c.err); int(got) != c.want {
			t.Errorf("%v: code %d, want %d", c.err, got, c.want)
		}
	}
}

func TestASignalOverridesTheError(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	if got := exit.OfContext(ctx, errors.New("x")); got != exit.Failed {
		t.Errorf("before: %d", got)
	}
	cancel(exit.ErrInterrupted)
	if got := exit.OfContext(ctx, errors.New("x")); got != exit.Interrupted {
		t.Errorf("after: %d", got)
	}
	if got := exit.OfContext(ctx, nil); got != exit.OK {
		t.Errorf("without an error: %d", got)
	}
}

// Every code has exactly one row in the table, and with it its documentation.
func TestEveryCodeIsDocumented(t *testing.T) {
	seen := map[exit.Code]int{}
	for _, m := range exit.Meanings() {
		seen[m.Code]++
		if m.Name == "" || m.What == "" {
			t.Errorf("code %d has no words", m.Code)
		}
	}
	for _, code := range []exit.Code{0, 1, 2, 3, 10, 11, 12, 13, 130} {
		if seen[code] != 1 {
			t.Errorf("code %d has %d rows", code, seen[code])
		}
	}
	if len(seen) != 9 {
		t.Errorf("%d codes, want 9", len(seen))
	}
}
