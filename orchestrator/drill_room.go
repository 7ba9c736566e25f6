package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// poolAt is a pool at a site.
type poolAt struct{ site, pool string }

// room sees that there is room for the drill: clones take what is written to them, and
// copies what the images hold; and for as long as a drill's snapshots live, each object
// that is overwritten is copied first, where the images lie, at both sites.
func (d *drill) room(ctx context.Context, stands []stand) error {
	clones, err := d.roomForClones(ctx, stands)
	if err != nil {
		return err
	}
	var short []error
	look := func(at poolAt, needed uint64, hint, why string) {
		site, err := d.sites.Site(at.site)
		if err == nil {
			err = roomInPool(ctx, site, at.pool, needed, int(d.plan.Runbooks.MinFree))
		}
		switch {
		case errors.Is(err, replay.ErrNotFound) && why != "":
			return // a pool for data that the plan names, and an older image has not
		case errors.Is(err, ErrRefused):
			err = refusal("make room there (ceph df), or lower runbooks.min_free"+hint, "there is no room for the drill: %s%s", firstLine(err), why)
		}
		short = append(short, err)
	}
	for _, pool := range slices.Sorted(maps.Keys(clones)) {
		look(poolAt{d.to, pool}, clones[pool], ", or give the drill another pool", "")
	}
	if d.lost {
		return replay.OneLine(short...) // no snapshot is taken
	}
	for _, at := range d.snapshotPools(stands) {
		if _, looked := clones[at.pool]; at.site != d.to || !looked {
			look(at, 0, "", "; while the drill has a snapshot there, what is overwritten takes room")
		}
	}
	return replay.OneLine(short...)
}

// roomForClones is what the clones take at once, in bytes, by their pools.
func (d *drill) roomForClones(ctx context.Context, stands []stand) (map[string]uint64, error) {
	site, err := d.sites.Site(d.to)
	if err != nil {
		return nil, err
	}
	needed := map[string]uint64{}
	for i := range stands {
		ref := stands[i].evidence.Ref
		place := drillPlace(&d.spec, ref.Pool.Name).Name
		needed[place] += 0
		if e := stands[i].site(d.to); d.lost && e != nil && e.Image != nil {
			n, err := preserveEstimate(ctx, site, []replay.ImageRef{ref})
			if err != nil {
				return nil, err
			}
			needed[place] += n[ref.Pool.Name]
		}
	}
	return needed, nil
}

// snapshotPools are those in which the images lie at the two sites, with those of their
// data, as far as the plan names them. Where a site has no image, there is no snapshot.
func (d *drill) snapshotPools(stands []stand) (out []poolAt) {
	for i := range stands {
		ref := stands[i].evidence.Ref
		pools := []string{ref.Pool.Name}
		if pool := d.plan.Pool(ref.Pool.Name, ref.Namespace); pool != nil {
			if entry, ok := pool.Match(ref.Name); ok && entry.Create != nil && entry.Create.DataPool != "" {
				pools = append(pools, entry.Create.DataPool)
			}
		}
		for _, site := range []string{d.from, d.to} {
			e := stands[i].site(site)
			if e == nil || e.Image == nil {
				continue
			}
			for _, pool := range pools {
				if at := (poolAt{site, pool}); !slices.Contains(out, at) {
					out = append(out, at)
				}
			}
		}
	}
	return out
}

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
