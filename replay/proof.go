package replay

import "fmt"

// Copy is an image at one site, with the uuid by which that site's pool is
// known to its peers ([PoolMirroring].UUID): journals and mirror snapshots
// name each other by it.
type Copy struct {
	Image      Image
	MirrorUUID string
}

// Proof is whether a secondary holds all that a primary has, and what that
// rests on. It is drawn from the images at both sites alone, never from a
// report.
type Proof struct {
	// OK: the secondary holds all that the primary had made durable when both
	// were read.
	OK bool `json:"ok"`
	// Final: OK, and the primary has been demoted: nothing more can come, so
	// the secondary may be promoted without loss. While the primary is primary,
	// OK says nothing of what a client writes next, nor of journal entries
	// whose commit the client has yet to record (every few seconds).
	Final bool   `json:"final"`
	Why   string `json:"why"` // one clause; for OK and not OK alike

	// Journal mode: the newest commit positions in the primary's journal.
	PrimaryPosition   *Position `json:"primary_position,omitempty"`
	SecondaryPosition *Position `json:"secondary_position,omitempty"`
	// Snapshot mode: ids of the newest mirror snapshot at the primary, and of
	// the one that the secondary's newest complete mirror snapshot is a copy of.
	PrimarySnapshot   uint64 `json:"primary_snapshot,omitempty"`
	SecondarySnapshot uint64 `json:"secondary_snapshot,omitempty"`
}

// Past reports whether the secondary has come to where the primary stood at an
// earlier proof of the same copies, whatever was written since.
func (p Proof) Past(earlier Proof) bool {
	switch {
	case earlier.PrimaryPosition != nil:
		return p.SecondaryPosition != nil && !before(*p.SecondaryPosition, *earlier.PrimaryPosition)
	case earlier.PrimarySnapshot != 0:
		return p.SecondarySnapshot >= earlier.PrimarySnapshot
	}
	return false
}

// CaughtUp proves that the secondary holds what the primary holds. The primary
// may have been demoted already; both copies must have been read
// WithPositions.
//
// Journal mode: in the primary's journal the secondary's commit position has
// reached the local one; once demoted, both stand in the demotion's own tag,
// and the secondary's journal has recorded that demotion
// (librbd/journal/DemoteRequest.cc; seen on 16.2.15).
// Snapshot mode: the secondary's newest mirror snapshot is complete and is the
// copy of the primary's newest (seen on 16.2.15).
func CaughtUp(primary, secondary Copy) Proof {
	if why := notACopy(primary, secondary); why != "" {
		return Proof{Why: why}
	}
	if primary.Image.Mode == ModeSnapshot {
		return caughtUpSnapshot(primary, secondary)
	}
	return caughtUpJournal(primary, secondary)
}

// notACopy says why the two cannot be primary and secondary of each other;
// "" when they can.
func notACopy(primary, secondary Copy) string {
	p, s := primary.Image, secondary.Image
	switch {
	case !p.Mirrored():
		return "the primary is not mirrored"
	case !s.Mirrored():
		return "the secondary is not mirrored"
	case p.GlobalID != s.GlobalID:
		return "the two are not copies of one image: their global ids differ"
	case p.Mode != s.Mode:
		return fmt.Sprintf("the primary is mirrored in %s mode, the secondary in %s mode", p.Mode, s.Mode)
	case p.State != StateEnabled:
		return fmt.Sprintf("mirroring of the primary is %s", p.State)
	case s.State != StateEnabled:
		return fmt.Sprintf("mirroring of the secondary is %s", s.State)
	case s.Role != RoleSecondary:
		return "the secondary is primary itself"
	case p.Role != RolePrimary && !p.Demoted:
		return "the primary is neither primary nor demoted"
	case primary.MirrorUUID == "" || secondary.MirrorUUID == "":
		return "a site's mirror uuid is not known"
	case primary.MirrorUUID == secondary.MirrorUUID:
		return "both copies are of one site"
	}
	return ""
}

func caughtUpJournal(primary, secondary Copy) Proof {
	j := primary.Image.Journal
	if j == nil {
		return Proof{Why: "the primary's journal has not been read"}
	}
	local, ok := j.Client("")
	if !ok {
		return Proof{Why: "the primary's journal has no local client"}
	}
	peer, ok := j.Client(secondary.MirrorUUID)
	switch {
	case !ok:
		return Proof{Why: "the secondary is not registered in the primary's journal: it never began to replay"}
	case peer.Disconnected:
		return Proof{Why: "the primary's journal has disconnected the secondary"}
	case peer.Syncing:
		return Proof{Why: "the secondary is still in its first sync"}
	}

	var proof Proof
	have, haveAny := local.Newest()
	got, gotAny := peer.Newest()
	if haveAny {
		proof.PrimaryPosition = &have
	}
	if gotAny {
		proof.SecondaryPosition = &got
	}
	switch {
	case haveAny && !gotAny:
		proof.Why = "the secondary has committed nothing yet"
		return proof
	case haveAny && before(got, have):
		proof.Why = fmt.Sprintf("the secondary stands at %s, the primary at %s", got, have)
		return proof
	}
	if primary.Image.Role == RolePrimary {
		proof.OK = true
		proof.Why = "the secondary has replayed all that the primary has committed so far"
		return proof
	}
	if why := demotionReplayed(j, secondary.Image.Journal, primary.MirrorUUID, have, haveAny); why != "" {
		proof.Why = why
		return proof
	}
	proof.OK, proof.Final = true, true
	proof.Why = "the secondary has replayed the primary's demotion"
	return proof
}

// demotionReplayed says what is missing until a demotion has gone from the
// primary's journal to the secondary's; "" when nothing is. have is the
// primary's own commit position, which the secondary's has reached already.
func demotionReplayed(primary, secondary *Journal, primaryUUID string, have Position, haveAny bool) string {
	demotion, ok := primary.newestTag()
	switch {
	case !ok || demotion.Owner != OwnerOrphan:
		return "the newest tag of the primary's journal is not a demotion"
	case !haveAny || have.Tag != demotion.TID:
		return "the demotion is not committed at the primary yet"
	case secondary == nil:
		return "the secondary's journal has not been read"
	}
	replayed, ok := secondary.newestTag()
	switch {
	case !ok || replayed.Owner != OwnerOrphan:
		return "the demotion is not in the secondary's journal yet"
	case replayed.PredecessorOwner != primaryUUID || replayed.PredecessorTag != demotion.PredecessorTag:
		return "the newest demotion in the secondary's journal is another one"
	}
	return ""
}

// DemotionCutShort reports whether the demotion of an image was begun and never
// completed: the image is a secondary, and the other side will never hear why.
//
// In journal mode the journal has the tag of it, and nothing was committed under
// that tag. librbd allocates the tag, which makes the image a secondary, before it
// appends and commits the event that the other side waits for (librbd/Journal.cc,
// Journal<I>::demote). In snapshot mode the demotion snapshot is there, and is not
// complete: librbd marks it so when it has written the image's state beside it
// (librbd/operation/SnapshotCreateRequest.cc). A client killed in between leaves
// the image so (both observed on 16.2.15). Promoted, which needs no force, and
// demoted again it is whole.
func DemotionCutShort(image Image) bool {
	if image.Role != RoleSecondary {
		return false
	}
	if image.Mode == ModeSnapshot {
		newest, ok := newestMirrorSnapshot(image)
		return ok && newest.Mirror.State == SnapPrimaryDemoted && !newest.Mirror.Complete
	}
	demotion, ok := image.Journal.newestTag()
	if !ok || demotion.Owner != OwnerOrphan {
		return false
	}
	local, ok := image.Journal.Client("")
	if !ok {
		return false
	}
	have, any := local.Newest()
	return !any || have.Tag < demotion.TID
}

// SnapshotCutShort reports whether the newest mirror snapshot of a primary is not
// complete, though somebody waits for it: whoever took it is at it at this moment,
// or has died.
func SnapshotCutShort(image Image) bool {
	newest, ok := newestMirrorSnapshot(image)
	return ok && image.Role == RolePrimary && newest.Mirror.State == SnapPrimary && !newest.Mirror.Complete && len(newest.Mirror.Peers) > 0
}

func (j *Journal) newestTag() (JournalTag, bool) {
	if j == nil || len(j.Tags) == 0 {
		return JournalTag{}, false
	}
	newest := j.Tags[0]
	for _, tag := range j.Tags[1:] {
		if tag.TID > newest.TID {
			newest = tag
		}
	}
	return newest, true
}

// before orders positions by tag and entry.
func before(p, q Position) bool {
	return p.Tag < q.Tag || p.Tag == q.Tag && p.Entry < q.Entry
}

// String is the position as tag and entry, which order it.
func (p Position) String() string { return fmt.Sprintf("tag %d entry %d", p.Tag, p.Entry) }

func caughtUpSnapshot(primary, secondary Copy) Proof {
	newest, ok := newestMirrorSnapshot(primary.Image)
	switch {
	case !ok:
		return Proof{Why: "the primary has no mirror snapshot (or its snapshots have not been read)"}
	case newest.Mirror.follows():
		return Proof{PrimarySnapshot: newest.ID, Why: fmt.Sprintf("the primary's newest mirror snapshot is %s", newest.Mirror.State)}
	case !newest.Mirror.Complete:
		return Proof{PrimarySnapshot: newest.ID, Why: fmt.Sprintf("the primary's newest mirror snapshot (%d) is not complete: nobody can copy it", newest.ID)}
	}
	proof := Proof{PrimarySnapshot: newest.ID}
	held, ok := newestMirrorSnapshot(secondary.Image)
	if !ok {
		proof.Why = "the secondary has no mirror snapshot yet"
		return proof
	}
	if held.Mirror.PrimaryUUID == primary.MirrorUUID {
		proof.SecondarySnapshot = held.Mirror.PrimaryID
	}
	demoted := newest.Mirror.demotion()
	switch {
	case !held.Mirror.follows():
		proof.Why = fmt.Sprintf("the secondary's newest mirror snapshot is %s", held.Mirror.State)
	case held.Mirror.PrimaryUUID != primary.MirrorUUID:
		proof.Why = "the secondary follows another primary"
	case held.Mirror.PrimaryID != newest.ID:
		proof.Why = fmt.Sprintf("the secondary's newest mirror snapshot is the copy of %d, the primary's newest is %d", held.Mirror.PrimaryID, newest.ID)
	case !held.Mirror.Complete:
		proof.Why = fmt.Sprintf("the secondary is still copying snapshot %d", newest.ID)
	case demoted && !held.Mirror.demotion():
		proof.Why = "the secondary's copy of the demotion snapshot is not marked as one"
	case demoted != (primary.Image.Role != RolePrimary):
		proof.Why = "the primary's role and its newest mirror snapshot contradict each other: read them again"
	default:
		proof.OK, proof.Final = true, demoted
		proof.Why = fmt.Sprintf("the secondary holds the primary's newest mirror snapshot (%d)", newest.ID)
		if demoted {
			proof.Why = fmt.Sprintf("the secondary holds the primary's demotion snapshot (%d)", newest.ID)
		}
	}
	return proof
}

// follows reports whether the snapshot is the copy of another site's. Its
// state is not asked: `rbd snap ls` calls a demotion "demoted" at both sites.
func (m *MirrorSnapshot) follows() bool {
	return m.PrimaryUUID != "" || m.State == SnapNonPrimary || m.State == SnapNonPrimaryDemoted
}

// demotion reports whether the snapshot marks a demotion, or is the copy of one.
func (m *MirrorSnapshot) demotion() bool {
	return m.State == SnapPrimaryDemoted || m.State == SnapNonPrimaryDemoted
}

// newestMirrorSnapshot is the mirror snapshot with the highest id: ids grow
// with time within a pool.
func newestMirrorSnapshot(i Image) (newest Snapshot, ok bool) {
	for _, s := range i.Snapshots {
		if s.Kind == SnapshotMirror && s.Mirror != nil && (!ok || s.ID > newest.ID) {
			newest, ok = s, true
		}
	}
	return newest, ok
}
