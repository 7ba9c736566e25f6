package orchestrator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
)

// copyOf is how the copy of an image at b stands by a check.
func copyOf(r orchestrator.CheckResult, image string) orchestrator.CopyStatus {
	for i := range r.Report.Images {
		if s := &r.Report.Images[i]; s.Ref.Name == image && len(s.Copies) == 1 {
			return s.Copies[0]
		}
	}
	return orchestrator.CopyStatus{}
}

// oracle compares the estimates of a watch with when the copy then really has caught
// up: it answers with how many there were.
func oracle(t *testing.T, m *watchman, image string, from int, done func(orchestrator.CopyStatus) bool) int {
	t.Helper()
	results := m.since(from)
	at := -1
	for i := range results {
		if done(copyOf(results[i], image)) {
			at = i
			break
		}
	}
	if at < 0 {
		t.Fatal("it never catches up")
	}
	estimates := 0
	for _, r := range results[:at] {
		c := copyOf(r, image)
		if c.CatchUpSeconds == nil {
			continue
		}
		estimates++
		truth := results[at].At.Sub(r.At).Seconds()
		// Checks are apart, and the last of them is late by as much.
		if off := *c.CatchUpSeconds - truth; off > 0.15*truth+12 || -off > 0.15*truth+12 {
			t.Errorf("%v before the end: %.0f s are estimated", results[at].At.Sub(r.At), *c.CatchUpSeconds)
		}
	}
	return estimates
}

// TestCatchUpOfJournal: what is estimated while a copy closes in comes true, also
// while the primary is being written.
func TestCatchUpOfJournal(t *testing.T) {
	for name, during := range map[string]int{"quiet": 0, "written to": 2} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, watched, 1)
				m := b.watchman(t, b.immortal())
				defer m.stop()
				time.Sleep(time.Minute)
				b.world.SetReplayRate("b", 40960) // ten entries a second
				for i := range 6000 {
					b.must(b.world.Write("a", ref("volume-0"), uint64(i%100)*4096, make([]byte, 4096)))
				}
				from := m.count()
				for range 20 * 60 {
					for range during {
						b.must(b.world.Write("a", ref("volume-0"), 0, make([]byte, 4096)))
					}
					time.Sleep(time.Second)
				}
				// One that is written to never lacks nothing for long.
				n := oracle(t, m, "volume-0", from, func(c orchestrator.CopyStatus) bool {
					return c.Lag.Entries != nil && *c.Lag.Entries <= int64(during)*10
				})
				if n < 20 {
					t.Errorf("%d estimates", n)
				}
				if c := copyOf(m.last(), "vm-1"); c.CatchUpSeconds == nil || *c.CatchUpSeconds != 0 {
					t.Errorf("one that lacks nothing: %v", c.CatchUpSeconds)
				}
			})
		})
	}
}

// TestCatchUpOfSnapshots: so does what is estimated while a mirror snapshot is copied.
func TestCatchUpOfSnapshots(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, snapshotsWatched, 1)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(time.Minute)
		b.world.SetReplayRate("b", 2000)
		b.must(b.world.Write("a", ref("volume-0"), 0, []byte(strings.Repeat("slow", 1<<18))))
		_, err := b.world.Site("a").CreateMirrorSnapshot(t.Context(), ref("volume-0"))
		b.must(err)
		from := m.count()
		time.Sleep(20 * time.Minute)
		if n := oracle(t, m, "volume-0", from, func(c orchestrator.CopyStatus) bool { return c.Lag.CaughtUp }); n < 20 {
			t.Errorf("%d estimates", n)
		}
	})
}

// TestCatchUpOfFirstSync: and of a first sync.
func TestCatchUpOfFirstSync(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, watched)
		b.image("a", ref("volume-0"), plain)
		b.must(b.world.Write("a", ref("volume-0"), 0, []byte(strings.Repeat("slow", 1<<18))))
		b.world.SetReplayRate("b", 2000)
		_, err := b.apply(orchestrator.Options{Wait: orchestrator.WaitNone})
		b.must(err)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(20 * time.Minute)
		if n := oracle(t, m, "volume-0", 0, func(c orchestrator.CopyStatus) bool { return c.State == replay.Replaying }); n < 20 {
			t.Errorf("%d estimates", n)
		}
	})
}

// TestFallsBehind: a copy that gets less than its primary is written has no estimate,
// and the signal of its lag says so; one that closes in again has.
func TestFallsBehind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched+"rpo: 1m\n", 1)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		b.world.SetReplayRate("b", 30) // less than half an entry a second
		stop := b.writer(ref("volume-0"))
		time.Sleep(10 * time.Minute)
		stop()
		r := m.last()
		s := signalsOf(r, string(replay.ProblemRPOExceeded))
		if c := copyOf(r, "volume-0"); c.CatchUpSeconds != nil || !c.FallsBehind {
			t.Errorf("%+v", c)
		}
		if len(s) != 1 || !strings.HasSuffix(s[0].What, "; it falls further behind") {
			t.Errorf("signals: %+v", s)
		}
		time.Sleep(2 * time.Minute)
		r = m.last()
		s = signalsOf(r, string(replay.ProblemRPOExceeded))
		if c := copyOf(r, "volume-0"); c.CatchUpSeconds == nil || c.FallsBehind {
			t.Errorf("%+v", c)
		}
		if len(s) != 1 || !strings.Contains(s[0].What, "; at the present rate it has caught up in ") {
			t.Errorf("signals: %+v", s)
		}
	})
}

// TestNoPaceOfOneLook: a single look has no estimate of what is behind, and several
// that share a pace have.
func TestNoPaceOfOneLook(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		b.world.SetReplayRate("b", 40960)
		for range 3000 {
			b.must(b.world.Write("a", ref("volume-0"), 0, make([]byte, 4096)))
		}
		sites := b.sites(t.Context())
		defer b.close(sites)
		var pace orchestrator.Pace
		var got []string
		for range 8 {
			time.Sleep(5 * time.Second)
			alone := orchestrator.Status(t.Context(), b.plan, sites, orchestrator.StatusOptions{})
			if c := copyOf(orchestrator.CheckResult{Report: alone}, "volume-0"); c.CatchUpSeconds != nil || c.FallsBehind {
				t.Errorf("by one look: %+v", c)
			}
			report := orchestrator.Status(t.Context(), b.plan, sites, orchestrator.StatusOptions{Pace: &pace})
			c := copyOf(orchestrator.CheckResult{Report: report}, "volume-0")
			got = append(got, fmt.Sprint(c.CatchUpSeconds != nil))
		}
		if all := strings.Join(got, " "); all != "false false false true true true true true" {
			t.Errorf("estimates: %s", all)
		}
	})
}

// TestCatchUpForgets: what came all at once, as when the way between the sites is open
// again, tells nothing of what follows.
func TestCatchUpForgets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		b.must(b.world.HaltReplay("b", ref("volume-0")))
		stop := b.writer(ref("volume-0"))
		time.Sleep(5 * time.Minute)
		b.must(b.world.ResumeReplay("b", ref("volume-0")))
		time.Sleep(20 * time.Second)
		b.world.SetReplayRate("b", 30)
		time.Sleep(time.Minute + 30*time.Second)
		stop()
		if c := copyOf(m.last(), "volume-0"); c.CatchUpSeconds != nil || !c.FallsBehind {
			t.Errorf("%+v", c)
		}
	})
}
