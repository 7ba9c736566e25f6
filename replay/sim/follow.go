package sim

import (
	"slices"

	"github.com/drover-io/drover/replay"
)

// step lets the daemon look at every image of its namespace once.
func (r *route) step() {
	for _, i := range r.n.Images {
		if i.Mirror != nil && i.Mirror.Sync != nil && i.Mirror.Sync.Begun {
			*r.syncs++
		}
	}
	for _, remote := range r.f.Images {
		if remote.Mirror == nil {
			continue
		}
		if local := r.n.globals[remote.Mirror.GlobalID]; local != nil {
			r.image(local, remote)
		} else {
			r.discover(remote)
		}
	}
	for _, local := range slices.Clone(r.n.Images) {
		if local.Mirror != nil && r.f.globals[local.Mirror.GlobalID] == nil {
			r.orphaned(local)
		}
	}
}

// discover makes the local copy of an image that is new at the source.
func (r *route) discover(remote *image) {
	id := remote.Mirror.GlobalID
	if remote.role(r.f) != replay.RolePrimary {
		r.reportID(id, replay.ReportUnknown, "remote image is not primary")
		return
	}
	if remote.Mirror.Mode == replay.ModeSnapshot && r.newestFor(remote, nil) == nil {
		// Nothing can be copied before the next mirror snapshot.
		return
	}
	if !r.ripe(later(remote.Mirror.Since, r.c.Daemon.Started), r.w.pace.Discovery) {
		return
	}
	if r.n.find(remote.Name) != nil {
		r.reportID(id, replay.ReportError, "failed to create local image")
		return
	}
	if !r.parentHere(remote) {
		r.reportID(id, replay.ReportError, "error bootstrapping replay: parent image is missing")
		return
	}
	w := r.w
	local := &image{
		Name: remote.Name, ID: w.imageID(), Size: remote.Size, ObjectSize: remote.ObjectSize,
		Features: remote.Features, Created: w.state.Now, NextSnap: 1, Parent: remote.Parent,
		Mirror: &mirroring{Mode: remote.Mirror.Mode, State: replay.StateCreating, GlobalID: id, Since: w.state.Stepped},
	}
	if local.Mirror.Mode == replay.ModeJournal {
		local.Journal = &journal{Epochs: r.ours(remote.Journal.Epochs)}
		remote.Journal.register(r.n.uuid(), remote.Journal).Syncing = true
	}
	local.Mirror.Sync = &transfer{}
	r.n.add(local)
	r.n.globals[id] = local
	r.image(local, remote)
}

// parentHere reports whether a clone has its parent at this site, too.
func (r *route) parentHere(remote *image) bool {
	if remote.Parent == nil {
		return true
	}
	n := r.c.space(remote.Parent.Pool)
	return n != nil && n.find(remote.Parent.Name) != nil
}

// ours are the source's epochs as they are called here.
func (r *route) ours(epochs []epoch) []epoch {
	out := slices.Clone(epochs)
	for k := range out {
		out[k].Owner = translate(out[k].Owner, r.n.uuid(), r.f.uuid())
	}
	return out
}

// image lets the daemon do what is next for a copy.
func (r *route) image(local, remote *image) {
	m := local.Mirror
	switch {
	case m.Halted:
		r.report(local, replay.ReportStopped, "stopped")
		m.Parked = 0
	case m.Parked == r.c.Daemon.Instance && !r.check:
	case local.role(r.n) == replay.RolePrimary:
		m.Resync = false
		r.introduce(remote)
		r.park(local, replay.ReportStopped, "local image is primary")
	case remote.role(r.f) != replay.RolePrimary && m.Resync && !r.w.state.Blind:
		r.park(local, replay.ReportUnknown, "remote image is not primary")
	case m.Resync:
		r.resync(local)
	case m.Mode != remote.Mirror.Mode:
		r.park(local, replay.ReportError, "mirroring mode mismatch")
	case m.Sync != nil:
		r.firstSync(local, remote)
	case !r.ripe(r.c.Daemon.Started, r.w.pace.Bootstrap):
		r.report(local, replay.ReportStartingReplay, "starting replay")
	case m.Mode == replay.ModeJournal:
		r.journal(local, remote)
	default:
		r.snapshot(local, remote)
	}
}

// introduce registers this site with the journal of a copy that it may have to
// follow one day. rbd-mirror does so when it looks at its own primary, which is
// with each check, once the copy is past its first sync (seen on 16.2.15).
func (r *route) introduce(remote *image) {
	if remote.Journal != nil && remote.Mirror.Sync == nil && remote.Mirror.Mode == replay.ModeJournal && remote.Journal.reader(r.n.uuid()) == nil {
		remote.Journal.Readers = append(remote.Journal.Readers, &reader{ID: r.n.uuid()})
	}
}

// park reports why an image is not replayed; the daemon comes back to it with
// its next check.
func (r *route) park(local *image, state replay.ReportState, text string) {
	r.report(local, state, text)
	if r.w.pace.Check > 0 {
		local.Mirror.Parked = r.c.Daemon.Instance
	}
}

// resync deletes the copy, which is then discovered like a new image.
func (r *route) resync(local *image) {
	r.report(local, replay.ReportStopped, "resync requested")
	if !r.ripe(local.Mirror.Since, r.w.pace.Discovery) {
		return
	}
	if remote := r.f.globals[local.Mirror.GlobalID]; remote != nil {
		remote.Mirror.Since = r.w.state.Stepped
	}
	r.n.remove(local)
	r.w.quiet = false
}

// orphaned deletes a copy whose image is not mirrored at its source any more.
func (r *route) orphaned(local *image) {
	m := local.Mirror
	if local.role(r.n) == replay.RolePrimary {
		r.report(local, replay.ReportStopped, "local image is primary")
		return
	}
	if m.Missed.IsZero() {
		m.Missed = r.w.state.Stepped
	}
	if r.ripe(m.Missed, r.w.pace.Discovery) {
		r.n.remove(local)
	}
}
