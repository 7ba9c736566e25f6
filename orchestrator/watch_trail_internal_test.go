package orchestrator

import (
	"fmt"
	"testing"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// queued is an image whose newest mirror snapshot the site b is still to get, by what
// its daemon says.
func queued(name string, now time.Time, p *replay.Progress, object uint64) *replay.Evidence {
	const a, b = "uuid-a", "uuid-b"
	mirror := func(id uint64, m replay.MirrorSnapshot) replay.Snapshot {
		return replay.Snapshot{ID: id, Kind: replay.SnapshotMirror, Created: time.Unix(int64(id), 0), Mirror: &m}
	}
	secondary := []replay.Snapshot{mirror(3, replay.MirrorSnapshot{State: replay.SnapNonPrimary, Complete: true, PrimaryUUID: a, PrimaryID: 5})}
	if object > 0 {
		secondary = append(secondary, mirror(4, replay.MirrorSnapshot{State: replay.SnapNonPrimary, PrimaryUUID: a, PrimaryID: 6, LastCopiedObject: object}))
	}
	return &replay.Evidence{
		Ref: replay.ImageRef{Pool: replay.Pool{Name: "rbd"}, Name: name}, Now: now,
		Sites: []replay.SiteEvidence{
			{Site: "a", Pool: replay.PoolMirroring{UUID: a, Peers: []replay.Peer{{UUID: "peer", MirrorUUID: b}}}, Image: &replay.Image{
				Role: replay.RolePrimary, Mode: replay.ModeSnapshot,
				Snapshots: []replay.Snapshot{
					mirror(5, replay.MirrorSnapshot{State: replay.SnapPrimary, Complete: true, Peers: []string{"peer"}}),
					mirror(6, replay.MirrorSnapshot{State: replay.SnapPrimary, Complete: true, Peers: []string{"peer"}}),
				},
			}},
			{
				Site: "b", Pool: replay.PoolMirroring{UUID: b}, Image: &replay.Image{Role: replay.RoleSecondary, Mode: replay.ModeSnapshot, Snapshots: secondary},
				Reports: []replay.Report{{Up: true, State: replay.ReportReplaying, Progress: p}},
			},
		},
	}
}

// TestSnapshotsWaitTheirTurn: a copy that waits until others are done is not stuck
// while these move; one that does not even wait is, and so is one whose turn has come.
func TestSnapshotsWaitTheirTurn(t *testing.T) {
	syncing, idle, forty := &replay.Progress{ReplayState: "syncing"}, &replay.Progress{ReplayState: "idle"}, 40.0
	hour := 3600.0
	for name, c := range map[string]struct {
		progress *replay.Progress
		object   uint64
		other    bool // another copy moves
		stuck    bool
	}{
		"in the queue":              {syncing, 0, true, false},
		"in a queue that is stuck":  {syncing, 0, false, true},
		"idle":                      {idle, 0, true, true},
		"begun":                     {&replay.Progress{ReplayState: "syncing", SyncPercent: &forty}, 0, true, true},
		"begun, by its objects":     {syncing, 7, true, true},
		"syncs take an hour":        {&replay.Progress{ReplayState: "idle", LastSyncSeconds: &hour}, 0, false, false},
		"nothing is known of turns": {nil, 0, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			var trails trails
			plan := &plans.Plan{File: "plan.yaml"}
			began := time.Unix(1_000_000, 0)
			told := false
			for i := range 60 {
				trails.check++
				now := began.Add(time.Duration(i) * 10 * time.Second)
				if c.other {
					e := queued("other", now, syncing, uint64(1+i))
					if _, since := trails.stands(plan, &e.Sites[0], &e.Sites[1], e); !since.IsZero() {
						t.Fatal("the one that moves is stuck")
					}
				}
				e := queued("vm", now, c.progress, c.object)
				_, since := trails.stands(plan, &e.Sites[0], &e.Sites[1], e)
				told = told || !since.IsZero()
				if told && now.Sub(began) < stillTime {
					t.Fatalf("told after %v", now.Sub(began))
				}
			}
			if told != c.stuck {
				t.Errorf("told: %v", told)
			}
		})
	}
}

// TestSnapshotsWaiting: only what the copy is to get counts.
func TestSnapshotsWaiting(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*replay.MirrorSnapshot)
		want   int
	}{
		"newer":             {func(*replay.MirrorSnapshot) {}, 1},
		"not complete":      {func(m *replay.MirrorSnapshot) { m.Complete = false }, 0},
		"a demotion":        {func(m *replay.MirrorSnapshot) { m.State = replay.SnapPrimaryDemoted }, 0},
		"for another peer":  {func(m *replay.MirrorSnapshot) { m.Peers = []string{"somebody"} }, 0},
		"for nobody":        {func(m *replay.MirrorSnapshot) { m.Peers = nil }, 0},
		"for several peers": {func(m *replay.MirrorSnapshot) { m.Peers = []string{"somebody", "peer"} }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			e := queued("vm", time.Now(), nil, 0)
			c.change(e.Sites[0].Image.Snapshots[1].Mirror)
			if got := waiting(&e.Sites[0], &e.Sites[1], markOf(&e.Sites[0], &e.Sites[1]).held); len(got) != c.want {
				t.Errorf("%s", fmt.Sprint(got))
			}
		})
	}
}
