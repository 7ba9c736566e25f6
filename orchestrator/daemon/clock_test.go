package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// mute is a site whose rbd-mirror lives and writes nothing from the time on that it is
// told to: its reports stay as they are.
type mute struct {
	orchestrator.Site
	silent *atomic.Bool
	mu     sync.Mutex
	last   map[replay.Pool][]replay.Report
}

func (m *mute) Reports(ctx context.Context, pool replay.Pool) ([]replay.Report, error) {
	reports, err := m.Site.Reports(ctx, pool)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.silent.Load() {
		return slices.Clone(m.last[pool]), err
	}
	m.last[pool] = slices.Clone(reports)
	return reports, err
}

// clockStage is a stage whose sites' clocks are ahead of the daemon's host's, and where
// rbd-mirror at b can be made to fall mute; that host's clock can be set.
type clockStage struct {
	*stage
	silent atomic.Bool
	set    atomic.Int64 // by how much the host's clock is set ahead, in nanoseconds
	end    func()
}

func newClockStage(t *testing.T, every string, sitesAhead time.Duration) *clockStage {
	text := strings.Replace(shop, "@every 10s", "@every "+every, 1)
	s := &clockStage{stage: newStageBy(t, text, 2, func() time.Time { return time.Now().Add(sitesAhead) })}
	s.begin()
	return s
}

// begin starts a daemon.
func (s *clockStage) begin() {
	o := s.options()
	o.Now = func() time.Time { return time.Now().Add(time.Duration(s.set.Load())) }
	o.Open = func(_ context.Context, site plans.Site) (orchestrator.Site, error) {
		if site.Name == "b" {
			return &mute{Site: s.world.Site("b"), silent: &s.silent, last: map[replay.Pool][]replay.Report{}}, nil
		}
		return s.world.Site(site.Name), nil
	}
	_, s.end = s.beginWith(o)
}

// told are the codes of what was told of clocks and reports, since the last time.
func (s *clockStage) told() string {
	all, _ := s.take()
	var out []string
	for _, m := range all {
		if m.Code == "clock-differs" || m.Code == "report-stale" || m.Code == "not-replaying" || m.Code == "report-missing" {
			out = append(out, fmt.Sprintf("%s %s %s", m.Kind, m.Code, m.Site))
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

const (
	bothDiffer = "opened clock-differs a, opened clock-differs b"
	bothAgree  = "resolved clock-differs a, resolved clock-differs b"
)

// TestClocks: where the host's clock is hours ahead of the sites', or behind, that is
// told, and no report is taken for old that is not; one that is old is told of in time.
// So it is where the daemon is started anew meanwhile.
func TestClocks(t *testing.T) {
	for _, every := range []string{"10s", "10m"} {
		for _, ahead := range []time.Duration{-5 * time.Hour, 0, 3 * time.Hour} {
			t.Run(fmt.Sprintf("%s/%v", every, ahead), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					s := newClockStage(t, every, ahead)
					defer func() { s.end() }()
					time.Sleep(time.Hour)
					want := bothDiffer
					if ahead == 0 {
						want = ""
					}
					if told := s.told(); told != want {
						t.Errorf("told: %s, want %s", told, want)
					}
					s.end()
					s.begin()
					time.Sleep(time.Hour)
					if told := s.told(); told != "" {
						t.Errorf("told after a restart: %s", told)
					}
					s.silent.Store(true)
					time.Sleep(45 * time.Minute)
					if told := s.told(); told != "opened report-stale b" {
						t.Errorf("told of a mute rbd-mirror: %s", told)
					}
					s.silent.Store(false)
					time.Sleep(time.Hour)
					if told := s.told(); told != "resolved report-stale b" {
						t.Errorf("told when it writes again: %s", told)
					}
				})
			})
		}
	}
}

// TestClockJumps: where the host's clock jumps in the middle of the night, that is told,
// and that it is right again, and nothing else.
func TestClockJumps(t *testing.T) {
	for _, every := range []string{"10s"} {
		for _, by := range []time.Duration{-4 * time.Hour, 15 * time.Minute} {
			t.Run(fmt.Sprintf("%s/%v", every, by), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					s := newClockStage(t, every, 0)
					defer func() { s.end() }()
					time.Sleep(time.Hour)
					s.set.Store(int64(by))
					time.Sleep(time.Hour)
					if told := s.told(); told != bothDiffer {
						t.Errorf("told: %s", told)
					}
					s.silent.Store(true)
					time.Sleep(20 * time.Minute)
					s.silent.Store(false)
					time.Sleep(20 * time.Minute)
					if told := s.told(); told != "opened report-stale b, resolved report-stale b" {
						t.Errorf("told of a mute rbd-mirror: %s", told)
					}
					s.set.Store(0)
					time.Sleep(time.Hour)
					if told := s.told(); told != bothAgree {
						t.Errorf("told as it is set right: %s", told)
					}
				})
			})
		}
	}
}

// TestStaleAtStart: who begins to look while an rbd-mirror has long been mute tells of it.
func TestStaleAtStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newClockStage(t, "10s", 0)
		defer func() { s.end() }()
		time.Sleep(10 * time.Minute)
		s.silent.Store(true)
		time.Sleep(10 * time.Minute)
		if told := s.told(); told != "opened report-stale b" {
			t.Fatalf("told: %s", told)
		}
		time.Sleep(time.Hour)
		if told := s.told(); told != "" {
			t.Errorf("told all the while: %s", told)
		}
	})
}
