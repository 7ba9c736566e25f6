package main

import (
	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
)

func newPlanShow(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE",
		Short: "Print the plan with every default filled in",
		Long: `Show prints the plan as Drover understands it: defaults filled in, paths
resolved, secrets as <secret>. The table is a summary; -o yaml is the whole.`,
		Example: `  drover plan show plan.yaml
  drover plan show plan.yaml -o yaml`,
		Args:              oneFile,
		ValidArgsFunction: completePlan,
		RunE: func(_ *cobra.Command, args []string) error {
			plan, err := loadPlan(args[0])
			if err != nil {
				return err
			}
			return view.Plan(s.out, s.format, s.outPalette(), plan)
		},
	}
}
