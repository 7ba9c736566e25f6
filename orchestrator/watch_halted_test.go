package orchestrator_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
)

// sockets are the admin sockets of the simulated daemons.
type sockets struct {
	b *bed

	mu    sync.Mutex
	stops []string // site and image
	fault error    // of each stop
	deaf  bool     // the daemon says yes, and goes on
}

type adminSocket struct {
	all  *sockets
	site string
}

func (s adminSocket) StopReplay(_ context.Context, ref replay.ImageRef) error {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	s.all.stops = append(s.all.stops, s.site+" "+ref.Name)
	if s.all.fault != nil || s.all.deaf {
		return s.all.fault
	}
	return s.all.b.world.HaltReplay(s.site, ref)
}

func (s adminSocket) StartReplay(_ context.Context, ref replay.ImageRef) error {
	return s.all.b.world.ResumeReplay(s.site, ref)
}

func (b *bed) sockets() *sockets {
	all := &sockets{b: b}
	b.control = func(site string) orchestrator.ReplayControl { return adminSocket{all, site} }
	return all
}

// taken are the stops since the last time.
func (s *sockets) taken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := strings.Join(s.stops, ", ")
	s.stops = nil
	return out
}

// heldCopies is how many copies of the two that are well are reported as stopped.
func (b *bed) heldCopies() (n int) {
	b.t.Helper()
	reports, err := b.world.Site("b").Reports(b.t.Context(), replay.Pool{Name: "rbd"})
	b.must(err)
	for _, r := range reports {
		if r.MirrorUUID == "" && r.Description == "stopped" && r.Ref.Name != "volume-0" {
			n++
		}
	}
	return n
}

// haltedWith is a group of three of which one is in split-brain, and was halted by a
// watch.
func haltedWith(t *testing.T, prepare func(*bed)) (*bed, *watchman) {
	t.Helper()
	b := moving(t, threeGrouped+"checks: {schedule: '@every 10s', timeout: 5s}\n", 2)
	prepare(b)
	m := b.watchman(t, b.immortal())
	time.Sleep(time.Minute)
	b.must(b.world.Site("b").Promote(t.Context(), ref("volume-0"), true))
	time.Sleep(time.Minute)
	if len(m.last().Halts) != 1 {
		t.Fatalf("halts: %+v", m.last().Halts)
	}
	return b, m
}

// restart starts the daemon at b anew.
func (b *bed) restart() {
	b.world.StopDaemon("b")
	time.Sleep(time.Second)
	b.world.StartDaemon("b")
}

// TestWatchKeepsHaltedStopped: replay that a halt has stopped is stopped again after
// rbd-mirror was started anew, once, and nothing is told; a resync then gets it going
// again.
func TestWatchKeepsHaltedStopped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var all *sockets
		b, m := haltedWith(t, func(b *bed) { all = b.sockets() })
		defer m.stop()
		all.taken()
		if n := b.heldCopies(); n != 2 {
			t.Fatalf("%d copies are held", n)
		}
		b.restart()
		time.Sleep(25 * time.Second)
		if n := b.heldCopies(); n != 2 {
			t.Errorf("after a restart %d copies are held", n)
		}
		time.Sleep(5 * time.Minute)
		if got := all.taken(); got != "b vm-1, b volume-1" && got != "b volume-1, b vm-1" {
			t.Errorf("stopped: %s", got)
		}
		if s := m.signals(orchestrator.SignalHaltReplays); len(s) > 0 {
			t.Errorf("signals: %+v", s)
		}
		if _, report, err := b.immortal().start(t.Context(), recopying("a", "volume-0"), orchestrator.RunOptions{}); err != nil {
			t.Fatalf("%v\n%s", err, story(report))
		}
		time.Sleep(5 * time.Minute)
		if n, got := b.heldCopies(), all.taken(); n > 0 || strings.Contains(got, "b ") || len(m.last().Signals) > 0 {
			t.Errorf("after the resync: %d held, stopped %q, %s", n, got, codes(m.last()))
		}
	})
}

// TestWatchTellsOfHaltedReplay: where it cannot be stopped, that is told, for as long
// as it lasts.
func TestWatchTellsOfHaltedReplay(t *testing.T) {
	for name, c := range map[string]struct {
		trouble func(b *bed)
		want    string
	}{
		"no socket":  {func(*bed) {}, "out of reach"},
		"it fails":   {func(b *bed) { b.sockets().fault = errors.New("connection refused") }, "connection refused"},
		"it is deaf": {func(b *bed) { b.sockets().deaf = true }, "again and again"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b, m := haltedWith(t, c.trouble)
				defer m.stop()
				b.restart()
				var s []string
				for range 60 {
					time.Sleep(10 * time.Second)
					for _, signal := range m.signals(orchestrator.SignalHaltReplays) {
						if strings.Contains(signal.What, c.want) && signal.Site == "b" && strings.Contains(signal.Next, "rbd mirror stop "+signal.Image) {
							s = append(s, signal.Image)
						}
					}
				}
				if all := strings.Join(s, " "); !strings.Contains(all, "rbd/vm-1") || !strings.Contains(all, "rbd/volume-1") || strings.Contains(all, "volume-0") {
					t.Errorf("signals: %s; %s", all, codes(m.last()))
				}
			})
		})
	}
}

// TestWatchLeavesReplayOfHaltsByHand: a halt by a person's wish stops no replay.
func TestWatchLeavesReplayOfHaltsByHand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		all := b.sockets()
		m := b.watchman(t, b.immortal())
		defer m.stop()
		sites := b.sites(t.Context())
		defer b.close(sites)
		book, err := orchestrator.ReadBook(t.Context(), b.plan, sites)
		b.must(err)
		_, err = orchestrator.SetHalt(t.Context(), b.plan, sites, book, orchestrator.Halt{Images: []replay.ImageRef{ref("vm-1")}, Reason: "under investigation"})
		b.must(err)
		b.must(book.Close(t.Context()))
		time.Sleep(5 * time.Minute)
		if got := all.taken(); got != "" || len(m.signals(orchestrator.SignalHaltReplays)) > 0 {
			t.Errorf("stopped: %s; %s", got, codes(m.last()))
		}
	})
}

// TestWatchLetsResyncsReplay: what a run has in its hands is not stopped, however long
// it takes.
func TestWatchLetsResyncsReplay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, strings.Replace(watched, "@every 10s", "@every 1s", 1), 1)
		all := b.sockets()
		m := b.watchman(t, b.immortal())
		defer m.stop()
		b.must(b.world.Write("a", ref("volume-0"), 0, []byte(strings.Repeat("slow", 1<<18))))
		b.must(b.world.Site("b").Promote(t.Context(), ref("volume-0"), true))
		time.Sleep(time.Minute)
		if got := all.taken(); !strings.Contains(got, "b volume-0") {
			t.Fatalf("stopped by the halt: %s", got)
		}
		b.world.SetReplayRate("b", 20_000) // so that the copy takes most of a minute
		if _, report, err := b.immortal().start(t.Context(), recopying("a", "volume-0"), orchestrator.RunOptions{}); err != nil {
			t.Fatalf("%v\n%s", err, story(report))
		}
		time.Sleep(time.Minute)
		if got := all.taken(); got != "" || len(m.last().Halts) > 0 {
			t.Errorf("stopped: %s; %s", got, codes(m.last()))
		}
		states := strings.Join(m.transitions("volume-0"), " ")
		if !strings.Contains(states, "re-copying>resyncing caught-up>replaying") {
			t.Errorf("transitions: %s", states)
		}
	})
}
