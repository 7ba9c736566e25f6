package orchestrator_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

var watchLedger = replay.LedgerRef{Pool: "rbd", Object: "watch.shop"}

// stopped is a process that can be stopped in the middle of everything: none of its
// calls goes on until it is continued.
type stopped struct {
	*process
	hold chan struct{}
}

func (b *bed) stoppable() *stopped {
	return &stopped{process: b.immortal()}
}

func (s *stopped) sigstop() {
	hold := make(chan struct{})
	s.hold = hold
	s.meanwhile(func(int64, sim.Call) { <-hold })
}

func (s *stopped) sigcont() {
	s.meanwhile(nil)
	close(s.hold)
}

// TestWatchStandby: of two watches one acts; the other takes over when the first
// has ended, has died or was stopped; and who was stopped does nothing more.
func TestWatchStandby(t *testing.T) {
	for name, end := range map[string]func(m *watchman, p *stopped){
		"ended":   func(m *watchman, _ *stopped) { m.stop() },
		"died":    func(_ *watchman, p *stopped) { p.dead.Store(true) },
		"stopped": func(_ *watchman, p *stopped) { p.sigstop() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, watched, 1)
				p := b.stoppable()
				first := b.watchman(t, p.process)
				time.Sleep(time.Second)
				second := b.watchman(t, b.immortal())
				time.Sleep(5 * time.Minute)
				if first.count() < 29 || second.count() > 0 {
					t.Fatalf("%d checks of the first, %d of the second", first.count(), second.count())
				}
				if s := second.watch.Standing(); s.Role != orchestrator.RoleStandby || !strings.Contains(s.Why, "watch") {
					t.Errorf("standing: %+v", s)
				}
				end(first, p)
				told := first.count()
				time.Sleep(2 * orchestrator.LeaseTTL)
				if second.count() == 0 {
					t.Fatal("nobody has taken over after two lease periods")
				}
				for _, r := range second.since(0) {
					if len(r.Transitions) > 0 {
						t.Errorf("a take-over tells of %+v", r.Transitions)
					}
				}
				if name == "stopped" {
					b.must(b.world.Site("b").Promote(t.Context(), ref("volume-0"), true))
					time.Sleep(time.Minute)
					p.sigcont()
					time.Sleep(5 * time.Minute)
					if s := first.watch.Standing(); s.Role != orchestrator.RoleStandby {
						t.Errorf("who was stopped: %+v", s)
					}
				}
				time.Sleep(5 * time.Minute)
				if n := first.count(); n != told && name != "died" { // the dead tell nobody
					t.Errorf("who was %s has told of %d more checks", name, n-told)
				}
				if s := second.watch.Standing(); s.Role != orchestrator.RoleActing || second.count() < 30 {
					t.Errorf("second: %+v, %d checks", s, second.count())
				}
				if halts := len(second.last().Halts); name == "stopped" && halts != 1 {
					t.Errorf("%d halts", halts)
				}
				if name != "ended" {
					first.stop()
				}
				second.stop()
			})
		})
	}
}

// TestWatchTaken: whose lease was taken without its knowing, as from a host that
// slept, tells of nothing more and changes nothing.
func TestWatchTaken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(40*time.Second + time.Millisecond) // right after a check and a renewal
		rival := replay.Lease{Cookie: "rival", Holder: "the rival", TTL: time.Hour}
		for _, site := range []string{"a", "b"} {
			held, _, err := b.world.Site(site).LeaseHolder(t.Context(), watchLedger)
			b.must(err)
			b.must(b.world.Site(site).ReleaseLease(t.Context(), watchLedger, held.Cookie))
			b.must(b.world.Site(site).AcquireLease(t.Context(), watchLedger, rival, false))
		}
		b.must(b.world.Site("b").Promote(t.Context(), ref("volume-0"), true))
		before := m.count()
		b.world.ForgetCalls()
		m.watch.CheckNow()
		time.Sleep(5 * time.Second)
		if n := m.count() - before; n > 0 {
			t.Errorf("%d checks are told of", n)
		}
		for _, c := range b.world.Writes() {
			if c.Op == "ReleaseLease" {
				continue // of what is its own
			}
			t.Errorf("%s %s at %s", c.Op, c.Object, c.Site)
		}
		time.Sleep(time.Minute)
		if s := m.watch.Standing(); s.Role != orchestrator.RoleStandby || !strings.Contains(s.Why, "the rival") {
			t.Errorf("standing: %+v", s)
		}
	})
}

// TestWatchBlocksNoRunbook: a run begins and ends while a watch looks on.
func TestWatchBlocksNoRunbook(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, strings.Replace(watched, "@every 10s", "@every 1s", 1), 2)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(time.Minute)
		p := b.immortal()
		p.meanwhile(func(_ int64, c sim.Call) {
			if c.Op == "Promote" {
				time.Sleep(3 * time.Second)
			}
		})
		_, r, err := p.start(t.Context(), switchingOver(orchestrator.SwitchoverOptions{To: "b"}), orchestrator.RunOptions{})
		if err != nil || r.Outcome != orchestrator.RunDone {
			t.Fatalf("%v\n%s", err, story(r))
		}
		time.Sleep(5 * time.Minute)
		got := m.transitions("volume-0")
		if !slices.Contains(got, "hand-over>handing-over") || got[len(got)-1] != "caught-up>replaying" || strings.Contains(strings.Join(got, " "), "split-brain") {
			t.Errorf("transitions: %v", got)
		}
		if r := m.last(); len(r.Halts) > 0 || r.Report.Images[0].Primary != "b" {
			t.Errorf("halts %v, primary %s", r.Halts, r.Report.Images[0].Primary)
		}
	})
}

// TestAloneNoMore: who tells alone, because no site answers, asks them once more before
// anybody is told: it may have been stopped since it looked.
func TestAloneNoMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(time.Minute)
		b.world.Vanish("a")
		b.world.Freeze("b")
		time.Sleep(5 * time.Minute)
		began := time.Now()
		if may := m.watch.MayAct(t.Context()); !may || m.last().Role != orchestrator.RoleAlone {
			t.Errorf("%s, and may tell: %v", m.last().Role, may)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("to ask took %v", took)
		}
		b.world.Thaw("b")
		if m.watch.MayAct(t.Context()) {
			t.Error("may tell what was seen before a site answered")
		}
		time.Sleep(2 * time.Minute)
		if may := m.watch.MayAct(t.Context()); !may || m.last().Role != orchestrator.RoleActing {
			t.Errorf("%s, and may tell: %v", m.last().Role, may)
		}
	})
}

// TestWatchAlone: where no site answers, who watches says so all the same; and acts
// again when one does.
func TestWatchAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(time.Minute)
		b.world.Vanish("a")
		b.world.Freeze("b")
		time.Sleep(5 * time.Minute)
		if r := m.last(); r.Role != orchestrator.RoleAlone || len(r.Blind) != 2 || len(r.Signals) == 0 || time.Since(r.At) > 20*time.Second {
			t.Errorf("%s at %v, blind %v, %s", r.Role, r.At, r.Blind, codes(r))
		}
		b.world.Return("a")
		b.world.Thaw("b")
		time.Sleep(2 * time.Minute)
		if r := m.last(); r.Role != orchestrator.RoleActing || len(r.Blind) > 0 {
			t.Errorf("%s, blind %v", r.Role, r.Blind)
		}
		time.Sleep(5 * time.Minute)
		h := b.history(t, orchestrator.HistoryQuery{Image: "volume-0"})
		if n := len(h.Changes); n == 0 || h.Changes[n-1].To != replay.Replaying {
			t.Errorf("history: %+v", h.Changes)
		}
	})
}

// TestWatchAcrossCut: each side of a cut is watched; once it is mended one watches.
func TestWatchAcrossCut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		cut := make(chan struct{})
		blindTo := func(site string) sim.Gate {
			return func(ctx context.Context, c sim.Call, do func(context.Context) error) error {
				if c.Site == site {
					select {
					case <-cut:
					case <-ctx.Done():
						return fmt.Errorf("%w: %w", replay.ErrTimeout, ctx.Err())
					}
				}
				return do(ctx)
			}
		}
		one := b.watchmanBehind(t, b.immortal(), blindTo("b"))
		other := b.watchmanBehind(t, b.immortal(), blindTo("a"))
		time.Sleep(5 * time.Minute)
		if one.watch.Standing().Role != orchestrator.RoleActing || other.watch.Standing().Role != orchestrator.RoleActing {
			t.Errorf("%+v %+v", one.watch.Standing(), other.watch.Standing())
		}
		close(cut)
		time.Sleep(10 * time.Minute)
		roles := []string{string(one.watch.Standing().Role), string(other.watch.Standing().Role)}
		slices.Sort(roles)
		if !slices.Equal(roles, []string{"acting", "standby"}) {
			t.Errorf("after the cut: %v", roles)
		}
		one.stop()
		other.stop()
	})
}
