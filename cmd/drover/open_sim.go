//go:build sim

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay/sim"
)

// simFile is the variable that names the file of the simulated world.
const simFile = "DROVER_SIM"

// clusters says what clusters are reached through.
func clusters() string { return "simulator" }

// newBackend opens the simulated world; it is saved when the backend is
// closed.
func newBackend(bool) (*backend, error) {
	path := os.Getenv(simFile)
	if path == "" {
		return nil, view.Next(errors.New("this drover knows only simulated clusters, and "+simFile+" is not set"),
			"set %s to the file of a simulated world, or build drover without the tag sim", simFile)
	}
	file, err := sim.OpenFile(path)
	if err != nil {
		return nil, err
	}
	return &backend{
		open: func(ctx context.Context, wanted plans.Site) (orchestrator.Site, error) {
			site := file.Site(wanted.Name)
			if err := site.Open(ctx); err != nil {
				return nil, err
			}
			return site, nil
		},
		hands: func(_ *plans.Plan, site plans.Site, _ orchestrator.Site) (orchestrator.Hands, error) {
			if site.Daemon.Run == plans.RunNone {
				return orchestrator.Hands{}, nil
			}
			return orchestrator.Hands{Runner: &simRunner{world: file.World, site: site.Name}}, nil
		},
		close: file.Close,
	}, nil
}

// simRunner runs rbd-mirror in a simulated world, whichever way the plan names.
type simRunner struct {
	world *sim.World
	site  string
}

// State tells whether the simulated daemon runs.
func (r *simRunner) State(context.Context) (orchestrator.DaemonState, error) {
	if r.world.DaemonRuns(r.site) {
		return orchestrator.DaemonState{Running: true, Detail: "simulated"}, nil
	}
	return orchestrator.DaemonState{Detail: "not running"}, nil
}

// Start starts it.
func (r *simRunner) Start(context.Context) error {
	if !r.world.DaemonRuns(r.site) {
		r.world.StartDaemon(r.site)
	}
	return nil
}

// Stop stops it.
func (r *simRunner) Stop(context.Context) error {
	r.world.StopDaemon(r.site)
	return nil
}

// Restart stops and starts it.
func (r *simRunner) Restart(ctx context.Context) error {
	if err := r.Stop(ctx); err != nil {
		return err
	}
	return r.Start(ctx)
}

// RestartCommand is what would be run on a real host to restart it.
func (r *simRunner) RestartCommand() string { return r.Command(false) + "; " + r.Command(true) }

// Command is what would be run on a real host.
func (r *simRunner) Command(start bool) string {
	if start {
		return fmt.Sprintf("rbd-mirror --cluster %s", r.site)
	}
	return fmt.Sprintf("kill $(pidof rbd-mirror) # %s", r.site)
}
