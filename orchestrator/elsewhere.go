package orchestrator

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// A daemon reports to the mgr every five seconds (mgr_stats_period); the service
// map keeps one that has died for a minute. So one that lives is told by a report
// that comes while it is watched, and one that has just been stopped by none.
const (
	beaconWatch = 12 * time.Second
	beaconLook  = time.Second
)

// findElsewhere looks for daemons that a plan has Drover run here, and that run
// somewhere else: on another host, as another user, or for a plan of another name.
func findElsewhere(ctx context.Context, plan *plans.Plan, sites *Sites, obs *Observation) {
	var wg parallel.Group
	for i := range obs.Sites {
		seen := &obs.Sites[i]
		suspects := suspectsOf(plan.Site(seen.Name), seen)
		site, err := sites.Site(seen.Name)
		if err != nil || len(suspects) == 0 {
			continue
		}
		wg.Go(func() { seen.Elsewhere = living(ctx, site, suspects) })
	}
	wg.Wait()
}

// suspectsOf are the daemons of the plan's user in the service map of a site
// where Drover's own does not run.
func suspectsOf(wanted *plans.Site, seen *SiteObservation) []replay.MirrorDaemon {
	if wanted == nil || wanted.Daemon.Run != plans.RunProcess || seen.Runner == nil || seen.Runner.Fault != nil || seen.Runner.Running {
		return nil
	}
	// As tools/rbd_mirror/ServiceDaemon.cc names itself.
	name := strings.TrimPrefix(strings.TrimPrefix(wanted.Daemon.User, "client."), "rbd-mirror.")
	return slices.DeleteFunc(slices.Clone(seen.Daemons), func(d replay.MirrorDaemon) bool { return d.ClientID != name })
}

// living are those of the suspects that report while they are watched. What
// cannot be asked counts as silent.
func living(ctx context.Context, site DaemonObserver, suspects []replay.MirrorDaemon) []replay.MirrorDaemon {
	ctx, cancel := context.WithTimeout(ctx, beaconWatch)
	defer cancel()
	tick := time.NewTicker(beaconLook)
	defer tick.Stop()
	var alive []replay.MirrorDaemon
	for len(suspects) > 0 {
		select {
		case <-ctx.Done():
			return alive
		case <-tick.C:
		}
		now, err := site.MirrorDaemons(ctx)
		if err != nil {
			continue
		}
		suspects = slices.DeleteFunc(suspects, func(d replay.MirrorDaemon) bool {
			i := slices.IndexFunc(now, func(n replay.MirrorDaemon) bool { return n.ID == d.ID })
			if i >= 0 && !now[i].Beacon.After(d.Beacon) {
				return false
			}
			if i >= 0 {
				alive = append(alive, now[i])
			}
			return true
		})
	}
	return alive
}

// elsewhereWords says where daemons run, other than where Drover would run one.
func elsewhereWords(s *plans.Site, daemons []replay.MirrorDaemon) string {
	var at []string
	for _, d := range daemons {
		at = append(at, d.Host+" ("+d.Version+")")
	}
	return "rbd-mirror of " + s.Name + " runs at " + strings.Join(at, " and ") + ", not from this host's folder " + s.Daemon.Directory
}
