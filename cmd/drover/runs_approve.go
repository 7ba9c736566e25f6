package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
)

func newRunsApprove(s *session) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:   "approve FILE RUN STEP",
		Short: "Say that a manual step of a run is done",
		Long: `A run waits at each manual step of the plan until a person says that it is done.
The word is good for the plan's runbooks.approval (15 minutes unless it says
otherwise), for that one step of that one run.`,
		Example: `  drover runs approve plan.yaml switchover-20260301T120000Z-1a2b hook/before-run/tell-the-users
  drover runs approve plan.yaml failover-20260301T120000Z-1a2b hook/after-run/dns --reason "ticket 4711"`,
		Args:              arguments(3, 3),
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			return s.withBook(ctx, args[0], func(plan *plans.Plan, sites *orchestrator.Sites, book *orchestrator.Book) error {
				if err := orchestrator.ApproveStep(ctx, plan, sites, book, orchestrator.Approval{Run: args[1], Step: args[2], Reason: reason}); err != nil {
					return err
				}
				fmt.Fprintf(s.err, "approved for %s: %s\n", view.Span(plan.Runbooks.Approval.Std()), args[2])
				return nil
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return c
}
