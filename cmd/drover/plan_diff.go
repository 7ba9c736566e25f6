package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/exit"
	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

func newPlanDiff(s *session) *cobra.Command {
	var (
		prune, detailed bool
		out             string
	)
	c := &cobra.Command{
		Use:   "diff FILE",
		Short: "Show how the sites differ from the plan; nothing is changed",
		Long: `Diff asks all sites and shows what an apply would change, each change with the
equivalent rbd or ceph command, and what it would leave to a person.

With --detailed-exitcode the exit code is 2 when there are changes, and that of
an apply where one could not do all that the plan wants: a site that does not
answer, a split-brain. With --out the diff is saved: apply of that file does
exactly what was shown, and refuses (exit code 12) once the plan or the sites
have changed.`,
		Example: `  drover plan diff plan.yaml
  drover plan diff plan.yaml --prune --out changes.json
  drover plan diff plan.yaml --detailed-exitcode`,
		Args:              oneFile,
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			plan, err := loadPlan(args[0])
			if err != nil {
				return err
			}
			return s.withSites(c.Context(), plan, func(sites *orchestrator.Sites) error {
				difference, err := s.diff(c.Context(), plan, sites, orchestrator.DiffOptions{Prune: prune})
				if err != nil {
					return err
				}
				if err := s.showDifference(difference); err != nil {
					return err
				}
				if out != "" {
					if err := saveDiff(out, plan, difference); err != nil {
						return err
					}
					fmt.Fprintf(s.err, "saved; to carry it out: drover plan apply %s\n", out)
				}
				switch {
				case !detailed:
					return nil
				case difference.Err() != nil:
					// A difference that could not be told, or that no apply mends, is
					// neither "none" nor one that is merely pending.
					return difference.Err()
				case !difference.Empty():
					return exit.ErrChanges
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&prune, "prune", false, "also show the removal of what is set up but not in the plan any more")
	c.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 when there are changes")
	c.Flags().StringVar(&out, "out", "", "save the diff to this file, for plan apply")
	return c
}

// diff observes the sites and compares them with the plan.
func (s *session) diff(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites, o orchestrator.DiffOptions) (*orchestrator.Difference, error) {
	observation := orchestrator.Observe(ctx, plan, sites, orchestrator.ObserveOptions{Detail: replay.WithHeader, Reports: true, Records: true, Elsewhere: true})
	if interrupted(ctx) {
		return nil, context.Cause(ctx)
	}
	return orchestrator.Diff(plan, observation, o), nil
}

func (s *session) showDifference(d *orchestrator.Difference) error {
	result := view.NewDifference(d)
	return s.show(result, func(w io.Writer, p view.Palette) error { return result.Table(w, p) })
}

// saveDiff writes a diff beside its final place and renames it, so that a
// reader never finds half of one.
func saveDiff(path string, plan *plans.Plan, d *orchestrator.Difference) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".drover-diff-*")
	if err != nil {
		return fmt.Errorf("save diff: %w", err)
	}
	saved := orchestrator.NewSavedDiff(plan, d)
	// Another folder may be the current one when it is applied.
	if absolute, err := filepath.Abs(plan.File); err == nil {
		saved.PlanFile = absolute
	}
	if err := errors.Join(saved.Save(file), file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return errors.Join(fmt.Errorf("save diff: %w", err), os.Remove(file.Name()))
	}
	return nil
}
