package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// trouble comes at one of a run's calls and passes after two minutes. Clocks that
// jump are TestRunHistories' and TestClockJumps'.
type trouble struct {
	name string
	come func(w *sim.World) (pass func())
}

// fails are calls of one method that fail for a while.
func fails(name, site, op string, f sim.Fault) trouble {
	f.Site, f.Op = site, op
	return trouble{fmt.Sprint(name, " ", op, " at ", site), func(w *sim.World) func() { return w.Inject(f) }}
}

var troubles = []trouble{
	{"old primary frozen", func(w *sim.World) func() { w.Freeze("a"); return func() { w.Thaw("a") } }},
	{"new primary frozen", func(w *sim.World) func() { w.Freeze("b"); return func() { w.Thaw("b") } }},
	{"new primary away", func(w *sim.World) func() { w.Vanish("b"); return func() { w.Return("b") } }},
	{"rbd-mirror killed", func(w *sim.World) func() { w.KillDaemon("b"); return func() { w.StartDaemon("b") } }},
	{"way cut", func(w *sim.World) func() { w.Sever("b", "a"); return func() { w.Mend("b", "a") } }},
	fails("EBUSY", "a", "Demote", sim.Fault{Errno: ebusy, Count: 3}),
	fails("EROFS", "b", "Promote", sim.Fault{Errno: erofs, Count: 3}),
	fails("lost answer", "a", "Demote", sim.Fault{Lost: true}),
	fails("lost answer", "b", "Promote", sim.Fault{Lost: true}),
	fails("lost answer", "a", "CreateMirrorSnapshot", sim.Fault{Lost: true}),
	fails("lost answer", "b", "AppendRecords", sim.Fault{Lost: true}),
	fails("EBUSY", "a", "Images", sim.Fault{Errno: ebusy, Count: 4}),
	fails("EBUSY", "a", "Image", sim.Fault{Errno: ebusy, Count: 4}),
	fails("EBUSY", "a", "LookAt", sim.Fault{Errno: ebusy, Count: 4}),
	fails("lost answer", "b", "LookAt", sim.Fault{Lost: true}),
	fails("EROFS", "a", "AppendRecords", sim.Fault{Errno: erofs}),
	fails("EPERM", "a", "Blocklist", sim.Fault{Errno: eperm}),
	fails("hang", "b", "Blocklist", sim.Fault{Hang: true}),
}

// TestRunWithTrouble lets each trouble come at calls all along each runbook.
// Whatever the run then came to, a person can bring it to its end.
func TestRunWithTrouble(t *testing.T) {
	for i := range runScenes {
		scene := &runScenes[i]
		if scene.lost != "" {
			continue // the site whose troubles count is gone already
		}
		step := int64(9) // calls from one moment to the next
		if scene.split {
			step = 47 // copies make many
		}
		t.Run(scene.name, func(t *testing.T) {
			t.Parallel()
			for k, trouble := range troubles {
				if _, stride := sampled(0); (int64(i)+int64(k))%stride != 0 {
					continue
				}
				t.Run(trouble.name, func(t *testing.T) {
					for at, over := int64(k)%step, false; !over && !t.Failed(); at += step {
						bubble(t, func(t *testing.T) { over = scene.troubled(t, trouble, at) })
					}
				})
			}
		})
	}
}

// troubled runs a scene with one trouble; over: the run had ended before.
func (s *runScene) troubled(t *testing.T, trouble trouble, at int64) (over bool) {
	st := s.stage(t)
	p := st.immortal()
	passed := make(chan struct{})
	p.between = func(n int64, _ sim.Call) {
		if n != at {
			return
		}
		pass := trouble.come(st.world)
		go func() {
			time.Sleep(2 * time.Minute)
			pass()
			close(passed)
		}()
	}
	_, r, err := p.start(t.Context(), s.prepare, orchestrator.RunOptions{})
	if over = p.calls.Load() <= at; over {
		return true
	}
	if r != nil && r.Outcome == "" {
		t.Errorf("no outcome: %v\n%s", err, story(r))
	}
	<-passed
	time.Sleep(2 * time.Minute)
	next := st.immortal()
	next.before = st.before
	account := st.finish(next, s.prepare, st.ask)
	st.ends(append([]string{fmt.Sprintf("%s at call %d: %v\n%s", trouble.name, at, err, story(r))}, account...))
	return false
}

// TestHangingCallHoldsUpItsOwn lets a call for one image never come back: the
// others move, and the run ends and names it.
func TestHangingCallHoldsUpItsOwn(t *testing.T) {
	for _, op := range []string{"Demote", "Promote"} {
		t.Run(op, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, twoWay+groupedInWaves, 4)
				remove := b.world.Inject(sim.Fault{Op: op, Object: "rbd/volume-1", Hang: true})
				began := time.Now()
				r, err := b.switchover(orchestrator.SwitchoverOptions{To: "b"}, orchestrator.RunOptions{})
				if !errors.Is(err, orchestrator.ErrIncomplete) || r.Outcome != orchestrator.RunStuck || time.Since(began) > 6*time.Minute {
					t.Fatalf("after %v: %v\n%s", time.Since(began), err, story(r))
				}
				for _, u := range r.Units {
					held := u.Unit.Group == "db"
					switch {
					case held && (u.Outcome != orchestrator.UnitStuck || u.Took < time.Minute || !strings.Contains(u.Step, "volume-1")):
						t.Errorf("%s: %s after %v at %s: %s", u.Unit.Name, u.Outcome, u.Took, u.Step, u.Why)
					case !held && (u.Outcome != orchestrator.UnitMoved || u.Took > time.Minute):
						t.Errorf("%s: %s after %v: %s", u.Unit.Name, u.Outcome, u.Took, u.Why)
					}
				}
				remove()
				p := b.immortal()
				b.finish(p, toB, nil)
				for i := range 4 {
					b.roles(ref(fmt.Sprint("volume-", i)), replay.RoleSecondary, replay.RolePrimary)
				}
			})
		})
	}
}

// TestTwoDrovers lets a second one begin at each call of the first.
func TestTwoDrovers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 2)
		first, second := b.immortal(), b.immortal()
		var held, other int
		first.between = func(_ int64, c sim.Call) {
			if c.Op != "Demote" && c.Op != "Promote" {
				return
			}
			before := second.changes.Load()
			prepared, _, err := second.start(t.Context(), toB, orchestrator.RunOptions{})
			switch {
			case errors.Is(err, orchestrator.ErrLeased):
				held++
			case prepared != nil && prepared.Refused != nil && errors.Is(err, orchestrator.ErrRefused):
				other++
			default:
				t.Errorf("a second drover, at %s: %v", c.Op, err)
			}
			if _, err := second.resume(t.Context(), orchestrator.RunOptions{}); !errors.Is(err, orchestrator.ErrLeased) {
				t.Errorf("a second drover resumes, at %s: %v", c.Op, err)
			}
			if n := second.changes.Load() - before; n > 4 {
				t.Errorf("it made %d changes", n) // the attempts to take the lease
			}
		}
		_, r, err := first.start(t.Context(), toB, orchestrator.RunOptions{Parallel: 1})
		if err != nil || held+other == 0 {
			t.Fatalf("%d refused: %v\n%s", held+other, err, story(r))
		}
		if slices.ContainsFunc(b.world.Writes(), func(c sim.Call) bool { return c.Op == "Demote" && c.Err != nil }) {
			t.Error("an image was demoted twice")
		}
	})
}

// TestLeaseTakenFromARun takes the lease away while a run waits for a proof:
// the run acts no more, and another one completes it.
func TestLeaseTakenFromARun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 1)
		ledger := replay.LedgerRef{Pool: "rbd", Object: "ledger.shop"}
		p := b.immortal()
		var demoted atomic.Bool // calls come from several goroutines
		p.between = func(_ int64, c sim.Call) {
			if c.Op != "Demote" || !demoted.CompareAndSwap(false, true) {
				return
			}
			b.world.Sever("b", "a") // the proof cannot come
			go func() {
				time.Sleep(5 * time.Second)
				for _, name := range []string{"a", "b"} {
					site := b.world.Site(name)
					holder, _, err := site.LeaseHolder(context.Background(), ledger)
					b.must(err)
					b.must(site.ReleaseLease(context.Background(), ledger, holder.Cookie))
					b.must(site.AcquireLease(context.Background(), ledger, replay.Lease{Cookie: "thief", Holder: "somebody else", TTL: time.Minute}, false))
				}
				time.Sleep(orchestrator.LeaseTTL/3 + time.Second)
				b.world.ForgetCalls()
				b.world.Mend("b", "a")
			}()
		}
		_, r, err := p.start(t.Context(), toB, orchestrator.RunOptions{})
		if !errors.Is(err, orchestrator.ErrLeaseLost) || r.Outcome != orchestrator.RunInterrupted || !strings.Contains(err.Error(), "somebody else") {
			t.Fatalf("%v\n%s", err, story(r))
		}
		time.Sleep(5 * time.Minute)
		for _, c := range b.world.Writes() {
			if c.Op == "Promote" || c.Op == "Demote" {
				t.Errorf("without the lease: %s %s at %s", c.Op, c.Object, c.Site)
			}
		}
		b.finish(b.immortal(), toB, nil)
		b.roles(ref("volume-0"), replay.RoleSecondary, replay.RolePrimary)
	})
}

// TestPlanEditedUnderARun resumes a run with another plan.
func TestPlanEditedUnderARun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 1)
		p := &process{b: b, at: 12, death: diesAfter}
		if _, _, err := p.start(t.Context(), toB, orchestrator.RunOptions{}); !p.dead.Load() {
			t.Fatal("it did not die:", err)
		}
		time.Sleep(2 * orchestrator.LeaseTTL)
		was := b.plan
		b.plan = parsePlan(t, strings.ReplaceAll(twoWay, "volume-*", "volume-?"))
		b.world.ForgetCalls()
		if _, err := b.immortal().resume(t.Context(), orchestrator.RunOptions{}); !errors.Is(err, orchestrator.ErrStale) {
			t.Errorf("resumed with another plan: %v", err)
		}
		if writes := b.world.Writes(); len(writes) > 0 {
			t.Errorf("it wrote %v", writes)
		}
		b.plan = was
		b.finish(b.immortal(), toB, nil)
		b.roles(ref("volume-0"), replay.RoleSecondary, replay.RolePrimary)
	})
}

// TestSwitchoverAwaitsTheLink hands images over as soon as their first sync is
// over: rbd-mirror at the old primary is not registered in their journals yet,
// and would never follow.
func TestSwitchoverAwaitsTheLink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		shape := newRunShape([]replay.MirrorMode{replay.ModeJournal}, "two-way", "", []string{"a", "b"})
		b, refs := shape.build(t, 1, true)
		fresh := ref("volume-0")
		b.must(b.world.Site("a").DisableMirroring(t.Context(), fresh, false))
		time.Sleep(20 * time.Second)
		time.Sleep(30*time.Second - time.Duration(time.Now().UnixNano())%(30*time.Second) + 2*time.Second) // right behind a check
		b.must(b.world.Site("a").EnableMirroring(t.Context(), fresh, replay.ModeJournal))
		time.Sleep(5 * time.Second)
		began := time.Now()
		r, err := b.switchover(orchestrator.SwitchoverOptions{To: "b"}, orchestrator.RunOptions{})
		if err != nil || r.Outcome != orchestrator.RunDone {
			t.Fatalf("%v\n%s", err, story(r))
		}
		if took := time.Since(began); took < 5*time.Second || took > 40*time.Second {
			t.Errorf("it took %v: not for the link", took)
		}
		k := b.ink(refs...)
		k.write()
		time.Sleep(5 * time.Minute)
		if got := strings.TrimSpace(b.content("a", fresh)); got != k.last[fresh] {
			t.Errorf("the old primary holds %q, not %q: it does not follow", got, k.last[fresh])
		}
	})
}
