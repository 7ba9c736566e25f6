package orchestrator_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
)

var historyLedger = replay.LedgerRef{Pool: "rbd", Object: "history.shop"}

// past puts transitions of an image into the history at a site, a second apart.
func (b *bed) past(site, image string, from time.Time, n int, to replay.State) {
	b.t.Helper()
	records := make([]replay.Record, n)
	for i := range n {
		at := from.Add(time.Duration(i) * time.Second)
		records[i] = replay.Record{
			Key: fmt.Sprintf("%014x-%08x-%08x", at.UnixMicro(), 7, i),
			Value: fmt.Appendf(nil, `{"v":1,"kind":"transition","at":%q,"body":{"at":%[1]q,"image":{"pool":"rbd","image":%q},"from":"lagging","to":%q,"event":"test","why":"test"}}`,
				at.UTC().Format(time.RFC3339), image, to),
		}
	}
	b.must(b.world.Site(site).AppendRecords(b.t.Context(), historyLedger, records))
}

// TestHistoryBounded: the history of both sites becomes one, no longer than its
// bound; the newest is kept, and the last of each image.
func TestHistoryBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		began := time.Now()
		b.past("a", "volume-0", began.Add(-9*time.Hour), 8000, replay.Replaying)
		b.past("b", "vm-1", began.Add(-6*time.Hour), 8000, replay.Replaying)
		b.past("b", "volume-gone", began.Add(-100*time.Hour), 2, replay.Unprotected)
		for i := range 300 {
			b.past("b", fmt.Sprintf("volume-old-%d", i), began.Add(-1000*time.Hour+time.Duration(i)*time.Minute), 2, replay.Unprotected)
		}
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(5 * time.Minute)
		a, other := b.world.Ledger("a", historyLedger), b.world.Ledger("b", historyLedger)
		if len(a) > 11_000 || len(a) < 10_000 {
			t.Errorf("%d records are kept", len(a))
		}
		keys := func(records []replay.Record) (out []string) {
			for _, r := range records {
				out = append(out, r.Key)
			}
			return out
		}
		if !slices.Equal(keys(a), keys(other)) {
			t.Errorf("%d records at a, %d at b", len(a), len(other))
		}
		count := map[string]int{}
		for _, c := range b.history(t, orchestrator.HistoryQuery{}).Changes {
			count[c.Image.Name]++
		}
		// Of what is gone for long the last is kept.
		for name := range count {
			if strings.HasPrefix(name, "volume-old-") {
				t.Errorf("%s, which has been gone for more than a month, is kept", name)
			}
		}
		if count["vm-1"] != 8000 || count["volume-0"] >= 8000 || count["volume-gone"] != 1 {
			t.Errorf("kept: %v", count)
		}
		size := len(a)
		time.Sleep(time.Hour)
		if again := len(b.world.Ledger("a", historyLedger)); again != size {
			t.Errorf("%d records, then %d", size, again)
		}
	})
}

// TestReadHistory chooses by image, time and number.
func TestReadHistory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 0)
		began := time.Now()
		b.past("a", "volume-0", began.Add(-time.Hour), 10, replay.Replaying)
		b.past("b", "vm-1", began.Add(-30*time.Minute), 10, replay.Replaying)
		for _, c := range []struct {
			q    orchestrator.HistoryQuery
			want int
		}{
			{orchestrator.HistoryQuery{}, 20},
			{orchestrator.HistoryQuery{Image: "rbd/vm-1"}, 10},
			{orchestrator.HistoryQuery{Image: "volume-0", Limit: 3}, 3},
			{orchestrator.HistoryQuery{Since: began.Add(-30*time.Minute + 5*time.Second)}, 5},
			{orchestrator.HistoryQuery{Image: "other/vm-1"}, 0},
		} {
			h := b.history(t, c.q)
			if len(h.Changes) != c.want {
				t.Errorf("%+v: %d changes", c.q, len(h.Changes))
			}
			if c.q.Limit == 3 && h.Changes[2].At.Unix() != began.Add(-time.Hour+9*time.Second).Unix() {
				t.Errorf("the last: %+v", h.Changes[2])
			}
		}
		b.world.Vanish("a")
		if h := b.history(t, orchestrator.HistoryQuery{}); len(h.Changes) != 10 || h.Faults["a"] == nil {
			t.Errorf("without a: %d changes, %v", len(h.Changes), h.Faults)
		}
	})
}

// TestHistoryCatchesUp: what happens while a site is away is recorded there once it
// is back.
func TestHistoryCatchesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		time.Sleep(time.Minute)
		b.world.Vanish("b")
		time.Sleep(10 * time.Minute)
		b.world.Return("b")
		time.Sleep(12 * time.Minute)
		a, other := b.world.Ledger("a", historyLedger), b.world.Ledger("b", historyLedger)
		if len(a) < 6 || len(a) != len(other) {
			t.Errorf("%d records at a, %d at b", len(a), len(other))
		}
	})
}
