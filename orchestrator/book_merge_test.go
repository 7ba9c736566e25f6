package orchestrator_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

func withTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

// put writes a record as some other writer does.
func (b *bed) put(site, key, value string) {
	b.t.Helper()
	b.must(b.world.Site(site).AppendRecords(b.t.Context(), shopLedger, []replay.Record{{Key: key, Value: []byte(value)}}))
}

// keyAt is a key of another writer.
func keyAt(at time.Time, writer string) string {
	return fmt.Sprintf("%014x-%s-00000001", at.UnixMicro(), writer)
}

func TestBookRefresh(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		mine, other := b.read(), b.read()
		b.must(mine.Append(t.Context(), note("mine")))
		time.Sleep(time.Millisecond)
		b.must(other.Append(t.Context(), note("theirs")))
		fresh, err := mine.Refresh(t.Context())
		b.must(err)
		b.want("fresh", texts(fresh), "theirs")
		fresh, err = mine.Refresh(t.Context())
		b.must(err)
		b.want("fresh again", texts(fresh))
		b.want("entries", texts(mine.Entries()), "mine", "theirs")

		// Only one site has it, and nothing else tells of it.
		b.world.Vanish("a")
		b.must(other.Append(t.Context(), note("at b")))
		fresh, err = mine.Refresh(t.Context())
		b.must(err)
		b.want("fresh of b", texts(fresh), "at b")
		b.world.Vanish("b")
		if _, err := mine.Refresh(t.Context()); err == nil {
			t.Error("refresh without any site")
		}
		b.world.Return("a")
		b.world.Return("b")
	})
}

// A refresh finds what writers with wrong clocks write.
func TestBookWrongClocks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		book := b.read()
		b.must(book.Append(t.Context(), note("first")))
		time.Sleep(time.Millisecond)
		_, err := book.Refresh(t.Context())
		b.must(err)

		b.put("a", keyAt(time.Now().Add(-9*time.Minute), "00000001"), `{"v":1,"kind":"step","body":"behind"}`)
		fresh, err := book.Refresh(t.Context())
		b.must(err)
		b.want("a clock that is behind", texts(fresh), "behind")

		b.put("a", keyAt(time.Now().Add(24*time.Hour), "00000002"), `{"v":1,"kind":"step","body":"ahead"}`)
		fresh, err = book.Refresh(t.Context())
		b.must(err)
		b.want("a clock that is ahead", texts(fresh), "ahead")
		b.put("a", keyAt(time.Now(), "00000003"), `{"v":1,"kind":"step","body":"right"}`)
		fresh, err = book.Refresh(t.Context())
		b.must(err)
		b.want("a right clock after one that is ahead", texts(fresh), "right")

		// An answer sorts behind what it answers.
		b.must(book.Append(t.Context(), note("answer")))
		b.want("order", texts(book.Entries()), "behind", "first", "right", "ahead", "answer")

		// Too far behind for a refresh; nothing is for a reconciliation.
		b.put("b", keyAt(time.Now().Add(-time.Hour), "00000004"), `{"v":1,"kind":"step","body":"old"}`)
		fresh, err = book.Refresh(t.Context())
		b.must(err)
		b.want("far behind", texts(fresh))
		b.must(book.Reconcile(t.Context()))
		b.want("order", texts(book.Entries()), "old", "behind", "first", "right", "ahead", "answer")
		b.want("a", b.stored("a"), "old", "behind", "first", "right", "ahead", "answer")
	})
}

// A refresh reads the whole of a site that had been away: what it holds may be
// older than all that is known.
func TestBookRefreshOfReturned(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		b.world.Vanish("a")
		first := b.read()
		b.must(first.Append(t.Context(), note("at b")))
		b.must(first.Close(t.Context()))
		b.world.Return("a")
		time.Sleep(time.Hour)
		b.world.Vanish("b")
		book := b.read()
		b.must(book.Append(t.Context(), note("at a")))
		b.world.Return("b")
		fresh, err := book.Refresh(t.Context())
		b.must(err)
		b.want("fresh", texts(fresh), "at b")
		b.want("entries", texts(book.Entries()), "at b", "at a")

		// The same where it had been read before, and is known to have failed.
		b.world.Freeze("b")
		for i, most := range []time.Duration{5 * time.Second, time.Second} {
			var err error
			if d := took(func() { _, err = book.Refresh(t.Context()) }); err != nil || d > most {
				t.Errorf("refresh %d without b took %v: %v", i, d, err)
			}
		}
		b.world.Thaw("b")
		b.put("b", keyAt(time.Now().Add(-3*time.Hour), "00000001"), `{"v":1,"kind":"step","body":"old"}`)
		fresh, err = book.Refresh(t.Context())
		b.must(err)
		b.want("fresh", texts(fresh), "old")
	})
}

func TestBookReconciles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		b.put("a", "00-odd", `no JSON at all`)
		b.put("a", keyAt(time.Now(), "00000001"), `{"v":9,"kind":"omen","body":{"x":[1]},"later":{"y":2}}`)
		b.world.Vanish("a")
		b.must(b.read().Append(t.Context(), note("at b")))
		b.world.Return("a")
		b.world.Vanish("b")
		time.Sleep(time.Millisecond)
		b.must(b.read().Append(t.Context(), note("at a")))
		book := b.read()
		b.world.Return("b")

		b.must(book.Reconcile(t.Context()))
		if diff := cmp.Diff(b.world.Ledger("a", shopLedger), b.world.Ledger("b", shopLedger)); diff != "" || len(b.world.Ledger("a", shopLedger)) != 4 {
			t.Errorf("the sites differ:\n%s", diff)
		}
		b.want("entries", texts(book.Entries()), "omen", "at b", "at a")
		b.want("unreadable", book.Unreadable(), "00-odd")
		if faults := book.Faults(); len(faults) != 0 {
			t.Errorf("faults: %v", faults)
		}

		b.world.ForgetCalls()
		b.must(book.Reconcile(t.Context()))
		if writes := b.world.Writes(); len(writes) > 0 {
			t.Errorf("nothing was lacking, yet it wrote %v", writes)
		}

		// A site that does not answer is passed over; one that refuses is not.
		b.world.Vanish("b")
		b.must(book.Reconcile(t.Context()))
		b.world.Return("b")
		time.Sleep(time.Millisecond)
		b.put("a", keyAt(time.Now(), "00000002"), `{"v":1,"kind":"step","body":"more"}`)
		allow := b.world.Forbid("b", "AppendRecords")
		if err := book.Reconcile(t.Context()); err == nil || !strings.Contains(err.Error(), "site b") {
			t.Errorf("reconcile with a site that refuses: %v", err)
		}
		allow()
		b.must(book.Reconcile(t.Context()))
		b.want("b", texts(b.read().Entries())[3:], "more")
		if len(b.world.Ledger("b", shopLedger)) != 5 {
			t.Errorf("b holds %v", b.world.Ledger("b", shopLedger))
		}
	})
}

// What was read at a site that has gone since is copied all the same.
func TestBookReconcilesFromMemory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		b.put("b", keyAt(time.Now(), "00000001"), `{"v":1,"kind":"step","body":"only at b","later":1}`)
		book := b.read()
		want := b.world.Ledger("b", shopLedger)
		b.world.Vanish("b")
		b.must(book.Reconcile(t.Context()))
		if diff := cmp.Diff(want, b.world.Ledger("a", shopLedger)); diff != "" {
			t.Errorf("a lacks what b had:\n%s", diff)
		}
		b.world.Return("b")
	})
}

// A site that falls silent while a long book is read is given up; one that goes
// on answering is not.
func TestBookLongRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		b.put("a", keyAt(time.Now(), "00000001"), `{"v":1,"kind":"step","body":"long"}`)
		done := b.world.Inject(sim.Fault{Site: "a", Op: "ReadRecords", Hang: true})
		time.AfterFunc(12*time.Second, done)
		var book *orchestrator.Book
		if d := took(func() { book = b.read() }); d != 12*time.Second {
			t.Errorf("a long read took %v", d)
		}
		b.want("entries", texts(book.Entries()), "long")
	})
}
