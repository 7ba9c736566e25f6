package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
)

func newFailover(s *session) *cobra.Command {
	var (
		flags                 runbookFlags
		unfenced, leaveDaemon bool
	)
	c := &cobra.Command{
		Use:   "failover FILE",
		Short: "Promote the images at the surviving site, when the other one is lost",
		Long: `Failover is for when the primary's site is gone or unfit; while it is well, use
switchover. It shows from where the old site was looked at and what was seen,
what each image would lose (writes, bytes, time; "unknown" where it is), which
copies must not be promoted and which groups they break. A reason is asked for,
and the plan's name. If what was shown has changed by then, it asks again.

Then the old site's clients are shut out where the plan has a fence, its copies
are marked as given up, the surviving site's rbd-mirror is stopped for the batch,
and the images are promoted by force and seen to be primary. When the old site
comes back, drover status knows its primaries as quarantined.

Without --from the site that does not answer is the lost one. An image that is
primary at a third site which answers is never promoted: --only-ready leaves it
where it is. A copy that an earlier failover gave up, and that is all that is
left, may serve again: what was written since is shown as lost.

A script is bound to what it was shown: --dry-run prints a hash, and --yes wants
it with --approved. When the facts have changed since, nothing is done and the
exit code is 12.`,
		Example: `  drover failover plan.yaml --dry-run
  drover failover plan.yaml --to site-b --reason "site-a burns"
  drover failover plan.yaml --to site-b --reason "site-a burns" --only-ready --unfenced
  drover failover plan.yaml --to site-b --reason drill --yes --approved HASH`,
		Args:              oneFile,
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			return s.follow(c, args[0], runbook{
				loses: true,
				prepare: func(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites, flags runbookFlags) (*orchestrator.Prepared, error) {
					return orchestrator.PrepareFailover(ctx, plan, sites, orchestrator.FailoverOptions{
						To: flags.to, From: flags.from, Scope: flags.scope, Reason: flags.reason, OnlyFit: flags.ready,
						Unfenced: unfenced, LeaveDaemon: leaveDaemon,
					})
				},
				what: func(p *orchestrator.Prepared) string {
					return fmt.Sprintf("%s %s will be promoted by force at %s; what %s holds beyond that is given up.",
						s.errPalette().Warn("This cannot be undone:"), imageCount(p), p.Run.To, p.Run.From)
				},
			}, flags)
		},
	}
	addRunbookFlags(c, &flags)
	c.Flags().BoolVar(&flags.ready, "only-ready", false, "promote the copies that can serve and leave the rest alone, with its groups")
	c.Flags().BoolVar(&unfenced, "unfenced", false, "leave the old site's clients be, though the plan has a fence")
	c.Flags().BoolVar(&leaveDaemon, "leave-daemon", false, "let rbd-mirror go on at the surviving site; each promotion has to wait for it")
	c.Flags().StringVar(&flags.approved, "approved", "", "the hash that --dry-run has printed: do only what was shown then")
	return c
}
