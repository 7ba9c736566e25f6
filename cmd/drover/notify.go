package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/daemon"
	"github.com/drover-io/drover/orchestrator/notify"
	"github.com/drover-io/drover/plans"
)

func newNotify(s *session) *cobra.Command {
	c := &cobra.Command{
		Use:   "notify",
		Short: "Try the channels that the plan's messages go to",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return unknownVerb(c, args[0])
		},
	}
	c.AddCommand(newNotifyTest(s))
	return c
}

func newNotifyTest(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "test FILE [CHANNEL…]",
		Short: "Send a message that is marked as a test through the plan's channels",
		Long: `Test sends one message through each channel of the plan, or through those that are
named, and says which have taken it. The message says that it is a test; to who waits
for a heartbeat, it is one. No site is asked anything.`,
		Example: `  drover notify test plan.yaml
  drover notify test plan.yaml oncall`,
		Args:              arguments(1, 100),
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			plan, err := loadPlan(args[0])
			if err != nil {
				return err
			}
			return s.testChannels(c.Context(), plan, args[1:])
		},
	}
}

func (s *session) testChannels(ctx context.Context, plan *plans.Plan, names []string) error {
	chosen, err := channelsOf(plan, names)
	if err != nil {
		return err
	}
	o := notify.Options{Links: daemon.Links(plan), Log: s.log, SlackURL: s.getenv("DROVER_SLACK_URL"), PagerDutyURL: s.getenv("DROVER_PAGERDUTY_URL")}
	var errs []error
	for _, c := range chosen {
		channel, err := notify.Open(c, o)
		if err == nil {
			_, err = channel.Send(ctx, notify.TestMessage(plan.Name, c.Name, time.Now()), "")
		}
		if err != nil {
			fmt.Fprintf(s.out, "%s %s: not taken\n", s.outPalette().Bad("✗"), c.Name)
			errs = append(errs, fmt.Errorf("channel %s: %w", c.Name, err))
			continue
		}
		fmt.Fprintf(s.out, "%s %s: taken\n", s.outPalette().Good("✓"), c.Name)
	}
	return errors.Join(errs...)
}

// channelsOf are the channels of a plan that are named; without names, all.
func channelsOf(plan *plans.Plan, names []string) ([]plans.Channel, error) {
	all := plan.Notifications.Channels
	if len(all) == 0 {
		return nil, view.Next(fmt.Errorf("%w: the plan has no channels", orchestrator.ErrRefused), "notifications.channels says where messages go; drover plan reference")
	}
	if len(names) == 0 {
		return all, nil
	}
	var chosen []plans.Channel
	for _, name := range names {
		found := false
		for _, c := range all {
			if c.Name == name {
				chosen, found = append(chosen, c), true
			}
		}
		if !found {
			return nil, view.Next(fmt.Errorf("%w: the plan has no channel %q", orchestrator.ErrRefused, name), "drover plan show %s names them", plan.File)
		}
	}
	return chosen, nil
}

// checkChannels finds the mistakes of a plan that only the secrets of its channels can
// tell, as far as those can be read here.
func checkChannels(plan *plans.Plan) error {
	var mistakes plans.Errors
	for i, c := range plan.Notifications.Channels {
		if err := notify.Check(c); err != nil {
			path := fmt.Sprintf("notifications.channels[%d].url", i)
			at := plan.Source[path]
			mistakes = append(mistakes, plans.Diagnostic{
				File: plan.File, Line: at.Line, Column: at.Column, Code: plans.CodeBadAddress, Path: path,
				What: fmt.Sprintf("channel %s: %v", c.Name, err), Instead: "drover plan reference names the keys, and README.md the services",
			})
		}
	}
	if len(mistakes) == 0 {
		return nil
	}
	return mistakes
}
