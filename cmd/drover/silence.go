package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
)

func newSilence(s *session) *cobra.Command {
	c := &cobra.Command{
		Use:   "silence",
		Short: "List, add and end maintenance silences",
		Long: `A silence keeps the daemon from telling anybody of some problems for a while: of a
site, a kind of problem, images, or of all. Checks go on, and what still holds
when the silence ends is told then. It is recorded at every site that answers.`,
		Example: `  drover silence add plan.yaml --for 2h --site site-b --reason "a new switch"
  drover silence list plan.yaml
  drover silence expire plan.yaml silence-1a2b3c4d`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return unknownVerb(c, args[0])
		},
	}
	c.AddCommand(newSilenceAdd(s), newSilenceList(s), newSilenceExpire(s))
	return c
}

func newSilenceAdd(s *session) *cobra.Command {
	var (
		length time.Duration
		wanted alert.Silence
	)
	c := &cobra.Command{
		Use:   "add FILE --for DURATION --reason TEXT",
		Short: "Tell nobody of some problems for a while",
		Long: `Add silences the problems that fit all of --site, --code and --image; without any
of them, all of the plan's. It begins now and lasts a month at most.`,
		Example: `  drover silence add plan.yaml --for 2h --site site-b --reason "a new switch"
  drover silence add plan.yaml --for 30m --image 'rbd/test-*' --reason "load test"`,
		Args:              oneFile,
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			return s.withBook(ctx, args[0], func(plan *plans.Plan, _ *orchestrator.Sites, book *orchestrator.Book) error {
				if site := wanted.Match.Site; site != "" && plan.Site(site) == nil {
					return view.Next(fmt.Errorf("%w: the plan has no site %q", orchestrator.ErrRefused, site), "drover plan show %s names them", s.file)
				}
				wanted.From = time.Now().UTC()
				wanted.Until = wanted.From.Add(length)
				made, err := book.Silence(ctx, wanted)
				if err != nil {
					return err
				}
				fmt.Fprintf(s.out, "%s until %s\n", made.ID, made.Until.Local().Format(time.DateTime))
				return nil
			})
		},
	}
	c.Flags().DurationVar(&length, "for", 0, "how long, such as 90m")
	c.Flags().StringVar(&wanted.Reason, "reason", "", "why, for the record")
	c.Flags().StringVar(&wanted.Match.Site, "site", "", "only problems of this site")
	c.Flags().StringVar(&wanted.Match.Code, "code", "", "only problems of this kind, as drover status -o json names it")
	c.Flags().StringVar(&wanted.Match.Image, "image", "", "only problems of these images: pool/image, with * and ?")
	return c
}

func newSilenceList(s *session) *cobra.Command {
	return &cobra.Command{
		Use:               "list FILE",
		Short:             "List the silences that are not over",
		Example:           `  drover silence list plan.yaml`,
		Args:              oneFile,
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			return s.withBook(c.Context(), args[0], func(plan *plans.Plan, _ *orchestrator.Sites, book *orchestrator.Book) error {
				v := view.NewSilences(plan.Name, book.Silences(time.Now()))
				return s.show(v, v.Table)
			})
		},
	}
}

func newSilenceExpire(s *session) *cobra.Command {
	return &cobra.Command{
		Use:               "expire FILE SILENCE…",
		Short:             "End silences before their time",
		Example:           `  drover silence expire plan.yaml silence-1a2b3c4d`,
		Args:              arguments(2, 99),
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			return s.withBook(ctx, args[0], func(_ *plans.Plan, _ *orchestrator.Sites, book *orchestrator.Book) error {
				for _, id := range args[1:] {
					if err := book.ExpireSilence(ctx, id); err != nil {
						return err
					}
					fmt.Fprintf(s.out, "%s is over\n", id)
				}
				return nil
			})
		},
	}
}
