package replay

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// evidence makes healthy evidence of a pair: A primary, B replaying.
func evidence(a, b Copy) Evidence {
	progress := `replaying, {"entries_behind_primary":0}`
	if a.Image.Mode == ModeSnapshot {
		progress = `replaying, {"replay_state":"idle"}`
	}
	daemon := func(host string) []MirrorDaemon {
		return []MirrorDaemon{{ID: "1", Host: host, Started: noon.Add(-time.Hour), Pools: []DaemonPool{{Pool: testRef.Pool}}}}
	}
	pool := func(uuid, peer string) PoolMirroring {
		return PoolMirroring{Mode: PoolImage, UUID: uuid, Peers: []Peer{{UUID: "p", SiteName: peer, Direction: RxTx}}}
	}
	report := func(state ReportState, text string) []Report {
		return []Report{{Ref: testRef, State: state, Up: true, Description: text, Updated: noon.Add(-10 * time.Second), Progress: DecodeProgress(text)}}
	}
	e := Evidence{Ref: testRef, Now: noon, Sites: []SiteEvidence{
		{
			Site: "a", Pool: pool(uuidA, "b"), Image: &a.Image, Daemons: daemon("host-a"), DaemonWanted: true,
			Reports: report(ReportStopped, "local image is primary"),
		},
		{
			Site: "b", Pool: pool(uuidB, "a"), Image: &b.Image, Daemons: daemon("host-b"), DaemonWanted: true,
			Reports: report(ReportReplaying, progress),
		},
	}}
	if a.Image.Mode == ModeSnapshot {
		e.Sites[0].ScheduleEvery = 5 * time.Minute
	}
	return e
}

func journalEvidence() Evidence  { return evidence(journalPair()) }
func snapshotEvidence() Evidence { return evidence(snapshotPair()) }

// with changes evidence; a and b are its two sites.
func with(make func() Evidence, change func(e *Evidence, a, b *SiteEvidence)) func() Evidence {
	return func() Evidence {
		e := make()
		change(&e, &e.Sites[0], &e.Sites[1])
		return e
	}
}

func says(s *SiteEvidence, state ReportState, text string) {
	s.Reports[0].State, s.Reports[0].Description, s.Reports[0].Progress = state, text, DecodeProgress(text)
}

// dies ends the daemon of a site.
func dies(s *SiteEvidence) {
	s.Daemons = nil
	for i := range s.Reports {
		s.Reports[i].Up = false
	}
}

// behind makes B miss entries.
func behind(e *Evidence, a, _ *SiteEvidence) {
	a.Image.Journal.Clients[1].Committed = positions(Position{0, 2, 90})
	a.Appended = map[string]time.Time{"b": e.Now.Add(-2 * time.Minute)}
}

// stuck makes B hold a snapshot of that age, and none of those after it.
func stuck(e *Evidence, a, b *SiteEvidence, age time.Duration) {
	a.Image.Snapshots[2].Created = e.Now.Add(-age)
	for at := age - time.Minute; at > time.Minute && len(a.Image.Snapshots) < 6; at -= 5 * time.Minute {
		id := a.Image.Snapshots[len(a.Image.Snapshots)-1].ID + 1
		a.Image.Snapshots = append(a.Image.Snapshots, mirrorSnapshot(id, e.Now.Add(-at), SnapPrimary, "", 0))
	}
	a.Image.Snapshots = append(a.Image.Snapshots, mirrorSnapshot(99, e.Now.Add(-time.Minute), SnapPrimary, "", 0))
	b.Image.Snapshots[0].Mirror.PrimaryID = 7
}

type judged struct {
	name     string
	evidence func() Evidence
	state    State
	problems []ProblemCode // exactly these, in order; the first with Site (if any) where it is said
	site     string
}

func judgements() []judged {
	gone := errors.New("no answer in time")
	type site = SiteEvidence
	j, s := journalEvidence, snapshotEvidence
	demoted := func() Evidence { return evidence(demotedPair()) }
	split := func() Evidence {
		e := evidence(splitPair())
		says(&e.Sites[1], ReportError, "split-brain detected")
		return e
	}
	return []judged{
		{"journal, healthy", j, Replaying, nil, ""},
		{"snapshot, healthy", s, Replaying, nil, ""},
		{"no evidence at all", func() Evidence { return Evidence{} }, Unprotected, []ProblemCode{ProblemImageMissing}, ""},

		{"two primaries, though all reports are fine", with(j, func(_ *Evidence, _, b *site) {
			b.Image.Role = RolePrimary
			says(b, ReportStopped, "local image is primary")
		}), SplitBrain, []ProblemCode{ProblemTwoPrimaries}, ""},
		{"two primaries, even inside a run", with(j, func(e *Evidence, _, b *site) {
			b.Image.Role, e.HandingOver, e.Resyncing = RolePrimary, true, true
		}), SplitBrain, []ProblemCode{ProblemTwoPrimaries}, ""},
		{"a primary that refuses writes", with(j, func(_ *Evidence, a, _ *site) { a.Image.Unwritable = true }), Degraded, []ProblemCode{ProblemUnwritable}, ""},
		{"a primary that a killed run has left so that it refuses writes", with(j, func(e *Evidence, a, _ *site) {
			a.Image.Unwritable, e.HandingOver = true, true
			a.Image.Snapshots = []Snapshot{mirrorSnapshot(4, e.Now.Add(-time.Minute), SnapPrimary, "", 0)}
		}), HandingOver, []ProblemCode{ProblemUnwritable}, ""},
		{"a primary that is just being promoted", with(j, func(e *Evidence, a, _ *site) {
			a.Image.Unwritable, e.HandingOver = true, true
			a.Image.Snapshots = []Snapshot{mirrorSnapshot(4, e.Now.Add(-time.Second), SnapPrimary, "", 0)}
		}), HandingOver, nil, ""},
		{"two images of one name", with(j, func(_ *Evidence, _, b *site) {
			b.Image.Role, b.Image.GlobalID = RolePrimary, "h"
		}), Degraded, []ProblemCode{ProblemDifferentImages}, ""},
		{"diverged, and said so", split, SplitBrain, []ProblemCode{ProblemDiverged, ProblemSplitBrain}, "b"},
		{"diverged, not said yet", with(split, func(_ *Evidence, _, b *site) {
			says(b, ReportReplaying, "replaying")
		}), SplitBrain, []ProblemCode{ProblemDiverged}, "b"},
		{"split-brain in the text of any state", with(j, func(_ *Evidence, _, b *site) {
			says(b, ReportReplaying, "split-brain detected")
		}), SplitBrain, []ProblemCode{ProblemSplitBrain}, "b"},
		{"split-brain in a stale report", with(j, func(e *Evidence, _, b *site) {
			says(b, ReportError, "split-brain detected")
			b.Reports[0].Updated = e.Now.Add(-time.Hour)
		}), Degraded, []ProblemCode{ProblemReportStale}, "b"},
		{"split-brain being healed", with(split, func(e *Evidence, _, _ *site) { e.Resyncing = true }), Resyncing, nil, ""},

		{"stranded", demoted, Stranded, []ProblemCode{ProblemNoPrimary}, ""},
		{"both non-primary in a hand-over", with(demoted, func(e *Evidence, _, _ *site) { e.HandingOver = true }), HandingOver, nil, ""},
		{"a hand-over just after the promotion", func() Evidence {
			a, b := promotedPair()
			e := evidence(b, a)
			e.Sites[0].Pool.UUID, e.Sites[1].Pool.UUID = uuidB, uuidA
			e.HandingOver = true
			says(&e.Sites[1], ReportUnknown, "remote image is not primary")
			return e
		}, HandingOver, nil, ""},
		{"no primary in sight, a site out of sight", with(demoted, func(_ *Evidence, a, _ *site) {
			a.Image, a.Err = nil, gone
		}), Unknown, []ProblemCode{ProblemSiteUnknown}, "a"},
		{"secondary out of sight", with(j, func(_ *Evidence, _, b *site) {
			b.Image, b.Err = nil, gone
		}), Unknown, []ProblemCode{ProblemSiteUnknown}, "b"},
		{"the copy alone cannot be read", with(j, func(_ *Evidence, _, b *site) {
			b.Image, b.Err, b.ImageUnread = nil, gone, true
		}), Unknown, []ProblemCode{ProblemImageUnknown}, "b"},
		{"an unreachable site hides nothing of the other", with(s, func(e *Evidence, _, b *site) {
			b.Image, b.Err = nil, gone
			e.Now = e.Now.Add(time.Hour)
		}), Unknown, []ProblemCode{ProblemSiteUnknown, ProblemScheduleDead}, "b"},

		{"first sync, journal", with(j, func(_ *Evidence, a, b *site) {
			a.Image.Journal.Clients[1].Syncing = true
			says(b, ReportSyncing, "bootstrapping, IMAGE_SYNC/COPY_IMAGE 12%")
		}), Syncing, nil, ""},
		{"first sync, snapshot", with(s, func(_ *Evidence, _, b *site) {
			b.Image.Snapshots[0].Mirror.Complete = false
		}), Syncing, nil, ""},
		{"first sync stalled", with(s, func(e *Evidence, _, b *site) {
			b.Image.Snapshots[0].Mirror.Complete = false
			b.SyncStuckSince = e.Now.Add(-16 * time.Minute)
		}), Degraded, []ProblemCode{ProblemSyncStalled}, "b"},

		{"schedule dead", with(s, func(e *Evidence, _, b *site) {
			e.Now = e.Now.Add(12 * time.Minute)
			b.Reports[0].Updated = e.Now
		}), Lagging, []ProblemCode{ProblemScheduleDead}, "a"},
		{
			"no schedule", with(s, func(_ *Evidence, a, _ *site) { a.ScheduleEvery = 0 }),
			Replaying,
			[]ProblemCode{ProblemNoSchedule},
			"a",
		},
		{"snapshots piling up", with(s, func(_ *Evidence, a, _ *site) {
			for range 7 {
				a.Image.Snapshots = append(a.Image.Snapshots, mirrorSnapshot(1, noon.Add(-time.Hour), SnapPrimary, "", 0))
			}
		}), Replaying, []ProblemCode{ProblemSnapshotsPiling}, "a"},
		{"journal growing for a reader that is no site", with(j, func(_ *Evidence, a, _ *site) {
			a.Image.Journal.ActiveSet = 40
			a.Image.Journal.Clients = append(a.Image.Journal.Clients, JournalClient{ID: "gone"})
		}), Replaying, []ProblemCode{ProblemJournalGrowing}, "a"},

		{
			"RPO exceeded, journal", with(with(j, behind), func(e *Evidence, _, _ *site) { e.Objective = time.Minute }),
			Lagging,
			[]ProblemCode{ProblemRPOExceeded},
			"b",
		},
		{"RPO kept", with(with(j, behind), func(e *Evidence, _, _ *site) { e.Objective = 3 * time.Minute }), Replaying, nil, ""},
		{
			"RPO exceeded, snapshot", with(s, func(e *Evidence, _, _ *site) { e.Objective = 30 * time.Second }),
			Lagging,
			[]ProblemCode{ProblemRPOExceeded},
			"b",
		},
		{
			"RPO not known", with(with(j, behind), func(e *Evidence, a, _ *site) { e.Objective, a.Appended = time.Minute, nil }),
			Replaying,
			[]ProblemCode{ProblemLagUnknown},
			"b",
		},
		{"lagging without an objective", with(with(j, behind), func(e *Evidence, a, _ *site) {
			a.Appended["b"] = e.Now.Add(-6 * time.Minute)
		}), Lagging, []ProblemCode{ProblemLagging}, "b"},
		{"behind, nobody knows since when, and no objective", with(with(j, behind), func(_ *Evidence, a, _ *site) {
			a.Appended = nil
		}), Replaying, []ProblemCode{ProblemLagUnknown}, "b"},
		{"snapshots come but are not synced", with(s, func(e *Evidence, a, b *site) {
			stuck(e, a, b, 18*time.Minute)
		}), Lagging, []ProblemCode{ProblemLagging}, "b"},
		{"a snapshot that takes its time", with(s, func(e *Evidence, a, b *site) {
			stuck(e, a, b, 16*time.Minute)
		}), Replaying, nil, ""},
		{"snapshots by hand are not synced", with(s, func(e *Evidence, a, b *site) {
			stuck(e, a, b, 33*time.Minute)
			a.ScheduleEvery = 0
		}), Lagging, []ProblemCode{ProblemLagging, ProblemNoSchedule}, "b"},
		{"a snapshot by hand after days", with(s, func(e *Evidence, a, b *site) {
			stuck(e, a, b, 72*time.Hour)
			a.Image.Snapshots = append(a.Image.Snapshots[:3], a.Image.Snapshots[len(a.Image.Snapshots)-1])
			a.ScheduleEvery = 0
		}), Replaying, []ProblemCode{ProblemNoSchedule}, "a"},
		{"the snapshot that the copy holds is gone", with(s, func(_ *Evidence, _, b *site) {
			b.Image.Snapshots[0].Mirror.PrimaryID = 2
		}), Replaying, []ProblemCode{ProblemLagUnknown}, "b"},

		{
			"secondary gone", with(j, func(_ *Evidence, _, b *site) { b.Image, b.Reports = nil, nil }),
			Degraded,
			[]ProblemCode{ProblemSecondaryMissing},
			"b",
		},
		{"secondary gone, snapshot", with(s, func(e *Evidence, a, b *site) {
			a.Image.Snapshots[1].Created = e.Now.Add(-time.Hour)
			b.Image, b.Reports = nil, nil
		}), Degraded, []ProblemCode{ProblemSecondaryMissing}, "b"},
		{"secondary still to come", with(j, func(_ *Evidence, a, b *site) {
			a.Image.Journal.Clients = a.Image.Journal.Clients[:1]
			b.Image, b.Reports = nil, nil
		}), Enabling, []ProblemCode{ProblemSecondaryAwaited}, "b"},
		{"secondary that cannot be made", with(j, func(_ *Evidence, a, b *site) {
			a.Image.Journal.Clients = a.Image.Journal.Clients[:1]
			b.Image = nil
			says(b, ReportError, "failed to create local image: (28) No space left on device")
		}), Degraded, []ProblemCode{ProblemNoSpace}, "b"},
		{"secondary gone, and it cannot be made again", with(j, func(_ *Evidence, _, b *site) {
			b.Image = nil
			says(b, ReportError, "error bootstrapping replay")
		}), Degraded, []ProblemCode{ProblemSecondaryMissing, ProblemReportError}, "b"},
		{"secondary still to come, its daemon at it", with(j, func(_ *Evidence, a, b *site) {
			a.Image.Journal.Clients = a.Image.Journal.Clients[:1]
			b.Image = nil
			says(b, ReportStartingReplay, "starting replay")
		}), Enabling, []ProblemCode{ProblemSecondaryAwaited}, "b"},
		{"secondary still to come, its daemon not yet", with(j, func(_ *Evidence, a, b *site) {
			a.Image.Journal.Clients = a.Image.Journal.Clients[:1]
			b.Image = nil
			says(b, ReportUnknown, "remote image is not primary")
		}), Enabling, []ProblemCode{ProblemSecondaryAwaited}, "b"},
		{"secondary deleted by a resync", with(j, func(e *Evidence, _, b *site) { b.Image, e.Resyncing = nil, true }), Resyncing, nil, ""},
		{"name taken", with(j, func(_ *Evidence, _, b *site) {
			b.Image = &Image{Ref: testRef, Role: RoleNone}
		}), Degraded, []ProblemCode{ProblemNameTaken}, "b"},
		{
			"not a copy", with(j, func(_ *Evidence, _, b *site) { b.Image.GlobalID = "h" }),
			Degraded,
			[]ProblemCode{ProblemDifferentImages},
			"b",
		},
		{
			"being created", with(j, func(_ *Evidence, _, b *site) { b.Image.State = StateCreating }),
			Replaying,
			[]ProblemCode{ProblemTransitional},
			"b",
		},
		{
			"being disabled", with(j, func(_ *Evidence, a, _ *site) { a.Image.State = StateDisabling }),
			Replaying,
			[]ProblemCode{ProblemTransitional},
			"a",
		},
		{
			"modes differ", with(j, func(_ *Evidence, _, b *site) { b.Image.Mode = ModeSnapshot }),
			Degraded,
			[]ProblemCode{ProblemModeMismatch},
			"b",
		},
		{
			"disconnected by the journal", with(j, func(_ *Evidence, a, _ *site) { a.Image.Journal.Clients[1].Disconnected = true }),
			Degraded,
			[]ProblemCode{ProblemDisconnected},
			"b",
		},
		{"no peer", with(j, func(_ *Evidence, _, b *site) { b.Pool.Peers = nil }), Degraded, []ProblemCode{ProblemNoPeer}, "b"},
		{
			"peer of the wrong direction", with(j, func(_ *Evidence, _, b *site) { b.Pool.Peers[0].Direction = TxOnly }),
			Degraded,
			[]ProblemCode{ProblemNoPeer},
			"b",
		},
		{"peer by another name of the site", with(j, func(_ *Evidence, a, b *site) {
			a.Names, b.Pool.Peers[0].SiteName = []string{"remote"}, "remote"
		}), Replaying, nil, ""},
		{"a peer that is no site", with(j, func(_ *Evidence, a, _ *site) {
			a.Pool.Peers = append(a.Pool.Peers, Peer{SiteName: "site-x", Direction: TxOnly})
		}), Replaying, []ProblemCode{ProblemStrangePeer}, "a"},
		{"pool disabled at the secondary", with(j, func(_ *Evidence, _, b *site) {
			b.Pool.Mode = PoolDisabled
		}), Degraded, []ProblemCode{ProblemPoolNotMirrored}, "b"},
		{"pool disabled at the primary", with(j, func(_ *Evidence, a, _ *site) {
			a.Pool.Mode = PoolDisabled
		}), Degraded, []ProblemCode{ProblemPoolNotMirrored}, "a"},

		{"mirrored nowhere", with(j, func(_ *Evidence, a, b *site) {
			a.Image, b.Image = &Image{Ref: testRef, Role: RoleNone}, nil
		}), Unprotected, []ProblemCode{ProblemNotMirrored}, ""},
		{
			"nowhere", with(j, func(_ *Evidence, a, b *site) { a.Image, b.Image = nil, nil }),
			Unprotected,
			[]ProblemCode{ProblemImageMissing},
			"",
		},
		{"retired", with(j, func(e *Evidence, a, b *site) {
			e.Retired, a.Image, b.Image = true, &Image{Ref: testRef, Role: RoleNone}, nil
		}), Retired, nil, ""},
		{"retired but still mirrored", with(j, func(e *Evidence, _, _ *site) { e.Retired = true }), Replaying, nil, ""},
		{
			"one site alone", with(j, func(e *Evidence, a, _ *site) { e.Sites, a.Pool.Peers = e.Sites[:1], nil }),
			Unprotected,
			[]ProblemCode{ProblemNobodyElseHoldsIt},
			"a",
		},
	}
}

func TestJudge(t *testing.T) {
	seen := map[ProblemCode]bool{}
	for _, c := range slices.Concat(judgements(), daemonJudgements(), unledJudgements()) {
		t.Run(c.name, func(t *testing.T) {
			v := Judge(c.evidence())
			var codes []ProblemCode
			for _, p := range v.Problems {
				codes = append(codes, p.Code)
				seen[p.Code] = true
				if p.What == "" || p.Next == "" || strings.Contains(p.Next, "$") {
					t.Errorf("problem %+v", p)
				}
			}
			if v.State != c.state || !slices.Equal(codes, c.problems) {
				t.Errorf("state %s, problems %v\nwant  %s, %v\n%+v", v.State, codes, c.state, c.problems, v)
			}
			if c.site != "" && v.Problems[0].Site != c.site {
				t.Errorf("said of %q, want %q", v.Problems[0].Site, c.site)
			}
		})
	}
	for _, kind := range problemKinds {
		if !seen[kind.Code] {
			t.Errorf("no case makes %s", kind.Code)
		}
	}
}

// TestFanOut: one primary with two secondaries; each is judged on its own.
func TestFanOut(t *testing.T) {
	e := journalEvidence()
	_, c := journalPair()
	e.Sites = append(e.Sites, SiteEvidence{
		Site: "c", Image: &c.Image, Pool: PoolMirroring{Mode: PoolImage, UUID: "uuid-c", Peers: e.Sites[1].Pool.Peers},
		Daemons: e.Sites[1].Daemons, Reports: slices.Clone(e.Sites[1].Reports),
	})
	e.Sites[0].Pool.Peers = append(e.Sites[0].Pool.Peers, Peer{SiteName: "c", Direction: TxOnly})
	a := e.Sites[0].Image
	a.Journal.Clients = append(a.Journal.Clients, JournalClient{ID: "uuid-c", Committed: positions(Position{0, 2, 90})})
	e.Sites[0].Appended = map[string]time.Time{"c": noon.Add(-10 * time.Minute)}
	e.Objective = time.Minute
	v := Judge(e)
	if v.State != Lagging || len(v.Secondaries) != 2 || v.Secondaries[0].State != Replaying || v.Secondaries[1].State != Lagging {
		t.Errorf("verdict %+v", v)
	}
	if len(v.Problems) != 1 || v.Problems[0].Site != "c" || *v.Secondaries[1].Lag.Entries != 11 {
		t.Errorf("problems %+v", v.Problems)
	}
}

func TestStrandedTellsWhatEachHolds(t *testing.T) {
	v := Judge(evidence(demotedPair()))
	if what := v.Problems[0].What; !strings.Contains(what, "b holds all that a had when it was demoted") {
		t.Errorf("what: %s", what)
	}
	a, b := demotedPair()
	b.Image.Journal.Tags, b.Image.Demoted = b.Image.Journal.Tags[:3], false
	a.Image.Journal.Clients[1].Committed = positions(Position{1, 2, 50})
	v = Judge(evidence(a, b))
	if what := v.Problems[0].What; !strings.Contains(what, "b is not proved to hold what a had") {
		t.Errorf("what: %s", what)
	}
}
