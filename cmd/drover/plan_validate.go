package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
)

func newPlanValidate(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE",
		Short: "Check a plan file; no site is asked anything",
		Long: `Validate reads the plan strictly and reports every mistake at once, one a line:
FILE:LINE:COLUMN: what is wrong; what would be right. Exit code 3 means that
there are mistakes. With -o json or yaml the mistakes are also the result.
Addresses of channels of type shoutrrr are secrets: they are checked where they can
be read here, and never shown.`,
		Example: `  drover plan validate plan.yaml
  drover plan validate plan.yaml -o json | jq '.mistakes[].code'`,
		Args:              oneFile,
		ValidArgsFunction: completePlan,
		RunE: func(_ *cobra.Command, args []string) error {
			plan, err := loadPlan(args[0])
			if err == nil {
				err = checkChannels(plan)
			}
			result := view.NewValidation(args[0], plan, err)
			if result == nil {
				return err // the file could not be read at all
			}
			if shown := s.show(result, func(w io.Writer, p view.Palette) error { return result.Table(w, p) }); shown != nil {
				return shown
			}
			return err
		},
	}
}
