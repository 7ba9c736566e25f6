package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
)

func newRuns(s *session) *cobra.Command {
	c := &cobra.Command{
		Use:   "runs",
		Short: "List, show, resume, approve and end the runs of runbooks",
		Long: `A run is what a runbook is carried out as. All that it did is recorded at every
site that answers, with the evidence; so any host that reaches the sites can show
it, and take it up where another has left it.`,
		Example: `  drover runs list plan.yaml
  drover runs show plan.yaml
  drover runs resume plan.yaml`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return unknownVerb(c, args[0])
		},
	}
	c.AddCommand(newRunsList(s), newRunsShow(s), newRunsResume(s), newRunsApprove(s), newRunsEnd(s))
	return c
}

// arguments takes between least and most arguments.
func arguments(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		return view.Next(cobra.RangeArgs(least, most)(c, args), "%s --help", c.CommandPath())
	}
}

// argument is the one at that place, or "".
func argument(args []string, at int) string {
	if at < len(args) {
		return args[at]
	}
	return ""
}

// withBook reads the plan's records for a verb and closes them after it. Sites
// whose records could not be read are named.
func (s *session) withBook(ctx context.Context, file string, do func(*plans.Plan, *orchestrator.Sites, *orchestrator.Book) error) error {
	plan, err := loadPlan(file)
	if err != nil {
		return err
	}
	return s.withSites(ctx, plan, func(sites *orchestrator.Sites) error {
		book, err := orchestrator.ReadBook(ctx, plan, sites)
		if err != nil {
			return err
		}
		faults := book.Faults()
		for _, site := range slices.Sorted(maps.Keys(faults)) {
			fmt.Fprintf(s.err, "%s the records at %s could not be read: %v\n", s.errPalette().Warn("!"), site, faults[site])
		}
		err = do(plan, sites, book)
		return errors.Join(err, book.Close(context.WithoutCancel(ctx)))
	})
}

func newRunsList(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "list FILE",
		Short: "List all runs of the plan, the oldest first",
		Example: `  drover runs list plan.yaml
  drover runs list plan.yaml -o json | jq '.runs[] | select(.over | not) | .id'`,
		Args:              oneFile,
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			return s.withBook(c.Context(), args[0], func(plan *plans.Plan, _ *orchestrator.Sites, book *orchestrator.Book) error {
				v := view.NewRuns(plan.Name, orchestrator.Runs(book))
				return s.show(v, v.Table)
			})
		},
	}
}

func newRunsShow(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE [RUN]",
		Short: "Show a run: each step with its time, its evidence and who took it",
		Long: `Show prints all that is recorded of a run. Without RUN it is the newest that is
not over, or else the newest of all. With -o markdown it is a report, with the
steps that remain as they can be taken by hand.`,
		Example: `  drover runs show plan.yaml
  drover runs show plan.yaml switchover-20260301T120000Z-1a2b
  drover runs show plan.yaml -o markdown > report.md`,
		Args:              arguments(1, 2),
		Annotations:       map[string]string{writesMarkdown: "yes"},
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			return s.withBook(c.Context(), args[0], func(plan *plans.Plan, sites *orchestrator.Sites, book *orchestrator.Book) error {
				story, err := findRun(book, argument(args, 1))
				if err != nil {
					return err
				}
				story.Account(book)
				v := view.NewRunStory(story, s.file)
				if s.format == view.Markdown {
					return v.Markdown(s.out, plan, story.Outline(plan, sites))
				}
				return s.show(v, v.Table)
			})
		},
	}
}

// findRun finds the run to show.
func findRun(book *orchestrator.Book, id string) (*orchestrator.RunStory, error) {
	story, err := orchestrator.FindRun(book, id)
	if err == nil || id != "" {
		return story, err
	}
	if all := orchestrator.Runs(book); len(all) > 0 {
		return &all[len(all)-1], nil
	}
	return nil, view.Next(fmt.Errorf("%w: no run is recorded", orchestrator.ErrRefused), "drover switchover %s --dry-run shows what one would do", "FILE")
}
