package orchestrator_test

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay/sim"
)

// bookMoves are what may happen to sites and books.
var bookMoves = []string{
	"append", "append", "append", "append at once", "vanish", "return", "freeze", "thaw",
	"lost", "errno", "wait", "long wait", "refresh", "reconcile", "reopen", "require", "release",
}

type bookMove struct {
	Do   string
	Book int
	Site int
}

// library is two books and what was heard of their appends.
type library struct {
	*bed
	books [2]*orchestrator.Book

	mu    sync.Mutex
	tick  int
	acked []acked
	air   sync.WaitGroup
}

// acked is an append that succeeded.
type acked struct {
	text       string
	book       *orchestrator.Book
	began, end int // ticks
}

func (l *library) open(i int) {
	sites := l.sites(l.t.Context())
	book, err := orchestrator.ReadBook(l.t.Context(), l.plan, sites)
	if err != nil {
		return // no site answers: the one that is open stays
	}
	if l.books[i] != nil {
		_ = l.books[i].Close(l.t.Context()) // what it could not send, Reconcile copies
	}
	l.books[i] = book
}

// now is the next tick.
func (l *library) now() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tick++
	return l.tick
}

func (l *library) append(book *orchestrator.Book) {
	a := acked{book: book, began: l.now()}
	a.text = fmt.Sprintf("%04d", a.began)
	if book.Append(l.t.Context(), note(a.text)) == nil {
		a.end = l.now()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.acked = append(l.acked, a)
	}
}

func (l *library) play(m bookMove) {
	site := []string{"a", "b"}[m.Site]
	book := l.books[m.Book]
	switch m.Do {
	case "append":
		l.append(book)
	case "append at once":
		for range 5 {
			l.air.Go(func() { l.append(book) })
		}
	case "vanish":
		l.world.Vanish(site)
	case "return":
		l.world.Return(site)
	case "freeze":
		l.world.Freeze(site)
	case "thaw":
		l.world.Thaw(site)
	case "lost":
		l.world.Inject(sim.Fault{Site: site, Op: "AppendRecords", Count: 1, Lost: true})
	case "errno":
		l.world.Inject(sim.Fault{Site: site, Op: "AppendRecords", Count: 2, Errno: syscall.EIO})
	case "wait":
		time.Sleep(time.Second)
	case "long wait":
		time.Sleep(20 * time.Minute)
	case "refresh":
		_, _ = book.Refresh(l.t.Context()) // fails where no site answers
	case "reconcile":
		_ = book.Reconcile(l.t.Context()) // likewise
	case "reopen":
		l.air.Wait()
		l.open(m.Book)
	case "require":
		book.Require(site)
	case "release":
		book.Require()
	}
}

// TestBookLosesNothing wants the same ledger at both sites in the end, with all
// in it that an append succeeded for, once and in order, however sites and
// books came and went.
func TestBookLosesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		moves := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) bookMove {
			return bookMove{
				Do:   rapid.SampledFrom(bookMoves).Draw(t, "do"),
				Book: rapid.IntRange(0, 1).Draw(t, "book"),
				Site: rapid.IntRange(0, 1).Draw(t, "site"),
			}
		}), 1, 60).Draw(rt, "moves")
		failure := ""
		synctest.Test(t, func(t *testing.T) {
			l := &library{bed: newBed(t, twoWay)}
			l.open(0)
			l.open(1)
			for _, m := range moves {
				l.play(m)
			}
			for _, site := range []string{"a", "b"} {
				l.world.Return(site)
				l.world.Thaw(site)
			}
			l.air.Wait()
			for _, book := range l.books {
				_ = book.Close(t.Context()) // what it could not send, the next one copies
			}
			last := l.read()
			if err := last.Reconcile(t.Context()); err != nil {
				// An errno that is still armed: once it has hit, all is well.
				time.Sleep(time.Minute)
				l.must(last.Reconcile(t.Context()))
			}
			if diff := cmp.Diff(l.world.Ledger("a", shopLedger), l.world.Ledger("b", shopLedger)); diff != "" {
				failure = "the sites differ:\n" + diff
				return
			}
			got := l.stored("a")
			if diff := cmp.Diff(got, texts(last.Entries())); diff != "" {
				failure = "the book is not what the sites hold:\n" + diff
				return
			}
			failure = l.lacks(got)
		})
		if failure != "" {
			rt.Fatal(failure)
		}
	})
}

// lacks tells what is wrong with the texts that the sites hold in the end:
// something lost or twice, or not in the order in which one book was given it.
func (l *library) lacks(got []string) string {
	at := map[string]int{}
	for i, text := range got {
		if _, twice := at[text]; twice {
			return fmt.Sprintf("%q is there twice: %q", text, got)
		}
		at[text] = i
	}
	for _, a := range l.acked {
		place, there := at[a.text]
		if !there {
			return fmt.Sprintf("%q is lost: %q", a.text, got)
		}
		for _, b := range l.acked {
			if a.book == b.book && a.end < b.began && place > at[b.text] {
				return fmt.Sprintf("%q lies behind %q: %q", a.text, b.text, got)
			}
		}
	}
	return ""
}
