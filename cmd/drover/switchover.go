package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
)

func newSwitchover(s *session) *cobra.Command {
	var (
		flags            runbookFlags
		fence, noWayBack bool
	)
	c := &cobra.Command{
		Use:   "switchover FILE",
		Short: "Move the images' primaries to the other site; nothing is lost",
		Long: `Switchover is for when both sites are up. First everything is checked, and all
of it shown: when something stands in the way, nothing is demoted and the exit
code is 13. Then each image, or each group as one, goes its own way: demoted,
proven to be whole at the other site, promoted there without force, and seen to
be. One whose proof does not come in time is promoted back where it was; the
others go on. Waves move one after another, in the order of their priority.

The plan's name has to be typed. Ctrl-C begins no further image, completes those
in the air and tells how to resume; twice, it stops at once. With -o markdown
the dry run is a runbook that a person can follow by hand.`,
		Example: `  drover switchover plan.yaml --dry-run
  drover switchover plan.yaml --to site-b --reason "power works at site-a"
  drover switchover plan.yaml --wave databases --only-ready
  drover switchover plan.yaml --dry-run -o markdown > by-hand.md
  drover switchover plan.yaml --yes -o json`,
		Args:              oneFile,
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			return s.follow(c, args[0], runbook{
				prepare: func(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites, flags runbookFlags) (*orchestrator.Prepared, error) {
					return orchestrator.PrepareSwitchover(ctx, plan, sites, switchoverOptions(flags, fence, noWayBack))
				},
				what: func(p *orchestrator.Prepared) string {
					return fmt.Sprintf("%s will be primary at %s, and no longer at %s. Clients must be stopped there.", imageCount(p), p.Run.To, p.Run.From)
				},
			}, flags)
		},
	}
	addRunbookFlags(c, &flags)
	c.Flags().BoolVar(&flags.ready, "only-ready", false, "move what passes the checks and leave the rest alone, with its groups")
	c.Flags().BoolVar(&fence, "fence", false, "shut out the clients that hold images, for a day (osd blocklist)")
	c.Flags().BoolVar(&noWayBack, "no-way-back", false, "accept that nothing will replay to the old primary")
	return c
}

func switchoverOptions(flags runbookFlags, fence, noWayBack bool) orchestrator.SwitchoverOptions {
	return orchestrator.SwitchoverOptions{
		To: flags.to, From: flags.from, Scope: flags.scope, OnlyReady: flags.ready,
		Fence: fence, NoWayBack: noWayBack, Reason: flags.reason, Brief: !flags.dryRun,
	}
}

// imageCount words how many images a run moves.
func imageCount(p *orchestrator.Prepared) string {
	images := 0
	for i := range p.Run.Units {
		images += len(p.Run.Units[i].Images)
	}
	return view.Count(images, "image")
}
