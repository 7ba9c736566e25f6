package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
)

func newPlanUsers(s *session) *cobra.Command {
	var onlyPools bool
	c := &cobra.Command{
		Use:   "users FILE",
		Short: "Print the commands that make the cephx users the plan needs",
		Long: `Users prints, for each site, the ceph commands by which an administrator makes
the users that the plan names, with the least capabilities that their work
needs. The commands only print: nothing is done at any site.`,
		Example: `  drover plan users plan.yaml
  drover plan users plan.yaml --only-pools`,
		Args:              oneFile,
		ValidArgsFunction: completePlan,
		RunE: func(_ *cobra.Command, args []string) error {
			plan, err := loadPlan(args[0])
			if err != nil {
				return err
			}
			users := view.NewUsers(plan, onlyPools)
			return s.show(users, func(w io.Writer, p view.Palette) error { return users.Table(w, p) })
		},
	}
	c.Flags().BoolVar(&onlyPools, "only-pools", false, "restrict the users to the plan's pools")
	return c
}
