package ceph_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph"
	"github.com/drover-io/drover/test/lab"
)

// TestLedgerOnAFullPool: a full pool refuses to make a ledger, at once, and
// lets one that exists go on.
func TestLedgerOnAFullPool(t *testing.T) {
	ctx, s, pool := t.Context(), open(t, "site-a"), newPool(t).Name
	old := replay.LedgerRef{Pool: pool, Object: "old"}
	record := func(key string) []replay.Record { return []replay.Record{{Key: key, Value: []byte("value")}} }
	must(t, s.AppendRecords(ctx, old, record("a")))
	ref := replay.Pool{Name: pool}.Image("filler")
	must(t, s.CreateImage(ctx, ref, replay.ImageSpec{Size: 1 << 30, Features: replay.FeatureLayering}))
	var before replay.Space
	await(t, "the monitors have numbers of the pool", func() (_ bool, err error) {
		before, err = s.PoolSpace(ctx, pool)
		if err != nil {
			refused(t, err, replay.ErrAgain)
		}
		return true, err
	})
	const quota = 1 << 20
	if _, err := world.Site("site-a").Ceph(ctx, "osd", "pool", "set-quota", pool, "max_bytes", fmt.Sprint(quota)); err != nil {
		t.Fatal(err)
	}
	space, err := s.PoolSpace(ctx, pool)
	must(t, err)
	if space.Quota != quota || space.Available != quota-space.Used || before.Quota != 0 || before.Available <= quota {
		t.Errorf("space %+v with a quota, %+v before", space, before)
	}
	w, err := s.OpenWriter(ctx, ref)
	must(t, err)
	defer func() { must(t, w.Close()) }()
	data := make([]byte, 64<<10)
	for i := range data {
		data[i] = byte(i)
	}
	next := 0
	var full error
	await(t, "the quota is noticed", func() (bool, error) {
		// Only what adds bytes is refused.
		_, full = w.WriteAt(ctx, data, uint64(next)<<20)
		next++
		return full != nil, nil
	})
	refused(t, full, replay.ErrNoSpace, "quota")
	space, err = s.PoolSpace(ctx, pool)
	must(t, err)
	if space.Available != 0 || space.Used < quota {
		t.Errorf("space of a full pool: %+v", space)
	}

	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	fresh := replay.LedgerRef{Pool: pool, Object: "new"}
	refused(t, s.AppendRecords(ctx, fresh, record("a")), replay.ErrNoSpace, "quota")
	lease := replay.Lease{Cookie: "cookie", Holder: "test", TTL: time.Minute}
	refused(t, s.AcquireLease(ctx, fresh, lease, false), replay.ErrNoSpace, "quota")
	must(t, s.AppendRecords(ctx, old, record("b")))
	must(t, s.AcquireLease(ctx, old, lease, false))
	got, err := s.ReadRecords(ctx, old, "")
	must(t, err)
	if len(got) != 2 {
		t.Errorf("records %v", got)
	}
	must(t, s.RemoveRecords(ctx, old, []string{"a", "b"}))
}

// TestLeaseTakenByHand: a lock without an end, as `rados lock get` takes it,
// is a lease that somebody holds.
func TestLeaseTakenByHand(t *testing.T) {
	ctx, s := t.Context(), open(t, "site-a")
	ledger := replay.LedgerRef{Pool: "rbd", Object: "by-hand"}
	rados := func(args ...string) {
		t.Helper()
		args = append([]string{"-p", "rbd", "-N", replay.LedgerNamespace, "lock"}, args...)
		if _, err := world.Site("site-a").Rados(ctx, args...); err != nil {
			t.Fatal(err)
		}
	}
	rados("get", ledger.Object, "lease", "--lock-cookie", "hand", "--lock-description", "the admin, by hand")
	got, held, err := s.LeaseHolder(ctx, ledger)
	must(t, err)
	if want := (replay.Lease{Cookie: "hand", Holder: "the admin, by hand"}); got != want || !held {
		t.Errorf("held %v by %+v, want %+v", held, got, want)
	}
	mine := replay.Lease{Cookie: "mine", TTL: time.Minute}
	refused(t, s.AcquireLease(ctx, ledger, mine, false), replay.ErrHeld, "the admin, by hand")
	// Its cookie gives it back, whoever has it.
	must(t, s.ReleaseLease(ctx, ledger, "hand"))
	must(t, s.AcquireLease(ctx, ledger, mine, false))
	// One without words is told by its client.
	must(t, s.ReleaseLease(ctx, ledger, mine.Cookie))
	rados("get", ledger.Object, "lease", "--lock-cookie", "mute")
	refused(t, s.AcquireLease(ctx, ledger, mine, false), replay.ErrHeld, "held by client.")
}

// TestLedgerCallsAreAbandoned freezes the OSD.
func TestLedgerCallsAreAbandoned(t *testing.T) {
	admin := world.Site("site-b")
	s, err := ceph.Open(t.Context(), ceph.Config{Name: "site-b", Conf: admin.Conf(), User: "client.drover"})
	must(t, err)
	ref := replay.Pool{Name: "rbd"}.Image("abandoned")
	must(t, s.CreateImage(t.Context(), ref, replay.ImageSpec{Size: 64 << 20, Features: replay.FeatureLayering | replay.FeatureExclusiveLock}))
	w, err := s.OpenWriter(t.Context(), ref)
	must(t, err)
	ledger := replay.LedgerRef{Pool: "rbd", Object: "abandoned"}
	data := make([]byte, 40<<20)
	must(t, admin.Freeze(lab.OSD))
	// Whatever fails here, the next test needs the OSD.
	t.Cleanup(func() { must(t, admin.Thaw(lab.OSD)) })
	calls := map[string]func(context.Context) error{
		"AppendRecords": func(ctx context.Context) error {
			return s.AppendRecords(ctx, ledger, []replay.Record{{Key: "a", Value: []byte("value")}})
		},
		"ReadRecords":   func(ctx context.Context) error { _, err := s.ReadRecords(ctx, ledger, ""); return err },
		"RemoveRecords": func(ctx context.Context) error { return s.RemoveRecords(ctx, ledger, []string{"b"}) },
		"AcquireLease": func(ctx context.Context) error {
			return s.AcquireLease(ctx, ledger, replay.Lease{Cookie: "cookie", TTL: time.Minute}, false)
		},
		"ReleaseLease": func(ctx context.Context) error { return s.ReleaseLease(ctx, ledger, "none") },
		"LeaseHolder":  func(ctx context.Context) error { _, _, err := s.LeaseHolder(ctx, ledger); return err },
		"RenameImage":  func(ctx context.Context) error { return s.RenameImage(ctx, ref.Image("absent"), "x") },
		"OpenWriter":   func(ctx context.Context) error { _, err := s.OpenWriter(ctx, ref); return err },
		"WriteAt":      func(ctx context.Context) error { _, err := w.WriteAt(ctx, data, 0); return err },
	}
	for name, does := range calls {
		// Long enough for each to have begun on a machine that is busy: what has
		// not is not counted as abandoned.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if err := does(ctx); !errors.Is(err, replay.ErrTimeout) {
			t.Errorf("%s: got %v", name, err)
		}
		cancel()
	}
	if n := s.Abandoned(); n != len(calls) {
		t.Errorf("%d calls are counted as abandoned, not %d", n, len(calls))
	}
	// Neither waits for what hangs.
	must(t, w.Close())
	must(t, s.Close())
	if s.Abandoned() != len(calls) {
		t.Error("it waited for the calls to end")
	}
	must(t, admin.Thaw(lab.OSD))
	await(t, "all abandoned calls end", func() (bool, error) { return s.Abandoned() == 0, nil })
	// What was given up has taken effect in the end, as its error said it might.
	got, err := open(t, "site-b").ReadRecords(t.Context(), ledger, "")
	must(t, err)
	if len(got) != 1 || got[0].Key != "a" {
		t.Errorf("records %v", got)
	}
}

// TestFenceUnderFire shuts out a client that writes as fast as it can: from
// when the site has answered once after that, nothing of it arrives.
func TestFenceUnderFire(t *testing.T) {
	ctx, s := t.Context(), open(t, "site-a")
	ref := newPool(t).Image("fenced")
	must(t, s.CreateImage(ctx, ref, replay.ImageSpec{Size: 8 << 20, Features: replay.FeatureLayering | replay.FeatureExclusiveLock}))
	w, err := open(t, "site-a").OpenWriter(ctx, ref)
	must(t, err)
	put := func(number uint64) error {
		_, err := w.WriteAt(ctx, binary.BigEndian.AppendUint64(nil, number), 0)
		return err
	}
	must(t, put(1))
	ended := make(chan error, 1)
	go func() {
		for number := uint64(2); ; number++ {
			if err := put(number); err != nil {
				ended <- err
				return
			}
		}
	}()
	users, err := s.Users(ctx, ref)
	must(t, err)
	if len(users) != 1 || !users[0].Locks {
		t.Fatalf("users %+v", users)
	}
	must(t, s.Blocklist(ctx, users[0].Address, time.Hour))
	number := func() uint64 {
		t.Helper()
		r, err := s.OpenSnapshot(ctx, ref, "")
		must(t, err)
		got := make([]byte, 8)
		_, err = r.ReadAt(ctx, got, 0)
		must(t, err)
		must(t, r.Close())
		return binary.BigEndian.Uint64(got)
	}
	last := number()
	refused(t, <-ended, replay.ErrPermission, "blocklisted")
	if again := number(); again != last || last < 2 {
		t.Errorf("the image held %d when the client was shut out, and then %d", last, again)
	}
	must(t, w.Close())
}

// TestFencesOfUsersWithLessCaps: who may not fence is told so, and what it
// takes.
func TestFencesOfUsersWithLessCaps(t *testing.T) {
	admin := world.Site("site-a")
	u := replay.DroverCaps()
	u.Name, u.Mon = "client.reader", "allow r"
	must(t, admin.Allow(t.Context(), u))
	s := openAs(t, "site-a", ceph.Config{User: u.Name})
	const address = "192.0.2.1:0/4711"
	refused(t, s.Blocklist(t.Context(), address, time.Hour), replay.ErrPermission, "client.reader needs mon 'profile rbd'")
	refused(t, s.Unblocklist(t.Context(), address), replay.ErrPermission, "blocklistop=rm")
}
