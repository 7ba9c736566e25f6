package orchestrator_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/replay"
)

const drilledNightly = twoWay + `
checks: {schedule: '@every 5m', timeout: 5s}
drills: [{name: nightly, schedule: "0 3 * * *", expiry: 1h}]
`

// TestWatchDrills: the daemon makes the drills at their times, tells of one that has
// failed until one has passed, and of one that is overdue, and sweeps.
func TestWatchDrills(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, drilledNightly, 2)
		dead := b.immortal()
		dead.at, dead.death = 4, diesAfter
		_, _ = dead.drill(t.Context(), orchestrator.DrillOptions{Reason: "dies"})
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(20 * time.Minute)
		b.wantClean()

		codes := func() (out []string) {
			for _, s := range m.last().Signals {
				if strings.HasPrefix(s.Code, "drill") {
					out = append(out, s.Code)
				}
			}
			return out
		}
		drills := func() (out []report.Verdict) {
			reports, _, err := orchestrator.Reports(t.Context(), b.plan, b.immortal().sites(t.Context()))
			b.must(err)
			for _, r := range reports {
				out = append(out, r.Verdict)
			}
			return out
		}
		time.Sleep(24 * time.Hour)
		if got := drills(); !slices.Equal(got, []report.Verdict{report.Passed}) || len(codes()) > 0 {
			t.Fatalf("%v, %v", got, codes())
		}
		b.must(b.world.Write("a", ref("volume-1"), 1<<20, []byte("data")))
		time.Sleep(time.Minute)
		b.must(b.world.Corrupt("b", ref("volume-1"), 1<<20, []byte("rot")))
		time.Sleep(24 * time.Hour)
		if got := drills(); len(got) != 2 || got[1] != report.Failed || !slices.Equal(codes(), []string{"drill-failed"}) {
			t.Fatalf("%v, %v", got, codes())
		}
		b.must(b.world.Corrupt("b", ref("volume-1"), 1<<20, []byte("dat")))
		// With the secondary away drills are skipped, until they are overdue.
		b.world.Vanish("b")
		time.Sleep(72 * time.Hour)
		if got := codes(); !slices.Equal(got, []string{"drill-failed", "drill-overdue"}) {
			t.Fatalf("%v, %v", drills(), got)
		}
		b.world.Return("b")
		time.Sleep(24 * time.Hour)
		if got := drills(); got[len(got)-1] != report.Passed || len(codes()) > 0 {
			t.Fatalf("%v, %v", got, codes())
		}
	})
}

// TestWatchDrillsAgain: a daemon that is started anew tells, from the records, what the
// drills before it came to, the newest last.
func TestWatchDrillsAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, drilledNightly, 1)
		first := b.passes(orchestrator.DrillOptions{})
		b.must(b.world.Corrupt("b", ref("volume-0"), 1<<20, []byte("rot")))
		b.must(b.world.Write("a", ref("volume-0"), 2<<20, []byte("data")))
		time.Sleep(time.Minute)
		second, _ := b.immortal().drill(t.Context(), orchestrator.DrillOptions{})
		for range 2 {
			m := b.watchman(t, b.immortal())
			time.Sleep(20 * time.Minute)
			var told []string
			for _, r := range m.since(0) {
				for _, s := range r.Drills {
					told = append(told, s.ID+string(s.Verdict))
					if s.ID == first.ID && (s.Seconds <= 0 || s.Achieved.RPOSeconds == nil || s.Achieved.RTOSeconds == nil) {
						t.Errorf("%+v", s)
					}
				}
			}
			if want := []string{first.ID + "passed", second.ID + "failed"}; !slices.Equal(told, want) {
				t.Errorf("told %q, want %q", told, want)
			}
			m.stop()
		}
	})
}

// TestWatchDrillsNever: a drill that is skipped each time is overdue, also where no daemon
// lives as long as that takes. What each time leaves in the history, of which older
// entries go, says since when it is missed.
func TestWatchDrillsNever(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, drilledNightly, 1)
		b.world.Vanish("b")
		first := time.Now().UTC().Format("2006-01-02 15:04")
		for life := range 4 {
			m := b.watchman(t, b.immortal())
			time.Sleep(20 * time.Hour)
			var overdue []string
			for _, s := range m.last().Signals {
				if s.Code == orchestrator.SignalDrillOverdue {
					overdue = append(overdue, s.What)
				}
			}
			m.stop()
			if want := life >= 1; (len(overdue) > 0) != want || want && !strings.Contains(overdue[0], "it has passed or failed never since "+first) {
				t.Errorf("life %d: %q", life, overdue)
			}
		}
		slots := 0
		for _, r := range b.world.Ledger("a", replay.LedgerRef{Pool: "rbd", Object: "history.shop"}) {
			if text := string(r.Value); strings.Contains(text, `"drill nightly"`) {
				if slots++; !strings.Contains(text, `"since":"`+strings.Replace(first, " ", "T", 1)) {
					t.Error(text)
				}
			}
		}
		if slots < 3 {
			t.Errorf("%d slots", slots)
		}
	})
}
