package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/exit"
	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
)

func newStatus(s *session) *cobra.Command {
	var (
		watch, problems bool
		every           time.Duration
	)
	c := &cobra.Command{
		Use:   "status FILE",
		Short: "Show how each image is protected, problems first",
		Long: `Status asks all sites and judges each image by itself: the roles at every site,
how far the copies are behind (entries, bytes, seconds), the objective, when each
was last proven identical (by drover verify, or by the daemon on its schedule), the
daemons, and what drills have left. The judgement is Drover's own: two primaries are a split-brain even
where Ceph says HEALTH_OK.

A site that does not answer is shown as such and hides nothing of the others.
The exit code is 0 when the status could be shown, whatever it says; scripts
read -o json. With --watch the status is shown again and again until a signal:
redrawn on a terminal, one after the other elsewhere (-o json: a line each).`,
		Example: `  drover status plan.yaml
  drover status plan.yaml --watch
  drover status plan.yaml --problems
  drover status plan.yaml -o json | jq '.images[] | select(.healthy | not) | .ref'`,
		Args:              oneFile,
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			plan, err := loadPlan(args[0])
			if err != nil {
				return err
			}
			options := view.StatusOptions{OnlyProblems: problems}
			if watch {
				if every <= 0 {
					return view.Next(fmt.Errorf("--interval %s: it must be more than nothing", every), "%s --help", c.CommandPath())
				}
				return s.watchStatus(c.Context(), plan, options, every)
			}
			return s.withSites(c.Context(), plan, func(sites *orchestrator.Sites) error {
				report := orchestrator.Status(c.Context(), plan, sites, orchestrator.StatusOptions{})
				if interrupted(c.Context()) {
					return context.Cause(c.Context())
				}
				return s.show(report, func(w io.Writer, p view.Palette) error { return view.Status(w, p, report, options) })
			})
		},
	}
	c.Flags().BoolVar(&watch, "watch", false, "show the status again and again")
	c.Flags().DurationVar(&every, "interval", 5*time.Second, "how often, with --watch")
	c.Flags().BoolVar(&problems, "problems", false, "leave out the images that are well (table only)")
	return c
}

// watchStatus shows the status until a signal. The sites are opened anew each
// time: one that was away may be back.
func (s *session) watchStatus(ctx context.Context, plan *plans.Plan, options view.StatusOptions, every time.Duration) error {
	redraw := s.format == view.Table && isTerminal(s.out) && s.getenv("TERM") != "dumb"
	options.CatchUp = true
	var pace orchestrator.Pace
	tick := time.NewTicker(every)
	defer tick.Stop()
	for first := true; ; first = false {
		err := s.withSites(ctx, plan, func(sites *orchestrator.Sites) error {
			report := orchestrator.Status(ctx, plan, sites, orchestrator.StatusOptions{Pace: &pace})
			if interrupted(ctx) {
				return context.Cause(ctx)
			}
			return s.showAgain(report, options, redraw, first)
		})
		if errors.Is(context.Cause(ctx), exit.ErrInterrupted) {
			return nil // the way to end a watch
		}
		if err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *session) showAgain(report *orchestrator.StatusReport, options view.StatusOptions, redraw, first bool) error {
	if s.format != view.Table {
		return view.EncodeLine(s.out, s.format, report)
	}
	return view.StatusAgain(s.out, s.outPalette(), report, options, redraw, first)
}
