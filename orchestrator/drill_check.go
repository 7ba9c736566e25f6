package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/compare"
)

// drillCheck is one check to be made.
type drillCheck struct {
	plan   *plans.Check
	of     string // the image or group; "" for the whole drill
	unit   *drillUnit
	images []*drillImage
	made   bool
}

// planChecks lists the checks of the units, in the order in which they are made: those
// that Drover brings come first, as they only read.
func (d *drill) planChecks() {
	mine := slices.Clone(d.spec.Checks)
	slices.SortStableFunc(mine, func(a, b plans.Check) int {
		switch {
		case a.BuiltIn != "" && b.BuiltIn == "":
			return -1
		case a.BuiltIn == "" && b.BuiltIn != "":
			return 1
		}
		return 0
	})
	for k := range mine {
		c := &mine[k]
		switch c.Per {
		case plans.PerDrill:
			d.checks = append(d.checks, drillCheck{plan: c, images: all(d.units)})
		case plans.PerGroup:
			for _, u := range d.units {
				d.checks = append(d.checks, drillCheck{plan: c, of: u.name, unit: u, images: u.images})
			}
		default:
			for _, u := range d.units {
				for _, i := range u.images {
					d.checks = append(d.checks, drillCheck{plan: c, of: i.ref.String(), unit: u, images: []*drillImage{i}})
				}
			}
		}
	}
}

// checkUnit makes the checks of a unit and its images.
func (d *drill) checkUnit(ctx context.Context, u *drillUnit) {
	for k := range d.checks {
		if c := &d.checks[k]; c.unit == u {
			d.check(ctx, c)
		}
	}
}

// checkAll makes the checks of the whole drill.
func (d *drill) checkAll(ctx context.Context) {
	for k := range d.checks {
		if c := &d.checks[k]; c.unit == nil {
			d.check(ctx, c)
		}
	}
}

// check makes one check.
func (d *drill) check(ctx context.Context, c *drillCheck) {
	if ctx.Err() != nil {
		return // left out, and said so in the end
	}
	r := report.Check{Name: c.plan.Name, How: howOf(c.plan), Per: c.plan.Per, Of: c.of, Began: d.sites.now().UTC()}
	began := time.Now()
	up, of := d.came(c)
	timed, cancel := context.WithTimeoutCause(ctx, c.plan.Timeout.Std(), fmt.Errorf("%w (%s)", errHookTimeout, c.plan.Timeout))
	var (
		output string
		err    error
	)
	if up == 0 {
		err = errLeftOut("what it is for did not come up")
	} else {
		output, err = d.make(timed, c)
	}
	if err != nil && timed.Err() != nil && ctx.Err() == nil && c.plan.BuiltIn != "" {
		err = context.Cause(timed)
	}
	cancel()
	r.Seconds, r.Output = seconds(time.Since(began)), output
	var skipped errLeftOut
	switch {
	case err == nil && up < of:
		r.Verdict, r.Why = report.Failed, fmt.Sprintf("it is green of %d of %s only: the others did not come up", up, plural(uint64(of), "image", "images"))
	case err == nil:
		r.Verdict = report.Passed
	case errors.As(err, &skipped):
		r.Verdict, r.Why = report.Skipped, oneLine(skipped.Error())
	case ctx.Err() != nil:
		r.Verdict, r.Why = report.Aborted, oneLine(contextCause(ctx).Error())
	default:
		r.Verdict, r.Why = report.Failed, oneLine(err.Error())
	}
	d.made.Lock()
	defer d.made.Unlock()
	c.made = true
	d.report.Checks = append(d.report.Checks, r)
	if r.Verdict == report.Passed {
		d.green = d.sites.now().UTC()
	}
	d.done++
	d.tell(DrillEvent{Check: &r})
}

// came counts the clones of a check that are up, and the images that it is for: where
// it is for the whole drill, also those that could not be brought up at all.
func (d *drill) came(c *drillCheck) (up, of int) {
	d.made.Lock()
	defer d.made.Unlock()
	for _, i := range c.images {
		if i.up {
			up++
		}
	}
	if c.unit == nil {
		return up, len(d.report.Images)
	}
	return up, len(c.images)
}

// errLeftOut says why a check could not be made; it is no failure, and is said.
type errLeftOut string

func (e errLeftOut) Error() string { return string(e) }

// make makes a check.
func (d *drill) make(ctx context.Context, c *drillCheck) (output string, err error) {
	if c.plan.BuiltIn == "" {
		result, err := runHook(ctx, checkHook(c.plan), d.facts("check", c.of, c.images))
		if err != nil && errors.Unwrap(err) != nil {
			err = errors.Unwrap(err) // it is no hook, and has a name of its own
		}
		return result.Output, err
	}
	var leftOut error // one that was; the others are looked into all the same
	for _, i := range c.images {
		if !i.up {
			continue // it has failed already
		}
		said, err := d.builtIn(ctx, c.plan.BuiltIn, i)
		if len(c.images) > 1 && said != "" {
			said = i.ref.String() + ": " + said
		}
		if output != "" && said != "" {
			output += "\n"
		}
		output += said
		var skipped errLeftOut
		switch {
		case err == nil:
			continue
		case len(c.images) > 1 && errors.As(err, &skipped):
			err = errLeftOut(i.ref.String() + ": " + string(skipped))
		case len(c.images) > 1:
			err = fmt.Errorf("%s: %w", i.ref, err)
		}
		if !errors.As(err, &skipped) {
			return output, err
		}
		if leftOut == nil {
			leftOut = err
		}
	}
	return output, leftOut
}

// builtIn makes a check that Drover brings, on one image.
func (d *drill) builtIn(ctx context.Context, name string, i *drillImage) (said string, err error) {
	site, err := d.sites.Site(d.to)
	if err != nil {
		return "", err
	}
	if name == plans.CheckSize {
		return d.checkSize(ctx, site, i)
	}
	clone, err := site.OpenSnapshot(ctx, i.clone, "")
	if err != nil {
		return "", err
	}
	defer func() { err = replay.OneLine(err, clone.Close()) }()
	clone = d.v.limited(clone, d.to)
	switch name {
	case plans.CheckReadable:
		return checkReadable(ctx, clone)
	case plans.CheckHash:
		return d.checkHash(ctx, i, clone)
	case plans.CheckFilesystem:
		return d.checkFilesystem(ctx, clone)
	}
	return "", errLeftOut("this Drover has no check " + name)
}

// checkReadable reads all that is allocated.
func checkReadable(ctx context.Context, clone replay.Reader) (string, error) {
	var sum counter
	if err := copyExtents(ctx, clone, nowhere{}, sum.add); err != nil {
		return "", err
	}
	return sizeText(sum.value()) + " read", nil
}

// checkHash compares a clone with the primary's snapshot.
func (d *drill) checkHash(ctx context.Context, i *drillImage, clone replay.Reader) (said string, err error) {
	if d.lost {
		return "", errLeftOut(d.from + " does not answer, so that there is nothing to compare with")
	}
	original, err := d.v.open(ctx, i.ref, d.from, d.mark.snapshot())
	if err != nil {
		return "", err
	}
	defer func() { err = replay.OneLine(err, original.Close()) }()
	var found ranges
	result, err := compare.Compare(ctx, original, clone, compare.Options{NameA: d.from, NameB: i.clone.String(), Different: found.add})
	switch {
	case err != nil:
		return "", err
	case result.Identical:
		return "identical with the snapshot at " + d.from, nil
	}
	places := fmt.Sprintf("%s, in %s", sizeText(found.bytes), plural(uint64(len(found.list)), "place", "places"))
	if i.mode == replay.ModeJournal && result.A.Size == result.B.Size {
		// An image that is being written: see verification.recheck.
		again := VerifiedImage{Ref: i.ref, Mode: i.mode, Primary: d.from, Secondary: d.to, Snapshot: d.mark.snapshot(), Comparison: &result}
		if found, err = d.v.recheck(ctx, i.target, &again, found); err != nil {
			return "", err
		}
		if again.Identical {
			return fmt.Sprintf("identical with the image at %s: writes that were under way when the snapshot was taken (%s) are in the clone and not in the snapshot there, as further snapshots show", d.from, places), nil
		}
	}
	return "", fmt.Errorf("%w: the clone differs from the snapshot at %s in %s", ErrDifferent, d.from, places)
}

// checkSize sees that size and features are as planned.
func (d *drill) checkSize(ctx context.Context, site Site, i *drillImage) (string, error) {
	clone, err := site.Image(ctx, i.clone)
	if err != nil {
		return "", err
	}
	seen := i.target.at[d.to]
	want, of, err := d.sizeWanted(ctx, i)
	if err != nil {
		return "", err
	}
	var features replay.Features
	if pool := d.plan.Pool(i.ref.Pool.Name, i.ref.Namespace); pool != nil {
		if entry, ok := pool.Match(i.ref.Name); ok {
			if features, err = replay.ParseFeatures(entry.Features); err != nil {
				return "", err
			}
		}
	}
	switch {
	case clone.Size != want:
		return "", fmt.Errorf("the clone has %d bytes, and %s %d", clone.Size, of, want)
	case !seen.Features.Has(features):
		return "", fmt.Errorf("the copy has not all features of the plan: it lacks %s", (features &^ seen.Features).String())
	case clone.Mirrored() || clone.Features.Has(replay.FeatureJournaling):
		return "", errors.New("the clone is mirrored, or journals")
	}
	return fmt.Sprintf("%d bytes; %s", clone.Size, seen.Features), nil
}

// sizeWanted is the size that the clone of an image has to have, in bytes, and of what it
// is: that of the primary's snapshot, since an image may be resized until then; with the
// primary lost, that of what was copied.
func (d *drill) sizeWanted(ctx context.Context, i *drillImage) (size uint64, of string, err error) {
	if d.lost {
		return i.copied, "what " + d.to + " held", nil
	}
	site, err := d.sites.Site(d.from)
	if err != nil {
		return 0, "", err
	}
	primary, err := site.Image(ctx, i.ref)
	if err != nil {
		return 0, "", err
	}
	for k := range primary.Snapshots {
		if s := &primary.Snapshots[k]; s.Kind == replay.SnapshotUser && s.Name == d.mark.snapshot() {
			return s.Size, "the snapshot at " + d.from, nil
		}
	}
	return 0, "", fmt.Errorf("%s has no snapshot %s at %s: %w", i.ref, d.mark.snapshot(), d.from, replay.ErrNotFound)
}
