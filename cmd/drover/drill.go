package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/report"
)

func newDrill(s *session) *cobra.Command {
	var o orchestrator.DrillOptions
	c := &cobra.Command{
		Use:   "drill FILE",
		Short: "Prove on clones that the other site would serve; replication goes on",
		Long: `Drill rehearses a failover without one. It takes one snapshot of each image at the
primary, waits until replay has brought it to the secondary, clones it there into a
place of its own, runs the checks of the plan's drill on the clones, and removes
everything again. Replay goes on all the while, and nothing is ever written to a
mirrored image. Where the plan names no drill, all images are drilled: each is read
end to end and compared with the primary's snapshot.

With the primary's site gone, the newest replicated state is copied instead.

A drill does not begin during a run, a halt or another drill of the plan, and makes
room for a run that begins meanwhile. What it makes has an expiry in its name; what
a killed one has left is removed by the next, by the daemon, or by drover drill
sweep. The report is kept at both sites: drover report.`,
		Example: `  drover drill plan.yaml
  drover drill plan.yaml --name nightly
  drover drill plan.yaml --image rbd/vm-1 --group shop
  drover drill history plan.yaml
  drover report plan.yaml -o html > drill.html`,
		Args:              oneFile,
		ValidArgsFunction: completePlan,
		RunE:              func(c *cobra.Command, args []string) error { return s.drill(c, args[0], o) },
	}
	f := c.Flags()
	f.StringVar(&o.Name, "name", "", "which of the plan's drills (default: the only one)")
	f.StringVar(&o.Site, "site", "", "the secondary to test, in place of the drill's")
	f.StringArrayVar(&o.Scope.Images, "image", nil, "only this image, as IMAGE or POOL/IMAGE; may be repeated")
	f.StringArrayVar(&o.Scope.Groups, "group", nil, "only this group of the plan; may be repeated")
	f.StringArrayVar(&o.Scope.Waves, "wave", nil, "only this wave of the plan; may be repeated")
	f.StringVar(&o.Reason, "reason", "", "why, for the report")
	f.IntVar(&o.Parallel, "parallel", 0, "images and groups brought up at once (0: as the plan says for runbooks)")
	c.AddCommand(newDrillHistory(s), newDrillSweep(s))
	return c
}

func (s *session) drill(c *cobra.Command, file string, o orchestrator.DrillOptions) error {
	plan, err := loadPlan(file)
	if err != nil {
		return err
	}
	ctx := c.Context()
	return s.withSites(ctx, plan, func(sites *orchestrator.Sites) error {
		progress := s.progress()
		o.Version = version
		o.Progress = func(e orchestrator.DrillEvent) {
			if e.Note != "" {
				progress.Print(s.errPalette().Warn("!") + " " + e.Note)
			}
			progress.Set("drill", view.UnitSteps, int64(e.Done), int64(e.Total))
			if e.Step != nil {
				s.log.DebugContext(ctx, "drill", "step", e.Step.Name, "of", e.Step.Of, "site", e.Step.Site, "ok", e.Step.OK, "note", e.Step.Note)
			}
		}
		r, err := orchestrator.RunDrill(ctx, plan, sites, o)
		progress.Finish("drill", err == nil)
		progress.Close()
		if r == nil {
			return err
		}
		v := view.NewReport(r)
		return errors.Join(err, s.show(v.Report, v.Table))
	})
}

// summaries are those of the reports that are wanted.
func summaries(reports []report.Report, wanted func(*report.Report) bool) (out []report.Summary) {
	for i := range reports {
		if wanted(&reports[i]) {
			out = append(out, report.Summarize(&reports[i]))
		}
	}
	return out
}

func newDrillHistory(s *session) *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "history FILE",
		Short: "List the drills that are recorded, with what they came to",
		Long: `History lists the recorded drills, the newest last: when, the verdict, the age of
the data that were brought up (RPO) and the time to the last green check (RTO), and
why one has failed. drover report FILE ID shows all of one.`,
		Example: `  drover drill history plan.yaml
  drover drill history plan.yaml --name nightly -o json`,
		Args:              oneFile,
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			plan, err := loadPlan(args[0])
			if err != nil {
				return err
			}
			return s.withSites(c.Context(), plan, func(sites *orchestrator.Sites) error {
				reports, faults, err := orchestrator.Reports(c.Context(), plan, sites)
				if err != nil {
					return err
				}
				s.unreadReports(faults)
				v := view.NewReports(plan.Name, summaries(reports, func(r *report.Report) bool {
					return r.Kind == string(orchestrator.Drill) && (name == "" || r.Name == name)
				}))
				return s.show(v, v.Table)
			})
		},
	}
	c.Flags().StringVar(&name, "name", "", "only this drill of the plan")
	return c
}

// unreadReports warns of sites that may hold more.
func (s *session) unreadReports(faults map[string]error) {
	for _, site := range slices.Sorted(maps.Keys(faults)) {
		fmt.Fprintf(s.err, "%s the reports at %s could not be read: %v\n", s.errPalette().Warn("!"), site, faults[site])
	}
}

func newDrillSweep(s *session) *cobra.Command {
	var released []string
	c := &cobra.Command{
		Use:   "sweep FILE",
		Short: "Remove what killed drills have left",
		Long: `Sweep removes the clones and snapshots of the plan's drills that are not at work any
more, at every site, and the copies of images that killed ones have left on this host. Each names its drill, and until when it was to be gone. It refuses
(exit code 10) while a drill of the plan is at work. A snapshot at a secondary goes by
replay once it is removed at the primary. A site or pool that could not be looked at
is named, and the command fails: drills may have left more there.

Hooks after a group that a drill still owes are carried out, so that its writers are let
go; not during a run or a halt, nor where the group is primary elsewhere by now or that
is not known: then the command fails, and says so until they were carried out, or until
--released says that a person has let the writers go.`,
		Example: `  drover drill sweep plan.yaml
  drover drill sweep plan.yaml --released shop`,
		Args:              oneFile,
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			plan, err := loadPlan(args[0])
			if err != nil {
				return err
			}
			return s.withSites(c.Context(), plan, func(sites *orchestrator.Sites) error {
				swept, err := orchestrator.SweepDrills(c.Context(), plan, sites, released...)
				if swept == nil {
					return err
				}
				v := view.NewSwept(plan.Name, swept)
				return errors.Join(err, swept.Err(), s.show(v, v.Table))
			})
		},
	}
	c.Flags().StringArrayVar(&released, "released", nil, "this group's writers were let go by hand; may be repeated")
	return c
}
