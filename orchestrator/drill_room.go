package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

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
	return removeClones(ctx, c, at, clones)
}

// removeClones removes clones of drills that are over.
func removeClones(ctx context.Context, c *crew, at string, clones []replay.ImageRef) error {
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

const (
	// sweepLook is how long a failover looks for what drills have left, and sweepWait how
	// long it tries to remove that: clones keep no image from being promoted, but take
	// room and time from what is to serve.
	sweepLook = 5 * time.Second
	sweepWait = 20 * time.Second
)

// ownClones are the clones of drills of the plan at a site, as far as they are seen; the
// error tells where they are not.
func ownClones(ctx context.Context, plan *plans.Plan, sites *Sites, at string) (clones []replay.ImageRef, err error) {
	site, err := sites.Site(at)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, sweepLook)
	defer cancel()
	found, unseen := drillClonesAt(ctx, plan, at, site, drillPlaces(plan))
	for i := range found {
		if found[i].mark.plan == digest(plan.Name) {
			clones = append(clones, found[i].Image)
		}
	}
	return clones, (&DrillSweep{Unseen: unseen}).Err()
}

// sweepAct removes the clones of drills before a failover. A drill that is at work has
// seen the run, and removes its own. What cannot be removed in time, or not be looked
// for, is told, and left: clones keep nothing from being promoted, so that the step is
// over when do is, whatever is seen behind it.
type sweepAct struct{ site string }

func (a sweepAct) look(ctx context.Context, c *crew) (bool, string, error) {
	if p := c.past.phase(string(StepSweep)); p == PhaseDone || p == PhaseAlready {
		return true, "what was seen is removed, or told of", nil
	}
	// What is not seen is for do to look at again.
	left, err := ownClones(ctx, c.plan, c.sites, a.site)
	return len(left) == 0 && err == nil, "no clone of a drill is seen", nil
}

func (a sweepAct) do(_ context.Context, c *crew) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.hard), sweepWait)
	defer cancel()
	defer c.past.note(&StepRecord{Step: string(StepSweep), Phase: PhaseDone})
	for {
		err := a.sweep(ctx, c)
		if err == nil || c.hard.Err() != nil {
			return nil
		}
		pause(ctx, leaseAgain)
		if ctx.Err() != nil {
			c.tell(RunEvent{Kind: RunNotes, Note: "clones of drills may be left at " + a.site + ", which keeps nothing from being promoted: " + oneLine(err.Error()) + "; drover drill sweep " + shellLine(c.plan.File) + " removes them"})
			return nil
		}
	}
}

// sweep removes what is seen once; it fails where not all could be seen.
func (a sweepAct) sweep(ctx context.Context, c *crew) error {
	clones, unseen := ownClones(ctx, c.plan, c.sites, a.site)
	return replay.OneLine(removeClones(ctx, c, a.site, clones), unseen)
}

func (sweepAct) patience(*crew) (time.Duration, time.Duration) { return sweepWait, 0 }
