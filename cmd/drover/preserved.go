package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
)

func newPreserved(s *session) *cobra.Command {
	c := &cobra.Command{
		Use:   "preserved",
		Short: "List, restore and drop the copies that were kept before a resync",
		Long: `A resync or a failback keeps what it is about to discard, for as long as the plan
says (preserve.keep). Nothing is dropped by itself: drop --expired does it.`,
		Example: `  drover preserved list plan.yaml
  drover preserved restore plan.yaml ID vm-1-as-it-was
  drover preserved drop plan.yaml --expired`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return unknownVerb(c, args[0])
		},
	}
	c.AddCommand(newPreservedList(s), newPreservedRestore(s), newPreservedDrop(s))
	return c
}

func newPreservedList(s *session) *cobra.Command {
	return &cobra.Command{
		Use:               "list FILE",
		Short:             "List the copies that are kept, and until when",
		Example:           "  drover preserved list plan.yaml\n  drover preserved list plan.yaml -o json",
		Args:              oneFile,
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			return s.withBook(c.Context(), args[0], func(plan *plans.Plan, _ *orchestrator.Sites, book *orchestrator.Book) error {
				v := view.NewPreserved(plan.Name, orchestrator.PreservedCopies(book), time.Now())
				return s.show(v, v.Table)
			})
		},
	}
}

func newPreservedRestore(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE ID NAME",
		Short: "Make a new image of a kept copy",
		Long: `The new image is made in the pool of the one that was kept, at the site where the
copy is; it is not mirrored, and never replaces an image that exists.`,
		Example: `  drover preserved restore plan.yaml site-a:rbd/vm-1@20260102T030405Z-1a2b vm-1-as-it-was`,
		Args: func(c *cobra.Command, args []string) error {
			return view.Next(cobra.ExactArgs(3)(c, args), "%s --help", c.CommandPath())
		},
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			return s.withBook(ctx, args[0], func(plan *plans.Plan, sites *orchestrator.Sites, book *orchestrator.Book) error {
				if err := orchestrator.RestorePreserved(ctx, plan, sites, book, args[1], args[2], percentTo(s.err)); err != nil {
					return err
				}
				fmt.Fprintf(s.out, "restored %s to %s\n", args[1], args[2])
				return nil
			})
		},
	}
}

// percentTo writes each tenth of the way as a line.
func percentTo(w io.Writer) func(done, total uint64) {
	tenth := uint64(0)
	return func(done, total uint64) {
		if total == 0 {
			return
		}
		if now := done * 10 / total; now > tenth {
			tenth = now
			fmt.Fprintf(w, "%d%%\n", now*10)
		}
	}
}

func newPreservedDrop(s *session) *cobra.Command {
	var old, yes bool
	c := &cobra.Command{
		Use:   "drop FILE [ID…]",
		Short: "Remove kept copies for good",
		Example: `  drover preserved drop plan.yaml --expired
  drover preserved drop plan.yaml site-a:rbd/vm-1@20260102T030405Z-1a2b`,
		Args: func(c *cobra.Command, args []string) error {
			return view.Next(cobra.MinimumNArgs(1)(c, args), "%s --help", c.CommandPath())
		},
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			return s.withBook(ctx, args[0], func(plan *plans.Plan, sites *orchestrator.Sites, book *orchestrator.Book) error {
				ids := args[1:]
				if old {
					for _, p := range orchestrator.ExpiredCopies(book, time.Now()) {
						ids = append(ids, p.ID)
					}
				}
				if len(ids) == 0 {
					fmt.Fprintln(s.out, "nothing to drop")
					return nil
				}
				if !yes {
					fmt.Fprintf(s.err, "%d copies are removed for good:\n", len(ids))
					for _, id := range ids {
						fmt.Fprintln(s.err, "  "+id)
					}
					if err := s.confirmName(ctx, plan.Name); err != nil {
						return err
					}
				}
				for _, id := range ids {
					if err := orchestrator.DropPreserved(ctx, sites, book, id); err != nil {
						return err
					}
					fmt.Fprintf(s.out, "dropped %s\n", id)
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&old, "expired", false, "those whose time is over")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}
