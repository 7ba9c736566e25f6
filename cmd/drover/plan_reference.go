package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/plans"
)

func newPlanReference(s *session) *cobra.Command {
	return &cobra.Command{
		Use:     "reference",
		Short:   "Print every key of the plan language, as Markdown",
		Example: `  drover plan reference | less`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := io.WriteString(s.out, plans.Reference()); err != nil {
				return fmt.Errorf("write reference: %w", err)
			}
			return nil
		},
	}
}
