package cls_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph/cls"
)

// omap reads what was captured from a cluster of Ceph 16.2.15: key to value in
// hex. Beside each test stands what rbd printed of the same objects.
func omap(tb testing.TB, name string) map[string][]byte {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	var captured map[string]string
	if err := json.Unmarshal(text, &captured); err != nil {
		tb.Fatal(err)
	}
	values := make(map[string][]byte, len(captured))
	for key, value := range captured {
		if values[key], err = hex.DecodeString(value); err != nil {
			tb.Fatal(err)
		}
	}
	return values
}

func same(t *testing.T, want, got any, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestDirectory(t *testing.T) {
	got, err := cls.DecodeNames(omap(t, "directory"))
	same(t, map[string]string{
		"j1": "1027bbbe9ed1", "s1": "102eeaf847db", "plain": "103251c9f10", "c1": "107fd3fc5827", "d1": "10813da1dd74",
	}, got, err)
}

func TestMirroring(t *testing.T) {
	got := map[string]cls.MirrorImage{}
	var err error
	for key, value := range omap(t, "mirroring") {
		if id, ok := strings.CutPrefix(key, cls.MirrorImageKey); ok && err == nil {
			got[id], err = cls.DecodeMirrorImage(value)
		}
	}
	same(t, map[string]cls.MirrorImage{
		"1027bbbe9ed1": {GlobalID: "10f67920-d968-45eb-acb4-0bbd73ea0b6f", Mode: replay.ModeJournal, State: replay.StateEnabled},
		"102eeaf847db": {GlobalID: "f3cfc886-beef-4bfb-aab1-a3284a5df17d", Mode: replay.ModeSnapshot, State: replay.StateEnabled},
		"10813da1dd74": {GlobalID: "3519c82b-426d-4ef7-863a-a5ed6cdc75c4", Mode: replay.ModeJournal, State: replay.StateEnabled},
	}, got, err)
}

const (
	uuidA = "64c76e29-2bf2-48c5-a949-3e182b577e82" // of the primary's pool
	uuidB = "b8cce8cd-5301-4a3f-9ec4-2d6db42e3ebe" // of the secondary's
)

func at(hour, minute, second, nanosecond int) time.Time {
	return time.Date(2026, 11, 22, hour, minute, second, nanosecond, time.UTC)
}

// same(t, …) to the nanosecond would only repeat the bytes: times are compared
// by the second, as rbd prints them.
func bySecond(snaps []replay.Snapshot) []replay.Snapshot {
	for i := range snaps {
		snaps[i].Created = snaps[i].Created.Truncate(time.Second)
	}
	return snaps
}

func TestHeaderPrimary(t *testing.T) {
	h, err := cls.DecodeHeader(omap(t, "header-primary"))
	h.Snapshots = bySecond(h.Snapshots)
	const global = ".mirror.primary.f3cfc886-beef-4bfb-aab1-a3284a5df17d."
	same(t, cls.Header{
		Size: 64 << 20, ObjectSize: 4 << 20,
		Features: replay.FeatureLayering | replay.FeatureExclusiveLock | replay.FeatureObjectMap | replay.FeatureFastDiff | replay.FeatureDeepFlatten,
		Snapshots: []replay.Snapshot{
			{ID: 6, Name: "u1", Kind: replay.SnapshotUser, Created: at(16, 19, 59, 0), Size: 64 << 20},
			{
				ID: 8, Name: global + "3bebc1a8-74d2-481f-a923-e0fbe1d13b73", Kind: replay.SnapshotMirror, Created: at(16, 20, 0, 0), Size: 64 << 20,
				Mirror: &replay.MirrorSnapshot{State: replay.SnapPrimary, Complete: true},
			},
			{
				ID: 10, Name: global + "bb04c8b3-9561-43a2-838c-d0f23c99a9d9", Kind: replay.SnapshotMirror, Created: at(17, 0, 0, 0), Size: 64 << 20,
				Mirror: &replay.MirrorSnapshot{State: replay.SnapPrimary, Complete: true, Peers: []string{"380839ed-e32e-433c-b3a0-137f9e80f29f"}},
			},
		},
	}, h, err)
	expectRole(t, replay.RolePrimary, false)(cls.SnapshotRole(h.Snapshots))
}

func TestHeaderSecondary(t *testing.T) {
	snaps, err := cls.DecodeSnapshots(omap(t, "header-secondary"))
	same(t, []replay.Snapshot{
		{ID: 7, Name: "u1", Kind: replay.SnapshotUser, Created: at(16, 20, 0, 0), Size: 64 << 20},
		{
			ID: 11, Name: ".mirror.non_primary.f3cfc886-beef-4bfb-aab1-a3284a5df17d.0cbdcf65-30fc-45d5-93fa-607955628685",
			Kind: replay.SnapshotMirror, Created: at(17, 0, 0, 0), Size: 64 << 20,
			Mirror: &replay.MirrorSnapshot{State: replay.SnapNonPrimary, Complete: true, PrimaryUUID: uuidA, PrimaryID: 10, LastCopiedObject: 16},
		},
	}, bySecond(snaps), err)
	expectRole(t, replay.RoleSecondary, false)(cls.SnapshotRole(snaps))
}

func TestHeaderClone(t *testing.T) {
	h, err := cls.DecodeHeader(omap(t, "header-clone"))
	same(t, &cls.Parent{PoolID: 1, ImageID: "1027bbbe9ed1", SnapID: 12}, h.Parent, err)
	if want := replay.FeatureOperations | replay.FeatureLayering; !h.Features.Has(want) {
		t.Errorf("features %s", h.Features)
	}
}

func TestJournalDemoted(t *testing.T) {
	j, err := cls.DecodeJournal(omap(t, "journal-demoted"))
	committed := []replay.Position{{Object: 0, Tag: 3, Entry: 0}, {Object: 3, Tag: 1, Entry: 3}, {Object: 2, Tag: 1, Entry: 2}, {Object: 1, Tag: 1, Entry: 1}}
	same(t, cls.JournalHead{
		PoolID: -1,
		Journal: replay.Journal{
			Order: 24, SplayWidth: 4,
			Clients: []replay.JournalClient{{ID: "", Committed: committed}, {ID: uuidB, Committed: committed}},
			Tags: []replay.JournalTag{
				{TID: 1},
				{TID: 2, CommitValid: true, PredecessorTag: 1, PredecessorEntry: 3},
				{TID: 3, Owner: replay.OwnerOrphan, CommitValid: true, PredecessorTag: 1, PredecessorEntry: 3},
			},
		},
	}, j, err)
	expectRole(t, replay.RoleSecondary, true)(cls.JournalRole(j.Journal))
}

func TestJournalSecondary(t *testing.T) {
	j, err := cls.DecodeJournal(omap(t, "journal-secondary"))
	same(t, []replay.JournalTag{
		{TID: 0, Owner: uuidA},
		{TID: 1, Owner: uuidA, PredecessorOwner: uuidA, CommitValid: true, PredecessorTag: 2, PredecessorEntry: 1},
		{TID: 2, Owner: uuidA, PredecessorOwner: uuidA, CommitValid: true, PredecessorTag: 3, PredecessorEntry: 3},
	}, j.Tags, err)
	expectRole(t, replay.RoleSecondary, false)(cls.JournalRole(j.Journal))
	if peer, ok := j.Client(uuidA); !ok || len(peer.Committed) != 0 {
		t.Errorf("the primary, registered as a peer that follows nothing yet: %+v, %v", peer, ok)
	}
}

func TestJournalPrimary(t *testing.T) {
	j, err := cls.DecodeJournal(omap(t, "journal-primary"))
	if err != nil {
		t.Fatal(err)
	}
	expectRole(t, replay.RolePrimary, false)(cls.JournalRole(j.Journal))
	peer, ok := j.Client(uuidB)
	if !ok || peer.Syncing || peer.Disconnected || len(peer.Committed) == 0 {
		t.Errorf("the peer that follows: %+v, %v", peer, ok)
	}
}

// TestJournalSyncing sets a peer's state back to that of a first sync
// (librbd::journal::MirrorPeerState, behind the id of the peer's image).
func TestJournalSyncing(t *testing.T) {
	values := omap(t, "journal-primary")
	value := values[cls.ClientKey+uuidB]
	const state = 6 + 4 + len(uuidB) + 4 + 6 + 4 + 4 + len("102a9f92241a")
	if value[state] != 1 {
		t.Fatalf("the captured peer is in state %d", value[state])
	}
	value[state] = 0
	j, err := cls.DecodeJournal(values)
	if err != nil {
		t.Fatal(err)
	}
	if peer, _ := j.Client(uuidB); !peer.Syncing {
		t.Errorf("a peer in its first sync is %+v", peer)
	}
}

func expectRole(t *testing.T, want replay.Role, wantDemoted bool) func(replay.Role, bool) {
	t.Helper()
	return func(role replay.Role, demoted bool) {
		t.Helper()
		if role != want || demoted != wantDemoted {
			t.Errorf("role %s, demoted %v; want %s, %v", role, demoted, want, wantDemoted)
		}
	}
}
