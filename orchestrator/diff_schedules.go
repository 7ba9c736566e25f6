package orchestrator

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// schedules compares the mirror snapshot schedules of one pool. The mgr of a
// site takes snapshots of the images that are primary there: so schedules
// belong to the preferred primary, and in a two-way plan to both sites.
func (d *differ) schedules(v poolView) {
	for _, s := range d.plan.Sites {
		seen, ok := v.at[s.Name]
		if !ok {
			continue
		}
		if d.plan.Snapshots.By == plans.SnapshotsByDrover {
			d.retiredSchedules(v, s.Name, seen)
			continue
		}
		var wanted []replay.MirrorSchedule
		if s.Name == d.plan.Primary || d.plan.Direction == plans.TwoWay {
			wanted = d.wantedSchedules(v)
		}
		if seen.SchedulesFault != nil {
			d.schedulesUnread(v, s.Name, seen, wanted)
			continue
		}
		for _, w := range wanted {
			if !hasSchedule(seen.Schedules, w) {
				d.addSchedule(v, s.Name, seen, w)
			}
		}
		d.extraSchedules(v, s.Name, seen, wanted)
	}
}

// retiredSchedules wants those schedules gone from the mgr that Drover follows by
// itself, so that nothing takes mirror snapshots twice. A mgr that cannot be asked
// takes none.
func (d *differ) retiredSchedules(v poolView, site string, seen *PoolObservation) {
	ours := d.wantedSchedules(v)
	for _, s := range seen.Schedules {
		if hasSchedule(ours, s) {
			d.dropSchedule(site, s)
		}
	}
	d.extraSchedules(v, site, seen, ours)
}

// schedulesUnread tells that schedules cannot be read, where any are wanted.
func (d *differ) schedulesUnread(v poolView, site string, seen *PoolObservation, wanted []replay.MirrorSchedule) {
	// A namespace that is not there yet has no schedules either.
	if len(wanted) == 0 || seen.NoNamespace && errors.Is(seen.SchedulesFault, replay.ErrNotFound) {
		return
	}
	d.notice(NoticeScheduleFault, site, v.pool, "", seen.SchedulesFault.Hint, "%s", seen.SchedulesFault.What)
}

// wantedSchedules are the schedules of a pool by the plan.
func (d *differ) wantedSchedules(v poolView) []replay.MirrorSchedule {
	var out []replay.MirrorSchedule
	add := func(image string, schedules []plans.Schedule) {
		for _, s := range schedules {
			out = append(out, replay.MirrorSchedule{ImageRef: v.pool.Image(image), Every: interval(s.Every), Start: s.Start})
		}
	}
	add("", v.wanted.Schedules)
	for _, name := range d.protectedNames(v) {
		// A halt has paused those of its images, and puts them back.
		if len(d.unreadAt(v, name)) > 0 {
			continue // it is left alone, and so are its schedules
		}
		if image, ok := v.wanted.Match(name); ok && image.Mode == plans.ModeSnapshot && d.obs.Records.halted(v.pool.Image(name)) == nil {
			add(name, image.Schedules)
		}
	}
	return out
}

// protectedNames are the images of a pool that are mirrored or will be.
func (d *differ) protectedNames(v poolView) []string {
	var names []string
	for _, seen := range v.at {
		for i := range seen.Images {
			if seen.Images[i].Mirrored() {
				names = append(names, seen.Images[i].Ref.Name)
			}
		}
	}
	for i := range d.out.Changes {
		if c := &d.out.Changes[i]; c.Kind == KindMirror && c.Pool == v.pool {
			names = append(names, c.Image)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (d *differ) addSchedule(v poolView, site string, seen *PoolObservation, s replay.MirrorSchedule) {
	needs := []string{changeID(KindPoolMode, site, v.pool.String()), changeID(KindNamespace, site, v.pool.String())}
	if s.Name != "" {
		for _, other := range d.plan.Sites {
			needs = append(needs, changeID(KindMirror, other.Name, s.String()), changeID(KindSnapshot, other.Name, s.String()),
				changeID(KindDaemonStart, other.Name, ""))
		}
		if !d.comesTo(v, site, s.Name, seen) {
			return
		}
	}
	d.change(Change{
		ID: changeID(KindSchedule, site, s.String(), s.Every, s.Start), Kind: KindSchedule, Site: site, Pool: v.pool, Image: s.Name,
		What: "add a mirror snapshot schedule: " + scheduleWords(s), From: "none", To: scheduleWords(s),
		Command: d.at(site).schedule("add", s), Needs: needs,
		act: addSchedule{site: site, schedule: s},
	})
}

// comesTo reports whether an image is mirrored by snapshots at the site, will
// be, or will be copied there by a daemon that runs or will.
func (d *differ) comesTo(v poolView, site, name string, seen *PoolObservation) bool {
	if image := seen.Image(name); image != nil && image.Mirrored() {
		return image.Mode == replay.ModeSnapshot
	}
	ref := v.pool.Image(name).String()
	if d.wants(changeID(KindMirror, site, ref)) {
		return true
	}
	here := d.obs.Site(site)
	if here == nil || !here.daemonRuns() && here.Runner == nil || seen.Image(name) != nil {
		return false
	}
	for other, there := range v.at {
		image := there.Image(name)
		primary := image != nil && image.Role == replay.RolePrimary && image.Mode == replay.ModeSnapshot
		if (primary || d.wants(changeID(KindMirror, other, ref))) && slices.Contains(receivers(d.plan, other), site) {
			return true
		}
	}
	return false
}

func (d *differ) extraSchedules(v poolView, site string, seen *PoolObservation, wanted []replay.MirrorSchedule) {
	for _, s := range seen.Schedules {
		if hasSchedule(wanted, s) || s.Name != "" && (v.wanted.Excludes(s.Name) || d.obs.Records.halted(s.ImageRef) != nil || len(d.unreadAt(v, s.Name)) > 0) {
			continue
		}
		if d.options.Prune {
			d.dropSchedule(site, s)
			continue
		}
		d.notice(NoticeExtraSchedule, site, v.pool, s.Name, "put it into the plan, or apply with --prune: "+d.at(site).schedule("remove", s),
			"the schedule %s is not in the plan", scheduleWords(s))
	}
}

// dropSchedules wants the schedules of one image gone and answers with the ids
// of those changes. The mgr refuses to remove them once the image is not
// mirrored any more ("Invalid level spec").
func (d *differ) dropSchedules(site string, ref replay.ImageRef, seen *PoolObservation) []string {
	var ids []string
	for _, s := range seen.Schedules {
		if s.ImageRef == ref {
			ids = append(ids, d.dropSchedule(site, s))
		}
	}
	return ids
}

func (d *differ) dropSchedule(site string, s replay.MirrorSchedule) string {
	return d.change(Change{
		ID: changeID(KindScheduleRemove, site, s.String(), s.Every, s.Start), Kind: KindScheduleRemove, Site: site, Pool: s.Pool, Image: s.Name,
		What: "remove the mirror snapshot schedule " + scheduleWords(s), From: scheduleWords(s), To: "none",
		Command: d.at(site).schedule("remove", s), Destructive: true,
		act: removeSchedule{site: site, schedule: s},
	})
}

func scheduleWords(s replay.MirrorSchedule) string {
	if s.Start == "" {
		return "every " + s.Every
	}
	return fmt.Sprintf("every %s from %s", s.Every, s.Start)
}

// snapshotFor wants a mirror snapshot of an image at its primary when there is
// none that some receiver could copy; see [takeSnapshot].
func (d *differ) snapshotFor(v imageView, primary string) {
	var missing []peerWant
	var names, needs []string
	for _, to := range receivers(d.plan, primary) {
		seen, answered := v.at[to]
		if !answered || d.copied(v, to) {
			continue
		}
		identity := d.peerIdentity(v.poolView, to)
		entry := identity.announced(v.at[primary].Whole.Peers)
		image := v.seen[primary]
		switch {
		case image != nil && image.Mirrored() && entry != nil && sentTo(image, entry.UUID):
			continue
		case image == nil || !image.Mirrored():
			// It will be enabled now: for all peers that the pool then has.
			if entry != nil || d.wants(peerID(v.pool, flow{from: to, to: primary})) {
				continue
			}
		}
		if entry == nil && len(seen.Whole.Peers) == 0 && !d.wants(peerID(v.pool, flow{from: primary, to: to})) {
			continue // a site that cannot receive has its own notice
		}
		here := d.obs.Site(to)
		if entry == nil && here.Runner == nil && !here.daemonRuns() {
			continue // no daemon will say hello; that has its own notice
		}
		missing, names = append(missing, identity), append(names, to)
		needs = append(needs, peerID(v.pool, flow{from: primary, to: to}), changeID(KindDaemonStart, to, ""))
	}
	if len(missing) == 0 {
		return
	}
	d.change(Change{
		ID: changeID(KindSnapshot, primary, v.ref.String()), Kind: KindSnapshot, Site: primary, Pool: v.pool, Image: v.ref.Name,
		What: "take a mirror snapshot for " + strings.Join(names, ", ") + ", since none was meant for it", To: "mirror snapshot",
		Command: d.at(primary).mirrorSnapshot(v.ref),
		Needs:   append(needs, changeID(KindMirror, primary, v.ref.String())),
		act:     takeSnapshot{site: primary, ref: v.ref, receivers: missing},
	})
}

// copied reports whether a site holds a complete copy of the image.
func (d *differ) copied(v imageView, site string) bool {
	image := v.seen[site]
	return image != nil && slices.ContainsFunc(image.Snapshots, func(s replay.Snapshot) bool {
		return s.Mirror != nil && s.Mirror.Complete
	})
}

// sentTo reports whether a mirror snapshot waits for the peer.
func sentTo(image *replay.Image, peer string) bool {
	return slices.ContainsFunc(image.Snapshots, func(s replay.Snapshot) bool {
		return s.Mirror != nil && slices.Contains(s.Mirror.Peers, peer)
	})
}
