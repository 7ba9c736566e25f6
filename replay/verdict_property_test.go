package replay

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawEvidence draws anything, sane or not.
func drawEvidence(t *rapid.T) Evidence {
	e := Evidence{
		Ref: testRef, Now: noon,
		Objective:   rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour}).Draw(t, "objective"),
		HandingOver: rapid.Bool().Draw(t, "handing over"),
		Resyncing:   rapid.Bool().Draw(t, "resyncing"),
		Retired:     rapid.Bool().Draw(t, "retired"),
	}
	uuids := []string{uuidA, uuidB, "uuid-c", ""}
	for _, name := range []string{"a", "b", "c"}[:rapid.IntRange(0, 3).Draw(t, "sites")] {
		e.Sites = append(e.Sites, drawSite(t, name, uuids))
	}
	return e
}

func drawSite(t *rapid.T, name string, uuids []string) SiteEvidence {
	s := SiteEvidence{Site: name, DaemonWanted: rapid.Bool().Draw(t, "daemon wanted")}
	if rapid.IntRange(0, 5).Draw(t, "reachable") == 0 {
		s.Err = errors.New("no answer in time")
	}
	s.Pool = PoolMirroring{
		Mode: rapid.SampledFrom([]PoolMode{PoolDisabled, PoolImage, PoolPool}).Draw(t, "pool mode"),
		UUID: rapid.SampledFrom(uuids).Draw(t, "uuid"),
	}
	for range rapid.IntRange(0, 2).Draw(t, "peers") {
		s.Pool.Peers = append(s.Pool.Peers, Peer{
			SiteName:  rapid.SampledFrom([]string{"a", "b", "c", "x"}).Draw(t, "peer"),
			Direction: rapid.SampledFrom([]Direction{RxOnly, TxOnly, RxTx}).Draw(t, "direction"),
		})
	}
	if rapid.IntRange(0, 5).Draw(t, "there") > 0 {
		s.Image = drawImage(t, uuids)
	}
	for range rapid.IntRange(0, 2).Draw(t, "daemons") {
		s.Daemons = append(s.Daemons, MirrorDaemon{Started: drawTime(t, "started")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "reports") {
		text := rapid.SampledFrom([]string{
			"local image is primary", "split-brain detected", "stopped", "", "status not found", "resync requested",
			"bootstrapping, IMAGE_SYNC/COPY_IMAGE 12%", `replaying, {"entries_behind_primary":0}`,
		}).Draw(t, "text")
		s.Reports = append(s.Reports, Report{
			State: rapid.SampledFrom([]ReportState{ReportUnknown, ReportError, ReportSyncing, ReportReplaying, ReportStopped}).Draw(t, "report"),
			Up:    rapid.Bool().Draw(t, "up"), Description: text, Updated: drawTime(t, "updated"), Progress: DecodeProgress(text),
		})
	}
	s.ScheduleEvery = rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(t, "schedule")
	s.SyncStuckSince = drawTime(t, "stuck")
	return s
}

func drawTime(t *rapid.T, label string) time.Time {
	minutes := rapid.IntRange(-1, 90).Draw(t, label)
	if minutes < 0 {
		return time.Time{}
	}
	return noon.Add(-time.Duration(minutes) * time.Minute)
}

func drawImage(t *rapid.T, uuids []string) *Image {
	i := &Image{
		Ref:      testRef,
		Role:     rapid.SampledFrom([]Role{RoleNone, RolePrimary, RoleSecondary, RoleSecondary}).Draw(t, "role"),
		Mode:     rapid.SampledFrom([]MirrorMode{ModeJournal, ModeSnapshot, ""}).Draw(t, "mode"),
		State:    rapid.SampledFrom([]MirrorState{StateEnabled, StateEnabled, StateCreating, StateDisabling}).Draw(t, "state"),
		GlobalID: rapid.SampledFrom([]string{"g", "g", "g", "h", ""}).Draw(t, "global id"),
		Demoted:  rapid.Bool().Draw(t, "demoted"),
	}
	if rapid.Bool().Draw(t, "journal") {
		i.Journal = drawJournal(t, uuids)
	}
	for range rapid.IntRange(0, 4).Draw(t, "snapshots") {
		s := mirrorSnapshot(rapid.Uint64Range(0, 9).Draw(t, "id"), drawTime(t, "created"),
			rapid.SampledFrom([]MirrorSnapshotState{SnapPrimary, SnapPrimaryDemoted, SnapNonPrimary, SnapNonPrimaryDemoted}).Draw(t, "snap state"),
			rapid.SampledFrom(uuids).Draw(t, "snap of"), rapid.Uint64Range(0, 9).Draw(t, "snap of id"))
		s.Mirror.Complete = rapid.Bool().Draw(t, "complete")
		i.Snapshots = append(i.Snapshots, s)
	}
	return i
}

func drawJournal(t *rapid.T, uuids []string) *Journal {
	j := &Journal{MinimumSet: rapid.Uint64Range(0, 50).Draw(t, "minimum set"), ActiveSet: rapid.Uint64Range(0, 50).Draw(t, "active set")}
	for range rapid.IntRange(0, 4).Draw(t, "clients") {
		c := JournalClient{
			ID:      rapid.SampledFrom(uuids).Draw(t, "client"),
			Syncing: rapid.Bool().Draw(t, "syncing"), Disconnected: rapid.Bool().Draw(t, "disconnected"),
		}
		for range rapid.IntRange(0, 2).Draw(t, "positions") {
			c.Committed = append(c.Committed, Position{Tag: rapid.Uint64Range(0, 6).Draw(t, "tag"), Entry: rapid.Uint64().Draw(t, "entry")})
		}
		j.Clients = append(j.Clients, c)
	}
	owners := append(slices.Clone(uuids), OwnerOrphan)
	for range rapid.IntRange(0, 5).Draw(t, "tags") {
		j.Tags = append(j.Tags, JournalTag{
			TID:              rapid.Uint64Range(0, 6).Draw(t, "tid"),
			Owner:            rapid.SampledFrom(owners).Draw(t, "owner"),
			PredecessorOwner: rapid.SampledFrom(owners).Draw(t, "predecessor owner"),
			PredecessorTag:   rapid.Uint64Range(0, 6).Draw(t, "predecessor"),
			PredecessorEntry: rapid.Uint64().Draw(t, "predecessor entry"),
			CommitValid:      rapid.Bool().Draw(t, "valid"),
		})
	}
	return j
}

// TestJudgeAnything: there is a verdict on whatever evidence, it does not
// depend on the order of the sites, and it never calls two primaries healthy.
func TestJudgeAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEvidence(t)
		v := Judge(e)
		first, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if v.State == "" {
			t.Fatalf("no state: %s", first)
		}
		if !slices.IsSortedFunc(v.Problems, func(a, b Problem) int {
			_, x := kindOf(a.Code)
			_, y := kindOf(b.Code)
			return x - y
		}) {
			t.Fatalf("problems out of order: %s", first)
		}

		shuffled := e
		shuffled.Sites = rapid.Permutation(e.Sites).Draw(t, "order")
		again, err := json.Marshal(Judge(shuffled))
		if err != nil {
			t.Fatal(err)
		}
		if string(first) != string(again) {
			t.Fatalf("depends on the order of sites:\n%s\n%s", first, again)
		}

		checkPrimaries(t, e, v, string(first))
	})
}

func checkPrimaries(t *rapid.T, e Evidence, v Verdict, text string) {
	primaries, secondaries := 0, 0
	ids := map[string]bool{}
	for _, s := range e.Sites {
		switch {
		case s.Err != nil || s.Image == nil || !s.Image.Mirrored():
		case s.Image.Role == RolePrimary:
			primaries++
			ids[s.Image.GlobalID] = true
		default:
			secondaries++
		}
	}
	if primaries > 1 && (v.Healthy() || len(v.Problems) == 0 || v.Problems[0].Severity != SeverityCritical) {
		t.Fatalf("two primaries judged %s", text)
	}
	if primaries > 1 && len(ids) == 1 && v.State != SplitBrain {
		t.Fatalf("two primaries of one image judged %s", text)
	}
	if primaries != 1 && v.Primary != "" {
		t.Fatalf("%d primaries, judged %s", primaries, text)
	}
	if v.Healthy() && (primaries != 1 || secondaries == 0) {
		t.Fatalf("%d primaries and %d secondaries judged %s", primaries, secondaries, text)
	}
}

// TestProofIsNeverFinalBeforeDemotion: whatever is read, a copy may be promoted
// without loss only when the primary has been demoted and its local commit
// position is reached.
func TestProofIsNeverFinalBeforeDemotion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		uuids := []string{uuidA, uuidB, ""}
		p := Copy{Image: *drawImage(t, uuids), MirrorUUID: uuidA}
		s := Copy{Image: *drawImage(t, uuids), MirrorUUID: uuidB}
		proof := CaughtUp(p, s)
		if proof.Final && (!proof.OK || p.Image.Role == RolePrimary || s.Image.Role == RolePrimary) {
			t.Fatalf("%+v of %+v and %+v", proof, p, s)
		}
		if proof.OK && p.Image.Mode != ModeSnapshot && proof.PrimaryPosition != nil && before(*proof.SecondaryPosition, *proof.PrimaryPosition) {
			t.Fatalf("%+v", proof)
		}
		if proof.OK && p.Image.Mode == ModeSnapshot && proof.PrimarySnapshot != proof.SecondarySnapshot {
			t.Fatalf("%+v", proof)
		}
		lag := MeasureLag(LagInput{Primary: &p, Secondary: &s, Now: noon})
		if lag.CaughtUp && !proof.OK || lag.Seconds != nil && *lag.Seconds < 0 || lag.Entries != nil && *lag.Entries < 0 {
			t.Fatalf("lag %+v, proof %+v", lag, proof)
		}
	})
}
