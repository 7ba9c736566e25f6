package orchestrator_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
)

const grouped = twoWay + `
groups:
  - name: db
    images: [{pool: rbd, name: volume-1}, {pool: rbd, name: volume-2}]
`

func TestHalts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, grouped)
		book := b.read()
		halt := orchestrator.Halt{Images: []replay.ImageRef{ref("volume-1")}, Group: "db", Reason: "two primaries", Evidence: []byte(`{"n":1}`), Run: "run-1"}
		b.must(book.Halt(t.Context(), halt))
		b.must(book.Halt(t.Context(), halt))
		open := b.read().Halts()
		if len(open) != 1 || open[0].ID == "" || open[0].By == "" || open[0].At.IsZero() || open[0].Run != "run-1" || string(open[0].Evidence) != `{"n":1}` {
			t.Fatalf("halts: %+v", open)
		}
		for name, want := range map[string]bool{"volume-1": true, "volume-2": true, "volume-3": false, "vm-1": false} {
			if got := book.Halted(ref(name)); (got != nil) != want || want && got.ID != open[0].ID {
				t.Errorf("%s: %+v", name, got)
			}
		}

		time.Sleep(time.Second)
		b.must(book.Halt(t.Context(), orchestrator.Halt{Images: []replay.ImageRef{ref("vm-1")}, Reason: "diverged"}))
		all := book.Halts()
		if len(all) != 2 || all[0].ID != open[0].ID {
			t.Fatalf("halts: %+v", all)
		}
		err := book.ClearHalt(t.Context(), "halt-0", "a mistake")
		if !errors.Is(err, orchestrator.ErrRefused) || !strings.Contains(err.Error(), all[0].ID) || !strings.Contains(err.Error(), all[1].ID) {
			t.Errorf("an unknown halt is cleared: %v", err)
		}
		if err := book.ClearHalt(t.Context(), all[0].ID, " "); !errors.Is(err, orchestrator.ErrRefused) {
			t.Errorf("a halt is cleared without reason: %v", err)
		}
		b.must(book.ClearHalt(t.Context(), all[0].ID, "resynced"))
		before := len(book.Entries())
		b.must(book.ClearHalt(t.Context(), all[0].ID, "resynced"))
		if n := len(book.Entries()); n != before {
			t.Errorf("clearing again made %d entries", n-before)
		}
		if book.Halted(ref("volume-2")) != nil || book.Halted(ref("vm-1")) == nil || len(b.read().Halts()) != 1 {
			t.Errorf("after clearing: %+v", book.Halts())
		}
		// The same images again are another halt.
		b.must(book.Halt(t.Context(), halt))
		if again := book.Halted(ref("volume-1")); again == nil || again.ID == all[0].ID {
			t.Errorf("halted again: %+v", again)
		}
		if err := book.Halt(t.Context(), orchestrator.Halt{Reason: "nothing"}); !errors.Is(err, orchestrator.ErrRefused) {
			t.Errorf("a halt of nothing: %v", err)
		}
	})
}

// A halt by image covers the image's group, and one by group all images of it.
func TestHaltCoversGroup(t *testing.T) {
	for name, halt := range map[string]orchestrator.Halt{
		"by image": {Images: []replay.ImageRef{ref("volume-2")}},
		"by group": {Group: "db"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, grouped)
				book := b.read()
				b.must(book.Halt(t.Context(), halt))
				if book.Halted(ref("volume-1")) == nil || book.Halted(ref("volume-2")) == nil || book.Halted(ref("vm-1")) != nil {
					t.Errorf("halts: %+v", book.Halts())
				}
			})
		})
	}
}

// A clear holds wherever it was written, and clears nothing else: two who halt
// the same image while they cannot see each other make two halts.
func TestHaltsMerge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		halt := orchestrator.Halt{Images: []replay.ImageRef{ref("vm-1")}, Reason: "two primaries"}
		b.world.Vanish("b")
		first := b.read()
		b.must(first.Halt(t.Context(), halt))
		b.must(first.ClearHalt(t.Context(), first.Halts()[0].ID, "resynced"))
		b.must(first.Close(t.Context()))
		b.world.Return("b")
		b.world.Vanish("a")
		second := b.read()
		b.must(second.Halt(t.Context(), halt))
		b.world.Return("a")
		book := b.read()
		b.must(book.Reconcile(t.Context()))
		if open := book.Halts(); len(open) != 1 || open[0].ID != second.Halts()[0].ID {
			t.Errorf("halts: %+v", open)
		}
	})
}

// A halt that cannot be read stops everything until it is cleared.
func TestHaltUnreadable(t *testing.T) {
	for name, body := range map[string]string{"another type": `"later"`, "no id": `{}`} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, twoWay)
				key := keyAt(time.Now(), "00000001")
				b.put("a", key, `{"v":2,"kind":"halt","body":`+body+`}`)
				book := b.read()
				h := book.Halted(ref("vm-1"))
				if h == nil || h.ID != key {
					t.Fatalf("halted: %+v", h)
				}
				b.must(book.ClearHalt(t.Context(), h.ID, "looked at it"))
				if h := book.Halted(ref("vm-1")); h != nil {
					t.Errorf("after clearing: %+v", h)
				}
			})
		})
	}
}
