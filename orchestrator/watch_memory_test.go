package orchestrator_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// TestMemoryOfASiteAway: what is remembered while a site is away, again and again, does
// not pile up for it: it gets the newest, and few of those before.
func TestMemoryOfASiteAway(t *testing.T) {
	for name, leave := range map[string]func(*sim.World) (back func()){
		"gone":   func(w *sim.World) func() { w.Vanish("b"); return func() { w.Return("b") } },
		"frozen": func(w *sim.World) func() { w.Freeze("b"); return func() { w.Thaw("b") } },
		"full": func(w *sim.World) func() {
			return w.Inject(sim.Fault{Site: "b", Op: "AppendRecords", Errno: syscall.ENOSPC})
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, watched, 1)
				m := b.watchman(t, b.immortal())
				defer m.stop()
				time.Sleep(time.Minute)
				back := leave(b.world)
				time.Sleep(time.Minute)
				const times = 600
				for i := range times {
					// A site that answers, and takes no records, is told of; another has them.
					if err := m.watch.Remember(t.Context(), json.RawMessage(fmt.Sprint(i))); name != "full" {
						b.must(err)
					}
					time.Sleep(time.Second)
				}
				before := len(b.world.Ledger("b", watchLedger))
				back()
				time.Sleep(2 * time.Minute)
				records := b.world.Ledger("b", watchLedger)
				if len(records)-before > 100 {
					t.Errorf("the site got %d records of %d", len(records)-before, times)
				}
				newest := ""
				for _, r := range records {
					var e orchestrator.Entry
					b.must(json.Unmarshal(r.Value, &e))
					if e.Kind == orchestrator.EntryMemory {
						newest = string(e.Body)
					}
				}
				if newest != fmt.Sprint(times-1) {
					t.Errorf("the newest that the site has is %q", newest)
				}
				if got := m.last().Blind; len(got) > 0 {
					t.Errorf("blind at %v", got)
				}
			})
		})
	}
}

// TestMemoryOfOthersStays: what somebody else has remembered at a site that was away is
// not removed before this watch's owner has read it; then it is.
func TestMemoryOfOthersStays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		first := b.watchman(t, b.immortal())
		time.Sleep(time.Minute)
		b.world.Vanish("a")
		time.Sleep(time.Minute)
		b.must(first.watch.Remember(t.Context(), json.RawMessage(`"at b alone"`)))
		first.stop()
		b.world.Return("a")
		b.world.Vanish("b")
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(time.Minute)
		many := func() {
			for i := range 40 {
				b.must(m.watch.Remember(t.Context(), json.RawMessage(fmt.Sprint(i))))
			}
		}
		there := func() bool {
			return slices.ContainsFunc(b.world.Ledger("b", watchLedger), func(r replay.Record) bool { return strings.Contains(string(r.Value), "at b alone") })
		}
		many()
		b.world.Return("b")
		time.Sleep(time.Minute)
		many()
		if !there() {
			t.Fatal("what nobody has read is removed")
		}
		memories, err := m.watch.Memories(t.Context())
		if !slices.ContainsFunc(memories, func(m json.RawMessage) bool { return string(m) == `"at b alone"` }) || err != nil {
			t.Errorf("read: %s, %v", memories, err)
		}
		many()
		time.Sleep(time.Minute)
		many()
		if there() {
			t.Error("what was read stays for ever")
		}
	})
}
