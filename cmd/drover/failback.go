package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
)

func newFailback(s *session) *cobra.Command {
	var (
		flags               runbookFlags
		fence, deep, verify bool
	)
	c := &cobra.Command{
		Use:   "failback FILE",
		Short: "Bring the images back to the preferred primary, after a failover",
		Long: `Failback is for when the old site is back. Its copies, which the failover gave up,
are shown with what they hold and nobody else does. Each is first preserved in a
copy of its own, then demoted, discarded and copied anew from the site that
serves, and seen to hold all of it; then the image is handed over as in a
switchover. Copies that still follow are handed over as they are.

With --verify the contents of both sites are compared, byte by byte, before an
image is handed over, as drover verify does; one that differs stays where it is.

It can be stopped and resumed at every stage. What a script agrees to is bound
to what it was shown, as in drover failover.`,
		Example: `  drover failback plan.yaml --dry-run
  drover failback plan.yaml --reason "site-a is repaired"
  drover failback plan.yaml --group shop --fence --reason "shop first"
  drover failback plan.yaml --verify --reason "site-a is repaired"`,
		Args:              oneFile,
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			return s.follow(c, args[0], runbook{
				loses: true,
				prepare: func(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites, flags runbookFlags) (*orchestrator.Prepared, error) {
					return orchestrator.PrepareFailback(ctx, plan, sites, orchestrator.FailbackOptions{
						To: flags.to, From: flags.from, Scope: flags.scope, Reason: flags.reason, Fence: fence, Deep: deep, Verify: verify,
					})
				},
				what: func(p *orchestrator.Prepared) string {
					return fmt.Sprintf("%s will be primary at %s again. What was given up there is kept in copies of its own, and discarded.", imageCount(p), p.Run.To)
				},
			}, flags)
		},
	}
	addRunbookFlags(c, &flags)
	c.Flags().BoolVar(&fence, "fence", false, "shut out the clients that hold images, for a day (osd blocklist)")
	c.Flags().BoolVar(&verify, "verify", false, "compare the contents of both sites, byte by byte, before each image is handed over: reads all data at both")
	c.Flags().BoolVar(&deep, "deep", false, "read and compare what both sides hold, for the evidence")
	c.Flags().StringVar(&flags.approved, "approved", "", "the hash that --dry-run has printed: do only what was shown then")
	return c
}
