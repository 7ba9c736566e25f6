package orchestrator

import (
	"context"
	"slices"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// fleet is the protection of all images of a plan, each with its machine. It
// is driven from one goroutine.
type fleet struct {
	plan     *plans.Plan
	progress func(Event)
	machines map[replay.ImageRef]*Machine
}

func newFleet(plan *plans.Plan, obs *Observation, progress func(Event)) *fleet {
	f := &fleet{plan: plan, progress: progress, machines: map[replay.ImageRef]*Machine{}}
	for ref, seen := range followings(plan, obs) {
		f.machines[ref] = NewMachine(seen.state)
	}
	return f
}

// watch wraps a progress function such that machines move with the changes.
func (f *fleet) watch(progress func(Event)) func(Event) {
	return func(e Event) {
		progress(e)
		if e.Kind != EventBegin || e.Change.Kind != KindMirror && e.Change.Kind != KindFeatures && e.Change.Kind != KindCreate {
			return
		}
		ref, _ := e.Change.Ref()
		m := f.machines[ref]
		if m == nil {
			m = NewMachine(replay.Unprotected)
			f.machines[ref] = m
		}
		// Only an image that is not protected yet is being enabled; another gets
		// back a feature that it lost.
		if m.Can(EventEnable) && m.Fire(EventEnable) == nil {
			f.progress(Event{Kind: EventProtects, Image: ref, State: m.State()})
		}
	}
}

// look moves the machines by an observation.
func (f *fleet) look(seen map[replay.ImageRef]following) {
	refs := make([]replay.ImageRef, 0, len(seen))
	for ref := range seen {
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, replay.ImageRef.Compare)
	for _, ref := range refs {
		m := f.machines[ref]
		// Nothing follows on what is not known, and what was known does not hold
		// where nothing can be read.
		if m == nil || m.State() == replay.Unknown || seen[ref].state == replay.Unknown && m.State() != replay.SplitBrain {
			f.machines[ref] = NewMachine(seen[ref].state)
			continue
		}
		if m.Observe(seen[ref].state) {
			f.progress(Event{Kind: EventProtects, Image: ref, State: m.State()})
		}
	}
}

// following is how far the copies of one image are.
type following struct {
	state   Protection
	missing []string // secondaries without a copy; sites where it cannot be read
	behind  []string // secondaries whose copy does not follow yet
	doomed  bool     // nothing could make or feed a copy
	// grace is how long to wait for a daemon that serves the pool, where none does;
	// zero where one does.
	grace time.Duration
}

// unserved notes that a daemon would have to come up within a time.
func (f *following) unserved(grace time.Duration) {
	if grace > 0 && (f.grace == 0 || grace < f.grace) {
		f.grace = grace
	}
}

// followings tells how far the copies of each image of the plan are, from an
// observation with reports.
func followings(plan *plans.Plan, obs *Observation) map[replay.ImageRef]following {
	out := map[replay.ImageRef]following{}
	for i := range plan.Pools {
		wanted := &plan.Pools[i]
		pool := poolOf(wanted)
		primaries := map[string][]string{}
		others := map[string]int{}
		unread := map[string][]string{}
		for j := range obs.Sites {
			seen := obs.Sites[j].Pool(pool)
			if seen == nil {
				continue
			}
			for k := range seen.Unread {
				name := seen.Unread[k].Name
				if _, ok := wanted.Match(name); ok {
					unread[name] = append(unread[name], obs.Sites[j].Name)
				}
			}
			for k := range seen.Images {
				image := &seen.Images[k]
				if _, ok := wanted.Match(image.Ref.Name); !ok {
					continue
				}
				switch image.Role {
				case replay.RolePrimary:
					primaries[image.Ref.Name] = append(primaries[image.Ref.Name], obs.Sites[j].Name)
				case replay.RoleSecondary:
					others[image.Ref.Name]++
				default:
					others[image.Ref.Name] += 0
				}
			}
		}
		reports := reportsOf(obs, pool)
		for name, at := range primaries {
			out[pool.Image(name)] = followingOf(plan, obs, pool.Image(name), at, reports)
		}
		for name, copies := range others {
			if len(primaries[name]) > 0 {
				continue
			}
			state := replay.Unprotected
			if copies > 0 {
				state = replay.Stranded
			}
			out[pool.Image(name)] = following{state: state}
		}
		for name, at := range unread {
			out[pool.Image(name)] = following{state: replay.Unknown, missing: at, doomed: true}
		}
	}
	return out
}

// reportsOf are the sites' own daemons' reports, by site and global id.
func reportsOf(obs *Observation, pool replay.Pool) map[[2]string]replay.Report {
	out := map[[2]string]replay.Report{}
	for i := range obs.Sites {
		if seen := obs.Sites[i].Pool(pool); seen != nil {
			for _, r := range seen.Reports {
				if r.MirrorUUID == "" {
					out[[2]string{obs.Sites[i].Name, r.GlobalID}] = r
				}
			}
		}
	}
	return out
}

func followingOf(plan *plans.Plan, obs *Observation, ref replay.ImageRef, primaries []string, reports map[[2]string]replay.Report) following {
	if len(primaries) > 1 {
		return following{state: replay.SplitBrain}
	}
	f := following{state: replay.Replaying}
	to := receivers(plan, primaries[0])
	if len(to) == 0 {
		// By the plan nobody receives from there: whatever the others hold grows
		// old, and no waiting brings it.
		f.state, f.missing, f.doomed = replay.Degraded, followersWanted(plan, primaries[0]), true
	}
	for _, to := range to {
		site := obs.Site(to)
		seen := site.Pool(ref.Pool)
		if site.Fault != nil || seen == nil {
			f.missing, f.doomed = append(f.missing, to), true
			continue
		}
		image := seen.Image(ref.Name)
		switch {
		case image == nil || image.Role != replay.RoleSecondary:
			f.missing, f.state = append(f.missing, to), replay.Enabling
			f.doomed = f.doomed || image != nil && !image.Mirrored()
			f.unserved(graceOf(site, ref.Pool))
		case !follows(reports[[2]string{to, image.GlobalID}]):
			f.behind = append(f.behind, to)
			f.unserved(graceOf(site, ref.Pool))
			if f.state == replay.Replaying {
				f.state = replay.Syncing
			}
		}
	}
	return f
}

// followersWanted are all other sites of the plan.
func followersWanted(plan *plans.Plan, primary string) []string {
	var out []string
	for _, s := range plan.Sites {
		if s.Name != primary {
			out = append(out, s.Name)
		}
	}
	return out
}

// follows reports whether a daemon says that it replays. A report never proves
// a role or a hand-over; as a sign that the first copy is over it will do. In
// snapshot mode a daemon says that it replays before it has copied anything.
func follows(r replay.Report) bool {
	if !r.Up || r.State != replay.ReportReplaying {
		return false
	}
	return r.Progress == nil || r.Progress.Mode != replay.ModeSnapshot || r.Progress.LocalSnapshot != nil
}

const (
	// serviceDelay is how long a daemon may take to serve a pool that has become
	// mirrored: it looks for such every half a minute
	// (rbd_mirror_pool_replayers_refresh_interval).
	serviceDelay = time.Minute
	// registerDelay is how long a daemon that somebody has just started may take to
	// be in the service map.
	registerDelay = 15 * time.Second
)

// graceOf is how long a site may take to have a daemon that serves a pool; zero
// where it has one, or where that cannot be told.
func graceOf(site *SiteObservation, pool replay.Pool) time.Duration {
	switch {
	case site.DaemonsFault != nil || site.Runner != nil && site.Runner.Running || site.Serves(pool):
		return 0
	case len(site.Daemons) > 0:
		return serviceDelay
	}
	return registerDelay
}

// hopeless reports whether waiting for the copies is in vain.
func (f following) hopeless(waited time.Duration) bool {
	return f.doomed || f.grace > 0 && waited >= f.grace
}

// wait looks until the copies are there, time is out or nothing more can come.
// What cannot come is not waited for, but is pending all the same.
func (r *runner) wait(ctx context.Context, result *Result) {
	pending := func(f following) []string {
		if r.options.Wait == WaitReplaying {
			return append(slices.Clone(f.missing), f.behind...)
		}
		return f.missing
	}
	seen := followings(r.plan, r.seen)
	limit, cancel := context.WithTimeout(ctx, r.options.WaitTime)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	began := time.Now()
	for r.options.Wait != WaitNone {
		waitFor := 0
		for _, f := range seen {
			if len(pending(f)) > 0 && !f.hopeless(time.Since(began)) {
				waitFor++
			}
		}
		if waitFor == 0 {
			break
		}
		r.options.Progress(Event{Kind: EventWaiting, Done: len(seen) - waitFor, Total: len(seen)})
		select {
		case <-tick.C:
		case <-limit.Done():
		}
		if limit.Err() != nil {
			break
		}
		obs := Observe(limit, r.plan, r.sites, ObserveOptions{Reports: true})
		if limit.Err() != nil {
			break
		}
		seen = followings(r.plan, obs)
		r.fleet.look(seen)
		result.Notices = settled(result.Notices, seen)
	}
	result.Interrupted = result.Interrupted || ctx.Err() != nil
	result.Images = r.fleet.results(seen, r.options.Wait, pending)
}

// settled drops the notices about copies that have come meanwhile.
func settled(notices []Notice, seen map[replay.ImageRef]following) []Notice {
	return slices.DeleteFunc(slices.Clone(notices), func(n Notice) bool {
		return n.Code == NoticeCopyPending && !slices.Contains(seen[n.Pool.Image(n.Image)].missing, n.Site)
	})
}

func (f *fleet) results(seen map[replay.ImageRef]following, wait Wait, pending func(following) []string) []ImageResult {
	f.look(seen)
	out := make([]ImageResult, 0, len(seen))
	for ref, s := range seen {
		image := ImageResult{Ref: ref, State: s.state}
		if m := f.machines[ref]; m != nil {
			image.State = m.State()
		}
		if wait != WaitNone {
			image.Pending = pending(s)
		}
		out = append(out, image)
	}
	slices.SortFunc(out, func(a, b ImageResult) int { return a.Ref.Compare(b.Ref) })
	return out
}
