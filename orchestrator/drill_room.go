package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// drillClone reads the name of an image, as [replay.Ties] has it, as that of a clone
// of a drill of the plan.
func drillClone(plan *plans.Plan, name string) (ref replay.ImageRef, ok bool) {
	parts := strings.Split(name, "/")
	last := parts[len(parts)-1]
	m, ok := parseDrillMark(last)
	if !ok || m.plan != digest(plan.Name) || strings.Contains(last, " ") {
		return ref, false
	}
	switch len(parts) {
	case 2:
		return replay.Pool{Name: parts[0]}.Image(last), true
	case 3:
		return replay.Pool{Name: parts[0], Namespace: parts[1]}.Image(last), true
	}
	return ref, false
}

// withoutDrills are the ties that are not a drill's of the plan: those make room.
func withoutDrills(plan *plans.Plan, ties replay.Ties) replay.Ties {
	out := replay.Ties{Protected: ties.Protected}
	for _, name := range ties.Clones {
		if _, ok := drillClone(plan, name); !ok {
			out.Clones = append(out.Clones, name)
		}
	}
	return out
}

// makeRoom removes the clones of drills that would keep a copy from being discarded.
// A drill that is at work has seen the run, and removes its own; until it has, this
// fails, and is tried again.
func makeRoom(ctx context.Context, c *crew, at string, ties replay.Ties) error {
	var clones []replay.ImageRef
	for _, name := range ties.Clones {
		if ref, ok := drillClone(c.plan, name); ok {
			clones = append(clones, ref)
		}
	}
	if len(clones) == 0 {
		return nil
	}
	site, err := c.site(at)
	if err != nil {
		return err
	}
	ledger, err := openDrills(ctx, c.plan, c.sites)
	if err != nil {
		return err
	}
	defer func() { _ = ledger.Close(ctx) }() // nothing was recorded
	lease, err := ledger.Lease(ctx, "makes room for "+c.run.ID)
	if err != nil {
		if errors.Is(err, ErrLeased) {
			// Not an ErrLeased: the run's own lease is held.
			return fmt.Errorf("a drill is at work, and is making room: %s", err) //nolint:errorlint // see above
		}
		return err
	}
	defer func() { _ = lease.Release(ctx) }()
	for _, ref := range clones {
		if err := removeClone(lease.Context(), site, ref, true); err != nil {
			return fmt.Errorf("remove what a drill has left: %w", err)
		}
	}
	return nil
}
