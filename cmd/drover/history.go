package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
)

func newHistory(s *session) *cobra.Command {
	var (
		since time.Duration
		limit int
	)
	c := &cobra.Command{
		Use:   "history FILE [IMAGE]",
		Short: "Show how the images' protection has changed, as the daemon has recorded it",
		Long: `History prints each change of an image's protection state that the daemon has seen:
when, from what, to what, and why. It is recorded at every site that answers; the
newest 10,000 changes are kept, and the last of each image.`,
		Example: `  drover history plan.yaml
  drover history plan.yaml rbd/vm-1 --since 24h
  drover history plan.yaml -o json | jq '.changes[] | select(.to == "split-brain")'`,
		Args:              arguments(1, 2),
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			plan, err := loadPlan(args[0])
			if err != nil {
				return err
			}
			query := orchestrator.HistoryQuery{Image: argument(args, 1), Limit: limit}
			if since > 0 {
				query.Since = time.Now().Add(-since)
			}
			return s.withSites(c.Context(), plan, func(sites *orchestrator.Sites) error {
				h, err := orchestrator.ReadHistory(c.Context(), plan, sites, query)
				if err != nil {
					return err
				}
				for _, site := range slices.Sorted(maps.Keys(h.Faults)) {
					fmt.Fprintf(s.err, "%s the history at %s could not be read: %v\n", s.errPalette().Warn("!"), site, h.Faults[site])
				}
				v := view.NewHistory(plan.Name, h)
				return s.show(v, v.Table)
			})
		},
	}
	c.Flags().DurationVar(&since, "since", 0, "only changes of so long ago at most, such as 24h (0: all)")
	c.Flags().IntVar(&limit, "limit", 0, "only the newest of so many (0: all)")
	return c
}
