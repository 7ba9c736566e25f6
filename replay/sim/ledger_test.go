package sim_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

var book = replay.LedgerRef{Pool: "rbd", Object: "databases"}

func line(key string) []replay.Record {
	return []replay.Record{{Key: key, Value: []byte("value of " + key)}}
}

func is(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// TestLedgerIsKept: records, leases and the blocklist outlive the process, and
// the lease ends by the world's clock.
func TestLedgerIsKept(t *testing.T) {
	ctx := t.Context()
	w := sim.Pair(sim.Options{}, "a", "b", "rbd")
	a := w.Site("a")
	lease := replay.Lease{Cookie: "cookie", Holder: "one", TTL: time.Minute}
	must(t, a.AppendRecords(ctx, book, line("a")))
	must(t, a.AcquireLease(ctx, book, lease, false))
	must(t, a.Blocklist(ctx, "192.0.2.1:0/1", time.Hour))
	again, err := sim.Load(strings.NewReader(saved(t, w)), nil)
	must(t, err)
	a = again.Site("a")
	if got := again.Ledger("a", book); len(got) != 1 || got[0].Key != "a" || string(got[0].Value) != "value of a" {
		t.Fatalf("records %v", got)
	}
	if got := again.Ledgers("a", "rbd"); !slices.Equal(got, []string{book.Object}) || again.Ledgers("b", "rbd") != nil {
		t.Fatalf("ledgers %q", got)
	}
	other := replay.Lease{Cookie: "other", TTL: time.Minute}
	is(t, a.AcquireLease(ctx, book, other, false), replay.ErrHeld)
	again.Advance(lease.TTL - time.Millisecond)
	is(t, a.AcquireLease(ctx, book, other, false), replay.ErrHeld)
	again.Advance(time.Millisecond)
	is(t, a.AcquireLease(ctx, book, lease, true), replay.ErrNotFound)
	must(t, a.AcquireLease(ctx, book, other, false))
	if got := again.Blocklisted("a"); !slices.Equal(got, []string{"192.0.2.1:0/1"}) {
		t.Fatalf("blocklisted %q", got)
	}
	again.Advance(time.Hour)
	if got := again.Blocklisted("a"); len(got) != 0 {
		t.Fatalf("blocklisted after its time: %q", got)
	}
}

// TestLedgerFaults: the calls can be made to fail as all others, and are in the
// log.
func TestLedgerFaults(t *testing.T) {
	ctx := t.Context()
	w := sim.Pair(sim.Options{}, "a", "b", "rbd")
	a := w.Site("a")
	allow := w.Forbid("a", "AppendRecords")
	is(t, a.AppendRecords(ctx, book, line("a")), replay.ErrPermission)
	allow()
	if got := w.Ledger("a", book); len(got) != 0 {
		t.Fatalf("records %v", got)
	}
	w.Inject(sim.Fault{Site: "a", Op: "AppendRecords", Object: book.String(), Count: 1, Lost: true})
	is(t, a.AppendRecords(ctx, book, line("a")), replay.ErrTimeout)
	must(t, a.AppendRecords(ctx, book, line("a"))) // which is harmless
	if got := w.Ledger("a", book); len(got) != 1 {
		t.Fatalf("records %v", got)
	}
	w.Vanish("a")
	_, err := a.ReadRecords(ctx, book, "")
	is(t, err, replay.ErrUnreachable)
	if got := w.Ledger("a", book); len(got) != 1 {
		t.Fatalf("records %v of a site that is gone", got)
	}
	w.Return("a")

	w.ForgetCalls()
	_, err = a.ReadRecords(ctx, book, "")
	must(t, err)
	_, _, err = a.LeaseHolder(ctx, book)
	must(t, err)
	_, err = a.PoolSpace(ctx, "rbd")
	must(t, err)
	if got := w.Writes(); len(got) != 0 {
		t.Fatalf("reads are logged as writes: %v", got)
	}
	must(t, a.AppendRecords(ctx, book, line("b")))
	must(t, a.RemoveRecords(ctx, book, []string{"b"}))
	must(t, a.AcquireLease(ctx, book, replay.Lease{Cookie: "cookie", TTL: time.Minute}, false))
	must(t, a.ReleaseLease(ctx, book, "cookie"))
	must(t, a.Blocklist(ctx, "192.0.2.1:0/1", time.Hour))
	must(t, a.Unblocklist(ctx, "192.0.2.1:0/1"))
	var ops []string
	for _, c := range w.Writes() {
		ops = append(ops, c.Op)
	}
	if want := []string{"AppendRecords", "RemoveRecords", "AcquireLease", "ReleaseLease", "Blocklist", "Unblocklist"}; !slices.Equal(ops, want) {
		t.Fatalf("writes %q, want %q", ops, want)
	}
}

// TestFenceOfAnAttachedWriter: a client that does not give up the lock hinders
// a demotion until it is shut out.
func TestFenceOfAnAttachedWriter(t *testing.T) {
	ctx := t.Context()
	w, a, _ := pair(t, sim.Options{})
	w.Advance(time.Second)
	ref := vm.Image("held")
	protect(t, a, ref, replay.ModeJournal)
	reader := replay.ImageUser{Client: "client.1", Address: "192.0.2.1:0/1"}
	writer := replay.ImageUser{Client: "client.2", Address: "192.0.2.2:0/2", Locks: true}
	must(t, w.Attach("a", ref, reader, false))
	must(t, w.Attach("a", ref, writer, true))
	is(t, a.Demote(ctx, ref), replay.ErrReadOnly)
	must(t, a.Blocklist(ctx, reader.Address, time.Hour))
	is(t, a.Demote(ctx, ref), replay.ErrReadOnly)
	must(t, a.Blocklist(ctx, writer.Address, time.Hour))
	if users, err := a.Users(ctx, ref); err != nil || len(users) != 0 {
		t.Fatalf("users %+v (%v)", users, err)
	}
	must(t, a.Demote(ctx, ref))
}

// TestSpaceOfAFullPool: a full pool makes no ledger, and lets one that exists
// go on.
func TestSpaceOfAFullPool(t *testing.T) {
	ctx := t.Context()
	w := sim.Pair(sim.Options{}, "a", "b", "rbd")
	a, ref := w.Site("a"), replay.Pool{Name: "rbd"}.Image("filler")
	must(t, a.AppendRecords(ctx, book, line("a")))
	must(t, a.CreateImage(ctx, ref, replay.ImageSpec{Size: 1 << 20}))
	w.SetQuota("a", "rbd", 8192)
	must(t, w.Write("a", ref, 0, []byte("something")))
	space, err := a.PoolSpace(ctx, "rbd")
	must(t, err)
	if space != (replay.Space{Used: 4096, Available: 4096, Quota: 8192}) {
		t.Fatalf("space %+v", space)
	}
	must(t, w.Write("a", ref, 65536, []byte("something")))
	fresh := replay.LedgerRef{Pool: "rbd", Object: "fresh"}
	is(t, a.AppendRecords(ctx, fresh, line("a")), replay.ErrNoSpace)
	is(t, a.AcquireLease(ctx, fresh, replay.Lease{Cookie: "cookie", TTL: time.Minute}, false), replay.ErrNoSpace)
	must(t, a.AppendRecords(ctx, book, line("b")))
}
