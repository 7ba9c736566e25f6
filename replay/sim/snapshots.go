package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/replay"
)

// snapshot is one snapshot of one copy of an image.
type snapshot struct {
	ID      uint64          `json:"id"`
	Name    string          `json:"name"`
	Created time.Time       `json:"created"`
	Size    uint64          `json:"size"`
	Content *content        `json:"content,omitempty"`
	Origin  uint64          `json:"origin"` // the same at every site
	Mirror  *mirrorSnapshot `json:"mirror,omitempty"`
}

// mirrorSnapshot is what a mirror snapshot has beside.
type mirrorSnapshot struct {
	State    replay.MirrorSnapshotState `json:"state"`
	Complete bool                       `json:"complete,omitempty"`
	Primary  string                     `json:"primary,omitempty"`    // mirror uuid
	Copied   uint64                     `json:"copied_id,omitempty"`  // snapshot id there
	Peers    []string                   `json:"peers,omitempty"`      // peer uuids that have not synced it
	Users    []*snapshot                `json:"users,omitempty"`      // user snapshots at the time, on primaries
	Copy     *transfer                  `json:"copy,omitempty"`       // while it is incomplete
	RemoteAt time.Time                  `json:"remote_time,omitzero"` // when the copied one was taken
}

func (m *mirrorSnapshot) demotion() bool {
	return m.State == replay.SnapPrimaryDemoted || m.State == replay.SnapNonPrimaryDemoted
}

func (m *mirrorSnapshot) primary() bool {
	return m.State == replay.SnapPrimary || m.State == replay.SnapPrimaryDemoted
}

// keptMirrorSnapshots is rbd_mirroring_max_mirroring_snapshots.
const keptMirrorSnapshots = 5

func (sn *snapshot) shown() replay.Snapshot {
	out := replay.Snapshot{ID: sn.ID, Name: sn.Name, Kind: replay.SnapshotUser, Created: sn.Created, Size: sn.Size}
	if m := sn.Mirror; m != nil {
		out.Kind = replay.SnapshotMirror
		out.Mirror = &replay.MirrorSnapshot{
			State: m.State, Complete: m.Complete, PrimaryUUID: m.Primary, PrimaryID: m.Copied, Peers: slices.Clone(m.Peers),
		}
		if m.Copy != nil {
			out.Mirror.LastCopiedObject = uint64(m.Copy.Done) / defaultObjectSize
		}
	}
	return out
}

func (i *image) userSnap(name string) *snapshot {
	for _, sn := range i.Snaps {
		if sn.Mirror == nil && sn.Name == name {
			return sn
		}
	}
	return nil
}

// newestMirror is the newest mirror snapshot, complete or not.
func (i *image) newestMirror() *snapshot {
	for _, sn := range slices.Backward(i.Snaps) {
		if sn.Mirror != nil {
			return sn
		}
	}
	return nil
}

// newestComplete is the newest mirror snapshot that is whole.
func (i *image) newestComplete() *snapshot {
	for _, sn := range slices.Backward(i.Snaps) {
		if sn.Mirror != nil && sn.Mirror.Complete {
			return sn
		}
	}
	return nil
}

func (i *image) holdsOrigin(origin uint64) bool {
	return slices.ContainsFunc(i.Snaps, func(sn *snapshot) bool { return sn.Mirror != nil && sn.Origin == origin })
}

// take adds a snapshot of what the image holds now.
func (i *image) take(sn snapshot, now time.Time) *snapshot {
	sn.ID, sn.Created, sn.Size = max(i.NextSnap, 1), now, i.Size
	if sn.Content == nil {
		sn.Content = i.Content.share()
	}
	i.NextSnap, i.Hushed = sn.ID+1, false
	i.Snaps = append(i.Snaps, &sn)
	return &sn
}

func (i *image) dropSnap(sn *snapshot) {
	i.Snaps = slices.DeleteFunc(i.Snaps, func(o *snapshot) bool { return o == sn })
}

// mark takes a mirror snapshot on a primary or on one that ceases or begins to
// be it, and drops those that nobody needs any more.
func (w *World) mark(n *namespace, i *image, state replay.MirrorSnapshotState) *snapshot {
	var users []*snapshot
	for _, sn := range i.Snaps {
		if sn.Mirror == nil {
			users = append(users, sn)
		}
	}
	var peers []string
	for _, p := range n.receivers() {
		peers = append(peers, p.UUID)
	}
	sn := i.take(snapshot{
		Name:   fmt.Sprintf(".mirror.primary.%s.%s", i.Mirror.GlobalID, w.uuid()),
		Origin: w.epoch(),
		Mirror: &mirrorSnapshot{State: state, Complete: true, Peers: peers, Users: users},
	}, w.state.Now)
	i.Marked = false
	i.trimMirror()
	return sn
}

// trimMirror removes primary mirror snapshots that no peer needs, and those whose
// maker died before they were complete. Beyond what
// may be kept the second oldest goes: the oldest may be the one that a peer
// has (librbd/mirror/snapshot/CreatePrimaryRequest.cc: unlink_peer).
func (i *image) trimMirror() {
	newest := i.newestMirror()
	i.Snaps = slices.DeleteFunc(i.Snaps, func(sn *snapshot) bool { return sn.Mirror != nil && sn.Mirror.primary() && !sn.Mirror.Complete })
	var kept []*snapshot
	for _, sn := range slices.Clone(i.Snaps) {
		if sn.Mirror == nil || sn.Mirror.State != replay.SnapPrimary {
			continue
		}
		if len(sn.Mirror.Peers) == 0 && sn != newest {
			i.dropSnap(sn)
			continue
		}
		kept = append(kept, sn)
	}
	for len(kept) > keptMirrorSnapshots {
		i.dropSnap(kept[1])
		kept = slices.Delete(kept, 1, 2)
	}
}

// CreateMirrorSnapshot takes a mirror snapshot of a primary.
func (s *Site) CreateMirrorSnapshot(ctx context.Context, ref replay.ImageRef) (id uint64, err error) {
	err = s.image(ctx, "CreateMirrorSnapshot", ref, func(_ *cluster, n *namespace, i *image) error {
		if i.Mirror == nil || i.Mirror.Mode != replay.ModeSnapshot {
			return fail(einval, "snapshot based mirroring is not enabled")
		}
		if i.role(n) != replay.RolePrimary {
			return fail(einval, "image is not primary")
		}
		if len(n.receivers()) == 0 {
			return fail(einval, "no mirror tx peers configured for the pool")
		}
		marked := i.Marked
		id = s.w.mark(n, i, replay.SnapPrimary).ID
		i.Marked = marked
		return nil
	})
	return id, err
}

// Announce lets those who watch the image read it again.
func (s *Site) Announce(ctx context.Context, ref replay.ImageRef) error {
	return s.image(ctx, "Announce", ref, func(_ *cluster, _ *namespace, i *image) error {
		i.Hushed = false
		return nil
	})
}

// Cut is what a client leaves undone that dies in the middle of a call (all of
// them seen on 16.2.15).
type Cut uint8

// The cuts of an image in snapshot mode; they go together.
const (
	// CutUntold: the mirror snapshot is there, and nobody has been told.
	CutUntold Cut = 1 << iota
	// CutUnfinished: the mirror snapshot is there, and not complete.
	CutUnfinished
	// CutMarked: a primary is marked as non-primary, by a demotion that has only
	// begun, or yet, by a promotion that was nearly over.
	CutMarked
)

// CutShort leaves an image as a client does that dies in the middle of a call, or
// just after it: one that demotes or promotes the image, or takes a mirror snapshot
// of it. In journal mode there is but one way: the tag of a demotion is there
// without the event.
func (w *World) CutShort(site string, ref replay.ImageRef, cut Cut) error {
	return w.Site(site).outside(ref, func(_ *cluster, n *namespace, i *image) error {
		switch {
		case i.Mirror == nil:
		case i.Mirror.Mode == replay.ModeJournal:
			if i.Journal.owner() == replay.OwnerOrphan {
				i.Journal.takeBack()
			}
		default:
			newest := i.newestMirror()
			i.Hushed = i.Hushed || cut&CutUntold != 0
			if cut&CutUnfinished != 0 && newest != nil && newest.Mirror.primary() {
				newest.Mirror.Complete = false
			}
			i.Marked = (i.Marked || cut&CutMarked != 0) && i.role(n) == replay.RolePrimary
		}
		return nil
	})
}

// FinishPromotion takes the mark off a primary, and completes its newest mirror
// snapshot by another one.
func (s *Site) FinishPromotion(ctx context.Context, ref replay.ImageRef) error {
	return s.image(ctx, "FinishPromotion", ref, func(_ *cluster, n *namespace, i *image) error {
		switch {
		case i.Mirror == nil || i.role(n) != replay.RolePrimary:
			return fail(erofs, "it is not primary")
		case i.Mirror.Mode == replay.ModeJournal:
			return nil
		}
		i.Marked, i.Hushed = false, false
		if sn := i.newestMirror(); sn != nil && !sn.Mirror.Complete {
			s.w.mark(n, i, replay.SnapPrimary)
		}
		return nil
	})
}

// CreateSnapshot takes a user snapshot.
func (s *Site) CreateSnapshot(ctx context.Context, ref replay.ImageRef, name string) error {
	return s.image(ctx, "CreateSnapshot", ref, func(_ *cluster, n *namespace, i *image) error {
		if name == "" || strings.ContainsAny(name, "@/") {
			return fail(einval, "invalid snapshot name '%s'", name)
		}
		if i.readOnly(n) {
			return fail(erofs, "failed to create snapshot")
		}
		if i.userSnap(name) != nil {
			return fail(eexist, "failed to create snapshot")
		}
		sn := i.take(snapshot{Name: name, Origin: s.w.epoch()}, s.w.state.Now)
		if i.Journal != nil {
			i.Journal.append(entry{At: s.w.state.Now, Kind: kindSnapCreate, Snap: sn})
		}
		return nil
	})
}

// RemoveSnapshot removes a user snapshot; one that is gone is no error.
func (s *Site) RemoveSnapshot(ctx context.Context, ref replay.ImageRef, name string) error {
	return s.image(ctx, "RemoveSnapshot", ref, func(_ *cluster, n *namespace, i *image) error {
		sn := i.userSnap(name)
		if sn == nil {
			return nil
		}
		if i.readOnly(n) {
			return fail(erofs, "failed to remove snapshot")
		}
		i.dropSnap(sn)
		if i.Journal != nil {
			i.Journal.append(entry{At: s.w.state.Now, Kind: kindSnapRemove, Snap: sn})
		}
		return nil
	})
}
