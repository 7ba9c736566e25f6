package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// diesAtFirst is a process that dies before its first call of a method.
func (b *bed) diesAtFirst(op string) *process {
	p := b.immortal()
	p.between = func(_ int64, c sim.Call) {
		if c.Op == op {
			p.dead.Store(true)
		}
	}
	return p
}

// TestRunBeginsWithOpenGates resumes a run whose predecessor cannot be shut out
// at the new primary: nothing may be demoted that could not be promoted there.
func TestRunBeginsWithOpenGates(t *testing.T) {
	faults := map[string]sim.Fault{
		"hangs":         {Site: "b", Op: "Blocklist", Hang: true},
		"no caps":       {Site: "b", Op: "Blocklist", Errno: eperm},
		"lease hangs":   {Site: "b", Op: "AcquireLease", Hang: true},
		"no lease":      {Site: "b", Op: "AcquireLease", Errno: erofs},
		"at the source": {Site: "a", Op: "Blocklist", Hang: true},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, twoWay, 2)
				if _, _, err := b.diesAtFirst("Demote").start(t.Context(), toB, orchestrator.RunOptions{}); err == nil {
					t.Fatal("it did not die")
				}
				time.Sleep(orchestrator.LeaseTTL + 5*time.Second)
				remove := b.world.Inject(fault)
				began := time.Now()
				r, err := b.immortal().resume(t.Context(), orchestrator.RunOptions{})
				if !errors.Is(err, orchestrator.ErrRefused) || r != nil || time.Since(began) > time.Minute {
					t.Errorf("after %v: %v\n%s", time.Since(began), err, story(r))
				}
				if fault.Hang && (!errors.Is(err, orchestrator.ErrUnreachable) || !strings.Contains(err.Error(), "nothing was changed")) {
					t.Errorf("it says: %v", err)
				}
				for i := range 2 {
					b.roles(ref(fmt.Sprint("volume-", i)), replay.RolePrimary, replay.RoleSecondary)
				}
				remove()
				b.finish(b.immortal(), toB, nil)
				for i := range 2 {
					b.roles(ref(fmt.Sprint("volume-", i)), replay.RoleSecondary, replay.RolePrimary)
				}
			})
		})
	}
}

// TestRunResumedOverAPersonsWord: somebody has seen the process dead that cannot be
// shut out; that is recorded, and asked once only.
func TestRunResumedOverAPersonsWord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 1)
		if _, _, err := b.diesAtFirst("Promote").start(t.Context(), toB, orchestrator.RunOptions{}); err == nil {
			t.Fatal("it did not die")
		}
		time.Sleep(orchestrator.LeaseTTL + 5*time.Second)
		allow := b.world.Forbid("b", "Blocklist")
		if _, err := b.immortal().resume(t.Context(), orchestrator.RunOptions{}); !errors.Is(err, orchestrator.ErrRefused) || !strings.Contains(err.Error(), "--unfenced-predecessor") {
			t.Errorf("without a word: %v", err)
		}
		r, err := b.immortal().resume(t.Context(), orchestrator.RunOptions{Unfenced: "its host burnt"})
		if err != nil || r.Outcome != orchestrator.RunDone || !strings.Contains(strings.Join(r.Notes, "\n"), "could not be shut out at b") {
			t.Fatalf("%v\n%s", err, story(r))
		}
		b.roles(ref("volume-0"), replay.RoleSecondary, replay.RolePrimary)
		allow()
		b.must(b.begin(switching).End(t.Context()))
		b.shutOut("in the end", 1, 0)
		said := 0
		runs := b.runs()
		for _, out := range runs[len(runs)-1].ShutOut {
			if out.Site == "b" && out.Unfenced == "its host burnt" && len(out.Addresses) == 1 {
				said++
			}
		}
		if said != 1 {
			t.Errorf("recorded: %+v", runs[len(runs)-1].ShutOut)
		}
	})
}

// TestFailoverBeginsWithOpenGates: a failover that cannot promote stops no
// rbd-mirror; what is wrong at the lost site is no obstacle.
func TestFailoverBeginsWithOpenGates(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 1)
		if _, _, err := b.diesAtFirst("Demote").start(t.Context(), toB, orchestrator.RunOptions{}); err == nil {
			t.Fatal("it did not die")
		}
		time.Sleep(orchestrator.LeaseTTL + 5*time.Second)
		removeA := b.world.Inject(sim.Fault{Site: "a", Op: "Blocklist", Hang: true})
		defer removeA()
		remove := b.world.Inject(sim.Fault{Site: "b", Op: "Blocklist", Hang: true})
		sites := b.sites(t.Context())
		defer b.close(sites)
		runs := b.runs()
		b.must(orchestrator.EndRun(t.Context(), b.plan, sites, runs[len(runs)-1].Run.ID, "a burns", func(string) {}))
		if _, _, err := b.immortal().start(t.Context(), overToB, orchestrator.RunOptions{}); !errors.Is(err, orchestrator.ErrRefused) {
			t.Errorf("with b closed: %v", err)
		}
		if !b.world.DaemonRuns("b") {
			t.Error("rbd-mirror was stopped for nothing")
		}
		b.roles(ref("volume-0"), replay.RolePrimary, replay.RoleSecondary)
		remove()
		if _, r, err := b.immortal().start(t.Context(), overToB, orchestrator.RunOptions{}); err != nil || r.Outcome != orchestrator.RunDone {
			t.Errorf("with a closed: %v\n%s", err, story(r))
		}
		b.shutOut("in the end", 0, 1)
	})
}

// TestEndRunAsksNoSite: a run is ended by hand although its process can be shut
// out nowhere; whoever acts next does that.
func TestEndRunAsksNoSite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 1)
		if _, _, err := b.diesAtFirst("Demote").start(t.Context(), toB, orchestrator.RunOptions{}); err == nil {
			t.Fatal("it did not die")
		}
		time.Sleep(orchestrator.LeaseTTL + 5*time.Second)
		allow := b.world.Forbid("a", "Blocklist")
		sites := b.sites(t.Context())
		defer b.close(sites)
		runs := b.runs()
		var told []string
		b.must(orchestrator.EndRun(t.Context(), b.plan, sites, runs[len(runs)-1].Run.ID, "a burns", func(line string) { told = append(told, line) }))
		if text := strings.Join(told, "\n"); strings.Count(text, "which did not end its session; whoever acts at the sites next shuts it out") != 1 {
			t.Errorf("told: %s", text)
		}
		b.shutOut("ended by hand", 0, 0)
		if runs = b.runs(); runs[len(runs)-1].Outcome() != orchestrator.RunGivenUp {
			t.Errorf("the run is %s", runs[len(runs)-1].Outcome())
		}
		allow()
		b.must(b.begin(switching).End(t.Context()))
		b.shutOut("by whoever acts next", 1, 1)
	})
}

// TestRunProvesThatItCouldBeTakenOver: that the caps for shutting a process out are
// lacking is found before anything is changed, not by whoever takes over.
func TestRunProvesThatItCouldBeTakenOver(t *testing.T) {
	for _, site := range []string{"a", "b"} {
		bubble(t, func(t *testing.T) {
			b := moving(t, twoWay, 1)
			allow := b.world.Forbid(site, "Blocklist")
			_, r, err := b.immortal().start(t.Context(), toB, orchestrator.RunOptions{})
			if !errors.Is(err, orchestrator.ErrRefused) || r != nil || !strings.Contains(err.Error(), "drover plan users FILE") || !strings.Contains(err.Error(), "site "+site) {
				t.Errorf("without the caps at %s: %v\n%s", site, err, story(r))
			}
			b.roles(ref("volume-0"), replay.RolePrimary, replay.RoleSecondary)
			if site == "b" {
				_, r, err = b.immortal().start(t.Context(), overToB, orchestrator.RunOptions{})
				if err != nil || r.Outcome != orchestrator.RunDone || !strings.Contains(strings.Join(r.Notes, "\n"), "for want of caps to shut it out at b") {
					t.Errorf("a failover: %v\n%s", err, story(r))
				}
			}
			allow()
			if site == "a" {
				b.finish(b.immortal(), toB, nil)
				b.roles(ref("volume-0"), replay.RoleSecondary, replay.RolePrimary)
			}
			b.shutOut("a proof", 0, 0)
		})
	}
}

// fencesUs blocklists all clients at a site at the first call of a method, as a
// fence by the clients' network does.
func (b *bed) fencesUs(p *process, site, op string) {
	var fenced atomic.Bool
	p.between = func(_ int64, c sim.Call) {
		if c.Op != op || !fenced.CompareAndSwap(false, true) {
			return
		}
		for n := range 100 {
			b.must(b.world.Site(site).Blocklist(context.Background(), fmt.Sprintf("127.0.0.9:0/%d", 1_000_001+n), time.Hour))
		}
	}
}

// TestFailoverOutlivesItsOwnFence lets the fence of the lost site hit Drover
// itself, while promotions still take a few renewals of the lease.
func TestFailoverOutlivesItsOwnFence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 2)
		remove := b.world.Inject(sim.Fault{Site: "b", Op: "Promote", Errno: ebusy, Count: 20})
		defer remove()
		p := b.immortal()
		b.fencesUs(p, "a", "Promote")
		began := time.Now()
		_, r, err := p.start(t.Context(), overToB, orchestrator.RunOptions{})
		if err != nil || r.Outcome != orchestrator.RunDone || time.Since(began) < orchestrator.LeaseTTL/3+time.Second {
			t.Fatalf("after %v: %v\n%s", time.Since(began), err, story(r))
		}
		if !b.world.DaemonRuns("b") {
			t.Error("rbd-mirror stays stopped")
		}
	})
}

// TestBlocklistedRunNamesNobody: that a client was shut out, and nobody says by
// whom, is no other process.
func TestBlocklistedRunNamesNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 1)
		p := b.immortal()
		b.fencesUs(p, "a", "Demote")
		_, r, err := p.start(t.Context(), toB, orchestrator.RunOptions{})
		if !errors.Is(err, orchestrator.ErrLeaseLost) || !strings.Contains(err.Error(), "this client is on the blocklist of a") || strings.Contains(err.Error(), "taken over") {
			t.Errorf("%v\n%s", err, story(r))
		}
	})
}

// TestSessionSharesAFailure: many who want to act at a site that is silent wait
// for it once.
func TestSessionSharesAFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		s := b.begin(orchestrator.Purpose{What: "apply", Partial: true})
		b.must(s.Admit(t.Context(), "a"))
		b.must(s.End(t.Context()))
		b.world.Freeze("b")
		s = b.begin(orchestrator.Purpose{What: "apply", Partial: true})
		began := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := s.Admit(t.Context(), "b"); !errors.Is(err, replay.ErrTimeout) {
					t.Errorf("admitted: %v", err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("they waited for %v", took)
		}
		b.world.Thaw("b")
		time.Sleep(10 * time.Second)
		b.must(s.Admit(t.Context(), "b"))
		b.must(s.End(t.Context()))
	})
}

// TestSessionReadsALongBook: a site that comes back with so many records that
// they take longer to read than it has to answer is admitted all the same.
func TestSessionReadsALongBook(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		b.world.Freeze("b")
		s := b.begin(orchestrator.Purpose{What: "apply", Partial: true})
		var reads atomic.Int64
		s.p.meanwhile(func(_ int64, c sim.Call) {
			if c.Op == "ReadRecords" && c.Site == "b" && c.Object == "rbd/drover/ledger.shop" {
				reads.Add(1)
				time.Sleep(8 * time.Second)
			}
		})
		b.world.Thaw("b")
		if err := s.Admit(t.Context(), "b"); err != nil || reads.Load() == 0 {
			t.Errorf("after %d reads: %v", reads.Load(), err)
		}
		b.must(s.End(t.Context()))
	})
}

// anonymous is a site that does not tell by which address it knows its client.
type anonymous struct{ *sim.Site }

func (anonymous) OwnAddresses(context.Context) ([]string, error) {
	return nil, &replay.Error{Op: "read own address", Site: "c", Err: replay.ErrPermission}
}

// TestSessionWithoutAThirdSite: what is wrong at a site that a run does not
// change stops nothing, but that nothing is done there.
func TestSessionWithoutAThirdSite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, fanOut)
		b.die(b.begin(switching))
		allow := b.world.Forbid("c", "Blocklist")
		defer allow()
		readOnly := b.world.Inject(sim.Fault{Site: "c", Op: "AppendRecords", Errno: erofs})
		defer readOnly()
		toB := orchestrator.Purpose{What: "switchover", Run: "run-2", Sites: []string{"a", "b"}}
		s := b.begin(toB)
		b.must(s.Admit(t.Context(), "a"))
		b.must(s.Admit(t.Context(), "b"))
		if err := s.Admit(t.Context(), "c"); !errors.Is(err, orchestrator.ErrRefused) {
			t.Errorf("admitted without shutting anybody out: %v", err)
		}
		if !strings.Contains(s.told(), "c is passed over (") {
			t.Errorf("told: %s", s.told())
		}
		b.must(s.End(t.Context()))

		for _, purpose := range []orchestrator.Purpose{toB, {What: "failover", Sites: []string{"c", "b"}, Lost: "c"}} {
			sites := orchestrator.OpenSites(t.Context(), b.plan, func(_ context.Context, s plans.Site) (orchestrator.Site, error) {
				if s.Name == "c" {
					return anonymous{b.world.Site("c")}, nil
				}
				return b.world.Site(s.Name), nil
			}, nil)
			book, err := orchestrator.ReadBook(t.Context(), b.plan, sites)
			b.must(err)
			session, err := book.Begin(t.Context(), purpose)
			b.must(err)
			b.must(session.Admit(t.Context(), "b"))
			if session.Admit(t.Context(), "c") == nil {
				t.Error("admitted where nobody could shut it out")
			}
			b.must(session.End(t.Context()))
			_ = book.Close(t.Context()) // c takes no records
			b.close(sites)
		}
	})
}
