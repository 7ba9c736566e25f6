package replay

import (
	"encoding/json"
	"testing"
	"time"
)

func TestCaughtUp(t *testing.T) {
	type pair func() (Copy, Copy)
	with := func(p pair, change func(a, b *Copy)) pair {
		return func() (Copy, Copy) {
			a, b := p()
			change(&a, &b)
			return a, b
		}
	}
	swapped := func(p pair) pair {
		return func() (Copy, Copy) { a, b := p(); return b, a }
	}
	for _, c := range []struct {
		name      string
		pair      pair
		ok, final bool
	}{
		{"journal, caught up", journalPair, true, false},
		{"journal, demotion replayed", demotedPair, true, true},
		{"journal, promoted back to back", swapped(promotedPair), false, false},
		{"journal, split-brain", splitPair, false, false},
		{"journal, split-brain the other way", swapped(splitPair), false, false},
		{"journal, one entry behind", with(journalPair, func(a, _ *Copy) {
			a.Image.Journal.Clients[1].Committed = positions(Position{0, 2, 100})
		}), false, false},
		{"journal, an older tag with a higher entry", with(journalPair, func(a, _ *Copy) {
			a.Image.Journal.Clients[1].Committed = positions(Position{0, 1, 5000})
		}), false, false},
		{"journal, nothing committed by the secondary", with(journalPair, func(a, _ *Copy) {
			a.Image.Journal.Clients[1].Committed = nil
		}), false, false},
		{"journal, nothing ever written", with(journalPair, func(a, _ *Copy) {
			a.Image.Journal.Clients[0].Committed, a.Image.Journal.Clients[1].Committed = nil, nil
		}), true, false},
		{"journal, ahead of the primary's own commit", with(journalPair, func(a, _ *Copy) {
			a.Image.Journal.Clients[0].Committed = positions(Position{0, 2, 100})
		}), true, false},
		{"journal, first sync", with(journalPair, func(a, _ *Copy) { a.Image.Journal.Clients[1].Syncing = true }), false, false},
		{"journal, disconnected", with(journalPair, func(a, _ *Copy) { a.Image.Journal.Clients[1].Disconnected = true }), false, false},
		{"journal, not registered", with(journalPair, func(a, _ *Copy) { a.Image.Journal.Clients = a.Image.Journal.Clients[:1] }), false, false},
		{"journal, no local client", with(journalPair, func(a, _ *Copy) { a.Image.Journal.Clients = a.Image.Journal.Clients[1:] }), false, false},
		{"journal, not read", with(journalPair, func(a, _ *Copy) { a.Image.Journal = nil }), false, false},
		{"journal, demotion not committed at the primary", with(demotedPair, func(a, _ *Copy) {
			at := positions(Position{1, 2, 101})
			a.Image.Journal.Clients[0].Committed, a.Image.Journal.Clients[1].Committed = at, at
		}), false, false},
		{"journal, demotion not replayed", with(demotedPair, func(a, b *Copy) {
			a.Image.Journal.Clients[1].Committed = positions(Position{1, 2, 101})
			b.Image.Journal.Tags = b.Image.Journal.Tags[:3]
		}), false, false},
		{"journal, demotion not in the secondary's journal", with(demotedPair, func(_, b *Copy) {
			b.Image.Journal.Tags = b.Image.Journal.Tags[:3]
		}), false, false},
		{"journal, secondary's journal not read", with(demotedPair, func(_, b *Copy) { b.Image.Journal = nil }), false, false},
		{"journal, another demotion in the secondary's journal", with(demotedPair, func(_, b *Copy) {
			b.Image.Journal.Tags[3].PredecessorTag = 1
		}), false, false},
		{"journal, marked demoted but the tag says otherwise", with(demotedPair, func(a, _ *Copy) {
			a.Image.Journal.Tags = a.Image.Journal.Tags[:3]
		}), false, false},

		{"snapshot, newest held", snapshotPair, true, false},
		{"snapshot, demotion held", demotedSnapshots, true, true},
		{"snapshot, as rbd snap ls words it", with(demotedSnapshots, func(_, b *Copy) {
			b.Image.Snapshots[0].Mirror.State = SnapPrimaryDemoted
		}), true, true},
		{"snapshot, still copying", with(snapshotPair, func(_, b *Copy) { b.Image.Snapshots[0].Mirror.Complete = false }), false, false},
		{"snapshot, older one held", with(snapshotPair, func(_, b *Copy) { b.Image.Snapshots[0].Mirror.PrimaryID = 4 }), false, false},
		{"snapshot, of another primary", with(snapshotPair, func(_, b *Copy) { b.Image.Snapshots[0].Mirror.PrimaryUUID = "c" }), false, false},
		{"snapshot, none at the secondary", with(snapshotPair, func(_, b *Copy) { b.Image.Snapshots = nil }), false, false},
		{"snapshot, none at the primary", with(snapshotPair, func(a, _ *Copy) { a.Image.Snapshots = nil }), false, false},
		{"snapshot, demotion not arrived", with(demotedSnapshots, func(_, b *Copy) {
			b.Image.Snapshots = []Snapshot{mirrorSnapshot(9, noon, SnapNonPrimary, uuidA, 7)}
		}), false, false},
		{"snapshot, role read before the demotion", with(demotedSnapshots, func(a, _ *Copy) { a.Image.Role = RolePrimary }), false, false},
		{"snapshot, a newer incomplete one", with(snapshotPair, func(_, b *Copy) {
			s := mirrorSnapshot(12, noon, SnapNonPrimary, uuidA, 11)
			s.Mirror.Complete = false
			b.Image.Snapshots = append(b.Image.Snapshots, s)
		}), false, false},

		{"not the same image", with(journalPair, func(_, b *Copy) { b.Image.GlobalID = "h" }), false, false},
		{"not the same mode", with(journalPair, func(_, b *Copy) { b.Image.Mode = ModeSnapshot }), false, false},
		{"not mirrored at the primary", with(journalPair, func(a, _ *Copy) { a.Image.Role = RoleNone }), false, false},
		{"not mirrored at the secondary", with(journalPair, func(_, b *Copy) { b.Image.Role = RoleNone }), false, false},
		{"two primaries", with(journalPair, func(_, b *Copy) { b.Image.Role = RolePrimary }), false, false},
		{"neither primary nor demoted", with(journalPair, func(a, _ *Copy) { a.Image.Role = RoleSecondary }), false, false},
		{"being created", with(journalPair, func(_, b *Copy) { b.Image.State = StateCreating }), false, false},
		{"being disabled", with(journalPair, func(a, _ *Copy) { a.Image.State = StateDisabling }), false, false},
		{"no uuid", with(journalPair, func(a, _ *Copy) { a.MirrorUUID = "" }), false, false},
		{"one site twice", with(journalPair, func(a, b *Copy) { b.MirrorUUID = a.MirrorUUID }), false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := CaughtUp(c.pair())
			if got.OK != c.ok || got.Final != c.final || got.Why == "" {
				t.Errorf("proof %+v", got)
			}
		})
	}
}

func TestDiverged(t *testing.T) {
	split := func() (Copy, Copy) {
		a, b := snapshotPair()
		b.Image.Snapshots = []Snapshot{
			mirrorSnapshot(9, noon, SnapNonPrimaryDemoted, uuidA, 4),
			mirrorSnapshot(11, noon, SnapPrimary, "", 0),
			mirrorSnapshot(12, noon, SnapPrimaryDemoted, "", 0),
		}
		return a, b
	}
	both := func(pair func() (Copy, Copy), primary bool) bool {
		a, b := pair()
		if !primary {
			a.Image.Role, a.Image.Demoted = RoleSecondary, true
		}
		diverged, why := Diverged(a, b)
		if diverged != (why != "") {
			t.Errorf("diverged %v, why %q", diverged, why)
		}
		return diverged
	}
	for _, c := range []struct {
		name string
		pair func() (Copy, Copy)
		want bool
	}{
		{"journal, in step", journalPair, false},
		{"journal, demoted", demotedPair, false},
		{"journal, handed over", func() (Copy, Copy) { a, b := promotedPair(); return b, a }, false},
		{"journal, split", splitPair, true},
		{"journal, two primaries", func() (Copy, Copy) {
			a, b := splitPair()
			b.Image.Role = RolePrimary
			return a, b
		}, true},
		{"journal, both demoted, the one behind the other", func() (Copy, Copy) {
			a, b := promotedPair()
			b.Image.Role, b.Image.Demoted = RoleSecondary, true
			b.Image.Journal.Tags = append(b.Image.Journal.Tags, JournalTag{TID: 7, Owner: OwnerOrphan, PredecessorTag: 5})
			return a, b
		}, false},
		{"snapshot, in step", snapshotPair, false},
		{"snapshot, demoted", demotedSnapshots, false},
		{"snapshot, split", split, true},
		{"not of one image", func() (Copy, Copy) { a, b := splitPair(); a.Image.GlobalID = "h"; return a, b }, false},
		{"not read", func() (Copy, Copy) { a, b := splitPair(); a.Image.Journal = nil; return a, b }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := both(c.pair, true); got != c.want {
				t.Errorf("diverged: %v", got)
			}
		})
	}
	bothDemoted := func() (Copy, Copy) {
		a, b := split()
		a.Image.Snapshots = append(a.Image.Snapshots, mirrorSnapshot(8, noon, SnapPrimaryDemoted, "", 0))
		return a, b
	}
	if !both(bothDemoted, false) {
		t.Error("snapshot: both demoted from a time of their own, not diverged")
	}
	behind := func() (Copy, Copy) {
		a, b := bothDemoted()
		b.Image.Snapshots[0].Mirror.PrimaryID = 8 // B was handed A's image, then demoted before A followed
		return a, b
	}
	if both(behind, false) {
		t.Error("snapshot: one behind the other, diverged")
	}
}

func TestLag(t *testing.T) {
	a, b := journalPair()
	a.Image.Journal.Tags = append(a.Image.Journal.Tags, JournalTag{TID: 3, CommitValid: true, PredecessorTag: 2, PredecessorEntry: 101})
	a.Image.Journal.Clients[0].Committed = positions(Position{0, 3, 4})
	a.Image.Journal.Clients[1].Committed = positions(Position{0, 1, 1})
	// Tag 3: entries 0 to 4; tag 2: 0 to 101; tag 1: 2 and 3.
	appended := noon.Add(-90 * time.Second)
	after, ask := Uncommitted(a, b)
	if !ask || after != (Position{0, 1, 1}) {
		t.Errorf("to ask: %v %v", after, ask)
	}
	got := MeasureLag(LagInput{Primary: &a, Secondary: &b, Appended: &appended, Now: noon})
	expectLag(t, "behind", got, 5+102+2, 90*time.Second, false, true)
	early := noon.Add(time.Minute)
	got = MeasureLag(LagInput{Primary: &a, Secondary: &b, Appended: &early, Now: noon})
	expectLag(t, "the writer's clock is ahead", got, 5+102+2, 0, false, true)
	if got := MeasureLag(LagInput{Primary: &a, Secondary: &b, Now: noon}); got.Seconds != nil {
		t.Errorf("seconds from nothing: %v", *got.Seconds)
	}

	a.Image.Journal.Tags = a.Image.Journal.Tags[2:] // trimmed
	got = MeasureLag(LagInput{Primary: &a, Secondary: &b, Appended: &appended, Now: noon})
	expectLag(t, "tags trimmed: a lower bound", got, 5+102, 90*time.Second, false, false)

	a, b = journalPair()
	got = MeasureLag(LagInput{Primary: &a, Secondary: &b, Appended: &appended, Now: noon})
	expectLag(t, "caught up", got, 0, 0, true, true)
	if _, ask := Uncommitted(a, b); ask {
		t.Error("asks though caught up")
	}

	x, y := promotedPair()
	got = MeasureLag(LagInput{Primary: &y, Secondary: &x, Appended: &appended, Now: noon})
	expectLag(t, "nothing before the promotion counts", got, 12+1, 90*time.Second, false, true)

	a, b = snapshotPair()
	got = MeasureLag(LagInput{Primary: &a, Secondary: &b, Now: noon})
	expectLag(t, "snapshot held", got, -1, time.Minute, true, true)
	b.Image.Snapshots = append(b.Image.Snapshots, mirrorSnapshot(8, noon, SnapNonPrimary, uuidA, 4))
	b.Image.Snapshots[0].Mirror.Complete = false
	got = MeasureLag(LagInput{Primary: &a, Secondary: &b, Now: noon})
	expectLag(t, "older snapshot held", got, -1, 2*time.Minute, false, true)
	a, b = demotedSnapshots()
	got = MeasureLag(LagInput{Primary: &a, Secondary: &b, Now: noon.Add(time.Hour)})
	expectLag(t, "demoted: nothing more to lose", got, -1, 0, true, true)
}

func TestLagFromReport(t *testing.T) {
	_, b := journalPair()
	report := Report{Updated: noon.Add(-20 * time.Second), Progress: DecodeProgress(`replaying, {"entries_behind_primary":0}`)}
	got := MeasureLag(LagInput{Secondary: &b, Report: &report, Now: noon})
	expectLag(t, "caught up when it last spoke", got, 0, 20*time.Second, false, false)
	report.Progress = DecodeProgress(`replaying, {"entries_behind_primary":7}`)
	if got := MeasureLag(LagInput{Secondary: &b, Report: &report, Now: noon}); got.Seconds != nil || *got.Entries != 7 {
		t.Errorf("lag %+v", got)
	}
	at := noon.Add(-time.Hour)
	report.Progress = &Progress{Mode: ModeSnapshot, LocalSnapshot: &at}
	got = MeasureLag(LagInput{Secondary: &b, Report: &report, Now: noon})
	expectLag(t, "snapshot", got, -1, time.Hour, false, false)
	if got := MeasureLag(LagInput{Now: noon}); got != (Lag{}) {
		t.Errorf("lag from nothing: %+v", got)
	}
}

func expectLag(t *testing.T, name string, got Lag, entries int64, seconds time.Duration, caughtUp, exact bool) {
	t.Helper()
	have := int64(-1)
	if got.Entries != nil {
		have = *got.Entries
	}
	if have != entries || got.Seconds == nil || *got.Seconds != seconds || got.CaughtUp != caughtUp || got.Exact != exact {
		text, err := json.Marshal(got)
		t.Errorf("%s: %s %v", name, text, err)
	}
	var again Lag
	text, err := json.Marshal(got)
	if err == nil {
		err = json.Unmarshal(text, &again)
	}
	if err != nil || again.Seconds == nil || *again.Seconds != *got.Seconds {
		t.Errorf("%s: JSON %s reads back as %+v, %v", name, text, again, err)
	}
}

func TestDemotionCutShort(t *testing.T) {
	primary, _ := journalPair()
	demoted, _ := demotedPair()
	// Killed in between: the demotion has its tag, and the position is what it
	// was before.
	cut, before := demoted, primary.Image.Journal.Clients[0]
	journal := *demoted.Image.Journal
	journal.Clients = append([]JournalClient{before}, demoted.Image.Journal.Clients[1:]...)
	cut.Image.Journal = &journal
	bySnapshot := cut
	bySnapshot.Image.Mode = ModeSnapshot
	for name, c := range map[string]struct {
		image Image
		want  bool
	}{
		"primary":       {primary.Image, false},
		"demoted":       {demoted.Image, false},
		"cut short":     {cut.Image, true},
		"snapshot mode": {bySnapshot.Image, false},
		"not read":      {Image{Mode: ModeJournal, Role: RoleSecondary}, false},
	} {
		if got := DemotionCutShort(c.image); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}
