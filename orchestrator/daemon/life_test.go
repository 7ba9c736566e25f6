package daemon

import (
	"context"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
)

// TestAliveWithoutChecks: a daemon that acts again and again, and loses its lease
// before it has checked anything twice, is not alive; nor is it taken for dead for as
// long as it stands by, or right after.
func TestAliveWithoutChecks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 1)
		_, end := s.begin()
		time.Sleep(time.Minute)
		o := s.options()
		o.Open = func(ctx context.Context, site plans.Site) (orchestrator.Site, error) {
			client := s.world.Client(site.Name, nil)
			if site.Name == "a" {
				return client, nil
			}
			own, err := client.OwnAddresses(ctx)
			if err != nil {
				return nil, err
			}
			return client, s.world.Site(site.Name).Blocklist(ctx, own[0], 24*time.Hour) // whoever it is
		}
		d, halt := s.beginWith(o)
		defer halt()
		time.Sleep(time.Hour)
		if g := d.guards["shop"]; !d.Alive() || g.watch.Standing().Role != orchestrator.RoleStandby {
			t.Errorf("alive %v as it stands by: %+v", d.Alive(), g.watch.Standing())
		}
		end()
		time.Sleep(time.Minute)
		if !d.Alive() {
			t.Error("not alive right after it stood by")
		}
		// Now and then two checks end while it has the lease, which is a sign of life.
		alive := true
		for end := time.Now().Add(30 * time.Minute); alive && time.Now().Before(end); time.Sleep(10 * time.Second) {
			alive = d.Alive()
		}
		if alive {
			t.Errorf("alive all the time, though hardly ever two checks have ended in turn: %+v", d.Ready())
		}
	})
}
