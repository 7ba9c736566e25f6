//go:build !sim

package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay/rbdmirror"
)

// runner runs a site's rbd-mirror in the way that the plan names.
type runner struct {
	rbdmirror.Runner
	remove      func(context.Context) error // ends it and leaves nothing behind
	start, stop string                      // equivalent command lines
	restart     string                      // empty: stop, then start
}

// State tells whether the daemon runs, where, and whether as the plan says.
func (r *runner) State(ctx context.Context) (orchestrator.DaemonState, error) {
	status, err := r.Status(ctx)
	detail := status.Detail
	if status.PID != 0 {
		detail = fmt.Sprintf("%s, pid %d, log %s", detail, status.PID, status.Log)
	}
	return orchestrator.DaemonState{Running: status.Running, Detail: detail, Outdated: status.Outdated, Died: status.Died}, err
}

// Restart ends and starts the daemon.
func (r *runner) Restart(ctx context.Context) error {
	_, err := r.Runner.Restart(ctx)
	return err
}

// Start starts the daemon.
func (r *runner) Start(ctx context.Context) error {
	_, err := r.Ensure(ctx)
	return err
}

// Stop ends the daemon.
func (r *runner) Stop(ctx context.Context) error { return r.remove(ctx) }

// pauseTime is how long a daemon may take to end by itself before a failover.
// While its peer does not answer it never does, and it may be killed at any time:
// where it stands is in the journals and snapshots.
const pauseTime = 150 * time.Millisecond

// Pause ends the daemon and keeps its folder and its log.
func (r *runner) Pause(ctx context.Context) error {
	if p, ok := r.Runner.(*rbdmirror.Process); ok {
		brief := *p
		brief.StopTimeout = pauseTime
		return brief.Stop(ctx)
	}
	return r.Runner.Stop(ctx)
}

// Command is the equivalent command line.
func (r *runner) Command(start bool) string {
	if start {
		return r.start
	}
	return r.stop
}

// RestartCommand is the equivalent command line for a restart.
func (r *runner) RestartCommand() string { return cmp.Or(r.restart, r.stop+"; "+r.start) }

// handsOn reaches a site's daemon as its plan says.
func handsOn(plan *plans.Plan, site plans.Site, opened orchestrator.Site) (orchestrator.Hands, error) {
	var hands orchestrator.Hands
	if folder := site.Daemon.SocketFolder(); folder != "" {
		hands.Replay = &replayControl{folder: folder}
	}
	switch site.Daemon.Run {
	case plans.RunProcess:
		hands.Runner = processRunner(plan, site)
	case plans.RunSystemd:
		hands.Runner = systemdRunner(site)
	case plans.RunCephadm:
		mgr, ok := opened.(rbdmirror.Mgr)
		if !ok {
			return hands, fmt.Errorf("site %s: no way to its mgr", site.Name)
		}
		hands.Runner = cephadmRunner(site, mgr)
	}
	return hands, nil
}

func processRunner(plan *plans.Plan, site plans.Site) *runner {
	daemon := site.Daemon
	p := &rbdmirror.Process{
		Site: site.Name, Plan: plan.Name, Cluster: site.Cluster, Conf: site.Conf,
		User: daemon.User, Keyring: daemon.Keyring, Dir: daemon.Directory, Binary: daemon.Binary, Options: daemon.Options,
	}
	if plan.Peers.By == plans.PeerByConf {
		for _, other := range plan.Sites {
			if other.Name != site.Name {
				p.Peers = append(p.Peers, peerConf(plan, other))
			}
		}
	}
	line := fmt.Sprintf("cd %s && setsid %s --cluster %s --id %s & # with, in its %s.conf: [%s] %s", daemon.Directory, daemon.Binary, site.Cluster,
		strings.TrimPrefix(daemon.User, "client."), site.Cluster, daemon.User, strings.Join(p.ConfLines(), "; "))
	return &runner{
		Runner: p, remove: p.Remove, start: line,
		stop: fmt.Sprintf("kill $(jq .pid %s)", filepath.Join(daemon.Directory, "rbd-mirror.json")),
	}
}

// peerConf is how a site's daemon reaches another site by conf file.
func peerConf(plan *plans.Plan, other plans.Site) rbdmirror.PeerConf {
	peer := rbdmirror.PeerConf{Cluster: other.Cluster, Conf: other.Conf, User: plan.Peers.ClientAt(other.Name)}
	if peer.User == other.User {
		peer.Keyring = other.Keyring
	}
	return peer
}

func systemdRunner(site plans.Site) *runner {
	unit := &rbdmirror.Systemd{Site: site.Name, Unit: site.Daemon.Unit}
	return &runner{
		Runner: unit, remove: unit.Stop,
		start: "systemctl start " + site.Daemon.Unit, stop: "systemctl stop " + site.Daemon.Unit, restart: "systemctl restart " + site.Daemon.Unit,
	}
}

// cephadmRunner stops the service when a plan is destroyed but leaves it
// defined: other pools than the plan's may be served by it one day.
func cephadmRunner(site plans.Site, m rbdmirror.Mgr) *runner {
	service := &rbdmirror.Cephadm{Site: site.Name, Service: site.Daemon.Service, Placement: site.Daemon.Placement, Mgr: m}
	ceph := "ceph -c " + site.Conf + " --id " + strings.TrimPrefix(site.User, "client.")
	start := ceph + " orch apply rbd-mirror"
	switch {
	case !service.Makes():
		start = ceph + " orch start " + site.Daemon.Service
	case site.Daemon.Placement != "":
		start += " '" + site.Daemon.Placement + "'"
	}
	return &runner{Runner: service, remove: service.Stop, start: start, stop: ceph + " orch stop " + site.Daemon.Service}
}
