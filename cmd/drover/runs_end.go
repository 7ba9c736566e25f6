package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
)

func newRunsEnd(s *session) *cobra.Command {
	var (
		reason string
		yes    bool
	)
	c := &cobra.Command{
		Use:   "end FILE RUN",
		Short: "End by hand a run that shall not be resumed",
		Long: `End records that a run is over, and touches no image: where the run has left an
image without a primary, it stays so, and drover status says it. To resume the
run is the better way, unless it cannot be resumed:

  - one of the sites of a switchover, failback or resync is lost: end the run,
    then drover failover FILE --to OTHER makes primary at the other site what is
    not, also what the run had demoted there
  - the site that a failover gave up is back before all was promoted: end the
    run, then drover switchover moves the rest without loss
  - the plan has changed

End acts at no site, so that none can stand in its way. A process of the run that
did not end its session is named, and shut out (osd blocklist) by whoever acts
next.`,
		Example: `  drover runs end plan.yaml switchover-20260301T120000Z-1a2b --reason "put right by hand"
  drover runs end plan.yaml switchover-20260301T120000Z-1a2b --reason "site-a burns" && drover failover plan.yaml --to site-b`,
		Args: arguments(2, 2),

		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			if reason == "" {
				return view.Next(fmt.Errorf("%w: a run is ended for a reason", orchestrator.ErrRefused), "--reason TEXT")
			}
			ctx := c.Context()
			return s.withBook(ctx, args[0], func(plan *plans.Plan, sites *orchestrator.Sites, book *orchestrator.Book) error {
				story, err := orchestrator.FindRun(book, args[1])
				if err != nil {
					return err
				}
				if story.End == nil && !yes {
					if err := view.NewRunStory(story, s.file).Table(s.err, s.errPalette()); err != nil {
						return err
					}
					if err := s.confirm(ctx, "the run is over then, and its images stay as they are now.", plan.Name); err != nil {
						return err
					}
				}
				if err := orchestrator.EndRun(ctx, plan, sites, story.Run.ID, reason, func(line string) { fmt.Fprintf(s.err, "%s %s\n", s.errPalette().Warn("!"), line) }); err != nil {
					return err
				}
				fmt.Fprintf(s.err, "run %s is ended; drover status %s shows how its images are\n", story.Run.ID, s.file)
				return nil
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}
