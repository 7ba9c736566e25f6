package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
)

func newPlan(s *session) *cobra.Command {
	plan := &cobra.Command{
		Use:   "plan",
		Short: "Check a plan, compare it with the sites, make them match it",
		Long: `A plan is a YAML file that says which images shall be mirrored between which
sites. The way of working is: validate, diff, apply; destroy is the way back.`,
		Example: `  drover plan validate plan.yaml
  drover plan diff plan.yaml --out changes.json
  drover plan apply changes.json`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return unknownVerb(c, args[0])
		},
	}
	plan.AddCommand(
		newPlanValidate(s), newPlanShow(s), newPlanDiff(s), newPlanApply(s), newPlanDestroy(s),
		newPlanSchema(s), newPlanReference(s), newPlanUsers(s), newPlanStates(s),
	)
	return plan
}

// unknownVerb is the error about a verb that a command does not have. Cobra
// itself would print the help and count that as a success.
func unknownVerb(c *cobra.Command, verb string) error {
	err := fmt.Errorf("no such verb: %s %s", c.CommandPath(), verb)
	if near := c.SuggestionsFor(verb); len(near) > 0 {
		return view.Next(err, "%s %s", c.CommandPath(), strings.Join(near, " or "))
	}
	return view.Next(err, "%s --help", c.CommandPath())
}
