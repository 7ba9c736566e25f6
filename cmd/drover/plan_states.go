package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
)

func newPlanStates(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "states",
		Short: "Print the protection states of an image, and what leads from one to another",
		Long: `States prints the one table of protection states: status, the daemon's history and
the metrics speak in its words. With -o mermaid it is a drawing.`,
		Example: `  drover plan states
  drover plan states -o mermaid > states.mmd`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{writesMermaid: "yes"},
		RunE: func(*cobra.Command, []string) error {
			if s.format == view.Mermaid {
				if _, err := io.WriteString(s.out, orchestrator.Mermaid()); err != nil {
					return fmt.Errorf("write drawing: %w", err)
				}
				return nil
			}
			v := view.NewStates()
			return s.show(v, v.Table)
		},
	}
}
