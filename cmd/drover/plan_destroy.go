package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// destroyFlags are the flags of plan destroy.
type destroyFlags struct {
	deleteData, dryRun, yes bool
	parallel                int
	reason                  string
}

func newPlanDestroy(s *session) *cobra.Command {
	var flags destroyFlags
	c := &cobra.Command{
		Use:   "destroy FILE",
		Short: "Take down what apply has set up: the way back",
		Long: `Destroy stops mirroring of the plan's images, removes the peers, disables the
pools and stops the rbd-mirror daemons that Drover runs. Images keep their data
at every site: the copies at the secondaries stay as images of their own, unless
--delete-secondary-data is given, which wants a reason: it is recorded with each
copy before that one goes. A copy that has clones, protected snapshots or users is
left as it is. A primary's data is never removed.

Images that are halted, in split-brain, stranded, given up by a failover, or in
the hands of a run that is not over are left alone, and their pools stay mirrored
(exit codes 11 and 13). An rbd-mirror that does not run from this host's folder has
to be stopped where it runs (13).

The plan's name has to be typed before anything is done. Destroy can be stopped
at any point; the next one goes on.`,
		Example: `  drover plan destroy plan.yaml --dry-run
  drover plan destroy plan.yaml
  drover plan destroy plan.yaml --delete-secondary-data --reason "moved to another cluster"`,
		Args:              oneFile,
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			plan, err := loadPlan(args[0])
			if err != nil {
				return err
			}
			return s.withSites(c.Context(), plan, func(sites *orchestrator.Sites) error {
				return s.planDestroy(c.Context(), plan, sites, flags)
			})
		},
	}
	c.Flags().BoolVar(&flags.deleteData, "delete-secondary-data", false, "also remove the copies at the secondaries")
	c.Flags().StringVar(&flags.reason, "reason", "", "why the copies are deleted, for the record")
	c.Flags().BoolVar(&flags.dryRun, "dry-run", false, "only show what would be done")
	c.Flags().BoolVar(&flags.yes, "yes", false, "do not ask")
	c.Flags().IntVar(&flags.parallel, "parallel", 0, "changes carried out at once (0: 16)")
	return c
}

func (s *session) planDestroy(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites, flags destroyFlags) error {
	if flags.yes && !flags.dryRun && flags.deleteData && strings.TrimSpace(flags.reason) == "" {
		return view.Next(fmt.Errorf("%w: no reason was given", orchestrator.ErrRefused), "--reason TEXT")
	}
	var approved *orchestrator.SavedDiff
	if flags.dryRun || !flags.yes {
		observation := orchestrator.Observe(ctx, plan, sites, orchestrator.ObserveOptions{Detail: replay.WithHeader, Reports: true, Neighbours: true, Records: true, Elsewhere: true})
		if interrupted(ctx) {
			return context.Cause(ctx)
		}
		difference := orchestrator.DestroyDiff(plan, observation, flags.deleteData)
		if flags.dryRun {
			if err := s.showDifference(difference); err != nil {
				return err
			}
			fmt.Fprintln(s.err, "dry run: nothing was changed")
			return difference.Err()
		}
		if difference.Empty() {
			// Nobody was asked, so nothing is done, whatever a second look would see.
			nothing := &orchestrator.Result{Plan: plan.Name, Changes: []orchestrator.ChangeResult{}, Notices: difference.Notices}
			return s.showResult("DestroyResult", nothing, nothing.Err())
		}
		reason, err := s.reasonToDelete(ctx, flags)
		if err != nil {
			return err
		}
		flags.reason = reason
		if err := s.confirmDestroy(ctx, plan, difference, flags.deleteData); err != nil {
			return err
		}
		// What was shown is what is done.
		approved = orchestrator.NewSavedDiff(plan, difference)
	}
	progress := s.progress()
	result, err := orchestrator.Destroy(ctx, plan, sites, orchestrator.DestroyOptions{
		Options:             orchestrator.Options{Approved: approved, Parallel: flags.parallel, Progress: s.changeProgress(ctx, progress)},
		DeleteSecondaryData: flags.deleteData, Reason: flags.reason,
	})
	progress.Close()
	return s.showResult("DestroyResult", result, err)
}

// reasonToDelete is why copies are deleted, where any shall be; it is asked for
// where it was not given.
func (s *session) reasonToDelete(ctx context.Context, flags destroyFlags) (string, error) {
	if !flags.deleteData || strings.TrimSpace(flags.reason) != "" {
		return flags.reason, nil
	}
	reason, err := s.ask(ctx, "Why, for the record: ")
	if err == nil && reason == "" {
		err = view.Next(fmt.Errorf("%w: no reason was given", orchestrator.ErrRefused), "say why, or give --reason")
	}
	return reason, err
}

// confirmDestroy says what will be gone and asks for the plan's name.
func (s *session) confirmDestroy(ctx context.Context, plan *plans.Plan, d *orchestrator.Difference, deleteData bool) error {
	p := s.errPalette()
	images, copies := make(map[replay.ImageRef]bool), 0
	for i := range d.Changes {
		c := &d.Changes[i]
		if ref, ok := c.Ref(); ok && c.Kind == orchestrator.KindUnmirror {
			images[ref] = true
		}
		if c.Kind == orchestrator.KindRemoveCopy {
			copies++
			fmt.Fprintf(s.err, "%s %s\n", p.Bad("-"), c.Title())
		}
	}
	what := fmt.Sprintf("%s will no longer be protected (%s).", view.Count(len(images), "image"), view.Count(len(d.Changes), "change"))
	if deleteData {
		what += fmt.Sprintf(" The data of %d secondary copies will be deleted.", copies)
	} else {
		what += " All data stays."
	}
	return s.confirm(ctx, what, plan.Name)
}
