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
	"github.com/drover-io/drover/replay/sim"
)

// lease takes the plan's lease.
func (b *bed) lease(book *orchestrator.Book) *orchestrator.Lease {
	b.t.Helper()
	l, err := book.Lease(b.t.Context(), "switchover")
	b.must(err)
	return l
}

// holder is who holds the lease at a site; "" when nobody does.
func (b *bed) holder(site string) string {
	b.t.Helper()
	held, ok, err := b.world.Site(site).LeaseHolder(b.t.Context(), shopLedger)
	b.must(err)
	if !ok {
		return ""
	}
	return held.Holder
}

// stillHeld fails when a lease has been lost.
func (b *bed) stillHeld(what string, l *orchestrator.Lease) {
	b.t.Helper()
	if err := context.Cause(l.Context()); err != nil || l.Err() != nil {
		b.t.Fatalf("%s: the lease is lost: %v", what, err)
	}
}

// lostWithin wants a lease to be lost after some time, and returns why.
func (b *bed) lostWithin(what string, l *orchestrator.Lease, d time.Duration) error {
	b.t.Helper()
	began := time.Now()
	select {
	case <-l.Context().Done():
	case <-time.After(10 * time.Minute):
		b.t.Fatalf("%s: the lease is never lost", what)
	}
	if after := time.Since(began); after > d {
		b.t.Errorf("%s: lost only after %v", what, after)
	}
	why := context.Cause(l.Context())
	if !errors.Is(why, orchestrator.ErrLeaseLost) || !errors.Is(l.Err(), orchestrator.ErrLeaseLost) {
		b.t.Errorf("%s: cause %v, err %v", what, why, l.Err())
	}
	return why
}

func TestLeaseAdmitsOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		first, second := b.read(), b.read()
		l, err := first.Lease(t.Context(), "switch\nover")
		b.must(err)
		for _, site := range []string{"a", "b"} {
			if who := b.holder(site); !strings.Contains(who, "switch over") || !strings.Contains(who, "process") {
				t.Errorf("holder at %s: %q", site, who)
			}
		}
		_, err = second.Lease(t.Context(), "failover")
		if !errors.Is(err, orchestrator.ErrLeased) || !strings.Contains(err.Error(), "switch over") || !strings.Contains(err.Error(), "site a") {
			t.Errorf("a second lease: %v", err)
		}
		time.Sleep(10 * time.Minute)
		b.stillHeld("after ten minutes", l)
		if _, err = second.Lease(t.Context(), "failover"); !errors.Is(err, orchestrator.ErrLeased) {
			t.Errorf("a second lease after ten minutes: %v", err)
		}
		b.must(l.Release(t.Context()))
		b.must(l.Release(t.Context()))
		if l.Context().Err() == nil || l.Err() != nil {
			t.Errorf("released: context %v, err %v", l.Context().Err(), l.Err())
		}
		other, err := second.Lease(t.Context(), "failover")
		b.must(err)
		b.must(second.Close(t.Context())) // gives it back
		if b.holder("a")+b.holder("b") != "" || other.Context().Err() == nil {
			t.Error("a closed book keeps its lease")
		}
	})
}

func TestLeaseRace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		const rivals = 16
		leases := make([]*orchestrator.Lease, rivals)
		var wg sync.WaitGroup
		for i := range rivals {
			book := b.read()
			wg.Go(func() {
				l, err := book.Lease(t.Context(), "race")
				if err != nil && !errors.Is(err, orchestrator.ErrLeased) {
					t.Errorf("lease: %v", err)
				}
				leases[i] = l
			})
		}
		wg.Wait()
		won := 0
		for _, l := range leases {
			if l != nil {
				won++
				b.must(l.Release(t.Context()))
			}
		}
		if won != 1 {
			t.Errorf("%d won", won)
		}
	})
}

// Whoever finds the lease taken at a later site leaves nothing at the others.
func TestLeaseHeldAtLaterSite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		rival := replay.Lease{Cookie: "rival", Holder: "the rival", TTL: time.Minute}
		b.must(b.world.Site("b").AcquireLease(t.Context(), shopLedger, rival, false))
		_, err := b.read().Lease(t.Context(), "switchover")
		if !errors.Is(err, orchestrator.ErrLeased) || !strings.Contains(err.Error(), "the rival") {
			t.Errorf("lease: %v", err)
		}
		if who := b.holder("a"); who != "" {
			t.Errorf("a is still held by %q", who)
		}
	})
}

// One site that falls silent, for however long, loses no lease; and the lease is
// taken there again when it returns.
func TestLeaseOutlivesSilentSite(t *testing.T) {
	for name, away := range map[string]struct{ leave, back func(*sim.World, string) }{
		"gone":   {(*sim.World).Vanish, (*sim.World).Return},
		"frozen": {(*sim.World).Freeze, (*sim.World).Thaw},
	} {
		for _, site := range []string{"a", "b"} {
			t.Run(name+" "+site, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					b := newBed(t, twoWay)
					l := b.lease(b.read())
					for _, d := range []time.Duration{7 * time.Second, 26 * time.Second, 31 * time.Second, 10 * time.Minute} {
						away.leave(b.world, site)
						time.Sleep(d)
						b.stillHeld("while it is silent", l)
						away.back(b.world, site)
						time.Sleep(15 * time.Second)
						b.stillHeld("after it has returned", l)
						if b.holder(site) == "" {
							t.Errorf("silent for %v: not held after it has returned", d)
						}
					}
				})
			})
		}
	}
}

// A site that does not answer from the beginning delays nothing, and is taken
// when it returns.
func TestLeaseWithoutSilentSite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		b.world.Freeze("a")
		book := b.read()
		var l *orchestrator.Lease
		if d := took(func() { l = b.lease(book) }); d > 0 {
			t.Errorf("a site known as silent delayed the lease by %v", d)
		}
		if d := took(func() { b.must(l.Release(t.Context())) }); d > time.Second {
			t.Errorf("and its release by %v", d)
		}
		l = b.lease(book)
		b.world.Thaw("a")
		time.Sleep(15 * time.Second)
		if b.holder("a") == "" {
			t.Error("not held at the site that has returned")
		}
		b.must(l.Release(t.Context()))
		if b.holder("a")+b.holder("b") != "" {
			t.Error("held after release")
		}
		b.world.Freeze("a")
		b.world.Vanish("b")
		_, err := book.Lease(t.Context(), "switchover")
		if !errors.Is(err, orchestrator.ErrUnreachable) || errors.Is(err, orchestrator.ErrLeased) {
			t.Errorf("no site: %v", err)
		}
		b.world.Thaw("a")
		b.world.Return("b")
	})
}

func TestLeaseLost(t *testing.T) {
	rival := replay.Lease{Cookie: "rival", Holder: "the rival", TTL: time.Minute}
	cookie := func(b *bed, site string) string {
		held, _, err := b.world.Site(site).LeaseHolder(b.t.Context(), shopLedger)
		b.must(err)
		return held.Cookie
	}
	t.Run("broken", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := newBed(t, twoWay)
			l := b.lease(b.read())
			b.must(b.world.Site("b").ReleaseLease(t.Context(), shopLedger, cookie(b, "b")))
			if why := b.lostWithin("broken at b", l, 10*time.Second); !strings.Contains(why.Error(), "site b") {
				t.Errorf("cause: %v", why)
			}
			b.must(l.Release(t.Context()))
			if who := b.holder("a"); who != "" {
				t.Errorf("a is still held by %q", who)
			}
		})
	})
	t.Run("taken", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := newBed(t, twoWay)
			l := b.lease(b.read())
			b.must(b.world.Site("b").ReleaseLease(t.Context(), shopLedger, cookie(b, "b")))
			b.must(b.world.Site("b").AcquireLease(t.Context(), shopLedger, rival, false))
			if why := b.lostWithin("taken at b", l, 10*time.Second); !strings.Contains(why.Error(), "the rival") {
				t.Errorf("cause: %v", why)
			}
			b.must(l.Release(t.Context()))
			if who := b.holder("b"); who != "the rival" {
				t.Errorf("b is held by %q", who)
			}
		})
	})
	t.Run("taken where it was away", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := newBed(t, twoWay)
			b.world.Vanish("b")
			l := b.lease(b.read())
			b.world.Return("b")
			b.must(b.world.Site("b").AcquireLease(t.Context(), shopLedger, rival, false))
			if why := b.lostWithin("taken at b", l, 10*time.Second); !errors.Is(why, replay.ErrHeld) {
				t.Errorf("cause: %v", why)
			}
		})
	})
	for name, silence := range map[string]func(w *sim.World, site string){"gone": (*sim.World).Vanish, "frozen": (*sim.World).Freeze} {
		t.Run("all sites "+name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, twoWay)
				l := b.lease(b.read())
				time.Sleep(25 * time.Second) // renewed 5 s ago
				silence(b.world, "a")
				silence(b.world, "b")
				time.Sleep(15 * time.Second)
				b.stillHeld("15 s of silence", l)
				if why := b.lostWithin("silence", l, 5*time.Second); !strings.Contains(why.Error(), "at no site") {
					t.Errorf("cause: %v", why)
				}
				for _, site := range []string{"a", "b"} {
					b.world.Return(site)
					b.world.Thaw(site)
				}
				b.must(l.Release(t.Context()))
			})
		})
	}
}

// The lease of a process that died ends by itself.
func TestLeaseOfTheDead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		dead := replay.Lease{Cookie: "dead", Holder: "somebody who died", TTL: orchestrator.LeaseTTL}
		for _, site := range []string{"a", "b"} {
			b.must(b.world.Site(site).AcquireLease(t.Context(), shopLedger, dead, false))
		}
		book := b.read()
		if _, err := book.Lease(t.Context(), "resume"); !errors.Is(err, orchestrator.ErrLeased) || !strings.Contains(err.Error(), "somebody who died") {
			t.Errorf("lease: %v", err)
		}
		time.Sleep(orchestrator.LeaseTTL)
		b.stillHeld("taken over", b.lease(book))
	})
}

// A lease ends with the context that it was taken with, and is held until it is
// released all the same: what is in the air is finished under it.
func TestLeaseAfterInterrupt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		ctx, cancel := context.WithCancel(t.Context())
		l, err := b.read().Lease(ctx, "switchover")
		b.must(err)
		cancel()
		if l.Context().Err() == nil || l.Err() != nil {
			t.Errorf("interrupted: context %v, err %v", l.Context().Err(), l.Err())
		}
		time.Sleep(time.Minute)
		if b.holder("a") == "" || l.Err() != nil {
			t.Errorf("not held any more: %v", l.Err())
		}
		b.must(l.Release(ctx))
		if b.holder("a")+b.holder("b") != "" {
			t.Error("held after release")
		}
	})
}

// A lease whose taking was not answered is given back nevertheless.
func TestLeaseAnswerLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		b.world.Inject(sim.Fault{Op: "AcquireLease", Count: 2, Lost: true})
		if _, err := b.read().Lease(t.Context(), "switchover"); !errors.Is(err, orchestrator.ErrUnreachable) {
			t.Errorf("lease: %v", err)
		}
		b.must(b.lease(b.read()).Release(t.Context()))
	})
}
