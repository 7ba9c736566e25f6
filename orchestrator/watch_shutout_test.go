package orchestrator_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
)

// closed counts how often a site is closed.
type closed struct {
	orchestrator.Site
	n *atomic.Int64
}

func (c closed) Close() error {
	c.n.Add(1)
	return c.Site.Close()
}

// TestWatchShutOut: a watch whose client somebody has put on a site's blocklist goes
// on as another one, and says so; what it held as the first is closed.
func TestWatchShutOut(t *testing.T) {
	for _, at := range []string{"a", "b"} {
		t.Run(at, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, watched, 1)
				var (
					mu     sync.Mutex
					opened []orchestrator.Site
					ended  atomic.Int64
				)
				b.wrap = func(s orchestrator.Site) orchestrator.Site {
					mu.Lock()
					defer mu.Unlock()
					opened = append(opened, s)
					return closed{s, &ended}
				}
				m := b.watchman(t, b.immortal())
				defer m.stop()
				time.Sleep(time.Minute)
				mu.Lock()
				for _, s := range opened {
					if s.Name() != at {
						continue
					}
					addresses, err := s.OwnAddresses(t.Context())
					b.must(err)
					b.must(b.world.Site(at).Blocklist(t.Context(), addresses[0], 7*24*time.Hour))
				}
				mu.Unlock()
				time.Sleep(2 * time.Minute)
				before := m.count()
				time.Sleep(2 * time.Minute)
				r := m.last()
				if n := m.count() - before; n < 10 || r.Role != orchestrator.RoleActing || r.Report.Summary.Healthy != len(r.Report.Images) || len(r.Report.Problems) > 0 {
					t.Errorf("%d checks in two minutes, the last as %s: %+v", n, r.Role, r.Report.Problems)
				}
				if told := m.signals(orchestrator.SignalInterrupted); len(told) != 1 || !strings.Contains(told[0].What, at) {
					t.Errorf("told: %+v", told)
				}
				if n := ended.Load(); n != 2 {
					t.Errorf("%d sites were closed", n)
				}
				time.Sleep(15 * time.Minute)
				if told := m.signals(orchestrator.SignalInterrupted); len(told) != 0 {
					t.Errorf("told for ever: %+v", told)
				}
			})
		})
	}
}
