package orchestrator_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// shopLedger is where the book of the plans here lies.
var shopLedger = replay.LedgerRef{Pool: "rbd", Object: "ledger.shop"}

// read reads the plan's book with handles of its own to the sites.
func (b *bed) read() *orchestrator.Book {
	b.t.Helper()
	sites := b.sites(b.t.Context())
	book, err := orchestrator.ReadBook(b.t.Context(), b.plan, sites)
	b.must(err)
	b.t.Cleanup(func() {
		if err := book.Close(b.t.Context()); err != nil {
			b.t.Errorf("close the book: %v", err)
		}
		b.close(sites)
	})
	return book
}

// note is an entry that says one thing.
func note(text string) orchestrator.Entry {
	body, _ := json.Marshal(text)
	return orchestrator.Entry{Kind: orchestrator.EntryStep, Run: "run-1", Body: body}
}

// texts are what entries of [note] say, in order.
func texts(entries []orchestrator.Entry) []string {
	var out []string
	for _, e := range entries {
		var text string
		if json.Unmarshal(e.Body, &text) != nil {
			text = string(e.Kind)
		}
		out = append(out, text)
	}
	return out
}

// stored is what a site's ledger says, in order.
func (b *bed) stored(site string) []string {
	var out []string
	for _, r := range b.world.Ledger(site, shopLedger) {
		var e orchestrator.Entry
		b.must(json.Unmarshal(r.Value, &e))
		out = append(out, texts([]orchestrator.Entry{e})...)
	}
	return out
}

func (b *bed) want(what string, got []string, want ...string) {
	b.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// appends counts the writes of records to a site.
func (b *bed) appends(site string) int {
	n := 0
	for _, c := range b.world.Calls() {
		if c.Site == site && c.Op == "AppendRecords" {
			n++
		}
	}
	return n
}

// took is how long f takes.
func took(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

func TestBookIsAtEverySite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		book := b.read()
		b.must(book.Append(t.Context(), note("one"), note("two")))
		b.must(book.Append(t.Context(), note("three")))
		for _, site := range []string{"a", "b"} {
			b.want(site, b.stored(site), "one", "two", "three")
		}
		b.want("entries", texts(book.Entries()), "one", "two", "three")
		b.want("another reader", texts(b.read().Entries()), "one", "two", "three")
		for _, e := range book.Entries() {
			if e.Key == "" || e.At.IsZero() || !strings.Contains(e.By, "@") || e.Run != "run-1" || e.Kind != orchestrator.EntryStep {
				t.Errorf("not filled: %+v", e)
			}
		}
	})
}

func TestBookReadWritesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		b.world.Vanish("b")
		writer := b.read()
		b.must(writer.Append(t.Context(), note("one")))
		b.must(writer.Close(t.Context())) // or it would catch up by itself
		b.world.Return("b")
		b.world.ForgetCalls()
		sites := b.sites(t.Context())
		book, err := orchestrator.ReadBook(t.Context(), b.plan, sites)
		b.must(err)
		_, err = book.Refresh(t.Context())
		b.must(err)
		b.must(book.Close(t.Context()))
		for _, c := range b.world.Writes() {
			if c.Site == "a" || c.At.IsZero() {
				t.Errorf("wrote %+v", c)
			}
		}
		b.want("b", b.stored("b"))
	})
}

func TestBookFaults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		b.must(b.read().Append(t.Context(), note("one")))
		for name, spoil := range map[string]func() func(){
			"gone":   func() func() { b.world.Vanish("a"); return func() { b.world.Return("a") } },
			"frozen": func() func() { b.world.Freeze("a"); return func() { b.world.Thaw("a") } },
			"caps":   func() func() { return b.world.Forbid("a", "ReadRecords") },
		} {
			mend := spoil()
			var book *orchestrator.Book
			if d := took(func() { book = b.read() }); d > 5*time.Second {
				t.Errorf("%s: reading took %v", name, d)
			}
			b.want(name, texts(book.Entries()), "one")
			if faults := book.Faults(); len(faults) != 1 || faults["a"] == nil {
				t.Errorf("%s: faults %v", name, faults)
			}
			mend()
			_, err := book.Refresh(t.Context())
			b.must(err)
			if faults := book.Faults(); len(faults) != 0 {
				t.Errorf("%s: faults after all is well: %v", name, faults)
			}
		}
		b.world.Freeze("a")
		b.world.Vanish("b")
		sites := b.sites(t.Context())
		_, err := orchestrator.ReadBook(t.Context(), b.plan, sites)
		if !errors.Is(err, orchestrator.ErrUnreachable) || !strings.Contains(err.Error(), "site a") || !strings.Contains(err.Error(), "site b") {
			t.Errorf("no site: %v", err)
		}
		b.world.Thaw("a")
		b.world.Return("b")
	})
}

func TestBookWithoutPoolAtOneSite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		b.world = sim.New(sim.Options{Seed: 1, Clock: time.Now, Pace: sim.Instant})
		b.world.AddSite("a")
		b.world.AddSite("b")
		b.world.AddPool("b", "rbd")
		sites := b.sites(t.Context())
		book, err := orchestrator.ReadBook(t.Context(), b.plan, sites)
		b.must(err)
		if err := book.Faults()["a"]; !errors.Is(err, replay.ErrNotFound) {
			t.Errorf("fault of a: %v", err)
		}
		b.must(book.Append(t.Context(), note("one")))
		b.want("b", b.stored("b"), "one")
		if err := book.Close(t.Context()); !errors.Is(err, replay.ErrNotFound) {
			t.Errorf("close: %v", err)
		}
	})
}

// A site that is away gets what was appended once it is back, in order and
// without being waited for.
func TestBookSiteAway(t *testing.T) {
	for name, away := range map[string]struct{ leave, back func(*sim.World) }{
		"gone":   {func(w *sim.World) { w.Vanish("b") }, func(w *sim.World) { w.Return("b") }},
		"frozen": {func(w *sim.World) { w.Freeze("b") }, func(w *sim.World) { w.Thaw("b") }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, twoWay)
				book := b.read()
				b.must(book.Append(t.Context(), note("0")))
				away.leave(b.world)
				first := took(func() { b.must(book.Append(t.Context(), note("1"))) })
				if first > 5*time.Second {
					t.Errorf("the first append took %v", first)
				}
				rest := took(func() {
					for i := range 20 {
						b.must(book.Append(t.Context(), note(fmt.Sprint(i+2))))
					}
				})
				if rest > 0 {
					t.Errorf("the site that is behind was waited for: %v", rest)
				}
				if book.Faults()["b"] == nil {
					t.Error("the site that is behind has no fault")
				}
				away.back(b.world)
				time.Sleep(6 * time.Second)
				if diff := cmp.Diff(b.stored("a"), b.stored("b")); diff != "" || len(b.stored("b")) != 22 {
					t.Errorf("b has not caught up in order:\n%s", diff)
				}
				if faults := book.Faults(); len(faults) != 0 {
					t.Errorf("faults: %v", faults)
				}
				slow := b.world.Inject(sim.Fault{Site: "b", Op: "AppendRecords", Hang: true})
				if d := took(func() { b.must(book.Append(t.Context(), note("last"))) }); d != 5*time.Second {
					t.Errorf("a site that is back was waited for %v", d)
				}
				slow()
			})
		})
	}
}

func TestBookCloseFlushes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		book := b.read()
		b.world.Vanish("b")
		b.must(book.Append(t.Context(), note("one")))
		b.must(book.Append(t.Context(), note("two")))
		b.world.Return("b")
		if d := took(func() { b.must(book.Close(t.Context())) }); d > 0 {
			t.Errorf("closing took %v", d)
		}
		b.want("b", b.stored("b"), "one", "two")
		if err := book.Append(t.Context(), note("late")); err == nil {
			t.Error("a closed book takes entries")
		}
		if err := book.Reconcile(t.Context()); err == nil {
			t.Error("a closed book reconciles")
		}

		other := b.read()
		b.world.Freeze("b")
		b.must(other.Append(t.Context(), note("three")))
		if d := took(func() { b.must(other.Close(t.Context())) }); d > 5*time.Second {
			t.Errorf("closing with a frozen site took %v", d)
		}
		b.world.Thaw("b")
		// A call that was given up took no effect; the next who comes copies it.
		b.must(b.read().Reconcile(t.Context()))
		b.want("b", b.stored("b"), "one", "two", "three")
	})
}

func TestBookRequire(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		book := b.read()
		book.Require("b")
		b.world.Freeze("b")
		for range 2 {
			err := book.Append(t.Context(), note("one"))
			if !errors.Is(err, orchestrator.ErrUnreachable) || !strings.Contains(err.Error(), "site b") {
				t.Fatalf("append without the required site: %v", err)
			}
		}
		b.world.Thaw("b")
		b.must(book.Append(t.Context(), note("two")))
		b.want("b", b.stored("b"), "one", "one", "two")
		book.Require()
		b.world.Vanish("b")
		b.must(book.Append(t.Context(), note("three")))
		book.Require("c")
		if err := book.Append(t.Context(), note("four")); !errors.Is(err, orchestrator.ErrRefused) {
			t.Errorf("an unknown site is required: %v", err)
		}
		b.world.Return("b")
	})
}

// Nothing that failed everywhere is stored later, and nobody waits longer than
// a site may take.
func TestBookNoSiteTakesIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		book := b.read()
		b.world.Freeze("a")
		b.world.Vanish("b")
		var err error
		if d := took(func() { err = book.Append(t.Context(), note("lost")) }); d > 5*time.Second {
			t.Errorf("it took %v", d)
		}
		if !errors.Is(err, orchestrator.ErrUnreachable) || !strings.Contains(err.Error(), "site a") || !strings.Contains(err.Error(), "site b") {
			t.Errorf("append: %v", err)
		}
		synctest.Wait() // else what was given up at this moment may take effect by the thaw
		b.world.Thaw("a")
		b.world.Return("b")
		b.must(book.Append(t.Context(), note("kept")))
		time.Sleep(time.Minute)
		b.want("a", b.stored("a"), "kept")
		b.want("b", b.stored("b"), "kept")
		b.want("entries", texts(book.Entries()), "kept")
	})
}

func TestBookAppendFaults(t *testing.T) {
	for name, fault := range map[string]sim.Fault{
		"lost":  {Site: "a", Op: "AppendRecords", Count: 1, Lost: true},
		"errno": {Site: "a", Op: "AppendRecords", Count: 1, Errno: syscall.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, twoWay)
				book := b.read()
				b.world.Inject(fault)
				b.must(book.Append(t.Context(), note("one")))
				b.must(book.Append(t.Context(), note("two")))
				time.Sleep(10 * time.Second)
				for _, site := range []string{"a", "b"} {
					b.want(site, b.stored(site), "one", "two")
				}
				if faults := book.Faults(); len(faults) != 0 {
					t.Errorf("faults: %v", faults)
				}
			})
		})
	}
}

// What was given up while it was in the air, and took effect, becomes an entry
// everywhere.
func TestBookGivenUpInTheAir(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		book := b.read()
		b.world.Freeze("a")
		b.world.Freeze("b")
		ctx, cancel := withTimeout(t, time.Second)
		defer cancel()
		if err := book.Append(ctx, note("one")); err == nil {
			t.Fatal("append succeeded at frozen sites")
		}
		b.world.Thaw("a")
		synctest.Wait()
		b.world.Thaw("b")
		time.Sleep(10 * time.Second)
		b.want("a", b.stored("a"), "one")
		b.want("b", b.stored("b"), "one")
		b.want("entries", texts(book.Entries()), "one")
	})
}

// The same where the other site was not even being written to.
func TestBookGivenUpWhileBehind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		book := b.read()
		b.world.Vanish("b")
		b.must(book.Append(t.Context(), note("one")))
		b.world.Freeze("a")
		ctx, cancel := withTimeout(t, time.Second)
		defer cancel()
		if err := book.Append(ctx, note("two")); err == nil {
			t.Fatal("append succeeded at a frozen site")
		}
		b.world.Thaw("a")
		synctest.Wait()
		b.world.Return("b")
		time.Sleep(10 * time.Second)
		b.want("a", b.stored("a"), "one", "two")
		b.want("b", b.stored("b"), "one", "two")
	})
}

func TestBookBatches(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		book := b.read()
		b.world.Freeze("a")
		b.world.Freeze("b")
		const writers = 200
		var wg sync.WaitGroup
		errs := make([]error, writers)
		for i := range writers {
			wg.Go(func() { errs[i] = book.Append(t.Context(), note(fmt.Sprint(i))) })
		}
		synctest.Wait()
		b.world.Thaw("a")
		b.world.Thaw("b")
		wg.Wait()
		b.must(errors.Join(errs...))
		for _, site := range []string{"a", "b"} {
			if n := b.appends(site); n > 2 {
				t.Errorf("%d writes to %s", n, site)
			}
			if n := len(b.stored(site)); n != writers {
				t.Errorf("%d records at %s", n, site)
			}
		}
	})
}

func TestBookLargeEntries(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		book := b.read()
		b.world.Vanish("b")
		for range 4 {
			b.must(book.Append(t.Context(), note(strings.Repeat("x", 3<<20))))
		}
		b.world.ForgetCalls()
		b.world.Return("b")
		time.Sleep(10 * time.Second)
		if n := b.appends("b"); n != 4 || len(b.stored("b")) != 4 {
			t.Errorf("%d records at b, in %d writes", len(b.stored("b")), n)
		}
		if err := book.Append(t.Context(), note(strings.Repeat("x", replay.MaxAppend))); !errors.Is(err, replay.ErrInvalid) {
			t.Errorf("too large an entry: %v", err)
		}
		if err := book.Append(t.Context(), orchestrator.Entry{Kind: "odd", Body: json.RawMessage("{")}); err == nil {
			t.Error("a body that is no JSON is taken")
		}
		if n := len(book.Entries()); n != 4 {
			t.Errorf("%d entries", n)
		}
	})
}
