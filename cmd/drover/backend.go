package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
)

// backend is where clusters come from: librbd, or the simulator. Each of
// open_ceph.go and open_sim.go has a newBackend; a build tag picks one.
type backend struct {
	open  orchestrator.Opener
	hands orchestrator.HandsFor
	close func() error
}

// withSites opens a plan's sites for a verb and closes them after it.
func (s *session) withSites(ctx context.Context, plan *plans.Plan, do func(*orchestrator.Sites) error) error {
	b, err := newBackend(false)
	if err != nil {
		return err
	}
	s.log.DebugContext(ctx, "opening sites", slog.String("plan", plan.Name), slog.Int("sites", len(plan.Sites)))
	sites := orchestrator.OpenSites(ctx, plan, b.open, b.hands)
	for _, site := range plan.Sites {
		if _, err := sites.Site(site.Name); err != nil {
			s.log.DebugContext(ctx, "site not opened", slog.String("site", site.Name), slog.Any("error", err))
		}
	}
	err = do(sites)
	return errors.Join(err, sites.Close(), b.close())
}
