package replay

import "time"

// The fixtures are a pair of sites as they were seen on two real clusters: an
// image that was written to, then handed over.

const (
	uuidA = "b7f0f59b-7622-45e9-b1c4-ce969f0b65f9"
	uuidB = "3732c7d5-86c7-43c9-98b2-b4c6c1fc648c"
)

var (
	noon    = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	testRef = ImageRef{Pool: Pool{Name: "rbd"}, Name: "vm"}
)

func positions(p ...Position) []Position { return p }

// journalPair is A primary in journal mode, B caught up at tag 2 entry 101.
func journalPair() (a, b Copy) {
	at := positions(Position{1, 2, 101}, Position{0, 2, 100}, Position{3, 2, 99}, Position{2, 2, 98})
	a = Copy{MirrorUUID: uuidA, Image: Image{
		Ref: testRef, ID: "1037b010aebf", Role: RolePrimary, Mode: ModeJournal, State: StateEnabled, GlobalID: "g",
		Journal: &Journal{
			Clients: []JournalClient{{ID: "", Committed: at}, {ID: uuidB, Committed: at}},
			Tags: []JournalTag{
				{TID: 1},
				{TID: 2, CommitValid: true, PredecessorTag: 1, PredecessorEntry: 3},
			},
		},
	}}
	b = Copy{MirrorUUID: uuidB, Image: Image{
		Ref: testRef, ID: "10379", Role: RoleSecondary, Mode: ModeJournal, State: StateEnabled, GlobalID: "g",
		Journal: &Journal{
			Clients: []JournalClient{{ID: ""}, {ID: uuidA}},
			Tags: []JournalTag{
				{TID: 0, Owner: uuidA},
				{TID: 1, Owner: uuidA, PredecessorOwner: uuidA},
				{TID: 2, Owner: uuidA, PredecessorOwner: uuidA, CommitValid: true, PredecessorTag: 1, PredecessorEntry: 3},
			},
		},
	}}
	return a, b
}

// demotedPair is the same after A's demotion has come to B.
func demotedPair() (a, b Copy) {
	a, b = journalPair()
	at := positions(Position{0, 4, 0}, Position{1, 2, 101}, Position{3, 2, 99}, Position{2, 2, 98})
	a.Image.Role, a.Image.Demoted = RoleSecondary, true
	a.Image.Journal.Tags = append(a.Image.Journal.Tags,
		JournalTag{TID: 3, CommitValid: true, PredecessorTag: 2, PredecessorEntry: 101},
		JournalTag{TID: 4, Owner: OwnerOrphan, CommitValid: true, PredecessorTag: 2, PredecessorEntry: 101})
	a.Image.Journal.Clients = []JournalClient{{ID: "", Committed: at}, {ID: uuidB, Committed: at}}
	b.Image.Demoted = true
	b.Image.Journal.Tags = append(b.Image.Journal.Tags,
		JournalTag{TID: 3, Owner: OwnerOrphan, PredecessorOwner: uuidA, CommitValid: true, PredecessorTag: 2, PredecessorEntry: 101})
	return a, b
}

// promotedPair is the same after B's promotion and writes, A not following yet.
func promotedPair() (a, b Copy) {
	a, b = demotedPair()
	b.Image.Role, b.Image.Demoted = RolePrimary, false
	b.Image.Journal.Tags = append(b.Image.Journal.Tags,
		JournalTag{TID: 4, PredecessorOwner: OwnerOrphan, CommitValid: true, PredecessorTag: 3, PredecessorEntry: 1},
		JournalTag{TID: 5, CommitValid: true, PredecessorTag: 4})
	b.Image.Journal.Clients = []JournalClient{
		{ID: "", Committed: positions(Position{3, 5, 11}, Position{2, 5, 10}, Position{1, 5, 9}, Position{0, 5, 8})},
		{ID: uuidA},
	}
	return a, b
}

// splitPair is after A was forced while B was primary, and B was demoted then.
func splitPair() (a, b Copy) {
	a, b = promotedPair()
	a.Image.Role, a.Image.Demoted = RolePrimary, false
	a.Image.Journal.Tags = append(a.Image.Journal.Tags,
		JournalTag{TID: 5, Owner: uuidB, PredecessorOwner: OwnerOrphan, CommitValid: true, PredecessorTag: 3, PredecessorEntry: 1},
		JournalTag{TID: 6, Owner: uuidB, PredecessorOwner: uuidB, CommitValid: true, PredecessorTag: 4},
		JournalTag{TID: 7, CommitValid: true, PredecessorTag: 6})
	a.Image.Journal.Clients[0].Committed = positions(Position{0, 7, 0}, Position{1, 2, 101})
	b.Image.Role, b.Image.Demoted = RoleSecondary, true
	b.Image.Journal.Tags = []JournalTag{ // the older ones have been trimmed
		{TID: 5, CommitValid: true, PredecessorTag: 4},
		{TID: 6, CommitValid: true, PredecessorTag: 5, PredecessorEntry: 11},
		{TID: 7, Owner: OwnerOrphan, CommitValid: true, PredecessorTag: 5, PredecessorEntry: 11},
	}
	return a, b
}

func mirrorSnapshot(id uint64, created time.Time, state MirrorSnapshotState, ofUUID string, ofID uint64) Snapshot {
	return Snapshot{ID: id, Kind: SnapshotMirror, Created: created, Mirror: &MirrorSnapshot{
		State: state, Complete: true, PrimaryUUID: ofUUID, PrimaryID: ofID,
	}}
}

// snapshotPair is A primary in snapshot mode, B holding its newest snapshot,
// which is a minute old.
func snapshotPair() (a, b Copy) {
	a = Copy{MirrorUUID: uuidA, Image: Image{
		Ref: testRef, ID: "a", Role: RolePrimary, Mode: ModeSnapshot, State: StateEnabled, GlobalID: "g",
		Snapshots: []Snapshot{
			{ID: 3, Name: "mine", Kind: SnapshotUser},
			mirrorSnapshot(4, noon.Add(-2*time.Minute), SnapPrimary, "", 0),
			mirrorSnapshot(7, noon.Add(-time.Minute), SnapPrimary, "", 0),
		},
	}}
	b = Copy{MirrorUUID: uuidB, Image: Image{
		Ref: testRef, ID: "b", Role: RoleSecondary, Mode: ModeSnapshot, State: StateEnabled, GlobalID: "g",
		Snapshots: []Snapshot{mirrorSnapshot(9, noon.Add(-50*time.Second), SnapNonPrimary, uuidA, 7)},
	}}
	return a, b
}

// demotedSnapshots is the same after A's demotion has come to B.
func demotedSnapshots() (a, b Copy) {
	a, b = snapshotPair()
	a.Image.Role, a.Image.Demoted = RoleSecondary, true
	a.Image.Snapshots = append(a.Image.Snapshots, mirrorSnapshot(8, noon, SnapPrimaryDemoted, "", 0))
	b.Image.Demoted = true
	b.Image.Snapshots = []Snapshot{mirrorSnapshot(10, noon, SnapNonPrimaryDemoted, uuidA, 8)}
	return a, b
}
