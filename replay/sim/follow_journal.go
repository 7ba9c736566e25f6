package sim

import (
	"fmt"

	"github.com/drover-io/drover/replay"
)

// transfer is a copy under way: a first sync, or one mirror snapshot.
type transfer struct {
	Total   int64    `json:"total"` // bytes
	Done    int64    `json:"done"`
	Begun   bool     `json:"begun,omitempty"` // it has passed the throttle
	Content *content `json:"content,omitempty"`
	Size    uint64   `json:"size,omitempty"`
}

// percent is how much of a transfer is done.
func (t *transfer) percent() int64 {
	if t.Total <= 0 {
		return 100 * min(t.Done, 1)
	}
	return min(100, 100*t.Done/t.Total)
}

// advance moves a transfer on by at most budget bytes (negative: all) and
// reports whether it is whole.
func (t *transfer) advance(budget int64) bool {
	if budget < 0 {
		t.Done = t.Total
	}
	t.Done = min(t.Total, t.Done+max(budget, 0))
	return t.Done >= t.Total
}

// firstSync copies the whole image.
func (r *route) firstSync(local, remote *image) {
	m, t := local.Mirror, local.Mirror.Sync
	if !t.Begun {
		if !r.ripe(m.Since, r.w.pace.Bootstrap) {
			r.report(local, replay.ReportStartingReplay, "starting replay")
			return
		}
		m.State = replay.StateEnabled
		if remote.role(r.f) != replay.RolePrimary {
			r.park(local, replay.ReportUnknown, "remote image is not primary")
			return
		}
		r.w.quiet = false
		if limit := r.w.pace.Throttle; limit > 0 && *r.syncs >= limit {
			r.report(local, replay.ReportSyncing, "bootstrapping, IMAGE_SYNC/WAIT_FOR_NOTIFY")
			return
		}
		*r.syncs++
		r.beginSync(local, remote)
	}
	r.w.quiet = false
	if !t.advance(r.rate()) {
		r.report(local, replay.ReportSyncing, fmt.Sprintf("bootstrapping, IMAGE_SYNC/COPY_IMAGE %d%%", t.percent()))
		return
	}
	local.Content, local.Size, m.Sync = t.Content.share(), t.Size, nil
	if m.Mode == replay.ModeJournal {
		remote.Journal.register(r.n.uuid(), local.Journal).Syncing = false
		r.journal(local, remote)
		return
	}
	r.snapshot(local, remote)
}

// beginSync fixes what the first sync copies.
func (r *route) beginSync(local, remote *image) {
	t := local.Mirror.Sync
	t.Begun = true
	if local.Mirror.Mode == replay.ModeSnapshot {
		// The first mirror snapshot is copied as all later ones are.
		t.Size = local.Size
		return
	}
	t.Content, t.Size, t.Total = remote.Content.share(), remote.Size, remote.Content.bytes()
	local.Journal.Epochs = r.ours(remote.Journal.Epochs)
	remote.Journal.register(r.n.uuid(), local.Journal).Syncing = true
	for _, sn := range remote.Snaps {
		if sn.Mirror == nil {
			local.take(snapshot{Name: sn.Name, Content: sn.Content.share(), Origin: sn.Origin}, r.w.state.Now).Size = sn.Size
		}
	}
}

// journal replays events.
func (r *route) journal(local, remote *image) {
	m := local.Mirror
	resumed := m.Parked != 0
	m.Parked = 0
	if remote.Journal == nil || !remote.Journal.follows(local.Journal) || remote.Journal.estranged(r.n.uuid(), local.Journal) {
		r.park(local, replay.ReportError, "split-brain detected")
		return
	}
	reader := remote.Journal.register(r.n.uuid(), local.Journal)
	budget := r.rate()
	if budget >= 0 {
		m.Credit = min(m.Credit+budget, max(budget, 64<<20))
	}
	at, pending, held := remote.Journal.after(local.Journal)
	log := remote.Journal.Log
	for ; pending && held && at < len(log); at++ {
		r.w.quiet = false
		e := log[at]
		if budget >= 0 {
			if m.Credit < e.bytes() {
				break
			}
			m.Credit -= e.bytes()
		}
		r.apply(local, remote, e)
	}
	if at >= len(log) {
		m.Credit = 0
	}
	reader.Epoch, reader.Entries = len(local.Journal.Epochs)-1, local.Journal.last().Entries
	remote.Journal.trim()
	if remote.Journal.owner() == replay.OwnerOrphan && remote.Journal.behind(local.Journal) == 0 {
		// Who replayed up to the demotion just stops; who finds it says why.
		if resumed {
			r.park(local, replay.ReportUnknown, "remote image is not primary")
		} else {
			r.park(local, replay.ReportStopped, "stopped")
		}
		return
	}
	r.report(local, replay.ReportReplaying, "")
}

// apply does to the copy what one event did to the primary.
func (r *route) apply(local, remote *image, e entry) {
	j := local.Journal
	for j.last().ID != e.Epoch {
		next := remote.Journal.Epochs[len(j.Epochs)]
		j.Epochs = append(j.Epochs, epoch{ID: next.ID, Owner: translate(next.Owner, r.n.uuid(), r.f.uuid())})
	}
	j.last().Entries = e.TID + 1
	switch e.Kind {
	case kindWrite:
		local.Content = local.Content.write(e.Offset, e.Data)
	case kindSnapCreate:
		if local.userSnap(e.Snap.Name) == nil {
			local.take(snapshot{Name: e.Snap.Name, Origin: e.Snap.Origin}, r.w.state.Now)
		}
	case kindSnapRemove:
		if sn := local.userSnap(e.Snap.Name); sn != nil {
			local.dropSnap(sn)
		}
	case kindRole:
	}
}
