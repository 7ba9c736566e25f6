package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

const (
	// sweepAtOnce is how many images are cleaned at a time.
	sweepAtOnce = 16
	// tearDownAtOnce is the same at the end of a drill: nobody waits for it, and
	// replay has to bring each removal to the secondary besides its other work.
	tearDownAtOnce = 4
	// sweepPurpose is what a sweep takes the lease for.
	sweepPurpose = "sweep"
)

const (
	// tearDownTime is how long the removal of what a drill has made may take at least,
	// and tearDownEach what each image adds: a client that has a clone open may take
	// that long to let go.
	tearDownTime = 5 * time.Minute
	tearDownEach = time.Minute
)

// tearDown removes all that the drill has made, also where ctx has ended. What is there
// still, or is not known to be gone, is in the report.
func (d *drill) tearDown(ctx context.Context) {
	images := all(d.units)
	limit := tearDownTime + time.Duration(len(images))*tearDownEach/tearDownAtOnce
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), limit, fmt.Errorf("%w (%v)", errTearDown, limit))
	defer cancel()
	err := d.timed("remove", "", "", func() (string, error) {
		d.removeAll(ctx, images)
		d.removeFolder()
		d.made.Lock()
		defer d.made.Unlock()
		if n := len(d.report.Left); n > 0 {
			return "", fmt.Errorf("%s left, the first: %s", plural(uint64(n), "thing is", "things are"), d.report.Left[0])
		}
		return "", nil
	})
	if err == nil {
		cleared(ctx, d.ledger, d.report.ID)
	}
}

// errTearDown: what a drill has made could not be removed within the time for that.
var errTearDown = errors.New("the time for the removal is over")

func (d *drill) removeAll(ctx context.Context, images []*drillImage) {
	d.refreshHalts(ctx)
	reached := make([]bool, len(images))
	forEach(ctx, len(images), tearDownAtOnce, func(k int) {
		reached[k] = true
		d.removeImage(ctx, images[k])
	})
	var wg parallel.Group
	for k, i := range images {
		switch {
		case !reached[k]:
			d.unreached(ctx, i)
		case i.removed && !d.lost:
			wg.Go(func() {
				if err := d.awaitGone(ctx, i); err != nil {
					d.leftf("%s@%s at %s: %v", i.ref, d.mark.snapshot(), d.to, err)
				}
			})
		}
	}
	wg.Wait()
}

// refreshHalts reads which images are halted by now. Where it cannot, those are that
// were when it was read last: mirror snapshots look once more.
func (d *drill) refreshHalts(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, answerTime(d.plan))
	defer cancel()
	_, _ = d.book.Refresh(ctx)
}

// removeImage removes the clone of an image, and its snapshot at the primary.
func (d *drill) removeImage(ctx context.Context, i *drillImage) {
	if i.cloned {
		site, err := d.sites.Site(d.to)
		if err == nil {
			err = removeClone(ctx, site, i.clone, d.lost)
		}
		if err != nil {
			d.leftf("%s at %s: %v", i.clone, d.to, err)
		}
	}
	if i.snapshot {
		err := d.removeSnapshot(ctx, i)
		if i.removed = err == nil; err != nil {
			d.leftf("%s@%s at %s, and so at %s: %v", i.ref, d.mark.snapshot(), d.from, d.to, err)
		}
	}
}

// unreached tells what is left of an image that it did not come to.
func (d *drill) unreached(ctx context.Context, i *drillImage) {
	if i.cloned {
		d.leftf("%s at %s: %v", i.clone, d.to, contextCause(ctx))
	}
	if i.snapshot {
		d.leftf("%s@%s at %s and %s: %v", i.ref, d.mark.snapshot(), d.from, d.to, contextCause(ctx))
	}
}

// removeSnapshot removes a snapshot at the primary, which may have become another one
// since. Where the image is halted it stays: a later sweep removes it.
func (d *drill) removeSnapshot(ctx context.Context, i *drillImage) error {
	if h := d.book.Halted(i.ref); h != nil {
		return afterHalt(h, i.ref)
	}
	err := d.v.remove(ctx, i.ref, d.from, i.mode, d.mark.snapshot())
	if err == nil {
		return nil
	}
	for _, other := range otherSites(d.plan, d.from) {
		if site, open := d.sites.Site(other); open == nil {
			if image, look := site.Image(ctx, i.ref); look == nil && image.Role == replay.RolePrimary {
				return d.v.remove(ctx, i.ref, other, i.mode, d.mark.snapshot())
			}
		}
	}
	return err
}

// afterHalt is why a snapshot of a halted image is not removed: its removal is a change of
// the image, which in snapshot mode a mirror snapshot carries over with all else that the
// halt may keep from the other sites.
func afterHalt(h *Halt, ref replay.ImageRef) error {
	return fmt.Errorf("it goes when the halt ends: %w", h.keeps(ref))
}

func (d *drill) leftf(format string, args ...any) {
	d.made.Lock()
	defer d.made.Unlock()
	d.report.Left = append(d.report.Left, oneLine(fmt.Sprintf(format, args...)))
}

// removeClone removes what a drill has brought up, with the snapshots that a check
// has taken of it. A client that has it open still may take a while to let go. copied:
// it may be a copy, and half of one.
func removeClone(ctx context.Context, site Site, ref replay.ImageRef, copied bool) error {
	image, err := site.Image(ctx, ref)
	if err != nil && !errors.Is(err, replay.ErrNotFound) {
		return err
	}
	for _, s := range image.Snapshots {
		if s.Kind == replay.SnapshotUser {
			if err := site.RemoveSnapshot(ctx, ref, s.Name); err != nil {
				return err
			}
		}
	}
	if err := removePartial(ctx, site, ref, partialPatience); err != nil || !copied {
		return err
	}
	return removePartial(ctx, site, ref.Image(ref.Name+partialSuffix), 0)
}

// sweepDrills removes what drills have left that are not at work any more: mine says
// of which. What any have left on this host is removed, too. It answers with what it found, also where that could not be removed, and
// with what it could not look at. The caller holds the lease of the plan's drills.
func sweepDrills(ctx context.Context, plan *plans.Plan, sites *Sites, ledger *Book, mine func(drillMark) bool) *DrillSweep {
	folders := sweepFolders()
	traces, _ := drillTraces(ledger.Entries(), ledger.now())
	left, unseen := findLeft(ctx, plan, sites, placesOf(plan, traces), mine)
	forEach(ctx, len(left), sweepAtOnce, func(k int) {
		l := &left[k]
		if l.Snapshot != "" {
			return // clones first
		}
		site, err := sites.Site(l.Site)
		if err == nil {
			err = removeClone(ctx, site, l.Image, true)
		}
		l.settle(err)
	})
	records := readRecords(ctx, plan, sites)
	forEach(ctx, len(left), sweepAtOnce, func(k int) {
		if l := &left[k]; l.Snapshot != "" {
			l.settle(removeDrillSnapshot(ctx, plan, sites, records, l))
		}
	})
	swept := &DrillSweep{Left: append(left, folders...), Unseen: unseen}
	swept.clear(ctx, ledger, traces)
	_ = ledger.Reconcile(ctx) // removes what is outdated; what fails is tried again the next time
	return swept
}

func (l *DrillLeft) settle(err error) {
	if l.Removed = err == nil; !l.Removed {
		l.Note = oneLine(err.Error())
	}
}

// removeDrillSnapshot removes a snapshot where its image may be changed; from a copy it
// goes by replay. Of a halted image none is removed, nor where that is not known.
func removeDrillSnapshot(ctx context.Context, plan *plans.Plan, sites *Sites, records *Recorded, l *DrillLeft) error {
	if fault := records.unreadable(); fault != nil {
		return fmt.Errorf("it is not known whether the image is halted: %w", fault)
	}
	if h := records.halted(l.Image); h != nil {
		return afterHalt(h, l.Image)
	}
	site, err := sites.Site(l.Site)
	if err != nil {
		return err
	}
	image, err := site.Image(ctx, l.Image)
	if err != nil {
		return err
	}
	if image.Role == replay.RoleSecondary {
		return removeAtSecondary(ctx, plan, sites, l)
	}
	if err := site.RemoveSnapshot(ctx, l.Image, l.Snapshot); err != nil && !errors.Is(err, replay.ErrNotFound) {
		return err
	}
	if image.Role == replay.RolePrimary && image.Mode == replay.ModeSnapshot {
		_, err = visitMirrorSnapshot(ctx, plan, sites, l.Site, l.Image, "mirror snapshot of a drill")
	}
	return err
}

// removeAtSecondary sees that a snapshot of a copy goes, which replay alone can remove.
// Where the primary has it no more and it was to be gone long since, nothing brings its
// removal any more: it is made there once more. See verification.removeAgain.
func removeAtSecondary(ctx context.Context, plan *plans.Plan, sites *Sites, l *DrillLeft) error {
	goes := errors.New("it goes when replay brings its removal at the primary")
	if sites.now().Before(l.Until) {
		return goes
	}
	for _, other := range otherSites(plan, l.Site) {
		site, err := sites.Site(other)
		if err != nil {
			continue
		}
		image, err := site.Image(ctx, l.Image)
		if err != nil || image.Role != replay.RolePrimary {
			continue
		}
		if hasSnapshot(image, l.Snapshot) {
			return goes // this sweep removes it there
		}
		v := newVerification(plan, sites, VerifyOptions{}, verifyLimits(plan, nil))
		t := &verifyTarget{ref: l.Image, mode: image.Mode, primary: other, secondaries: []string{l.Site}}
		if err := v.removeAgain(ctx, t, l.Snapshot); err != nil {
			return fmt.Errorf("remove it at %s once more: %w", other, err)
		}
		return v.awaitGone(ctx, l.Image, l.Site, l.Snapshot)
	}
	return fmt.Errorf("%w, and none is known to be there", goes)
}

// findLeft looks for what drills have made at all sites, for clones in places, and tells
// where it could not.
func findLeft(ctx context.Context, plan *plans.Plan, sites *Sites, places []replay.Pool, mine func(drillMark) bool) ([]DrillLeft, []DrillUnseen) {
	var (
		mu     sync.Mutex
		out    []DrillLeft
		unseen []DrillUnseen
		clones []DrillLeft
		hidden []DrillUnseen
		wg     parallel.Group
	)
	wg.Go(func() { clones, hidden = drillClones(ctx, plan, sites, places) })
	for _, wanted := range plan.Sites {
		site, err := sites.Site(wanted.Name)
		if err != nil {
			continue // drillClones tells of it
		}
		for i := range plan.Pools {
			wg.Go(func() {
				pool := poolOf(&plan.Pools[i])
				images, err := listPool(ctx, plan, site, pool, replay.WithHeader)
				found := drillSnapshots(wanted.Name, images)
				mu.Lock()
				defer mu.Unlock()
				out = append(out, found...)
				if err != nil && !errors.Is(err, replay.ErrNotFound) {
					unseen = append(unseen, newDrillUnseen(wanted.Name, pool.String(), err))
				}
			})
		}
	}
	wg.Wait()
	out = slices.DeleteFunc(append(out, clones...), func(l DrillLeft) bool { return !mine(l.mark) })
	sortLeft(out)
	return out, sortUnseen(append(unseen, hidden...))
}

// SweepDrills removes what drills of the plan have left that are not at work any
// more. It fails with [ErrLeased] while one is; what it could not look at is no error
// of it, see [DrillSweep.Err]. released are groups that drills hold back and whose writers
// a person has let go; of one that none holds back, it fails with [ErrRefused].
func SweepDrills(ctx context.Context, plan *plans.Plan, sites *Sites, released ...string) (swept *DrillSweep, err error) {
	ledger, err := openDrills(ctx, plan, sites)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ledger.Close(ctx)) }()
	lease, err := ledger.Lease(ctx, sweepPurpose)
	if err != nil {
		return nil, err
	}
	own := digest(plan.Name)
	byHand, err := releasedByHand(lease.Context(), ledger, released)
	if err != nil {
		return nil, errors.Join(err, lease.Release(ctx))
	}
	swept = &DrillSweep{Left: append(byHand, makeUp(lease.Context(), plan, sites, ledger)...)}
	swept.add(sweepDrills(lease.Context(), plan, sites, ledger, func(m drillMark) bool { return m.plan == own }))
	return swept, errors.Join(lease.Err(), lease.Release(ctx))
}

// replicated sees that replay has gone on while the clones were up, and that every copy
// is within its objective.
func (d *drill) replicated(ctx context.Context) error {
	if d.lost || len(d.units) == 0 {
		return nil
	}
	return d.timed("replication", "", d.to, func() (string, error) {
		limit := time.Now().Add(replicatedTime)
		for {
			late, idle := d.late(ctx)
			switch {
			case ctx.Err() != nil:
				return "", contextCause(ctx)
			case len(late) == 0:
				said := "every copy replays, none beyond its objective, and replay has advanced since the clones came up"
				if idle > 0 {
					said += fmt.Sprintf(", but for %s to which the primary wrote nothing", plural(uint64(idle), "image", "images"))
				}
				return said, nil
			case time.Now().After(limit):
				for i, why := range late {
					d.failed(ctx, i, errors.New(why))
				}
				return "", fmt.Errorf("replication of %s is not as it was before the drill", plural(uint64(len(late)), "image", "images"))
			}
			pause(ctx, awaitMost)
		}
	})
}

// replicatedTime is how long replay may take to be as it was.
const replicatedTime = time.Minute

// late are the copies that do not replay within their objective, or stand still; idle
// counts those to which nothing was written.
func (d *drill) late(ctx context.Context) (late map[*drillImage]string, idle int) {
	_, stands := surveyOf(ctx, d.plan, d.sites)
	late = map[*drillImage]string{}
	for _, i := range all(d.units) {
		s := find(stands, i.ref)
		if s == nil {
			late[i] = "after the drill it is not there any more"
			continue
		}
		why, quiet := i.advance(s, d.from, d.to)
		if behind := behindWords(s, d.to); behind != "" {
			why = behind
		}
		switch {
		case why != "":
			late[i] = why
		case quiet:
			idle++
		}
	}
	return late, idle
}

// behindWords are why a copy is not within its objective; "" where it is. What is not
// known is not within it.
func behindWords(s *stand, to string) string {
	copied, objective := s.copyAt(to), s.evidence.Objective
	switch {
	case copied == nil || copied.State != replay.Replaying && copied.State != replay.Lagging:
		return "after the drill it does not replay" + problemAt(s, to)
	case objective > 0 && copied.Lag.Seconds == nil:
		return fmt.Sprintf("after the drill it is not known how far it is behind, and its objective is %v", objective)
	case objective > 0 && *copied.Lag.Seconds > objective:
		return fmt.Sprintf("after the drill it is %v behind, and its objective is %v", copied.Lag.Seconds.Round(time.Second), objective)
	case copied.State != replay.Replaying:
		return "after the drill it does not replay as it should" + problemAt(s, to)
	}
	return ""
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
