package orchestrator_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// begun is a session, its process, and what it told people.
type begun struct {
	*orchestrator.Session
	p *process

	mu    sync.Mutex
	lines []string
}

func (s *begun) told() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

// tryBegin begins a session in a process of its own.
func (b *bed) tryBegin(purpose orchestrator.Purpose) (*begun, error) {
	b.t.Helper()
	p := b.immortal()
	sites := p.sites(b.t.Context())
	book, err := orchestrator.ReadBook(b.t.Context(), b.plan, sites)
	b.must(err)
	session, err := book.Begin(b.t.Context(), purpose)
	b.t.Cleanup(func() {
		_ = book.Close(context.Background()) // of a dead process, too
		b.close(sites)
	})
	if err != nil {
		return nil, err
	}
	s := &begun{Session: session, p: p}
	session.Tell(func(line string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lines = append(s.lines, line)
	})
	return s, nil
}

func (b *bed) begin(purpose orchestrator.Purpose) *begun {
	b.t.Helper()
	s, err := b.tryBegin(purpose)
	b.must(err)
	return s
}

// die ends the process of a session without a word, and lets its lease end.
func (b *bed) die(s *begun) {
	s.p.dead.Store(true)
	time.Sleep(orchestrator.LeaseTTL + 5*time.Second)
}

// shutOut wants clients to be shut out at sites a and b.
func (b *bed) shutOut(what string, a, atB int) {
	b.t.Helper()
	for site, want := range map[string]int{"a": a, "b": atB} {
		if got := b.world.Blocklisted(site); len(got) != want {
			b.t.Errorf("%s: shut out at %s are %q, want %d", what, site, got, want)
		}
	}
}

var switching = orchestrator.Purpose{What: "switchover", Run: "run-1"}

func TestSessionThatEndedIsLeftAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		for range 3 {
			s := b.begin(switching)
			b.must(s.Admit(t.Context(), "a"))
			for range 2 {
				b.must(s.End(t.Context()))
			}
			if s.told() != "" || len(s.ShutOut()) > 0 {
				t.Errorf("told: %s", s.told())
			}
		}
		b.shutOut("after clean ends", 0, 0)
	})
}

func TestSessionOfADeadProcessIsShutOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		b.die(b.begin(switching))
		next := b.begin(orchestrator.Purpose{What: "end", Run: "run-1"})
		b.shutOut("after the next one's beginning", 1, 1)
		for _, site := range []string{"a", "b"} {
			if want := "(switchover run-1)"; !strings.Contains(next.told(), want) || !strings.Contains(next.told(), "is shut out at "+site+" ("+b.world.Blocklisted(site)[0]) {
				t.Errorf("told: %s", next.told())
			}
			b.must(next.Admit(t.Context(), site))
		}
		b.must(next.End(t.Context()))
		again := b.begin(switching)
		b.shutOut("a second time", 1, 1)
		if len(again.ShutOut()) > 0 {
			t.Errorf("shut out once more: %s", again.told())
		}
		b.must(again.End(t.Context()))
	})
}

// TestSessionAtASiteThatIsAway: what could not be done at a site is done before
// anything else is.
func TestSessionAtASiteThatIsAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		b.world.Vanish("a")
		b.die(b.begin(switching)) // known at b alone, and a client of both
		b.world.Return("a")
		b.world.Freeze("b")
		next := b.begin(orchestrator.Purpose{What: "switchover", Run: "run-2", Partial: true})
		b.shutOut("nobody can know", 0, 0)
		if err := next.Admit(t.Context(), "b"); !errors.Is(err, replay.ErrTimeout) {
			t.Errorf("admitted to a site that does not answer: %v", err)
		}
		b.world.Thaw("b")
		time.Sleep(time.Minute)
		b.must(next.Admit(t.Context(), "b"))
		b.shutOut("when it is back", 0, 1)
		b.must(next.End(t.Context()))

		// And at the other site by whoever comes next.
		b.must(b.begin(switching).End(t.Context()))
		b.shutOut("by the next one", 1, 1)

		b.die(b.begin(switching))
		b.world.Freeze("b")
		late := b.begin(orchestrator.Purpose{What: "switchover", Run: "run-3", Partial: true})
		if !strings.Contains(late.told(), "b does not answer: process ") || !strings.Contains(late.told(), "is shut out at a (") {
			t.Errorf("told: %s", late.told())
		}
		b.world.Thaw("b")
		b.world.ForgetCalls()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := late.Admit(t.Context(), "b"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := len(slices.DeleteFunc(b.world.Writes(), func(c sim.Call) bool { return c.Op != "Blocklist" })); n != 1 {
			t.Errorf("it was shut out %d times", n)
		}
	})
}

// TestSessionWithoutCaps: who cannot be shut out keeps everybody out, but for a
// site that is given up.
func TestSessionWithoutCaps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		b.die(b.begin(switching))
		allow := b.world.Forbid("a", "Blocklist")
		for range 2 {
			_, err := b.tryBegin(switching)
			if !errors.Is(err, orchestrator.ErrRefused) || !errors.Is(err, replay.ErrPermission) || !strings.Contains(err.Error(), "drover plan users FILE") {
				t.Fatalf("without the caps: %v", err)
			}
		}
		lost := b.begin(orchestrator.Purpose{What: "failover", Run: "run-2", Lost: "a"})
		b.must(lost.Admit(t.Context(), "b"))
		if err := lost.Admit(t.Context(), "a"); !errors.Is(err, orchestrator.ErrRefused) {
			t.Errorf("at the lost site: %v", err)
		}
		b.must(lost.End(t.Context()))
		b.shutOut("at the other site", 0, 1)
		allow()
		b.must(b.begin(switching).End(t.Context()))
		b.shutOut("with the caps", 1, 1)
	})
}

// TestSessionMeetsARival: at a site that was away somebody else has the lease.
func TestSessionMeetsARival(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		// The rival comes first: a site that answers again is tried at once.
		b.must(b.world.Site("b").AcquireLease(t.Context(), shopLedger, replay.Lease{Cookie: "rival", Holder: "somebody else", TTL: time.Hour}, false))
		b.world.Freeze("b")
		s := b.begin(orchestrator.Purpose{What: "switchover", Run: "run-1", Partial: true})
		b.world.Thaw("b")
		if err := s.Admit(t.Context(), "b"); !errors.Is(err, orchestrator.ErrLeaseLost) {
			t.Errorf("admitted beside a rival: %v", err)
		}
		if err := s.Admit(t.Context(), "a"); !errors.Is(err, orchestrator.ErrLeaseLost) {
			t.Errorf("admitted after the lease was lost: %v", err)
		}
	})
}

// TestSessionLeavesCallsInTheAir: where a change has not come back, an end in
// good order is none; a call that only reads is nobody's concern.
func TestSessionLeavesCallsInTheAir(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 1)
		s := b.begin(switching)
		remove := b.world.Inject(sim.Fault{Site: "a", Op: "Image", Hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.world.Site("a").Image(ctx, ref("vm-1")); !errors.Is(err, replay.ErrTimeout) || b.world.Site("a").Abandoned() != 1 {
			t.Fatal(err)
		}
		b.must(s.End(t.Context()))
		b.must(b.begin(switching).End(t.Context()))
		b.shutOut("after a look that hangs", 0, 0)
		remove()

		remove = b.world.Inject(sim.Fault{Site: "a", Op: "Demote", Hang: true})
		if r, err := b.switchover(orchestrator.SwitchoverOptions{To: "b"}, orchestrator.RunOptions{}); !errors.Is(err, orchestrator.ErrIncomplete) || r.Outcome != orchestrator.RunStuck {
			t.Fatalf("%v\n%s", err, story(r))
		}
		remove()
		next := b.begin(switching)
		b.shutOut("after a change that hangs", 1, 0)
		if want := "which ended, but left a call hanging there, is shut out at a ("; !strings.Contains(next.told(), want) {
			t.Errorf("told: %s", next.told())
		}
		b.must(next.End(t.Context()))
	})
}

// TestShutOutProcessSaysSo takes the lease from a run that lives, as if it had
// slept, and has another process resume it.
func TestShutOutProcessSaysSo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 1)
		first, second := b.immortal(), b.immortal()
		var taken atomic.Bool
		first.between = func(_ int64, c sim.Call) {
			if c.Op != "Demote" || !taken.CompareAndSwap(false, true) {
				return
			}
			for _, name := range []string{"a", "b"} {
				site := b.world.Site(name)
				holder, _, err := site.LeaseHolder(context.Background(), shopLedger)
				b.must(err)
				b.must(site.ReleaseLease(context.Background(), shopLedger, holder.Cookie))
			}
			if _, err := second.resume(context.Background(), orchestrator.RunOptions{}); err != nil {
				t.Error("the one that takes over:", err)
			}
			b.world.ForgetCalls()
		}
		_, r, err := first.start(t.Context(), toB, orchestrator.RunOptions{})
		if !errors.Is(err, orchestrator.ErrLeaseLost) || r == nil || r.Outcome != orchestrator.RunInterrupted ||
			!strings.Contains(err.Error(), "(switchover switchover-") || !strings.Contains(err.Error(), "has taken over, and has shut this process out") {
			t.Errorf("%v\n%s", err, story(r))
		}
		for _, c := range b.world.Writes() {
			if c.Err == nil {
				t.Errorf("shut out, it did: %s %s at %s", c.Op, c.Object, c.Site)
			}
		}
		b.roles(ref("volume-0"), replay.RoleSecondary, replay.RolePrimary)
		runs := b.runs()
		if last := &runs[len(runs)-1]; len(last.ShutOut) != 2 || last.Outcome() != orchestrator.RunDone || len(last.End.Notes) != 2 {
			t.Errorf("the records say: %+v, %+v", last.ShutOut, last.End)
		}
	})
}
