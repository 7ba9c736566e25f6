package orchestrator_test

import (
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/replay/sim"
)

// rarely is a plan that is checked every five minutes.
const rarely = twoWay + "checks: {schedule: '@every 5m', timeout: 5s}\n"

// at sleeps until a time of the day, today or tomorrow.
func at(hour, minute int) {
	now := time.Now().UTC()
	next := time.Date(now.Year(), now.Month(), now.Day(), hour, minute, 0, 0, time.UTC)
	if !next.After(now) {
		next = next.AddDate(0, 0, 1)
	}
	time.Sleep(next.Sub(now))
}

// snapshots answers with the images of which snapshots are taken from now on, in order.
func (b *bed) snapshots() func() []string {
	var (
		mu    sync.Mutex
		names []string
	)
	b.world.Observe(func(c sim.Call) {
		if c.Op == "CreateSnapshot" {
			mu.Lock()
			defer mu.Unlock()
			names = append(names, strings.TrimPrefix(c.Object, "rbd/"))
		}
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(names)
	}
}

// TestWatchTellsWhatItCouldNotVerify: a copy that could not be compared, though the image
// is well, is tried again, and told of by its name, also after a restart, until it has
// been compared, by whomever.
func TestWatchTellsWhatItCouldNotVerify(t *testing.T) {
	unreadable := func(b *bed, image string) func() {
		return b.world.Inject(sim.Fault{Site: "b", Op: "OpenSnapshot", Object: "rbd/" + image, Errno: syscall.EIO})
	}
	bubble(t, func(t *testing.T) {
		b := moving(t, daily, 2)
		m := b.watchman(t, b.immortal())
		defer func() { m.stop() }()
		at(2, 50)
		mend, other := unreadable(b, "volume-0"), unreadable(b, "volume-1")
		at(3, 9)
		if s := m.signals(orchestrator.SignalUnverified); len(s) > 0 {
			t.Errorf("told after one try: %+v", s)
		}
		at(23, 0)
		if h := b.history(t, orchestrator.HistoryQuery{}); len(h.Verified) != 1 {
			t.Errorf("verified: %+v", h.Verified)
		}
		s := m.signals(orchestrator.SignalUnverified)
		if len(s) != 1 || s[0].Next == "" {
			t.Fatalf("signals: %s", codes(m.last()))
		}
		for _, want := range []string{"rbd/volume-0 at b, rbd/volume-1 at b:", "input/output error"} {
			if !strings.Contains(s[0].What, want) {
				t.Errorf("%q does not say %q", s[0].What, want)
			}
		}
		m.stop()
		m = b.watchman(t, b.immortal())
		time.Sleep(time.Hour)
		for i, r := range m.since(0) {
			if len(signalsOf(r, orchestrator.SignalUnverified)) != 1 && !hides(r, orchestrator.SignalUnverified) {
				t.Fatalf("check %d after a restart: %s", i, codes(r))
			}
		}
		mend()
		b.verified("volume-0")
		time.Sleep(15 * time.Minute) // a watch reads what others record now and then
		s = m.signals(orchestrator.SignalUnverified)
		if len(s) != 1 || !strings.Contains(s[0].What, "volume-1 at b") || strings.Contains(s[0].What, "volume-0 at b") {
			t.Errorf("volume-0 was verified by hand: %+v", s)
		}
		other()
		time.Sleep(2 * time.Hour)
		if s := m.signals(orchestrator.SignalUnverified); len(s) > 0 {
			t.Errorf("all could be verified: %+v", s)
		}
	})
}

// TestWatchVerifiesWhatComesBack: what a site that is away, or a lag, keeps from being
// compared is told of as that, and compared when it is well again.
func TestWatchVerifiesWhatComesBack(t *testing.T) {
	for name, c := range map[string]struct{ ill, well func(b *bed) }{
		"away": {
			func(b *bed) { b.world.Vanish("b") },
			func(b *bed) { b.world.Return("b") },
		},
		"lag": {
			func(b *bed) {
				b.world.SetReplayRate("b", 1)
				for _, name := range []string{"volume-0", "volume-1", "vm-1"} {
					b.must(b.world.Write("a", ref(name), 0, make([]byte, 1<<16)))
				}
			},
			func(b *bed) { b.world.SetReplayRate("b", 0) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, daily, 2)
				m := b.watchman(t, b.immortal())
				defer m.stop()
				at(2, 50)
				c.ill(b)
				at(3, 55) // one has just failed once more, another is being waited for
				c.well(b)
				at(5, 0)
				if h := b.history(t, orchestrator.HistoryQuery{}); len(h.Verified) != 3 {
					t.Errorf("verified: %+v", h.Verified)
				}
				for _, r := range m.since(0) {
					if s := signalsOf(r, orchestrator.SignalUnverified); len(s) > 0 {
						t.Fatalf("told: %+v", s)
					}
				}
			})
		})
	}
}

// hides reports whether a check says that it does not know of a signal.
func hides(r orchestrator.CheckResult, code string) bool {
	return slices.ContainsFunc(r.Unseen, func(u alert.Unseen) bool {
		return u.Site == "" && slices.Contains(u.Codes, code)
	})
}

// TestWatchAloneEndsNothing: a watch that no site gives the lease does not end what only
// one that acts can find.
func TestWatchAloneEndsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, daily, 1)
		defer b.world.Inject(sim.Fault{Op: "AcquireLease", Errno: syscall.EPERM})()
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(5 * time.Minute)
		r := m.last()
		for _, code := range []string{
			orchestrator.SignalUnverified, orchestrator.SignalCopiesDiffer, orchestrator.SignalReplayStuck, orchestrator.SignalJournalHeld,
			orchestrator.SignalDrift, orchestrator.SignalConvergeFailed, orchestrator.SignalDrillFailed, orchestrator.SignalDrillAborted, orchestrator.SignalDrillOverdue, orchestrator.SignalDrillLeft,
		} {
			if r.Role != orchestrator.RoleAlone || !hides(r, code) {
				t.Errorf("%s: %s is not hidden: %+v", r.Role, code, r.Unseen)
			}
		}
	})
}

// TestWatchGoesOnVerifying: a verification that a restart cuts short is gone on with for
// what was not compared since its time, and for that alone.
func TestWatchGoesOnVerifying(t *testing.T) {
	for name, schedule := range map[string]string{"line": "0 0 * * *", "interval": "@every 24h"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, rarely+"verification: {schedule: '"+schedule+"'}\n", 3)
				taken := b.snapshots()
				hang := func() func() {
					return b.world.Inject(sim.Fault{Site: "b", Op: "OpenSnapshot", Skip: 1, Hang: true})
				}
				end := hang()
				m := b.watchman(t, b.immortal())
				defer func() { m.stop() }()
				time.Sleep(25 * time.Hour)
				for range 2 {
					m.stop() // the first is done, and the second at work
					end()
					end = hang()
					m = b.watchman(t, b.immortal())
					time.Sleep(time.Hour)
				}
				m.stop()
				end()
				m = b.watchman(t, b.immortal())
				time.Sleep(3 * time.Hour)
				if got := strings.Join(taken(), " "); got != "vm-1 volume-0 volume-0 volume-1 volume-1 volume-2 volume-2" {
					t.Errorf("snapshots: %s", got)
				}
				if h := b.history(t, orchestrator.HistoryQuery{}); len(h.Verified) != 4 {
					t.Errorf("verified: %+v", h.Verified)
				}
				m.stop()
				m = b.watchman(t, b.immortal())
				time.Sleep(3 * time.Hour)
				if n := len(taken()); n != 7 {
					t.Errorf("verified again: %v", taken())
				}
				if s := m.signals(orchestrator.SignalUnverified); len(s) > 0 {
					t.Errorf("signals: %+v", s)
				}
			})
		})
	}
}

// TestWatchVerifiesOldestFirst: what has not been compared for the longest comes first,
// and before all what never was.
func TestWatchVerifiesOldestFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, daily, 3)
		for _, image := range []string{"volume-1", "vm-1", "volume-0"} {
			b.verified(image)
			time.Sleep(time.Minute)
		}
		taken := b.snapshots()
		m := b.watchman(t, b.immortal())
		defer m.stop()
		at(4, 0)
		if got := strings.Join(taken(), " "); got != "volume-2 volume-1 vm-1 volume-0" {
			t.Errorf("in the order %s", got)
		}
	})
}
