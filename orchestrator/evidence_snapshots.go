package orchestrator

import (
	"fmt"
	"time"

	"github.com/drover-io/drover/replay"
)

// sinceSnapshot reads off mirror snapshots what the side wrote that another
// lacks. How much that is, they do not tell: only since when.
func (s *SideEvidence) sinceSnapshot(other *SideEvidence, now time.Time) *ownSince {
	newest, ok := newestMirrored(&s.copy.Image)
	if !ok {
		return unknownSince(s.Site + " has no mirror snapshot")
	}
	if copied(newest) {
		return &ownSince{WritesSince: WritesSince{None: true, Why: s.Site + " has only followed"}}
	}
	common, at, found := s.commonSnapshot(other)
	if !found {
		// A forced promotion removes all mirror snapshots that the copy had of the
		// old primary's (seen on 16.2.15): with them goes the common point.
		return unknownSince("no mirror snapshot is left that both " + s.Site + " and " + other.Site + " hold; a forced promotion removes them")
	}
	since := &ownSince{common: common}
	since.First = &at
	since.until = &now
	since.Why = fmt.Sprintf("since %s; mirror snapshots do not tell how much was written", common.Text)
	if s.Role != replay.RolePrimary {
		demoted := newest.Created.UTC()
		since.until = &demoted
	}
	span := max(since.until.Sub(at), 0).Seconds()
	since.Seconds = &span
	return since
}

// commonSnapshot is the newest mirror snapshot that both sides hold whole,
// whichever took it, and from when on the side can have written what the other
// lacks.
func (s *SideEvidence) commonSnapshot(other *SideEvidence) (common *CommonPoint, from time.Time, found bool) {
	mine, theirs := &s.copy.Image, &other.copy.Image
	held := map[uint64]bool{}
	for _, snap := range theirs.Snapshots {
		if snap.Mirror != nil && snap.Mirror.Complete && snap.Mirror.PrimaryUUID == s.copy.MirrorUUID && s.copy.MirrorUUID != "" {
			held[snap.Mirror.PrimaryID] = true
		}
	}
	var newest, followed replay.Snapshot
	for _, snap := range mine.Snapshots {
		if snap.Mirror == nil {
			continue
		}
		theirOwn := snap.Mirror.Complete && snap.Mirror.PrimaryUUID == other.copy.MirrorUUID && snap.Mirror.PrimaryUUID != ""
		if (theirOwn || held[snap.ID]) && (!found || snap.ID > newest.ID) {
			newest, found = snap, true
			followed = replay.Snapshot{}
			if theirOwn {
				followed = snap
			}
		}
	}
	if !found {
		return nil, time.Time{}, false
	}
	if followed.Mirror == nil {
		at := newest.Created.UTC()
		text := fmt.Sprintf("mirror snapshot %d of %s, which %s holds", newest.ID, s.Site, other.Site)
		return &CommonPoint{Text: text, Site: s.Site, Snapshot: newest.ID, At: &at}, at, true
	}
	common = &CommonPoint{
		Text: fmt.Sprintf("mirror snapshot %d of %s, which %s holds", followed.Mirror.PrimaryID, other.Site, s.Site),
		Site: other.Site, Snapshot: followed.Mirror.PrimaryID,
	}
	for _, snap := range theirs.Snapshots {
		if snap.ID == followed.Mirror.PrimaryID {
			at := snap.Created.UTC()
			common.At = &at
		}
	}
	// It could be written only once it was promoted.
	from = followed.Created.UTC()
	if own, _, ok := ownEra(mine); ok {
		from = own.Created.UTC()
	}
	return common, from, true
}

// newestMirrored is the mirror snapshot with the highest id.
func newestMirrored(image *replay.Image) (newest replay.Snapshot, ok bool) {
	for _, snap := range image.Snapshots {
		if snap.Kind == replay.SnapshotMirror && snap.Mirror != nil && (!ok || snap.ID > newest.ID) {
			newest, ok = snap, true
		}
	}
	return newest, ok
}

// copied reports whether a mirror snapshot is the copy of another site's.
func copied(snap replay.Snapshot) bool {
	m := snap.Mirror
	return m.PrimaryUUID != "" || m.State == replay.SnapNonPrimary || m.State == replay.SnapNonPrimaryDemoted
}

// ownEra is the oldest mirror snapshot of the image's newest time as primary;
// whole: it is the first of that time, as the one before it is still there.
func ownEra(image *replay.Image) (first replay.Snapshot, whole, ok bool) {
	var before replay.Snapshot
	for _, snap := range image.Snapshots {
		if snap.Mirror != nil && (copied(snap) || snap.Mirror.State == replay.SnapPrimaryDemoted) && snap.ID > before.ID {
			if n, _ := newestMirrored(image); n.ID == snap.ID && !copied(snap) {
				continue // the demotion that ends it
			}
			before = snap
		}
	}
	for _, snap := range image.Snapshots {
		if snap.Mirror != nil && !copied(snap) && snap.ID > before.ID && (!ok || snap.ID < first.ID) {
			first, ok = snap, true
		}
	}
	return first, before.ID > 0, ok
}

// snapshotTimes tells since when the side has had its role.
func (s *SideEvidence) snapshotTimes() {
	newest, ok := newestMirrored(&s.copy.Image)
	if !ok || copied(newest) {
		return
	}
	if s.Role != replay.RolePrimary {
		at := newest.Created.UTC()
		s.Since = &at
		return
	}
	if first, whole, ok := ownEra(&s.copy.Image); ok {
		at := first.Created.UTC()
		s.Since, s.SinceBefore = &at, !whole
	}
}
