package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// cloneUnit brings a unit up as clones of the snapshots that were taken.
func (d *drill) cloneUnit(ctx context.Context, u *drillUnit) error {
	if err := d.eachImage(ctx, u, func(i *drillImage) error { return d.carry(ctx, i) }); err != nil {
		return err
	}
	return d.eachImage(ctx, u, func(i *drillImage) error { return d.clone(ctx, i) })
}

// carry takes the mirror snapshot that brings an image's snapshot over, in snapshot
// mode.
func (d *drill) carry(ctx context.Context, i *drillImage) (err error) {
	if i.mode != replay.ModeSnapshot {
		return nil
	}
	if i.carrier, err = d.v.mirrorSnapshot(ctx, d.from, i.ref); err != nil {
		return fmt.Errorf("take mirror snapshot: %w", err)
	}
	return nil
}

// eachImage does something to all images of a unit at once, and answers with the
// first error once all are through.
func (d *drill) eachImage(ctx context.Context, u *drillUnit, do func(*drillImage) error) error {
	errs := make([]error, len(u.images))
	var wg parallel.Group
	for k, i := range u.images {
		wg.Go(func() { errs[k] = do(i) })
	}
	wg.Wait()
	for k, err := range errs {
		if err != nil {
			d.failed(ctx, u.images[k], err)
		}
	}
	return replay.OneLine(errs...)
}

// snapshots takes the snapshot of each image of a unit. They are taken side by side, so
// that those of a group are of one moment as nearly as that goes without stopping its
// writers; that is for hooks around it, which is why none may take long.
func (d *drill) snapshots(ctx context.Context, u *drillUnit) error {
	site, err := d.sites.Site(d.from)
	if err != nil {
		return err
	}
	name := d.mark.snapshot()
	began := time.Now()
	err = d.eachImage(ctx, u, func(i *drillImage) error {
		return d.timed("snapshot", i.ref.String(), d.from, func() (string, error) {
			taken := d.sites.now().UTC()
			i.snapshot = true // whatever the answer is
			ctx, cancel := context.WithTimeout(ctx, snapshotTime)
			defer cancel()
			if err := site.CreateSnapshot(ctx, i.ref, name); err != nil {
				return "", fmt.Errorf("take snapshot: %w", err)
			}
			d.made.Lock()
			defer d.made.Unlock()
			d.report.Images[i.at].Taken = &taken
			return name, nil
		})
	})
	if err == nil {
		spread := seconds(time.Since(began))
		u.spread = &spread
	}
	return err
}

// moment notes whether what is brought up of a group is of one moment, as far as hooks
// on both sides of its snapshots say so; one alone may have done anything.
func (d *drill) moment(u *drillUnit, spread *float64) {
	if len(u.images) < 2 {
		return
	}
	g := report.Group{Group: u.group, Images: len(u.images), Moment: report.Apart, SpreadSeconds: spread}
	if len(u.heldBy) > 0 && len(u.releasedBy) > 0 && !u.loose && !d.lost {
		g.Moment, g.HeldBy, g.ReleasedBy = report.OneMoment, u.heldBy, u.releasedBy
	}
	d.made.Lock()
	defer d.made.Unlock()
	d.report.Groups = append(d.report.Groups, g)
}

// clone awaits an image's snapshot at the secondary, and clones it.
func (d *drill) clone(ctx context.Context, i *drillImage) error {
	site, err := d.sites.Site(d.to)
	if err != nil {
		return err
	}
	err = d.timed("await", i.ref.String(), d.to, func() (string, error) {
		return "replay has brought it", d.await(ctx, i)
	})
	if err != nil {
		return err
	}
	return d.timed("clone", i.ref.String(), d.to, func() (string, error) {
		if err := d.place(ctx, site, i.clone.Pool); err != nil {
			return "", err
		}
		i.cloned = true // whatever the answer is
		if err := site.CloneSnapshot(ctx, i.ref, d.mark.snapshot(), i.clone); err != nil {
			return "", fmt.Errorf("clone the snapshot: %w", err)
		}
		d.ready(i)
		return i.clone.String(), nil
	})
}

// place makes the namespace of clones, unless this drill has done so.
func (d *drill) place(ctx context.Context, site Site, pool replay.Pool) error {
	d.made.Lock()
	placed := pool.Namespace == "" || d.placed[pool]
	d.made.Unlock()
	if placed {
		return nil
	}
	if err := site.CreateNamespace(ctx, pool); err != nil {
		return fmt.Errorf("make the drill's namespace: %w", err)
	}
	d.made.Lock()
	defer d.made.Unlock()
	d.placed[pool] = true
	return nil
}

// ready notes that an image can be used.
func (d *drill) ready(i *drillImage) {
	d.made.Lock()
	defer d.made.Unlock()
	now := d.sites.now().UTC()
	i.up = true
	image := &d.report.Images[i.at]
	image.Up, image.Clone, image.Verdict = &now, i.clone.String(), report.Passed
	if image.Taken != nil {
		age := max(seconds(now.Sub(*image.Taken)), 0)
		image.RPOSeconds = &age
	}
}

// copyUnit brings a unit up while its primary is away: nobody can take a snapshot of
// a copy that is not primary, so that what it holds is copied.
func (d *drill) copyUnit(ctx context.Context, u *drillUnit) error {
	err := d.eachImage(ctx, u, func(i *drillImage) error {
		return d.timed("copy", i.ref.String(), d.to, func() (string, error) { return d.copyImage(ctx, i) })
	})
	if err == nil {
		d.moment(u, d.takenApart(u))
	}
	return err
}

// takenApart is how far apart the data of a unit's images are; nil: of one of them it is
// not known when they are of.
func (d *drill) takenApart(u *drillUnit) *float64 {
	d.made.Lock()
	defer d.made.Unlock()
	var first, last time.Time
	for _, i := range u.images {
		taken := d.report.Images[i.at].Taken
		if taken == nil {
			return nil
		}
		if first.IsZero() || taken.Before(first) {
			first = *taken
		}
		if taken.After(last) {
			last = *taken
		}
	}
	spread := seconds(last.Sub(first))
	return &spread
}

// heldSince is a moment of which a copy whose primary is away holds all, by the
// primary's clock: what its daemon last said. The copy's own snapshots tell when they
// were brought, which may be long after. In journal mode it is known only where the
// copy lacked nothing.
func heldSince(copied *replay.SecondaryVerdict) (at time.Time, known bool) {
	if copied == nil || copied.Report == nil || copied.Report.Progress == nil {
		return at, false
	}
	switch p := copied.Report.Progress; {
	case p.LocalSnapshot != nil:
		return p.LocalSnapshot.UTC(), true
	case p.EntriesBehind != nil && *p.EntriesBehind == 0 && !copied.Report.Updated.IsZero():
		return copied.Report.Updated.UTC(), true
	}
	return at, false
}

// copyImage copies the newest whole state of an image: in snapshot mode its newest
// complete mirror snapshot, to which a failover would go back, too; in journal mode
// what is replayed.
func (d *drill) copyImage(ctx context.Context, i *drillImage) (note string, err error) {
	site, err := d.sites.Site(d.to)
	if err != nil {
		return "", err
	}
	if err := d.place(ctx, site, i.clone.Pool); err != nil {
		return "", err
	}
	seen := i.target.at[d.to]
	snapshot := ""
	if i.mode == replay.ModeSnapshot {
		whole := wholeMirrorSnapshot(&seen)
		if whole == nil {
			return "", errors.New("no mirror snapshot is whole")
		}
		snapshot = whole.Name
	}
	if taken, known := heldSince(i.stand.copyAt(d.to)); known {
		d.made.Lock()
		d.report.Images[i.at].Taken = &taken
		d.made.Unlock()
	} else {
		d.notef("%s: it is not known of when the data are that %s holds", i.ref, d.to)
	}
	from, err := site.OpenSnapshot(ctx, i.ref, snapshot)
	if err != nil {
		return "", err
	}
	defer func() { err = replay.OneLine(err, from.Close()) }()
	from = d.v.limited(from, d.to)
	i.cloned, i.copied = true, from.Size()
	result, err := copyToImage(ctx, site, from, newImage{
		ref: i.clone, partial: i.clone.Image(i.clone.Name + partialSuffix),
		size: from.Size(), object: from.ObjectSize(), features: seen.Features,
	}, newCopyMeter(0, nil))
	if err != nil {
		return "", err
	}
	if !result.Identical {
		return "", fmt.Errorf("%w: what was copied changed meanwhile", ErrDifferent)
	}
	d.ready(i)
	return i.clone.String(), nil
}
