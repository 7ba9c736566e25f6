package orchestrator_test

import (
	"errors"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
)

func TestTombstones(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		book := b.read()
		stone := orchestrator.Tombstone{Site: "a", Images: []replay.ImageRef{ref("vm-1"), ref("volume-1")}, Run: "failover-1", Reason: "flood", Loss: []byte(`{"bytes":7}`)}
		b.must(book.Bury(t.Context(), stone))
		b.must(book.Bury(t.Context(), stone))
		if n := len(book.Entries()); n != 1 {
			t.Errorf("burying twice made %d entries", n)
		}
		buried := func(where *orchestrator.Book, site, image string) string {
			if t := where.Tombstone(site, ref(image)); t != nil {
				return t.Run
			}
			return ""
		}
		check := func(where *orchestrator.Book, want map[string]string) {
			t.Helper()
			for image, run := range want {
				if got := buried(where, "a", image); got != run {
					t.Errorf("%s: %q, not %q", image, got, run)
				}
			}
		}
		check(b.read(), map[string]string{"vm-1": "failover-1", "volume-1": "failover-1", "volume-2": ""})
		if got := book.Tombstone("a", ref("vm-1")); string(got.Loss) != `{"bytes":7}` || got.At.IsZero() || got.Reason != "flood" {
			t.Errorf("tombstone: %+v", got)
		}
		if got := buried(book, "b", "vm-1"); got != "" {
			t.Errorf("buried at the other site: %q", got)
		}

		b.must(book.Lift(t.Context(), "a", []replay.ImageRef{ref("vm-1"), ref("volume-2")}, "failback-1"))
		check(b.read(), map[string]string{"vm-1": "", "volume-1": "failover-1"})
		n := len(book.Entries())
		b.must(book.Lift(t.Context(), "a", []replay.ImageRef{ref("vm-1")}, "failback-1"))
		if len(book.Entries()) != n {
			t.Error("lifting what is lifted made an entry")
		}
		time.Sleep(time.Second)
		stone.Run, stone.Images = "failover-2", []replay.ImageRef{ref("vm-1"), ref("volume-1")}
		b.must(book.Bury(t.Context(), stone))
		check(b.read(), map[string]string{"vm-1": "failover-2", "volume-1": "failover-2"})
		b.must(book.Lift(t.Context(), "a", stone.Images, "failback-2"))
		check(b.read(), map[string]string{"vm-1": "", "volume-1": ""})
		if err := book.Bury(t.Context(), orchestrator.Tombstone{Site: "a"}); !errors.Is(err, orchestrator.ErrRefused) {
			t.Errorf("a tombstone of nothing: %v", err)
		}
	})
}

// A lift never lifts a tombstone that its writer had not seen, whichever sorts
// first.
func TestLiftOnlyWhatWasSeen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		images := []replay.ImageRef{ref("vm-1")}
		lifter := b.read()
		b.must(lifter.Bury(t.Context(), orchestrator.Tombstone{Site: "a", Images: images, Run: "failover-1"}))
		time.Sleep(time.Second)
		b.must(b.read().Bury(t.Context(), orchestrator.Tombstone{Site: "a", Images: images, Run: "failover-2"}))
		time.Sleep(time.Second)
		b.must(lifter.Lift(t.Context(), "a", images, "failback-1"))
		if got := b.read().Tombstone("a", ref("vm-1")); got == nil || got.Run != "failover-2" {
			t.Errorf("tombstone: %+v", got)
		}
	})
}
