package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// The codes of what drills have made: of what should be gone, and of what a drill at
// work needs, or one that was killed has left.
const (
	ProblemDrillLeft replay.ProblemCode = "drill-leftover"
	ProblemDrillOpen replay.ProblemCode = "drill-open"
	// ProblemDrillHeld: a drill has held back the writers of a group, and nobody is known
	// to have let them go.
	ProblemDrillHeld replay.ProblemCode = SignalDrillHeld
	// ProblemDrillUnseen: a place of clones could not be looked into.
	ProblemDrillUnseen replay.ProblemCode = "drill-unseen"
)

// drillClones looks for the clones of drills in places at all sites, and tells where it could not.
func drillClones(ctx context.Context, plan *plans.Plan, sites *Sites, places []replay.Pool) ([]DrillLeft, []DrillUnseen) {
	var (
		mu     sync.Mutex
		out    []DrillLeft
		unseen []DrillUnseen
		wg     parallel.Group
	)
	for _, wanted := range plan.Sites {
		site, err := sites.Site(wanted.Name)
		if err != nil {
			mu.Lock()
			unseen = append(unseen, newDrillUnseen(wanted.Name, "", err))
			mu.Unlock()
			continue
		}
		wg.Go(func() {
			found, hidden := drillClonesAt(ctx, plan, wanted.Name, site, places)
			mu.Lock()
			defer mu.Unlock()
			out, unseen = append(out, found...), append(unseen, hidden...)
		})
	}
	wg.Wait()
	return out, unseen
}

// drillClonesAt is the same for one site.
func drillClonesAt(ctx context.Context, plan *plans.Plan, name string, site Site, places []replay.Pool) (out []DrillLeft, unseen []DrillUnseen) {
	var mu sync.Mutex
	var wg parallel.Group
	for _, place := range places {
		wg.Go(func() {
			images, err := listPool(ctx, plan, site, place, 0)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && !errors.Is(err, replay.ErrNotFound) { // what is not there holds nothing
				unseen = append(unseen, newDrillUnseen(name, place.String(), err))
			}
			for i := range images {
				if m, ok := parseDrillMark(images[i].Ref.Name); ok {
					out = append(out, newDrillLeft(m, name, images[i].Ref, ""))
				}
			}
		})
	}
	wg.Wait()
	return out, unseen
}

// drillSnapshots are the snapshots of drills that images of a site have.
func drillSnapshots(site string, images []replay.Image) (out []DrillLeft) {
	for i := range images {
		for _, s := range images[i].Snapshots {
			if m, ok := parseDrillMark(s.Name); ok && s.Kind == replay.SnapshotUser {
				out = append(out, newDrillLeft(m, site, images[i].Ref, s.Name))
			}
		}
	}
	return out
}

// drillProblems tells of what drills of the plan have made, one row for each site.
func (r *StatusReport) drillProblems(plan *plans.Plan, left []DrillLeft, now time.Time) {
	type row struct {
		site string
		late bool
	}
	of, own := map[row][]*DrillLeft{}, digest(plan.Name)
	for i := range left {
		if l := &left[i]; l.mark.plan == own {
			at := row{l.Site, now.After(l.Until)}
			of[at] = append(of[at], l)
		}
	}
	for at, found := range of {
		p := replay.Problem{Code: ProblemDrillOpen, Severity: replay.SeverityInfo, Site: at.site}
		p.What = drillThings(found) + ": it is at work, or was killed"
		if at.late {
			p.Code, p.Severity = ProblemDrillLeft, replay.SeverityWarning
			p.What = drillThings(found) + ", which should be gone since " + found[0].Until.UTC().Format(time.RFC3339)
		}
		p.Next = "drover drill sweep " + shellLine(plan.File)
		r.Problems = append(r.Problems, StatusProblem{Problem: p})
	}
	slices.SortFunc(r.Problems[len(r.Problems)-len(of):], func(a, b StatusProblem) int {
		return strings.Compare(a.Site+string(a.Code), b.Site+string(b.Code))
	})
}

// drillHeld tells of the groups whose hooks after them are owed. Until a drill's expiry it
// may be at work, unless it has recorded that they have failed.
func (r *StatusReport) drillHeld(plan *plans.Plan, owed []owedRelease) {
	for i := range owed {
		o := &owed[i]
		p := replay.Problem{Code: ProblemDrillHeld, Severity: replay.SeverityCritical, Site: o.From, Next: heldNext(plan, o.Group)}
		switch {
		case o.Fault != "":
			p.What = fmt.Sprintf("the writers of group %s may still be held back by %s: %s", o.Group, o.run, o.Fault)
		case r.At.After(o.Until):
			p.What = fmt.Sprintf("the writers of group %s may still be held back by %s, which was killed", o.Group, o.run)
		default:
			p.Severity = replay.SeverityInfo
			p.What = fmt.Sprintf("the writers of group %s are held back by %s: it is at work, or was killed", o.Group, o.run)
			p.Next = "drover drill sweep " + shellLine(plan.File) + " lets them go if it was killed"
		}
		r.Problems = append(r.Problems, StatusProblem{Problem: p})
	}
}

// drillUnseen tells of places of clones that could not be looked into, at sites that
// answer otherwise: of the others the status tells already.
func (r *StatusReport) drillUnseen(obs *Observation, unseen []DrillUnseen) {
	for i := range unseen {
		u := &unseen[i]
		if at := obs.Site(u.Site); u.Pool == "" || at == nil || at.Fault != nil || errors.Is(u.cause, context.Canceled) {
			continue
		}
		r.Problems = append(r.Problems, StatusProblem{Problem: replay.Problem{
			Code: ProblemDrillUnseen, Severity: replay.SeverityInfo, Site: u.Site,
			What: "not known whether drills have left clones in " + u.Pool + ": " + u.What, Next: u.Next,
		}})
	}
}

// drillThings counts what was found, and names the drills and the first image.
func drillThings(found []*DrillLeft) string {
	clones, drills := 0, map[string]bool{}
	for _, l := range found {
		drills[l.Drill] = true
		if l.Snapshot == "" {
			clones++
		}
	}
	return fmt.Sprintf("%s and %s, such as %s, of %s", plural(uint64(clones), "clone", "clones"), plural(uint64(len(found)-clones), "snapshot", "snapshots"), found[0].What(),
		strings.Join(slices.Sorted(maps.Keys(drills)), ", "))
}
