package main

import (
	"fmt"
	"strings"
	"time"

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
				story, err := orchestrator.FindRun(book, args[1])
				if err != nil {
					return err
				}
				if story.End != nil {
					return view.Next(fmt.Errorf("%w: run %s is over: %s", orchestrator.ErrRefused, args[1], story.End.Outcome), "drover runs show FILE %s", args[1])
				}
				if err := isManual(story.Outline(plan, sites), args[2]); err != nil {
					return err
				}
				now := time.Now().UTC()
				approval := orchestrator.Approval{Run: story.Run.ID, Step: args[2], At: now, Until: now.Add(plan.Runbooks.Approval.Std()), Reason: reason}
				if err := book.Approve(ctx, approval); err != nil {
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

// isManual refuses what is no manual step of the run.
func isManual(steps []orchestrator.Step, id string) error {
	var manual []string
	for i := range steps {
		if steps[i].Kind != orchestrator.StepManual {
			continue
		}
		if steps[i].ID == id {
			return nil
		}
		manual = append(manual, steps[i].ID)
	}
	err := fmt.Errorf("%w: the run has no manual step %q", orchestrator.ErrRefused, id)
	if len(manual) == 0 {
		return view.Next(err, "there is nothing to approve: it has none at all")
	}
	return view.Next(err, "it has these: %s", strings.Join(manual, ", "))
}
