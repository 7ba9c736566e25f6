package sim

import (
	"fmt"
	"slices"

	"github.com/drover-io/drover/replay"
)

// snapshot copies the source's newest mirror snapshot.
func (r *route) snapshot(local, remote *image) {
	theirs, ours := r.newestFor(remote, local), local.newestMirror()
	if ours != nil && !ours.Mirror.Complete {
		if ours.Mirror.primary() {
			r.park(local, replay.ReportError, "incomplete local primary snapshot")
			return
		}
		r.w.quiet = false
		r.copySnapshot(local, remote, ours)
		return
	}
	switch {
	case theirs == nil || ours != nil && !remote.holdsOrigin(ours.Origin):
		r.park(local, replay.ReportError, "split-brain")
	case ours != nil && theirs.Origin == ours.Origin:
		if sn := remote.newestMirror(); !remote.Hushed && !sn.Mirror.Complete {
			theirs = sn // it is seen, and never copied
		}
		r.level(local, theirs)
	case !theirs.Mirror.primary():
		r.park(local, replay.ReportUnknown, "remote image is not primary")
	default:
		local.Mirror.Parked, r.w.quiet = 0, false
		r.copySnapshot(local, remote, r.beginSnapshot(local, theirs))
	}
}

// newestFor is the source's newest mirror snapshot that is meant for this site:
// one taken before the source knew its peer is passed over.
func (r *route) newestFor(remote, local *image) *snapshot {
	hushed := remote.Hushed
	for _, sn := range slices.Backward(remote.Snaps) {
		if sn.Mirror == nil || sn.Mirror.primary() && !sn.Mirror.Complete {
			continue
		}
		if hushed {
			hushed = false
			continue
		}
		if local != nil && local.holdsOrigin(sn.Origin) || !sn.Mirror.primary() {
			return sn
		}
		for _, p := range r.f.outer().Peers {
			if p.MirrorUUID == r.n.uuid() && slices.Contains(sn.Mirror.Peers, p.UUID) {
				return sn
			}
		}
	}
	return nil
}

// level reports on a copy that has the source's newest mirror snapshot.
func (r *route) level(local *image, theirs *snapshot) {
	switch {
	case !theirs.Mirror.demotion():
		local.Mirror.Parked = 0
		r.report(local, replay.ReportReplaying, "")
	case local.Mirror.Parked != 0:
		r.park(local, replay.ReportUnknown, "remote image is not primary")
	default:
		r.park(local, replay.ReportUnknown, "remote image demoted")
	}
}

// beginSnapshot makes the local snapshot that the copy will complete.
func (r *route) beginSnapshot(local *image, theirs *snapshot) *snapshot {
	state := replay.SnapNonPrimary
	if theirs.Mirror.demotion() {
		state = replay.SnapNonPrimaryDemoted
	}
	sn := local.take(snapshot{
		Name:   fmt.Sprintf(".mirror.non_primary.%s.%s", local.Mirror.GlobalID, r.w.uuid()),
		Origin: theirs.Origin,
		Mirror: &mirrorSnapshot{
			State: state, Primary: r.f.uuid(), Copied: theirs.ID, RemoteAt: theirs.Created,
			Copy: &transfer{Total: theirs.Content.apart(local.Content), Content: theirs.Content.share(), Size: theirs.Size},
		},
	}, r.w.state.Now)
	return sn
}

// copySnapshot moves the copy of a mirror snapshot on.
func (r *route) copySnapshot(local, remote *image, sn *snapshot) {
	t := sn.Mirror.Copy
	if !t.advance(r.rate()) {
		r.report(local, replay.ReportReplaying, "")
		return
	}
	local.Content, local.Size = t.Content.share(), t.Size
	sn.Content, sn.Size = t.Content.share(), t.Size
	sn.Mirror.Complete, sn.Mirror.Copy = true, nil
	local.Mirror.LastBytes = t.Total
	if sn.Mirror.demotion() && r.w.pace.Check > 0 {
		local.Mirror.Held = r.w.state.Stepped.Add(quantum)
	}
	at := slices.IndexFunc(remote.Snaps, func(o *snapshot) bool { return o.Origin == sn.Origin })
	if at >= 0 {
		r.matchUserSnaps(local, remote.Snaps[at].Mirror.Users)
		r.unlink(remote, remote.Snaps[at])
	}
	local.Snaps = slices.DeleteFunc(local.Snaps, func(o *snapshot) bool {
		return o.Mirror != nil && o != sn && o.Mirror.State == replay.SnapNonPrimary
	})
	r.snapshot(local, remote)
}

// unlink tells the source that this site needs no snapshot before this one:
// from this one the next difference is taken.
func (r *route) unlink(remote *image, got *snapshot) {
	for _, p := range r.f.outer().Peers {
		if p.MirrorUUID != r.n.uuid() {
			continue
		}
		for _, sn := range remote.Snaps {
			if sn.Mirror != nil && sn.ID < got.ID {
				sn.Mirror.Peers = slices.DeleteFunc(sn.Mirror.Peers, func(u string) bool { return u == p.UUID })
			}
		}
	}
	remote.trimMirror()
}

// matchUserSnaps gives the copy the user snapshots of the primary.
func (r *route) matchUserSnaps(local *image, users []*snapshot) {
	has := func(list []*snapshot, origin uint64) bool {
		return slices.ContainsFunc(list, func(o *snapshot) bool { return o.Origin == origin })
	}
	local.Snaps = slices.DeleteFunc(local.Snaps, func(sn *snapshot) bool {
		return sn.Mirror == nil && !has(users, sn.Origin)
	})
	for _, sn := range users {
		if !has(local.Snaps, sn.Origin) {
			local.take(snapshot{Name: sn.Name, Content: sn.Content.share(), Origin: sn.Origin}, r.w.state.Now).Size = sn.Size
		}
	}
}
