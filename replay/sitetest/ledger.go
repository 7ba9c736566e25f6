package sitetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
)

func (s *suite) ledgerCases(t *testing.T) {
	for name, test := range map[string]func(*testing.T, replay.LedgerRef){
		"LedgerThatIsNotThere": s.noLedger,
		"Records":              s.records,
		"ManyRecords":          s.manyRecords,
		"WritersOfOneLedger":   s.ledgerWriters,
		"LedgerRefusals":       s.ledgerRefusals,
		"Lease":                s.lease,
		"LeaseExpires":         s.leaseExpires,
		"LeaseOfAnotherHandle": s.leaseOfAnotherHandle,
		"OneLeaseForMany":      s.leaseRace,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, replay.LedgerRef{Pool: s.pool("errors").Name, Object: "ledger of " + name})
		})
	}
}

// holds checks that the ledger has exactly these records behind a key.
func (s *suite) holds(t *testing.T, ledger replay.LedgerRef, after string, want ...replay.Record) {
	t.Helper()
	got, err := s.A.ReadRecords(t.Context(), ledger, after)
	ok(t, err)
	if len(got) != len(want) {
		t.Fatalf("%d records after %q, want %d", len(got), after, len(want))
	}
	for i := range want {
		if got[i].Key != want[i].Key || !bytes.Equal(got[i].Value, want[i].Value) {
			t.Fatalf("record %d after %q is %q: %.40q, want %q: %.40q", i, after, got[i].Key, got[i].Value, want[i].Key, want[i].Value)
		}
	}
}

func record(key, value string) replay.Record {
	return replay.Record{Key: key, Value: []byte(value)}
}

func (s *suite) noLedger(t *testing.T, ledger replay.LedgerRef) {
	ctx := t.Context()
	s.holds(t, ledger, "")
	ok(t, s.A.RemoveRecords(ctx, ledger, []string{"a"}))
	ok(t, s.A.AppendRecords(ctx, ledger, nil))
	ok(t, s.A.ReleaseLease(ctx, ledger, "cookie"))
	if _, held, err := s.A.LeaseHolder(ctx, ledger); held || err != nil {
		t.Fatalf("held %v, %v", held, err)
	}
	wants(t, s.A.AcquireLease(ctx, ledger, replay.Lease{Cookie: "cookie", TTL: time.Minute}, true), replay.ErrNotFound, s.A)
}

func (s *suite) records(t *testing.T, ledger replay.LedgerRef) {
	ctx := t.Context()
	b, c, d := record("b", "first"), record("c", ""), record("d\x00\xff", "\x00binary\xff")
	ok(t, s.A.AppendRecords(ctx, ledger, []replay.Record{d, b, c, record("b", "twice among the records")}))
	s.holds(t, ledger, "", b, c, d)
	s.holds(t, ledger, "b", c, d)
	s.holds(t, ledger, "bb", c, d)
	s.holds(t, ledger, "e")
	// What is there stays; what is new among it is stored.
	a := record("a", "late")
	ok(t, s.A.AppendRecords(ctx, ledger, []replay.Record{record("b", "second"), a}))
	ok(t, s.A.AppendRecords(ctx, ledger, []replay.Record{record("b", "third")}))
	s.holds(t, ledger, "", a, b, c, d)
	// Another ledger, site or pool has none of it.
	for _, other := range []replay.LedgerRef{
		{Pool: ledger.Pool, Object: ledger.Object + "2"},
		{Pool: s.pool("modes").Name, Object: ledger.Object},
	} {
		s.holds(t, other, "")
	}
	if got, err := s.B.ReadRecords(ctx, ledger, ""); len(got) != 0 || err != nil {
		t.Fatalf("%d records at the other site (%v)", len(got), err)
	}
	// A ledger is no image and makes no namespace that mirroring would know of.
	if spaces, err := s.A.Namespaces(ctx, ledger.Pool); len(spaces) != 0 || err != nil {
		t.Fatalf("namespaces %q (%v)", spaces, err)
	}
	for range 2 {
		ok(t, s.A.RemoveRecords(ctx, ledger, []string{"b", "d\x00\xff", "never there"}))
		s.holds(t, ledger, "", a, c)
	}
	ok(t, s.A.AppendRecords(ctx, ledger, []replay.Record{record("b", "anew")}))
	s.holds(t, ledger, "a", record("b", "anew"), c)
}

// manyRecords are more than an OSD gives out at once, and a megabyte.
func (s *suite) manyRecords(t *testing.T, ledger replay.LedgerRef) {
	var all []replay.Record
	var keys []string
	for i := range 3000 {
		all = append(all, replay.Record{Key: fmt.Sprintf("%06d", i), Value: text(uint64(i), 400)})
		keys = append(keys, all[i].Key)
	}
	ok(t, s.A.AppendRecords(t.Context(), ledger, all))
	s.holds(t, ledger, "", all...)
	s.holds(t, ledger, all[1500].Key, all[1501:]...)
	// Most of them are there already.
	more := append(all[:2990:2990], record("zzz", "new"))
	ok(t, s.A.AppendRecords(t.Context(), ledger, more))
	s.holds(t, ledger, all[2999].Key, record("zzz", "new"))
	ok(t, s.A.RemoveRecords(t.Context(), ledger, keys))
	s.holds(t, ledger, "", record("zzz", "new"))
}

func (s *suite) ledgerWriters(t *testing.T, ledger replay.LedgerRef) {
	const writers, appends = 4, 10
	other := s.Another(t, s.A)
	var group sync.WaitGroup
	errs := make(chan error, writers*appends)
	for w := range writers {
		site := []replay.Site{s.A, other}[w%2]
		group.Go(func() {
			for i := range appends {
				errs <- site.AppendRecords(t.Context(), ledger, []replay.Record{
					record(fmt.Sprintf("%02d of writer %d", i, w), "value"), record(fmt.Sprintf("%02d of writer %d, more", i, w), "value"),
				})
			}
		})
	}
	group.Wait()
	close(errs)
	for err := range errs {
		ok(t, err)
	}
	got, err := other.ReadRecords(t.Context(), ledger, "")
	ok(t, err)
	if len(got) != 2*writers*appends {
		t.Fatalf("%d records", len(got))
	}
}

func (s *suite) ledgerRefusals(t *testing.T, ledger replay.LedgerRef) {
	ctx, good := t.Context(), record("a", "value")
	wants(t, s.A.AppendRecords(ctx, ledger, []replay.Record{good, record("", "no key")}), replay.ErrInvalid, s.A)
	large := replay.Record{Key: "large", Value: make([]byte, replay.MaxAppend)}
	wants(t, s.A.AppendRecords(ctx, ledger, []replay.Record{good, large}), replay.ErrInvalid, s.A)
	s.holds(t, ledger, "")
	for _, lease := range []replay.Lease{
		{TTL: time.Minute},
		{Cookie: "cookie"},
		{Cookie: "cookie", TTL: time.Microsecond},
		{Cookie: "cookie", TTL: -time.Minute},
		{Cookie: "two\nlines", TTL: time.Minute},
		{Cookie: "cookie", TTL: time.Minute, Holder: "two\nlines"},
		{Cookie: "cookie", TTL: time.Minute, Holder: strings.Repeat("x", 201)},
	} {
		wants(t, s.A.AcquireLease(ctx, ledger, lease, false), replay.ErrInvalid, s.A)
	}
	lease := replay.Lease{Cookie: "cookie", TTL: time.Minute}
	for want, bad := range map[error]replay.LedgerRef{
		replay.ErrNotFound: {Pool: "no-such-pool", Object: "ledger"},
		replay.ErrInvalid:  {Pool: ledger.Pool},
	} {
		wants(t, s.A.AppendRecords(ctx, bad, []replay.Record{good}), want, s.A)
		_, err := s.A.ReadRecords(ctx, bad, "")
		wants(t, err, want, s.A)
		wants(t, s.A.RemoveRecords(ctx, bad, []string{"a"}), want, s.A)
		for _, renew := range []bool{false, true} {
			wants(t, s.A.AcquireLease(ctx, bad, lease, renew), want, s.A)
		}
		wants(t, s.A.ReleaseLease(ctx, bad, "cookie"), want, s.A)
		_, _, err = s.A.LeaseHolder(ctx, bad)
		wants(t, err, want, s.A)
	}
}

// heldBy checks who holds the lease and for how long about; "" is nobody.
func (s *suite) heldBy(t *testing.T, ledger replay.LedgerRef, lease replay.Lease) {
	t.Helper()
	got, held, err := s.A.LeaseHolder(t.Context(), ledger)
	ok(t, err)
	if held != (lease.Cookie != "") || got.Cookie != lease.Cookie || got.Holder != lease.Holder {
		t.Fatalf("held %v by %+v, want %+v", held, got, lease)
	}
	if got.TTL > lease.TTL || got.TTL < lease.TTL-30*time.Second {
		t.Fatalf("%v are left of %v", got.TTL, lease.TTL)
	}
}

func (s *suite) lease(t *testing.T, ledger replay.LedgerRef) {
	ctx := t.Context()
	mine := replay.Lease{Cookie: "1b4e28ba", Holder: "root@host-1 4151, failover of databases", TTL: time.Minute}
	theirs := replay.Lease{Cookie: "2fa1d3c0", Holder: "root@host-2 99, failback", TTL: time.Minute}
	ok(t, s.A.AcquireLease(ctx, ledger, mine, false))
	s.heldBy(t, ledger, mine)
	err := s.A.AcquireLease(ctx, ledger, theirs, false)
	wants(t, err, replay.ErrHeld, s.A)
	if !strings.Contains(err.Error(), mine.Holder) {
		t.Fatalf("%q does not name %q", err, mine.Holder)
	}
	wants(t, s.A.AcquireLease(ctx, ledger, theirs, true), replay.ErrNotFound, s.A)
	ok(t, s.A.ReleaseLease(ctx, ledger, theirs.Cookie))
	s.heldBy(t, ledger, mine)
	// Prolonged, either way.
	for _, renew := range []bool{false, true} {
		mine.TTL += 2 * time.Hour
		ok(t, s.A.AcquireLease(ctx, ledger, mine, renew))
		s.heldBy(t, ledger, mine)
	}
	// The lease is nobody's business but its takers': the ledger can be written.
	ok(t, s.A.AppendRecords(ctx, ledger, []replay.Record{record("a", "value")}))
	for range 2 {
		ok(t, s.A.ReleaseLease(ctx, ledger, mine.Cookie))
		s.heldBy(t, ledger, replay.Lease{})
	}
	s.holds(t, ledger, "", record("a", "value"))
	wants(t, s.A.AcquireLease(ctx, ledger, mine, true), replay.ErrNotFound, s.A)
	s.heldBy(t, ledger, replay.Lease{})
	ok(t, s.A.AcquireLease(ctx, ledger, theirs, false))
	s.heldBy(t, ledger, theirs)
}

func (s *suite) leaseExpires(t *testing.T, ledger replay.LedgerRef) {
	ctx := t.Context()
	mine := replay.Lease{Cookie: "mine", Holder: "one", TTL: time.Second}
	theirs := replay.Lease{Cookie: "theirs", Holder: "two", TTL: time.Minute}
	ok(t, s.A.AppendRecords(ctx, ledger, []replay.Record{record("a", "value")}))
	ok(t, s.A.AcquireLease(ctx, ledger, mine, false))
	s.eventually(t, "the lease is over", func() error {
		if _, held, err := s.A.LeaseHolder(ctx, ledger); held || err != nil {
			return errors.Join(errors.New("it is held"), err)
		}
		return nil
	})
	wants(t, s.A.AcquireLease(ctx, ledger, mine, true), replay.ErrNotFound, s.A)
	ok(t, s.A.AcquireLease(ctx, ledger, theirs, false))
	s.heldBy(t, ledger, theirs)
	wants(t, s.A.AcquireLease(ctx, ledger, mine, false), replay.ErrHeld, s.A)
	ok(t, s.A.ReleaseLease(ctx, ledger, mine.Cookie))
	s.heldBy(t, ledger, theirs)
	s.holds(t, ledger, "", record("a", "value"))
}

// leaseOfAnotherHandle: the cookie makes the holder, by whatever connection.
func (s *suite) leaseOfAnotherHandle(t *testing.T, ledger replay.LedgerRef) {
	ctx, other := t.Context(), s.Another(t, s.A)
	lease := replay.Lease{Cookie: "cookie", Holder: "one of two handles", TTL: time.Hour}
	ok(t, other.AcquireLease(ctx, ledger, lease, false))
	s.heldBy(t, ledger, lease)
	for _, renew := range []bool{true, false} {
		lease.TTL += time.Hour
		ok(t, s.A.AcquireLease(ctx, ledger, lease, renew))
		s.heldBy(t, ledger, lease)
		lease.TTL += time.Hour
		ok(t, other.AcquireLease(ctx, ledger, lease, renew))
		s.heldBy(t, ledger, lease)
	}
	ok(t, s.A.ReleaseLease(ctx, ledger, lease.Cookie))
	s.heldBy(t, ledger, replay.Lease{})
}

// leaseRace lets many ask for the lease at once, all of whom shall get it in
// the end, one at a time.
func (s *suite) leaseRace(t *testing.T, ledger replay.LedgerRef) {
	ctx, other := t.Context(), s.Another(t, s.A)
	var group sync.WaitGroup
	var holders atomic.Int32
	errs := make(chan error, 8)
	for i := range cap(errs) {
		site := []replay.Site{s.A, other}[i%2]
		group.Go(func() {
			lease := replay.Lease{Cookie: fmt.Sprint("cookie ", i), Holder: fmt.Sprint("contender ", i), TTL: time.Hour}
			errs <- func() error {
				for {
					err := site.AcquireLease(ctx, ledger, lease, false)
					if errors.Is(err, replay.ErrHeld) {
						continue
					}
					if err != nil {
						return err
					}
					if n := holders.Add(1); n != 1 {
						return fmt.Errorf("%d hold the lease", n)
					}
					if err := site.AcquireLease(ctx, ledger, lease, true); err != nil {
						return err
					}
					holders.Add(-1)
					return site.ReleaseLease(ctx, ledger, lease.Cookie)
				}
			}()
		})
	}
	group.Wait()
	close(errs)
	for err := range errs {
		ok(t, err)
	}
}
