package orchestrator

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// gatherEvidence sorts an observation by image: for each image of the plan,
// what every site says of it. Images come in order.
func gatherEvidence(plan *plans.Plan, obs *Observation, now time.Time) []replay.Evidence {
	var all []replay.Evidence
	for i := range plan.Pools {
		wanted := &plan.Pools[i]
		views := statusPools(plan, obs, poolOf(wanted))
		for _, name := range imagesOf(wanted, views) {
			ref := poolOf(wanted).Image(name)
			e := replay.Evidence{Ref: ref, Now: now, Objective: plan.RPOFor(wanted, name).Std(), Sites: make([]replay.SiteEvidence, len(views))}
			for k := range views {
				e.Sites[k] = views[k].evidence(name, plannedInterval(plan, wanted, name))
			}
			attachReports(e.Sites, views)
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b replay.Evidence) int { return a.Ref.Compare(b.Ref) })
	return all
}

// statusPool is one pool at one site, its facts findable by image.
type statusPool struct {
	common    replay.SiteEvidence // what holds for every image of the pool
	images    map[string]*replay.Image
	unread    map[string]error
	byID      map[string][]replay.Report // by global id
	byName    map[string][]replay.Report // those without one
	schedules map[string]time.Duration   // by image; "" is the pool's
	ownShots  bool                       // Drover takes mirror snapshots, not the mgr
}

func statusPools(plan *plans.Plan, obs *Observation, pool replay.Pool) []statusPool {
	views := make([]statusPool, 0, len(plan.Sites))
	for _, wanted := range plan.Sites {
		v := statusPool{ownShots: plan.Snapshots.By == plans.SnapshotsByDrover, common: replay.SiteEvidence{
			Site: wanted.Name, Names: []string{wanted.MirrorName, wanted.Cluster}, DaemonWanted: plan.Direction == plans.TwoWay,
		}}
		v.fill(obs.Site(wanted.Name), pool)
		views = append(views, v)
	}
	return views
}

func (v *statusPool) fill(site *SiteObservation, pool replay.Pool) {
	switch {
	case site == nil:
		v.common.Err = errors.New("the site was not observed")
		return
	case site.Fault != nil:
		v.common.Err = bareFault(site.Fault)
		return
	}
	v.common.Names = append(v.common.Names, site.SiteName)
	v.common.Daemons = site.Daemons
	if site.DaemonsFault != nil {
		v.common.DaemonsErr = bareFault(site.DaemonsFault)
	}
	seen := site.Pool(pool)
	switch {
	case seen == nil:
		v.common.Err = errors.New("the pool was not observed")
		return
	case seen.Fault != nil:
		v.common.Err = bareFault(seen.Fault)
		return
	case seen.Missing || seen.NoNamespace:
		v.common.PoolMissing = true
		return
	}
	v.common.Pool = seen.Mirroring
	v.images = make(map[string]*replay.Image, len(seen.Images))
	for i := range seen.Images {
		v.images[seen.Images[i].Ref.Name] = &seen.Images[i]
	}
	v.unread = make(map[string]error, len(seen.Unread))
	for _, u := range seen.Unread {
		v.unread[u.Name] = bareFault(u.Fault)
	}
	v.byID, v.byName = make(map[string][]replay.Report, len(seen.Reports)), make(map[string][]replay.Report)
	for _, r := range seen.Reports {
		if r.GlobalID != "" {
			v.byID[r.GlobalID] = append(v.byID[r.GlobalID], r)
		} else {
			v.byName[r.Ref.Name] = append(v.byName[r.Ref.Name], r)
		}
	}
	if seen.ReportsFault != nil {
		v.common.ReportsErr = bareFault(seen.ReportsFault)
	}
	if seen.SchedulesFault != nil {
		v.common.SchedulesErr = bareFault(seen.SchedulesFault)
	}
	v.schedules = make(map[string]time.Duration)
	for _, s := range seen.Schedules {
		every := plans.Schedule{Every: s.Every}.Interval().Std()
		if known, ok := v.schedules[s.Name]; every > 0 && (!ok || every < known) {
			v.schedules[s.Name] = every
		}
	}
}

// bareFault is a fault without its hint: a problem has a next step of its own.
func bareFault(f *Fault) error { return &Fault{What: f.What, Err: f.Err} }

// evidence is what the site says of one image, for which the plan wants a
// mirror snapshot at an interval.
func (v *statusPool) evidence(name string, planned time.Duration) replay.SiteEvidence {
	e := v.common
	if why := v.unread[name]; why != nil {
		e.Err, e.ImageUnread = why, true
	}
	e.Image = v.images[name]
	e.Reports = slices.Clone(v.byName[name])
	if e.Image != nil {
		e.Reports = append(e.Reports, v.byID[e.Image.GlobalID]...)
	}
	every, own := v.schedules[name]
	if !own {
		every = v.schedules[""]
	}
	e.ScheduleEvery = every
	switch {
	case v.ownShots:
		// What the mgr's module does or does not do is nothing to the plan.
		e.ScheduleEvery, e.SchedulesErr = planned, nil
	case e.SchedulesErr != nil:
		// A scheduler that cannot even be asked is the more reason to look at how
		// old the newest snapshot is.
		e.ScheduleEvery = planned
	}
	return e
}

// attachReports gives each site that has no copy what its daemon says of the
// one that it shall make. Ceph lists reports of the images that a site has: what
// the daemon says of another is only found where it repeats it, at the primary,
// under its pool's mirror uuid.
func attachReports(sites []replay.SiteEvidence, views []statusPool) {
	for k := range sites {
		to := &sites[k]
		if to.Image != nil || to.Err != nil || to.Pool.UUID == "" {
			continue
		}
		for i, from := range sites {
			if from.Image == nil || from.Image.Role != replay.RolePrimary {
				continue
			}
			for _, r := range views[i].byID[from.Image.GlobalID] {
				if r.MirrorUUID == to.Pool.UUID {
					to.Reports = append(to.Reports, r)
				}
			}
			to.Reports = append(to.Reports, views[k].byID[from.Image.GlobalID]...)
		}
	}
}

// plannedInterval is the shortest interval of the schedules that the plan has
// for an image; 0: none.
func plannedInterval(plan *plans.Plan, pool *plans.Pool, name string) (shortest time.Duration) {
	for _, s := range plan.SchedulesFor(pool, name) {
		if every := s.Interval().Std(); every > 0 && (shortest == 0 || every < shortest) {
			shortest = every
		}
	}
	return shortest
}

// imagesOf names the images of the plan in a pool: those listed by name, and
// those that any site has and the plan covers.
func imagesOf(pool *plans.Pool, views []statusPool) []string {
	names := make(map[string]bool)
	for _, entry := range pool.Images {
		if entry.Name != "" && !pool.Excludes(entry.Name) {
			names[entry.Name] = true
		}
	}
	for _, v := range views {
		for name := range v.images {
			if _, covered := pool.Match(name); covered {
				names[name] = true
			}
		}
		for name := range v.unread {
			if _, covered := pool.Match(name); covered {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}
