package daemon

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/serve"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// TestStandbyShowsNothing: a check that began while no site gave the lease, and ends
// while another daemon acts, is told to nobody: else its metrics would stand for ever.
func TestStandbyShowsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 1)
		o := s.options()
		o.Metrics = serve.NewMetrics(serve.Build{})
		var refused, slow atomic.Bool
		refused.Store(true)
		o.Open = func(_ context.Context, site plans.Site) (orchestrator.Site, error) {
			return s.world.Client(site.Name, func(ctx context.Context, c sim.Call, do func(context.Context) error) error {
				if c.Op == "AcquireLease" && refused.Load() {
					return replay.ErrPermission
				}
				if c.Op == "Images" && slow.Load() {
					time.Sleep(25 * time.Second)
				}
				return do(ctx)
			}), nil
		}
		d, halt := s.beginWith(o)
		defer halt()
		time.Sleep(time.Minute)
		const up = "drover_site_up"
		if _, ok := gauge(t, o.Metrics, up, "site", "a"); !ok {
			t.Error("a daemon that looks alone shows nothing")
		}
		slow.Store(true)
		time.Sleep(11 * time.Second) // a check has begun
		_, end := s.begin()          // another daemon acts
		defer end()
		time.Sleep(time.Second)
		refused.Store(false)
		time.Sleep(5 * time.Minute)
		if role := d.guards["shop"].watch.Standing().Role; role != orchestrator.RoleStandby {
			t.Fatalf("it is %s", role)
		}
		if _, ok := gauge(t, o.Metrics, up, "site", "a"); ok {
			t.Error("a daemon that stands by shows what it saw before")
		}
	})
}

// TestOldMemory: where the only memory that can be read is older than what people were
// told last, what holds is told once more, in its thread, and its end too.
func TestOldMemory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 3)
		_, end := s.begin()
		time.Sleep(time.Minute)
		s.world.Vanish("b")
		time.Sleep(3 * time.Minute)
		s.world.Vanish("a")
		time.Sleep(3 * time.Minute)
		s.world.Return("b")
		time.Sleep(15 * time.Minute)
		all, short := s.take()
		if !strings.HasPrefix(short, "opened site-unknown, opened site-unknown, resolved site-unknown") || all[2].ID != all[0].ID {
			t.Fatalf("told: %s", short)
		}
		end()
		s.world.Vanish("b")
		s.world.Return("a") // with a memory in which b is silent, and has not come back
		_, end = s.begin()
		defer end()
		time.Sleep(3 * time.Minute)
		b := all[0].ID
		if all, short = s.take(); short != "changed site-unknown" || all[0].ID != b {
			t.Fatalf("told with an old memory: %s %+v", short, all)
		}
		s.world.Return("b")
		time.Sleep(5 * time.Minute)
		all, _ = s.take()
		var over []string
		for _, m := range all {
			if m.Kind == alert.Resolved && m.Code == siteUnknown {
				over = append(over, m.Site)
			}
		}
		slices.Sort(over)
		if !slices.Equal(over, []string{"a", "b"}) {
			t.Errorf("over: %v, %+v", over, all)
		}
	})
}
