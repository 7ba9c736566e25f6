package replay

import "fmt"

// Diverged tells whether the secondary's history holds something that the
// primary never had: a time of its own as primary, as after a forced promotion
// at the one side and a demotion at the other. Replay cannot join the two again.
// why names the proof. Where the records at hand do not suffice (not read, or
// already trimmed) the answer is false: the daemon's report may still tell.
//
// Two copies that are both primary, or both demoted from their own time as
// primary, have diverged as well.
//
// The rule for journals is a part of rbd-mirror's own
// (image_replayer/journal/PrepareReplayRequest.cc): a secondary whose newest
// tag is its own demotion can go on only if the primary's journal has that
// demotion. rbd-mirror is stricter: it also refuses to follow a primary that
// was forced although it had the demotion. No data differs then, so that is
// left to the daemon's report.
func Diverged(primary, secondary Copy) (diverged bool, why string) {
	p, s := primary.Image, secondary.Image
	if !p.Mirrored() || !s.Mirrored() || p.GlobalID != s.GlobalID {
		return false, ""
	}
	if p.Role == RolePrimary && s.Role == RolePrimary {
		return true, "both are primary"
	}
	if p.Mode != s.Mode || primary.MirrorUUID == "" || secondary.MirrorUUID == "" {
		return false, ""
	}
	if p.Mode == ModeJournal {
		return journalsDiverged(primary, secondary)
	}
	return snapshotsDiverged(primary, secondary)
}

func journalsDiverged(primary, secondary Copy) (bool, string) {
	mine, ok := secondary.Image.Journal.ownDemotion()
	if !ok || len(primary.Image.Journal.tags()) == 0 {
		return false, ""
	}
	if primary.Image.Journal.follows(secondary.MirrorUUID, mine) {
		return false, ""
	}
	if primary.Image.Role == RolePrimary {
		return true, fmt.Sprintf("the secondary was primary until journal tag %d, which the primary never replayed", mine.PredecessorTag)
	}
	theirs, ok := primary.Image.Journal.ownDemotion()
	if !ok || secondary.Image.Journal.follows(primary.MirrorUUID, theirs) ||
		primary.Image.Journal.orderlyPromotion() || secondary.Image.Journal.orderlyPromotion() {
		return false, "" // the one is just behind the other, or may be: tags get trimmed
	}
	return true, bothDemoted
}

const bothDemoted = "both were primary and were demoted, and neither follows the other"

// ownDemotion is the newest tag, if it ends a time of this site as primary.
func (j *Journal) ownDemotion() (JournalTag, bool) {
	tag, ok := j.newestTag()
	return tag, ok && tag.Owner == OwnerOrphan && tag.PredecessorOwner == ""
}

// follows reports whether the journal has replayed that demotion of the peer's.
func (j *Journal) follows(peer string, demotion JournalTag) bool {
	for _, tag := range j.tags() {
		if tag.Owner == OwnerOrphan && tag.PredecessorOwner == peer && tag.PredecessorTag == demotion.PredecessorTag {
			return true
		}
	}
	return false
}

// orderlyPromotion reports whether a time as primary began with a replayed
// demotion. (A forced one follows on no other tag that a peer could know:
// librbd/journal/PromoteRequest.cc.)
func (j *Journal) orderlyPromotion() bool {
	for _, tag := range j.tags() {
		if tag.Owner == "" && tag.PredecessorOwner == OwnerOrphan {
			return true
		}
	}
	return false
}

func (j *Journal) tags() []JournalTag {
	if j == nil {
		return nil
	}
	return j.Tags
}

func snapshotsDiverged(primary, secondary Copy) (bool, string) {
	mine, ok := newestMirrorSnapshot(secondary.Image)
	theirs, both := newestMirrorSnapshot(primary.Image)
	if !ok || !both || mine.Mirror.follows() || hasCopy(primary.Image, secondary.MirrorUUID, mine.ID) {
		return false, ""
	}
	if primary.Image.Role == RolePrimary {
		return true, fmt.Sprintf("the secondary was primary until mirror snapshot %d, which the primary never had", mine.ID)
	}
	if theirs.Mirror.follows() || hasCopy(secondary.Image, primary.MirrorUUID, theirs.ID) {
		return false, "" // the one is just behind the other
	}
	return true, bothDemoted
}

// hasCopy reports whether the image has a copy of the peer's mirror snapshot.
func hasCopy(i Image, peer string, id uint64) bool {
	for _, s := range i.Snapshots {
		if s.Mirror != nil && s.Mirror.PrimaryUUID == peer && s.Mirror.PrimaryID == id {
			return true
		}
	}
	return false
}
