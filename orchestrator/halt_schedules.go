package orchestrator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// PausedSchedule is a mirror snapshot schedule that a halt has met at a site.
type PausedSchedule struct {
	Site  string          `json:"site"`
	Image replay.ImageRef `json:"image"` // without a name: the pool's
	Every string          `json:"every"`
	Start string          `json:"start,omitempty"`
}

// String is the schedule in words.
func (s PausedSchedule) String() string {
	of := "of " + s.Image.String()
	if s.Image.Name == "" {
		of = "of pool " + s.Image.Pool.String()
	}
	return scheduleWords(s.schedule()) + " " + of + " at " + s.Site
}

func (s PausedSchedule) schedule() replay.MirrorSchedule {
	return replay.MirrorSchedule{ImageRef: s.Image, Every: s.Every, Start: s.Start}
}

// SetHalt halts images and their groups, and pauses the mirror snapshot
// schedules that these have of their own, at the sites that answer. What the
// schedules were is in the halt's record, which is written before they go; the
// halt's end puts them back. A schedule of a pool goes on: it cannot be taken
// from one image, and also takes over for an image that has lost its own
// (rbd_support/schedule.py, Schedules.find).
//
// Where an open halt names the same already, it is looked for schedules again:
// those of a site that did not answer before are added to its record, and paused.
// A site whose mgr has no module for schedules has none. The halt is nil when it
// could not be recorded; else the error tells what could not be paused.
func SetHalt(ctx context.Context, plan *plans.Plan, sites *Sites, book *Book, h Halt) (*Halt, error) {
	var faults error
	set := book.named(h)
	if set == nil {
		h.Paused, h.GoesOn, faults = schedulesOf(ctx, plan, sites, &h)
		if err := book.Halt(ctx, h); err != nil {
			return nil, err
		}
	} else {
		var more Halt
		more.Paused, more.GoesOn, faults = schedulesOf(ctx, plan, sites, set)
		if err := book.supplement(ctx, *set, more.Paused, more.GoesOn); err != nil {
			return set, errors.Join(faults, err)
		}
	}
	if set = book.named(h); set == nil {
		return nil, errors.New("the halt was recorded and is not there") // a clear came between
	}
	errs := []error{faults}
	for _, s := range set.Paused {
		errs = append(errs, atSite(ctx, plan, sites, s.Site, "pause the schedule "+s.String(), func(ctx context.Context, site Site) error {
			return site.RemoveMirrorSchedule(ctx, s.schedule())
		}))
	}
	return set, errors.Join(errs...)
}

// named is the open halt that names all that another does.
func (b *Book) named(other Halt) *Halt {
	for _, open := range b.Halts() {
		if open.names(other) {
			return &open
		}
	}
	return nil
}

// atSite makes a call to a site in the time that any living site needs.
func atSite(ctx context.Context, plan *plans.Plan, sites *Sites, name, what string, call func(ctx context.Context, site Site) error) error {
	site, err := sites.Site(name)
	if err == nil {
		limited, cancel := context.WithTimeout(ctx, answerTime(plan))
		defer cancel()
		err = call(limited, site)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// schedulesOf finds the schedules that a halt concerns, at all sites at once:
// those of its images, and those of their pools. A site that cannot be asked is
// named in the error.
func schedulesOf(ctx context.Context, plan *plans.Plan, sites *Sites, h *Halt) (own, pools []PausedSchedule, err error) {
	var (
		mu    sync.Mutex
		wg    parallel.Group
		errs  []error
		asked = haltedPools(plan, h)
	)
	for _, s := range plan.Sites {
		for _, pool := range asked {
			wg.Go(func() {
				var listed []replay.MirrorSchedule
				err := atSite(ctx, plan, sites, s.Name, "look for mirror snapshot schedules of "+pool.String()+" at "+s.Name, func(ctx context.Context, site Site) (err error) {
					if listed, err = site.MirrorSchedules(ctx, pool); errors.Is(err, replay.ErrUnsupported) {
						return nil // who cannot have schedules has none
					}
					return err
				})
				mu.Lock()
				defer mu.Unlock()
				if plan.Snapshots.By != plans.SnapshotsByDrover { // else the mgr has none of the plan's
					errs = append(errs, err)
				}
				for _, m := range listed {
					met := PausedSchedule{Site: s.Name, Image: m.ImageRef, Every: m.Every, Start: m.Start}
					switch {
					case m.Name == "":
						pools = append(pools, met)
					case h.covers(plan, m.ImageRef):
						own = append(own, met)
					}
				}
			})
		}
	}
	wg.Wait()
	for _, all := range [][]PausedSchedule{own, pools} {
		slices.SortFunc(all, func(a, b PausedSchedule) int {
			return cmp.Or(a.Image.Compare(b.Image), cmp.Compare(a.Site, b.Site), cmp.Compare(a.Every, b.Every), cmp.Compare(a.Start, b.Start))
		})
	}
	return own, pools, errors.Join(errs...)
}

// covers reports whether a halt covers an image, by itself or by its group.
func (h *Halt) covers(plan *plans.Plan, ref replay.ImageRef) bool {
	if slices.Contains(h.Images, ref) {
		return true
	}
	g := plan.GroupOf(ref.Pool.Name, ref.Namespace, ref.Name)
	return g != nil && slices.Contains(h.groups(plan), g.Name)
}

// haltedPools are the pools in which a halt covers images that the plan mirrors
// by snapshots.
func haltedPools(plan *plans.Plan, h *Halt) []replay.Pool {
	var out []replay.Pool
	groups := h.groups(plan)
	for i := range plan.Pools {
		p := &plan.Pools[i]
		ref := poolOf(p)
		concerned := slices.ContainsFunc(h.Images, func(image replay.ImageRef) bool {
			match, ok := p.Match(image.Name)
			return image.Pool == ref && ok && match.Mode == plans.ModeSnapshot
		})
		for g := range plan.Groups {
			concerned = concerned || slices.Contains(groups, plan.Groups[g].Name) && slices.ContainsFunc(plan.Groups[g].Images, func(image plans.ImageRef) bool {
				return image.Pool == p.Name && image.Namespace == p.Namespace
			})
		}
		if concerned && p.Snapshots() {
			out = append(out, ref)
		}
	}
	return out
}

// Cleared is what became of the schedules that a halt had paused.
type Cleared struct {
	Back []PausedSchedule // they are there again
	// Deferred stay away: another halt covers their images. Its end puts them
	// back.
	Deferred []PausedSchedule
	// Missing could not be put back.
	Missing []PausedSchedule
	Err     error // why
}

// EndHalt puts back the schedules that a halt has paused, then clears it. Those
// that cannot be put back do not keep it from being cleared: they are recorded,
// and a plan that has them gets them back by the next apply.
func EndHalt(ctx context.Context, plan *plans.Plan, sites *Sites, book *Book, id, reason string) (*Cleared, error) {
	return book.endHalt(ctx, id, reason, func(s PausedSchedule) error {
		return atSite(ctx, plan, sites, s.Site, "put back the schedule "+s.String(), func(ctx context.Context, site Site) error {
			return site.AddMirrorSchedule(ctx, s.schedule())
		})
	})
}

// endHalt is EndHalt with the way in which a schedule is put back. Killed in
// between, it leaves the halt as it was.
func (b *Book) endHalt(ctx context.Context, id, reason string, putBack func(PausedSchedule) error) (*Cleared, error) {
	if err := b.clearable(id, reason); err != nil {
		return nil, err
	}
	out, record := &Cleared{}, haltClear{ID: id, Reason: reason}
	var errs []error
	for _, s := range b.paused(id) {
		if others := b.haltedBeside(s.Image, id); len(others) > 0 {
			out.Deferred = append(out.Deferred, s)
			record.Deferred = append(record.Deferred, deferral{s, others})
			continue
		}
		if err := putBack(s); err != nil {
			out.Missing = append(out.Missing, s)
			errs = append(errs, err)
			continue
		}
		out.Back = append(out.Back, s)
	}
	out.Err, record.Missing = errors.Join(errs...), out.Missing
	return out, b.clearHalt(ctx, record)
}

// deferral is a schedule that the end of a halt has left to those of others.
type deferral struct {
	PausedSchedule
	To []string `json:"to"` // halts
}

// paused are the schedules that the end of a halt has to put back: its own, and
// those of halts that ended before it while it covered their images.
func (b *Book) paused(id string) []PausedSchedule {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.haltsNow()
	if v.cleared[id] {
		return nil
	}
	var out []PausedSchedule
	for i := range v.open {
		if v.open[i].ID == id {
			out = append(out, v.open[i].Paused...)
		}
	}
	for _, d := range v.deferred {
		if slices.Contains(d.To, id) && !slices.Contains(out, d.PausedSchedule) {
			out = append(out, d.PausedSchedule)
		}
	}
	return out
}

// haltedBeside are the other open halts that cover an image.
func (b *Book) haltedBeside(ref replay.ImageRef, id string) (others []string) {
	for _, h := range b.Halts() {
		if h.ID != id && (h.covers(b.plan, ref) || len(h.Images) == 0 && h.Group == "") {
			others = append(others, h.ID)
		}
	}
	return others
}
