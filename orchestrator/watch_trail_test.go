package orchestrator_test

import (
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
)

const snapshotsWatched = snapshotsTwoWay + "checks: {schedule: '@every 10s', timeout: 5s}\n"

// TestWatchSnapshotReplayStuck: a copy that says it replays and takes no mirror
// snapshot of its primary is told of while some wait, not while none does, and no
// longer once it goes on.
func TestWatchSnapshotReplayStuck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, snapshotsWatched, 1)
		b.wrap = func(s orchestrator.Site) orchestrator.Site { return lyingSite{Site: s} }
		m := b.watchman(t, b.immortal())
		defer m.stop()
		stop := b.writer(ref("vm-1"))
		defer func() { stop() }()
		time.Sleep(30 * time.Minute)
		if s := m.signals(orchestrator.SignalReplayStuck); len(s) > 0 {
			t.Errorf("while it moves: %+v", s)
		}
		b.must(b.world.HaltReplay("b", ref("vm-1")))
		b.must(b.world.HaltReplay("b", ref("volume-0"))) // of which no snapshot is taken
		_, err := b.world.Site("a").CreateMirrorSnapshot(t.Context(), ref("vm-1"))
		b.must(err)
		time.Sleep(4*time.Minute + 50*time.Second)
		if s := m.signals(orchestrator.SignalReplayStuck); len(s) > 0 {
			t.Errorf("before its time: %+v", s)
		}
		time.Sleep(10 * time.Minute)
		s := m.signals(orchestrator.SignalReplayStuck)
		if len(s) != 1 || !has(s, "rbd/vm-1") || s[0].Site != "b" || !strings.Contains(s[0].What, "mirror snapshots of a: the oldest is ") {
			t.Errorf("%+v; %s", s, codes(m.last()))
		}
		b.must(b.world.ResumeReplay("b", ref("vm-1")))
		time.Sleep(time.Minute)
		if s := m.signals(orchestrator.SignalReplayStuck); len(s) > 0 {
			t.Errorf("after it goes on: %+v", s)
		}
	})
}

// TestWatchSnapshotReplaySlow: a copy that takes long and moves is not stuck, whatever
// waits for it; one that stops on the way is.
func TestWatchSnapshotReplaySlow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, snapshotsWatched, 0)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		b.must(b.world.Write("a", ref("vm-1"), 0, make([]byte, 1<<20)))
		b.must(b.world.Write("a", ref("vm-1"), 0, []byte(strings.Repeat("slow", 1<<18))))
		b.world.SetReplayRate("b", 1000)
		for range 6 {
			time.Sleep(2 * time.Minute)
			if s := m.signals(orchestrator.SignalReplayStuck); len(s) > 0 {
				t.Fatalf("while it moves: %+v", s)
			}
		}
		c := m.last().Report.Images[0].Copies[0]
		if c.SyncPercent == nil || *c.SyncPercent <= 0 || *c.SyncPercent >= 100 {
			t.Fatalf("it is not under way: %+v", c)
		}
		b.world.SetReplayRate("b", 1) // which is no movement that anybody could see
		time.Sleep(8 * time.Minute)
		if s := m.signals(orchestrator.SignalReplayStuck); !has(s, "rbd/vm-1") {
			t.Errorf("signals: %s", codes(m.last()))
		}
	})
}
