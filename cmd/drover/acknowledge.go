package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
)

func newAcknowledge(s *session) *cobra.Command {
	return &cobra.Command{
		Use:     "acknowledge FILE INCIDENT…",
		Aliases: []string{"ack"},
		Short:   "Take incidents on, so that they are not escalated",
		Long: `Acknowledge records at every site that answers that you have taken incidents on, as
the button on Slack does: the daemon stops escalating them with its next check, and
tells whoever was told of them. Each message names its incident.

What gets worse, and one image more that matters by itself, is nobody's again.`,
		Example:           `  drover acknowledge plan.yaml 52b46ed4ea6a`,
		Args:              arguments(2, 99),
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			return s.withBook(ctx, args[0], func(_ *plans.Plan, _ *orchestrator.Sites, book *orchestrator.Book) error {
				for _, id := range args[1:] {
					if err := book.Acknowledge(ctx, id); err != nil {
						return err
					}
					fmt.Fprintf(s.out, "%s is yours\n", id)
				}
				return nil
			})
		},
	}
}
