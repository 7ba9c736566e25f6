package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/systemd"
	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator/daemon"
	"github.com/drover-io/drover/orchestrator/notify"
	"github.com/drover-io/drover/orchestrator/serve"
	"github.com/drover-io/drover/plans"
)

// daemonEnd is how long a daemon that was told to stop may take to end what is in
// the air.
const daemonEnd = daemon.RunTime + 50*time.Second

func newDaemon(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "daemon FILE…",
		Short: "Watch plans without end: check on schedule, halt split-brains, tell people, serve metrics",
		Long: `Daemon watches every image of the plans for as long as it runs. On each plan's
schedule it checks both sites, records each change of an image's state, halts what
is in split-brain, keeps the rbd-mirror daemons running that the plan lets Drover
run, compares copies in the background, and tells the plan's channels what is
wrong, and when it is over. With converge: auto it repairs what an apply would
repair without losing anything; with snapshots: {by: drover} it takes the mirror
snapshots. It never promotes, demotes or resyncs by itself.

Of several daemons of one plan one acts and the others stand by. No runbook needs
it, and none waits for it.

Metrics and health are served where the first plan's http section says
(127.0.0.1:9823 where it has none): /metrics, /healthz, /readyz. SIGHUP reads the
files of the command line again, no others; a plan with a mistake changes nothing.
SIGTERM ends it in good order.
Under systemd it is of Type=notify, with a watchdog; see examples/systemd.`,
		Example: `  drover daemon plan.yaml
  drover daemon /etc/drover/*.yaml --log-format json`,
		Args:              arguments(1, 1000),
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) (err error) {
			if !c.Flag("log-level").Changed { // its log is all that it shows
				if s.log, err = newLog(s.err, "info", s.logFormat); err != nil {
					return err
				}
			}
			return s.runDaemon(c.Context(), args)
		},
	}
}

// loadAll loads several plans, and tells all mistakes of all of them. Their commands
// are read where nobody knows in what folder the daemon runs.
func loadAll(files []string) (all []*plans.Plan, err error) {
	var errs []error
	for _, file := range files {
		plan, err := loadPlan(file)
		if err == nil {
			err = checkChannels(plan)
		}
		if full, e := filepath.Abs(file); err == nil && e == nil {
			plan.File = full
		}
		all, errs = append(all, plan), append(errs, err)
	}
	return all, errors.Join(errs...)
}

func (s *session) runDaemon(ctx context.Context, files []string) (err error) {
	reload := hangups(ctx)
	daemon.Frugal()
	all, err := loadAll(files)
	if err != nil {
		return err
	}
	b, err := newBackend(true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	slog.SetDefault(s.log) // a fault of the program in a call that was given up
	build := serve.Build{Version: version, Go: runtime.Version()}
	metrics := serve.NewMetrics(build)
	d, err := daemon.New(all, daemon.Options{
		Open: b.open, Hands: b.hands, Metrics: metrics, Log: s.log, Version: version,
		Notify: notify.Options{Log: s.log, SlackURL: s.getenv("DROVER_SLACK_URL"), PagerDutyURL: s.getenv("DROVER_PAGERDUTY_URL")},
	})
	if err != nil {
		return err
	}
	server, err := serve.Listen(ctx, serve.Options{HTTP: all[0].HTTP, Metrics: metrics, Build: build, Ready: d.Ready, Log: s.log})
	if err != nil {
		return view.Next(fmt.Errorf("metrics and health: %w", err), "see http in the plan %s", files[0])
	}
	s.log.Info("drover daemon", "plans", len(all), "listens", server.Addr().String(), "version", version)

	work, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 2)
	go func() { ended <- server.Run(work) }()
	go func() { d.Run(work); ended <- nil }()
	go func() {
		if err := systemd.Watch(work, d.Alive, func(err error) { s.log.Warn("systemd is told no more", "error", err) }); err != nil {
			s.log.Warn("systemd's watchdog", "error", err)
		}
	}()
	s.tellSystemd(systemd.Ready(d.Summary()))
	go func() { // beside, as it waits for what is in the air
		for {
			select {
			case <-reload:
				s.reloadDaemon(d, server, all[0].HTTP, files)
			case <-work.Done():
				return
			}
		}
	}()
	select {
	case err := <-ended: // only the server ends by itself
		return errors.Join(err, endDaemon(stop, ended, 1))
	case <-ctx.Done():
		s.tellSystemd(systemd.Stopping("ending what is in the air"))
		return endDaemon(stop, ended, 2)
	}
}

// endDaemon waits until all of so many have ended, but not for ever.
func endDaemon(stop func(), ended <-chan error, n int) error {
	stop()
	limit := time.NewTimer(daemonEnd)
	defer limit.Stop()
	var errs []error
	for range n {
		select {
		case err := <-ended:
			errs = append(errs, err)
		case <-limit.C:
			return fmt.Errorf("what was in the air has not ended within %s: it is given up", daemonEnd)
		}
	}
	return errors.Join(errs...)
}

// reloadDaemon goes over to the plans as the files say now, or says why it does not.
func (s *session) reloadDaemon(d *daemon.Daemon, server *serve.Server, http plans.HTTP, files []string) {
	s.tellSystemd(systemd.Reloading("reading the plans again"))
	all, err := loadAll(files)
	if err == nil {
		err = d.Reload(all)
	}
	status := "the plans were read again"
	if err != nil {
		status = "the plans stay as they were: they cannot be read again"
		s.log.Error(status, "error", err)
	} else {
		s.log.Info(status)
		if err := server.Reload(); err != nil {
			s.log.Error("the token of the HTTP endpoint cannot be read again: the old one holds", "error", err)
		}
		if !reflect.DeepEqual(all[0].HTTP, http) {
			s.log.Warn("the plan's http settings have changed: they hold from the next start of the daemon on")
		}
	}
	s.tellSystemd(systemd.Ready(status))
}

func (s *session) tellSystemd(err error) {
	if err != nil {
		s.log.Warn("systemd cannot be told", slog.Any("error", err))
	}
}
