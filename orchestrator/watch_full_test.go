package orchestrator_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
)

// entryBytes is about what a written block takes in a journal.
const entryBytes = 4200

// smallSite lays its journals out in sets of 16 KiB, of which all that was ever
// written is held, and has a pool that holds so many bytes.
type smallSite struct {
	orchestrator.Site
	room uint64
}

func (s smallSite) Images(ctx context.Context, pool replay.Pool, detail replay.Detail) ([]replay.Image, error) {
	images, err := s.Site.Images(ctx, pool, detail)
	for i := range images {
		if j := images[i].Journal; j != nil {
			small := *j
			small.Order, small.SplayWidth, small.MinimumSet, small.ActiveSet = 12, 4, 0, held(j)>>14
			images[i].Journal = &small
		}
	}
	return images, err
}

// held is the bytes that were written to a journal.
func held(j *replay.Journal) uint64 {
	own, _ := j.Client("")
	at, _ := own.Newest()
	return at.Entry * entryBytes
}

func (s smallSite) PoolSpace(ctx context.Context, pool string) (replay.Space, error) {
	space, err := s.Site.PoolSpace(ctx, pool) // which counts the calls, and fails where it must
	if err != nil {
		return space, err
	}
	images, err := s.Site.Images(ctx, replay.Pool{Name: pool}, replay.WithPositions)
	var used uint64
	for i := range images {
		used += held(images[i].Journal)
	}
	space.Available = s.room - min(used, s.room)
	return space, err
}

// TestWatchPoolFills: while a site is gone, the estimate of when the journals of two
// images have filled the pool comes true; each check asks once, and before and after
// nobody asks.
func TestWatchPoolFills(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 2)
		b.wrap = func(s orchestrator.Site) orchestrator.Site { return smallSite{Site: s, room: 10 << 20} }
		m := b.watchman(t, b.immortal())
		defer m.stop()
		write := func() {
			for _, image := range []string{"volume-0", "volume-1"} {
				b.must(b.world.Write("a", ref(image), 0, make([]byte, 4096)))
			}
			time.Sleep(time.Second)
		}
		for range 60 {
			write()
		}
		asked := func() (n int) {
			for _, c := range b.world.Calls() {
				if c.Op == "PoolSpace" {
					n++
				}
			}
			return n
		}
		if n := asked(); n > 0 {
			t.Errorf("asked %d times for the room of a pool in which nothing is held", n)
		}
		b.world.Vanish("b")
		from := m.count()
		for range 1400 {
			write()
		}
		results := m.since(from)
		full := -1
		for i := range results {
			if f := results[i].Report.Sites[0].Filling; len(f) == 1 && f[0].FreeBytes != nil && *f[0].FreeBytes == 0 {
				full = i
				break
			}
		}
		if full < 0 {
			t.Fatalf("it is never full: %+v", m.last().Report.Sites[0].Filling)
		}
		estimates, checks := 0, 0
		for _, r := range results {
			if len(r.Report.Sites[0].Filling) > 0 {
				checks++
			}
		}
		for _, r := range results[:full] {
			for _, f := range r.Report.Sites[0].Filling {
				if f.Pool != "rbd" || f.Journals != 2 {
					t.Errorf("filling: %+v", f)
				}
				if f.FullSeconds == nil {
					continue
				}
				estimates++
				truth := results[full].At.Sub(r.At).Seconds()
				if off := *f.FullSeconds - truth; off > 0.15*truth+15 || -off > 0.15*truth+15 {
					t.Errorf("%.0f s before it is full, %.0f are estimated", truth, *f.FullSeconds)
				}
			}
		}
		if estimates < 60 || asked() != checks {
			t.Errorf("%d estimates, %d checks, asked %d times", estimates, checks, asked())
		}
		s := signalsOf(results[full-30], orchestrator.SignalJournalHeld)
		if len(s) != 2 || !strings.Contains(s[0].What, "; pool rbd at a has ") || !strings.Contains(s[0].What, "free, which at the present rate lasts for 5m0s") {
			t.Errorf("signals: %+v", s)
		}
		b.world.Return("b")
		time.Sleep(5 * time.Minute)
		before := asked()
		time.Sleep(5 * time.Minute)
		if asked() != before || len(m.last().Report.Sites[0].Filling) > 0 {
			t.Errorf("after its return: %+v", m.last().Report.Sites[0].Filling)
		}
	})
}

// TestWatchPoolUnreadable: where the room cannot be told, the signal comes without.
func TestWatchPoolUnreadable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, watched, 1)
		m := b.watchman(t, b.immortal())
		defer m.stop()
		b.world.Forbid("a", "PoolSpace")
		stop := b.writer(ref("volume-0"))
		defer func() { stop() }()
		b.world.Vanish("b")
		time.Sleep(3 * time.Minute)
		s := m.signals(orchestrator.SignalJournalHeld)
		if len(s) != 1 || strings.Contains(s[0].What, "free") || len(m.last().Faults) > 0 {
			t.Errorf("%+v, %v", s, m.last().Faults)
		}
	})
}
