package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
)

func newRunsResume(s *session) *cobra.Command {
	var (
		hooks    string
		parallel int
		yes      bool
		unfenced bool
		reason   string
	)
	c := &cobra.Command{
		Use:   "resume FILE [RUN]",
		Short: "Take up a run that is not over",
		Long: `Resume goes on with a run that was interrupted, on this host or another; without
RUN with the newest that is not over. Nothing is believed that was recorded of
the images: both sites are looked at, and what is done is not done again.

Where one of its sites is lost for good, a switchover cannot be resumed: end it
(drover runs end), then drover failover. Where the site that a failover gave up
answers again, what is not promoted yet could be moved without loss: it is only
forced when the word is given again, and --yes is refused (exit code 12).

Of a hook that had begun when the run was interrupted nobody knows whether it
took effect. Find out, and say --hooks again or --hooks done. A plan that has
been edited since is refused (exit code 12). For a run that gives data up the
plan's name has to be typed again.

The process that had the run in hand is shut out of the sites (osd blocklist)
before anything is done there. Where that cannot be had, nothing is done; whoever
has seen that process dead says --unfenced-predecessor with a --reason, which is
recorded. Of a process that only sleeps it is a lie: it may wake and make two
primaries.`,
		Example: `  drover runs resume plan.yaml
  drover runs resume plan.yaml switchover-20260301T120000Z-1a2b --hooks done`,
		Args:              arguments(1, 2),
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			unfinished := orchestrator.UnfinishedHooks(hooks)
			switch unfinished {
			case orchestrator.HooksAsk, orchestrator.HooksAgain, orchestrator.HooksDone:
			default:
				return view.Next(fmt.Errorf("--hooks %q: it is one of again, done", hooks), "%s --help", c.CommandPath())
			}
			if unfenced != (reason != "") {
				return view.Next(fmt.Errorf("%w: --unfenced-predecessor and --reason go together", orchestrator.ErrRefused), "%s --help", c.CommandPath())
			}
			plan, err := loadPlan(args[0])
			if err != nil {
				return err
			}
			ctx := c.Context()
			return s.withSites(ctx, plan, func(sites *orchestrator.Sites) error {
				word, err := s.wordAgain(ctx, plan, sites, argument(args, 1), yes)
				if err != nil {
					return err
				}
				return s.carryOut(ctx, func(o orchestrator.RunOptions) (*orchestrator.RunReport, error) {
					o.Parallel, o.Hooks, o.Word, o.Unfenced = parallel, unfinished, word, reason
					return orchestrator.Resume(ctx, plan, sites, argument(args, 1), o)
				})
			})
		},
	}
	c.Flags().StringVar(&hooks, "hooks", "", "what to do with hooks of which only the beginning is recorded: again, done")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask; for a run that gives data up only while the word given for it is good (runbooks.approval)")
	c.Flags().BoolVar(&unfenced, "unfenced-predecessor", false, "go on where the run's earlier process cannot be shut out: you have seen it dead; wants --reason")
	c.Flags().StringVar(&reason, "reason", "", "how it is known that the earlier process is dead, for the record")
	c.Flags().IntVar(&parallel, "parallel", 0, "images and groups moved at once (0: as the plan says)")
	return c
}

// wordAgain asks for the word for a run that gives data up: since it was given
// the sites may have changed.
func (s *session) wordAgain(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites, id string, yes bool) (bool, error) {
	book, err := orchestrator.ReadBook(ctx, plan, sites)
	if err != nil {
		return false, err
	}
	story, err := orchestrator.FindRun(book, id)
	if err != nil || yes || !story.Gives() || story.End != nil {
		return false, err
	}
	fmt.Fprintf(s.err, "The %s %s began %s, for the reason %q; the word given then may not fit what is true now (drover status shows that).\n",
		story.Run.Runbook, story.Run.ID, story.Run.Began.UTC().Format(time.RFC3339), story.Run.Reason)
	if returned := orchestrator.Returned(ctx, plan, sites, book, &story.Run); len(returned) > 0 {
		fmt.Fprintf(s.err, "%s %s answers again, and %d images that are not promoted yet are primary there. To move them without loss: drover runs end %s %s --reason TEXT, then drover switchover %s\n",
			s.errPalette().Warn("!"), story.Run.From, len(returned), s.file, story.Run.ID, s.file)
	}
	if err := s.confirmName(ctx, plan.Name); err != nil {
		return false, err
	}
	return true, nil
}
