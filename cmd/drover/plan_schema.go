package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/plans"
)

func newPlanSchema(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of plan files, for editors",
		Long: `Schema prints a JSON Schema (2020-12). Editors with the YAML language server
check and complete a plan that begins with the line
# yaml-language-server: $schema=drover.schema.json`,
		Example: `  drover plan schema > drover.schema.json`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			schema, err := plans.Schema()
			if err != nil {
				return err
			}
			if _, err := s.out.Write(schema); err != nil {
				return fmt.Errorf("write schema: %w", err)
			}
			return nil
		},
	}
}
