package orchestrator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// DestroyOptions say what a destroy takes away. DryRun, Approved, Parallel,
// Patience, CallTime and Progress of [Options] hold; the rest has no meaning
// here. An approved diff is one of [DestroyDiff]: nothing is done unless exactly
// that is wanted still.
type DestroyOptions struct {
	Options
	// DeleteSecondaryData also removes the secondaries' copies. Without it they
	// stay as images of their own. A primary's data is never removed.
	DeleteSecondaryData bool
	// Reason is why a person wants that; without, no data is deleted.
	Reason string
}

// Destroy takes down what [Apply] sets up, the way back: rbd-mirror stopped
// where Drover runs it, schedules, images, peers, pools. It can be stopped and
// run again like Apply. The result is never nil; the error is its
// [Result.Err].
func Destroy(ctx context.Context, plan *plans.Plan, sites *Sites, o DestroyOptions) (*Result, error) {
	o.Options = o.filled()
	o.Unconfirmed = false
	if o.DeleteSecondaryData && !o.DryRun {
		if err := errNoReason(o.Reason); err != nil {
			result := &Result{Plan: plan.Name, Changes: []ChangeResult{}, Notices: []Notice{}, Refused: faultOf(err)}
			return result, result.Err()
		}
	}
	r := &runner{
		plan: plan, sites: sites, options: o.Options, began: time.Now(), verb: "destroy", neighbours: true, exact: true, reason: o.Reason,
		diff: func(obs *Observation) *Difference { return DestroyDiff(plan, obs, o.DeleteSecondaryData) },
	}
	result := r.run(ctx)
	if r.fleet != nil {
		r.fleet.retire(result)
	}
	result.Reason = o.Reason
	result.Took = time.Since(r.began)
	return result, result.Err()
}

// DestroyDiff compares the sites with one where nothing of the plan is set up.
// It is pure, and wants an observation with headers, reports, neighbours,
// records and daemons elsewhere.
//
// The order is what keeps the data: when mirroring of an image is disabled at
// its primary, a daemon that still follows it deletes the copy, even for up to
// half a minute after its peer has been removed. A copy that has been taken out
// of mirroring by force is left alone. So at every secondary first, at the
// primary last.
func DestroyDiff(plan *plans.Plan, obs *Observation, deleteCopies bool) *Difference {
	d := newDiffer(plan, obs, DiffOptions{})
	copyFacts(d.out.facts, plan, obs)
	if d.sameCluster() || d.silentForDestroy() || d.recordsUnread() {
		return d.finish()
	}
	w := wrecker{differ: d, deleteCopies: deleteCopies, kept: map[replay.Pool]bool{}, held: map[replay.ImageRef]bool{}}
	var views []poolView
	for i := range plan.Pools {
		if v := d.view(&plan.Pools[i]); d.poolSound(v) {
			views = append(views, v)
		} else {
			w.kept[whole(v.pool)] = true
		}
	}
	for _, v := range views {
		w.mustKeep(v)
	}
	w.hold(views)
	w.neighbours()
	w.daemons()
	for _, v := range views {
		w.pool(v)
	}
	for i, v := range views {
		if !slices.ContainsFunc(views[:i], func(o poolView) bool { return o.pool.Name == v.pool.Name }) {
			w.wholePool(v)
		}
	}
	return d.finish()
}

// silentForDestroy refuses when a site does not answer: its copies would be
// deleted by its daemon once it is back.
func (d *differ) silentForDestroy() bool {
	silent := false
	for i := range d.obs.Sites {
		s := &d.obs.Sites[i]
		if s.Fault == nil {
			continue
		}
		silent = true
		d.notice(NoticeSiteSilent, s.Name, replay.Pool{}, "", s.Fault.Hint, "%s", s.Fault.What)
		d.notice(NoticeDestroyUnsure, s.Name, replay.Pool{}, "", "bring it back and destroy again",
			"nothing is taken down while %s does not answer: its rbd-mirror would delete its copies when it is back", s.Name)
	}
	return silent
}

// wrecker is a destroy's comparison in the making.
type wrecker struct {
	*differ
	deleteCopies bool
	// kept are the pools and namespaces that stay mirrored; the whole pool with
	// any of its namespaces.
	kept map[replay.Pool]bool
	// held are the images that are left alone.
	held map[replay.ImageRef]bool
	// stops are the ids of the changes that stop daemons, ends those of all
	// changes to a pool and its namespaces that come before its peers go.
	stops []string
	ends  map[string][]string
}

// mustKeep finds out whether a pool is in use beyond the plan, and says by
// what.
func (w *wrecker) mustKeep(v poolView) {
	for _, s := range w.plan.Sites {
		seen := v.at[s.Name]
		var others []string
		for i := range seen.Images {
			image := &seen.Images[i]
			if _, ours := v.wanted.Match(image.Ref.Name); image.Mirrored() && !ours {
				others = append(others, image.Ref.Name)
			}
		}
		if len(others) > 0 {
			w.kept[v.pool], w.kept[whole(v.pool)] = true, true
			w.notice(NoticeDestroyKeeps, s.Name, v.pool, "", "disable their mirroring first, or name them in the plan",
				"the pool stays mirrored at %s, since it mirrors images that are not in the plan: %s", s.Name, listed(others))
		}
		if len(seen.Unread) > 0 {
			w.kept[v.pool], w.kept[whole(v.pool)] = true, true
			w.notice(NoticeDestroyUnsure, s.Name, v.pool, "", "look for inactive placement groups at "+s.Name+" (ceph health detail), then destroy again",
				"the pool stays mirrored at %s, since images cannot be read there, which are left alone: %s", s.Name, replay.WithoutSite(s.Name, unreadNames(seen)))
		}
		for _, entry := range seen.Whole.Peers {
			if !w.anyPeer(v, s.Name, &entry) && !w.kept[whole(v.pool)] {
				w.kept[whole(v.pool)] = true
				w.notice(NoticeDestroyKeeps, s.Name, whole(v.pool), "", "remove that peer first: "+w.at(s.Name).removePeer(whole(v.pool), entry.UUID),
					"the pool stays mirrored at %s, since its peer %s is no site of the plan", s.Name, orNone(entry.SiteName))
			}
		}
	}
}

// neighbours keeps pools that are mirrored for namespaces outside the plan.
func (w *wrecker) neighbours() {
	for i := range w.obs.Sites {
		s := &w.obs.Sites[i]
		if s.NeighboursFault != nil {
			for _, p := range w.plan.Pools {
				w.kept[replay.Pool{Name: p.Name}] = true
			}
			w.notice(NoticePoolFault, s.Name, replay.Pool{}, "", s.NeighboursFault.Hint, "%s", s.NeighboursFault.What)
			continue
		}
		names := map[string][]string{}
		for _, ref := range s.Neighbours {
			names[ref.Pool.Name] = append(names[ref.Pool.Name], ref.String())
		}
		for _, p := range w.plan.Pools {
			pool := replay.Pool{Name: p.Name}
			if others := names[p.Name]; len(others) > 0 {
				w.kept[pool] = true
				w.notice(NoticeDestroyKeeps, s.Name, pool, "", "disable their mirroring first, or name them in the plan",
					"the pool stays mirrored at %s, since it mirrors images that are not in the plan: %s", s.Name, listed(others))
				delete(names, p.Name)
			}
		}
	}
}

// listed names a few of many.
func listed(names []string) string {
	const shown = 10
	if len(names) > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
	}
	return strings.Join(names, ", ")
}

// anyPeer reports whether a listed peer is some other site of the plan.
func (w *wrecker) anyPeer(v poolView, at string, entry *replay.Peer) bool {
	return slices.ContainsFunc(w.plan.Sites, func(s plans.Site) bool {
		identity := w.peerIdentity(v, s.Name)
		return s.Name != at && identity.is(entry)
	})
}

// daemons stops those that Drover runs, unless they are still needed.
func (w *wrecker) daemons() {
	needed := slices.ContainsFunc(w.plan.Pools, func(p plans.Pool) bool { return w.kept[replay.Pool{Name: p.Name}] })
	for _, s := range w.plan.Sites {
		seen := w.obs.Site(s.Name)
		if seen.Runner == nil {
			continue
		}
		if seen.Runner.Fault != nil {
			w.notice(NoticeDaemonFault, s.Name, replay.Pool{}, "", seen.Runner.Fault.Hint, "%s", seen.Runner.Fault.What)
			continue
		}
		if len(seen.Elsewhere) > 0 && !needed {
			w.elsewhere(&s, seen.Elsewhere)
		}
		if !seen.Runner.Running {
			continue
		}
		if other := w.otherPool(seen.Daemons); needed || other != "" && s.Daemon.Run != plans.RunProcess {
			if other == "" {
				other = "a pool that stays mirrored"
			}
			w.notice(NoticeDaemonByOthers, s.Name, replay.Pool{}, "", "", "rbd-mirror at %s is left running: it serves %s", s.Name, other)
			continue
		}
		w.stops = append(w.stops, w.change(Change{
			ID: changeID(KindDaemonStop, s.Name, ""), Kind: KindDaemonStop, Site: s.Name,
			What: fmt.Sprintf("stop rbd-mirror (%s)", s.Daemon.Run), From: "running", To: "stopped",
			Command: seen.Runner.StopCommand, Destructive: true,
			act: runDaemon{site: s.Name},
		}))
	}
}

// elsewhere is about daemons that run where Drover cannot stop them from here.
func (w *wrecker) elsewhere(s *plans.Site, daemons []replay.MirrorDaemon) {
	if other := w.otherPool(daemons); other != "" {
		w.notice(NoticeDaemonByOthers, s.Name, replay.Pool{}, "", "", "%s, and is left running: it serves %s", elsewhereWords(s, daemons), other)
		return
	}
	w.notice(NoticeDaemonElsewhere, s.Name, replay.Pool{}, "", "stop it there, then destroy again", "%s", elsewhereWords(s, daemons))
}

// otherPool is a pool outside the plan that daemons serve.
func (w *wrecker) otherPool(daemons []replay.MirrorDaemon) string {
	for _, daemon := range daemons {
		for _, p := range daemon.Pools {
			if !slices.ContainsFunc(w.plan.Pools, func(o plans.Pool) bool { return o.Name == p.Pool.Name }) {
				return p.Pool.String()
			}
		}
	}
	return ""
}

// pool takes one pool or namespace down, but for the peers and what is the
// whole pool's.
func (w *wrecker) pool(v poolView) {
	keep := w.kept[v.pool]
	before := slices.Clone(w.stops)
	for _, s := range w.plan.Sites {
		for _, listed := range v.at[s.Name].Schedules {
			_, ours := v.wanted.Match(listed.Name)
			ours = ours && !w.held[listed.ImageRef]
			if len(w.unreadAt(v, listed.Name)) > 0 {
				continue
			}
			if ours || listed.Name == "" && !keep {
				before = append(before, w.dropSchedule(s.Name, listed))
			}
		}
		if v.at[s.Name].Mirroring.Mode == replay.PoolPool && !w.allHeld(v) {
			// In pool mode Ceph refuses to disable single images.
			before = append(before, w.change(Change{
				ID: changeID(KindPoolMode, s.Name, v.pool.String()), Kind: KindPoolMode, Site: s.Name, Pool: v.pool,
				What: "mirroring of the pool: pool → image mode, to take images out one by one", From: "pool", To: "image",
				Command: w.at(s.Name).setPoolMode(v.pool, replay.PoolImage), Needs: slices.Clone(w.stops),
				act: setPoolMode{site: s.Name, pool: v.pool, mode: replay.PoolImage},
			}))
		}
	}
	ends := append(before, w.images(v, before)...)
	if v.pool.Namespace != "" && !keep {
		for _, s := range w.plan.Sites {
			if id := w.disable(s.Name, v.pool, v.at[s.Name].Mirroring.Mode, ends); id != "" {
				ends = append(ends, id)
			}
		}
	}
	if w.ends == nil {
		w.ends = map[string][]string{}
	}
	w.ends[v.pool.Name] = append(w.ends[v.pool.Name], ends...)
}

// allHeld reports whether a pool stays mirrored with all of the plan's images.
func (w *wrecker) allHeld(v poolView) bool {
	return w.kept[v.pool] && !slices.ContainsFunc(w.ours(v), func(i imageView) bool { return !w.held[i.ref] })
}

// wholePool removes the peers of a pool and ends its mirroring, at the
// receivers first: a sender's tx-only entry is renewed for as long as it is
// followed.
func (w *wrecker) wholePool(v poolView) {
	pool := whole(v.pool)
	if w.kept[pool] {
		return
	}
	needs := w.ends[pool.Name]
	removed := slices.Clone(needs)
	for _, s := range w.plan.Sites {
		for _, entry := range v.at[s.Name].Whole.Peers {
			removed = append(removed, w.change(Change{
				ID: changeID(KindPeerRemove, s.Name, pool.String(), entry.UUID), Kind: KindPeerRemove, Site: s.Name, Pool: pool,
				What: fmt.Sprintf("remove the peer %s (%s)", orNone(entry.SiteName), entry.Direction), From: orNone(entry.SiteName), To: "none",
				Command: w.at(s.Name).removePeer(pool, entry.UUID), Needs: needs, Destructive: true,
				act: removePeer{site: s.Name, pool: pool, uuid: entry.UUID},
			}))
		}
	}
	for _, s := range w.plan.Sites {
		w.disable(s.Name, pool, v.at[s.Name].Whole.Mode, removed)
	}
}

// disable ends the mirroring of a pool or namespace; the id of the change is
// empty when it is not mirrored.
func (w *wrecker) disable(site string, pool replay.Pool, mode replay.PoolMode, needs []string) string {
	if mode == replay.PoolDisabled || mode == "" {
		return ""
	}
	return w.change(Change{
		ID: changeID(KindPoolDisable, site, pool.String()), Kind: KindPoolDisable, Site: site, Pool: pool,
		What: "mirroring of the pool: " + string(mode) + " mode → disabled", From: string(mode), To: string(replay.PoolDisabled),
		Command: w.at(site).setPoolMode(pool, replay.PoolDisabled), Needs: needs, Destructive: true,
		act: disablePool{site: site, pool: pool},
	})
}

// retire moves the machines of images that have been taken down.
func (f *fleet) retire(result *Result) {
	down := map[replay.ImageRef]bool{}
	for i := range result.Changes {
		c := &result.Changes[i]
		ref, ok := c.Change.Ref()
		if !ok || c.Change.Kind != KindUnmirror && c.Change.Kind != KindRemoveCopy {
			continue
		}
		good := c.Outcome == OutcomeDone || c.Outcome == OutcomeAlready
		if was, known := down[ref]; !known || was {
			down[ref] = good
		}
	}
	for ref, m := range f.machines {
		if down[ref] && m.Can(EventRetire) && m.Fire(EventRetire) == nil {
			f.progress(Event{Kind: EventProtects, Image: ref, State: m.State()})
		}
		result.Images = append(result.Images, ImageResult{Ref: ref, State: m.State()})
	}
	slices.SortFunc(result.Images, func(a, b ImageResult) int { return a.Ref.Compare(b.Ref) })
}
