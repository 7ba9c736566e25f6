package sitetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
)

func (s *suite) writerCases(t *testing.T) {
	each(t, "Writer", s.writer)
	for name, test := range map[string]func(*testing.T){
		"WriterRefusals": s.writerRefusals,
		"WriterRivals":   s.writerRivals,
		"Rename":         s.rename,
		"PoolSpace":      s.poolSpace,
		"Blocklist":      s.blocklist,
		"OwnAddresses":   s.ownAddresses,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// open opens the image for writing until the test ends.
func (i *image) open(site replay.Site) replay.Writer {
	i.t.Helper()
	w, err := site.OpenWriter(i.t.Context(), i.ref)
	ok(i.t, err)
	i.t.Cleanup(func() { ok(i.t, w.Close()) })
	return w
}

// put writes data and demands that all of it was written.
func put(t *testing.T, w replay.Writer, offset uint64, data []byte) {
	t.Helper()
	n, err := w.WriteAt(t.Context(), data, offset)
	ok(t, err)
	if n != len(data) {
		t.Fatalf("wrote %d of %d bytes", n, len(data))
	}
}

// writer: what is written is mirrored as any client's writes are, and the end
// of the image's being primary is the end of writing.
func (s *suite) writer(t *testing.T, mode replay.MirrorMode) {
	ctx, i := t.Context(), s.protected(t, s.pool("two-way"), "written", mode)
	_, err := s.B.OpenWriter(ctx, i.ref)
	wants(t, err, replay.ErrReadOnly, s.B)
	w := i.open(s.A)
	put(t, w, 0, text(200, 20<<20)) // over several objects, and more than one piece
	put(t, w, imageSize-1, []byte{7})
	put(t, w, 5, nil)
	ok(t, w.Flush(ctx))
	i.awaitData(s.A, "", imageSize-1, []byte{7})
	i.mark(s.A)
	i.awaitData(s.B, "", 0, text(200, 20<<20))
	i.awaitData(s.B, "", imageSize-1, []byte{7})
	i.awaitLink(s.A, s.B)
	// The open writer is no hindrance.
	i.demote(s.A, s.B)
	for range 2 {
		n, err := w.WriteAt(ctx, []byte("late"), 0)
		wants(t, err, replay.ErrReadOnly, s.A)
		if n != 0 {
			t.Fatalf("%d bytes were written to a secondary", n)
		}
	}
	_, err = s.A.OpenWriter(ctx, i.ref)
	wants(t, err, replay.ErrReadOnly, s.A)
	i.promote(s.B)
	w = i.open(s.B)
	put(t, w, 100, text(201, 3000))
	ok(t, w.Flush(ctx))
	i.mark(s.B)
	i.awaitData(s.A, "", 100, text(201, 3000))
}

func (s *suite) writerRefusals(t *testing.T) {
	ctx, i := t.Context(), s.made(t, s.pool("errors"), "writer-refusals", "")
	_, err := s.A.OpenWriter(ctx, i.ref.Image("absent"))
	wants(t, err, replay.ErrNotFound, s.A)
	_, err = s.A.OpenWriter(ctx, replay.Pool{Name: "no-such-pool"}.Image("absent"))
	wants(t, err, replay.ErrNotFound, s.A)
	w := i.open(s.A)
	for _, offset := range []uint64{imageSize - 1, imageSize, imageSize + 1, 1 << 63, 1<<64 - 1} {
		n, err := w.WriteAt(ctx, []byte("ab"), offset)
		wants(t, err, replay.ErrInvalid, s.A)
		if n != 0 {
			t.Fatalf("%d bytes were written beyond the end", n)
		}
	}
	wants(t, s.A.RemoveImage(ctx, i.ref), replay.ErrBusy, s.A)
	for range 2 {
		ok(t, w.Close())
	}
	_, err = w.WriteAt(ctx, []byte("ab"), 0)
	wants(t, err, replay.ErrInvalid, s.A)
	wants(t, w.Flush(ctx), replay.ErrInvalid, s.A)
	ok(t, s.A.RemoveImage(ctx, i.ref))
}

// holder is the client that a site lists as user of the image; one alone.
func (i *image) holder(site replay.Site) (replay.ImageUser, error) {
	users, err := site.Users(i.t.Context(), i.ref)
	if err != nil {
		return replay.ImageUser{}, err
	}
	if len(users) != 1 {
		return replay.ImageUser{}, fmt.Errorf("%d users: %+v", len(users), users)
	}
	return users[0], nil
}

// writerRivals: two clients write one image, and the lock goes with them.
func (s *suite) writerRivals(t *testing.T) {
	i, other := s.made(t, s.pool("errors"), "rivals", ""), s.Another(t, s.A)
	mine, theirs := i.open(s.A), i.open(other)
	for k := range 3 {
		put(t, mine, uint64(k)*1000, text(uint64(210+k), 1000))
		if u, err := i.holder(other); err != nil || !u.Locks || u.Address == "" || u.Client == "" {
			t.Fatalf("user %+v (%v), want the one that wrote last", u, err)
		}
		put(t, theirs, 1<<20+uint64(k)*1000, text(uint64(220+k), 1000))
		if u, err := i.holder(other); err != nil || u.Locks {
			t.Fatalf("user %+v (%v), want it without the lock", u, err)
		}
	}
	for _, w := range []replay.Writer{mine, theirs} {
		ok(t, w.Flush(t.Context()))
	}
	for k := range 3 {
		i.awaitData(s.A, "", uint64(k)*1000, text(uint64(210+k), 1000))
		i.awaitData(s.A, "", 1<<20+uint64(k)*1000, text(uint64(220+k), 1000))
	}
}

func (s *suite) rename(t *testing.T) {
	ctx, pool := t.Context(), s.pool("one-way")
	i, taken := s.made(t, pool, "old-name", ""), s.made(t, pool, "taken", "")
	ok(t, i.Write(ctx, s.A, i.ref, 0, text(230, 5000)))
	before := i.at(s.A)
	wants(t, s.A.RenameImage(ctx, i.ref, "taken"), replay.ErrExists, s.A)
	wants(t, s.A.RenameImage(ctx, i.ref, i.ref.Name), replay.ErrExists, s.A)
	wants(t, s.A.RenameImage(ctx, i.ref, ""), replay.ErrInvalid, s.A)
	wants(t, s.A.RenameImage(ctx, pool.Image("absent"), "x"), replay.ErrNotFound, s.A)
	ok(t, s.A.RenameImage(ctx, i.ref, "new-name"))
	_, err := s.A.Image(ctx, i.ref)
	wants(t, err, replay.ErrNotFound, s.A)
	i.ref.Name = "new-name"
	if after := i.at(s.A); after.ID != before.ID || after.Ref != i.ref {
		t.Fatalf("%s with id %s became %s with id %s", before.Ref, before.ID, after.Ref, after.ID)
	}
	i.awaitData(s.A, "", 0, text(230, 5000))
	// The old name is free.
	ok(t, s.A.RenameImage(ctx, taken.ref, "old-name"))
	// A mirrored image keeps its name, at either site.
	mirrored := s.protected(t, pool, "renamed", replay.ModeJournal)
	for _, site := range []replay.Site{s.A, s.B} {
		wants(t, site.RenameImage(ctx, mirrored.ref, "other"), replay.ErrInvalid, site)
	}
}

func (s *suite) poolSpace(t *testing.T) {
	ctx, pool := t.Context(), s.pool("errors").Name
	_, err := s.A.PoolSpace(ctx, "no-such-pool")
	wants(t, err, replay.ErrNotFound, s.A)
	var before replay.Space
	s.eventually(t, "there are numbers of the pool", func() (err error) {
		before, err = s.A.PoolSpace(ctx, pool)
		return err
	})
	if before.Available == 0 || before.Quota != 0 {
		t.Fatalf("space %+v", before)
	}
	i := s.made(t, s.pool("errors"), "filler", "")
	ok(t, i.Write(ctx, s.A, i.ref, 0, text(240, 8<<20)))
	s.eventually(t, "what was written counts as used", func() error {
		now, err := s.A.PoolSpace(ctx, pool)
		if err == nil && now.Used < before.Used+8<<20 {
			err = fmt.Errorf("%d bytes were used, and now %d", before.Used, now.Used)
		}
		return err
	})
}

// blocklist shuts out a client that writes.
func (s *suite) blocklist(t *testing.T) {
	ctx, i, other := t.Context(), s.made(t, s.pool("errors"), "fenced", ""), s.Another(t, s.A)
	for _, address := range []string{"", "nonsense", "192.0.2.1", "192.0.2.1:0", "192.0.2.1:0/", "192.0.2.1:0/0", "192.0.2.1:0/x", "/123"} {
		wants(t, s.A.Blocklist(ctx, address, time.Hour), replay.ErrInvalid, s.A)
		wants(t, s.A.Unblocklist(ctx, address), replay.ErrInvalid, s.A)
	}
	const stranger = "192.0.2.1:0/4711"
	wants(t, s.A.Blocklist(ctx, stranger, 0), replay.ErrInvalid, s.A)
	ok(t, s.A.Unblocklist(ctx, stranger))

	w, err := other.OpenWriter(ctx, i.ref)
	ok(t, err)
	put(t, w, 0, text(250, 5000))
	ok(t, w.Flush(ctx))
	user, err := i.holder(s.A)
	ok(t, err)
	if !user.Locks || user.Address == "" {
		t.Fatalf("user %+v", user)
	}
	ok(t, s.A.Blocklist(ctx, stranger, time.Hour)) // which is no matter to anybody else
	put(t, w, 5000, text(251, 5000))
	ok(t, w.Flush(ctx))

	// It is known by the address that it tells itself.
	if own, err := other.OwnAddresses(ctx); err != nil || !slices.Contains(own, user.Address) {
		t.Fatalf("it tells %q (%v), and is seen as %q", own, err, user.Address)
	}
	for range 2 {
		ok(t, s.A.Blocklist(ctx, user.Address, time.Hour))
	}
	_, err = w.WriteAt(ctx, text(252, 5000), 0)
	if err == nil { // librbd may hold it in its cache until it is flushed
		err = w.Flush(ctx)
	}
	wants(t, err, replay.ErrShutOut, s.A)
	_, err = w.WriteAt(ctx, text(252, 5000), 0)
	if err == nil {
		err = w.Flush(ctx)
	}
	wants(t, err, replay.ErrShutOut, s.A)
	// It is no user of the image any more.
	if users, err := s.A.Users(ctx, i.ref); err != nil || len(users) > 0 {
		t.Fatalf("users %+v (%v)", users, err)
	}
	// Its lock is no hindrance to others, and what it had written stays.
	mine := i.open(s.A)
	put(t, mine, 10000, text(253, 5000))
	ok(t, mine.Flush(ctx))
	i.awaitData(s.A, "", 0, text(250, 5000))
	i.awaitData(s.A, "", 5000, text(251, 5000))
	i.awaitData(s.A, "", 10000, text(253, 5000))
	for _, address := range []string{user.Address, user.Address, stranger} {
		ok(t, s.A.Unblocklist(ctx, address))
	}
	ok(t, w.Close())
	again := i.open(s.Another(t, s.A))
	put(t, again, 0, text(254, 5000))
}

// ownAddresses: by what a client tells of itself, another shuts it out of all
// that it does, and nobody else.
func (s *suite) ownAddresses(t *testing.T) {
	ctx, i := t.Context(), s.made(t, s.pool("two-way"), "shut-out", replay.ModeJournal)
	ok(t, s.A.EnableMirroring(ctx, i.ref, replay.ModeJournal))
	other, third := s.Another(t, s.A), s.Another(t, s.A)
	ledger := replay.LedgerRef{Pool: i.ref.Pool.Name, Object: "shut-out"}
	lease := replay.Lease{Cookie: "shut out", Holder: "the one who is shut out", TTL: time.Hour}
	ok(t, other.AcquireLease(ctx, ledger, lease, false))

	addresses, err := other.OwnAddresses(ctx)
	ok(t, err)
	if len(addresses) == 0 {
		t.Fatal("it tells no address")
	}
	for _, site := range []replay.Site{s.A, third, s.B} {
		if theirs, err := site.OwnAddresses(ctx); err != nil || len(theirs) == 0 ||
			site != s.B && slices.ContainsFunc(theirs, func(a string) bool { return slices.Contains(addresses, a) }) {
			t.Fatalf("another client tells %q (%v), this one %q", theirs, err, addresses)
		}
	}
	for _, address := range addresses {
		ok(t, s.A.Blocklist(ctx, address, time.Hour))
	}
	for range 2 {
		wants(t, other.Demote(ctx, i.ref), replay.ErrShutOut, s.A)
		wants(t, other.AcquireLease(ctx, ledger, lease, true), replay.ErrShutOut, s.A)
		wants(t, other.AppendRecords(ctx, ledger, []replay.Record{{Key: "1", Value: []byte("late")}}), replay.ErrShutOut, s.A)
		wants(t, other.ReleaseLease(ctx, ledger, lease.Cookie), replay.ErrShutOut, s.A)
	}
	i.awaitRole(s.A, replay.RolePrimary)
	if records, err := s.A.ReadRecords(ctx, ledger, ""); err != nil || len(records) > 0 {
		t.Fatalf("it has written %v (%v)", records, err)
	}
	// Its lease stays until it ends; whoever knows the cookie can give it back.
	if holder, held, err := third.LeaseHolder(ctx, ledger); err != nil || !held || holder.Cookie != lease.Cookie {
		t.Fatalf("the lease is held by %+v (%v, %v)", holder, held, err)
	}
	// It still tells by what it is shut out.
	if again, err := other.OwnAddresses(ctx); err != nil || !slices.Equal(again, addresses) {
		t.Fatalf("it tells %q now (%v), and told %q", again, err, addresses)
	}
	ok(t, third.Demote(ctx, i.ref))
	for _, address := range addresses {
		ok(t, s.A.Unblocklist(ctx, address))
	}
}
