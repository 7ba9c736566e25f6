package orchestrator_test

import (
	"errors"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
)

// TestSilences wants a silence to be known to whoever reads the book, until its
// time is over or somebody ends it.
func TestSilences(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, twoWay)
		b.applied()
		book := b.read()
		hour := func(reason string) alert.Silence {
			return alert.Silence{Until: time.Now().Add(time.Hour), Reason: reason, Match: alert.Match{Site: "b"}}
		}
		first, err := book.Silence(t.Context(), hour("a new switch"))
		b.must(err)
		second, err := book.Silence(t.Context(), hour("disks are replaced"))
		b.must(err)
		if first.ID == second.ID || first.By == "" || !first.Covers(time.Now(), alert.Signal{Site: "b"}) || first.Covers(time.Now(), alert.Signal{Site: "a"}) {
			t.Errorf("%+v, %+v", first, second)
		}
		if got := b.read().Silences(time.Now()); len(got) != 2 || got[0].Reason != "a new switch" {
			t.Errorf("read: %+v", got)
		}
		b.must(b.read().ExpireSilence(t.Context(), first.ID))
		b.must(b.read().ExpireSilence(t.Context(), first.ID))
		if got := b.read().Silences(time.Now()); len(got) != 1 || got[0].ID != second.ID {
			t.Errorf("after one was ended: %+v", got)
		}
		if err := b.read().ExpireSilence(t.Context(), "silence-0"); !errors.Is(err, orchestrator.ErrRefused) {
			t.Errorf("one that is not: %v", err)
		}
		time.Sleep(2 * time.Hour)
		if got := b.read().Silences(time.Now()); len(got) != 0 {
			t.Errorf("later: %+v", got)
		}
		long, pattern := hour("for good"), hour("x")
		long.Until = time.Now().Add(9999 * time.Hour)
		pattern.Match.Image, pattern.Until = "rbd/[", time.Now().Add(time.Hour)
		for name, s := range map[string]alert.Silence{"no reason": hour(""), "too long": long, "no pattern": pattern, "over": {Reason: "x"}} {
			if _, err := book.Silence(t.Context(), s); !errors.Is(err, orchestrator.ErrRefused) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
