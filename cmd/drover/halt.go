package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

func newHalt(s *session) *cobra.Command {
	c := &cobra.Command{
		Use:   "halt",
		Short: "List, set and clear halts: images that nothing may change",
		Long: `A halt stops every change to an image, and to all images of its group, until a
person clears it: runbooks that it concerns refuse with exit code 11. A
split-brain sets one. It is recorded at every site that answers.

Mirror snapshot schedules that its images have of their own are paused as long as
it stands; those of a pool cannot be taken from single images, and go on.`,
		Example: `  drover halt list plan.yaml
  drover halt set plan.yaml rbd/vm-1 --reason "under investigation"
  drover halt clear plan.yaml halt-1a2b3c4d --reason "copy at site-b discarded"`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return unknownVerb(c, args[0])
		},
	}
	c.AddCommand(newHaltList(s), newHaltSet(s), newHaltClear(s))
	return c
}

func newHaltList(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "list FILE",
		Short: "List the halts that nobody has cleared",
		Long: `List prints the open halts, and the copies that are kept of their images, each
with the command that makes a new image of it.`,
		Example: `  drover halt list plan.yaml
  drover halt list plan.yaml -o json | jq -r '.halts[].id'`,
		Args:              oneFile,
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			return s.withBook(c.Context(), args[0], func(plan *plans.Plan, _ *orchestrator.Sites, book *orchestrator.Book) error {
				v := view.NewHalts(plan.Name, s.file, book.Halts(), func(h *orchestrator.Halt) []orchestrator.Preserved {
					return orchestrator.HaltedCopies(book, h)
				})
				return s.show(v, v.Table)
			})
		},
	}
}

func newHaltSet(s *session) *cobra.Command {
	var (
		reason string
		split  bool
	)
	c := &cobra.Command{
		Use:   "set FILE IMAGE… | --split",
		Short: "Halt images, and the groups that they belong to",
		Long: `Set records a halt of the images that are named. With --split it looks for
images in split-brain, and halts each that no record explains (a run that is not
over, a failover that gave a copy up): replay of it and of its group is stopped
where rbd-mirror can be told so, and what each side holds is shown and recorded.`,
		Example: `  drover halt set plan.yaml rbd/vm-1 --reason "under investigation"
  drover halt set plan.yaml vm-1 vm-2 --reason "users report damage"
  drover halt set plan.yaml --split`,
		Args: func(c *cobra.Command, args []string) error {
			if split {
				return arguments(1, 1)(c, args)
			}
			return view.Next(cobra.MinimumNArgs(2)(c, args), "%s --help", c.CommandPath())
		},
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			if split {
				return s.setSplit(c.Context(), args[0])
			}
			if strings.TrimSpace(reason) == "" {
				return view.Next(fmt.Errorf("%w: an image is halted for a reason", orchestrator.ErrRefused), "--reason TEXT")
			}
			ctx := c.Context()
			return s.withBook(ctx, args[0], func(plan *plans.Plan, sites *orchestrator.Sites, book *orchestrator.Book) error {
				var (
					refs []replay.ImageRef
					errs []error
				)
				for _, name := range args[1:] {
					ref, err := planImage(plan, name)
					refs, errs = append(refs, ref), append(errs, err)
				}
				if err := errors.Join(errs...); err != nil {
					return err
				}
				h, err := orchestrator.SetHalt(ctx, plan, sites, book, orchestrator.Halt{Images: refs, Reason: reason})
				if h == nil {
					return err
				}
				for _, ref := range refs {
					fmt.Fprintf(s.out, "%s %s\n", h.ID, ref)
				}
				s.pausedBy(h)
				return err
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	c.Flags().BoolVar(&split, "split", false, "halt all images in split-brain that nothing recorded explains")
	c.MarkFlagsMutuallyExclusive("split", "reason")
	return c
}

// setSplit halts what is in split-brain, and shows what each side holds.
func (s *session) setSplit(ctx context.Context, file string) error {
	plan, err := loadPlan(file)
	if err != nil {
		return err
	}
	return s.withSites(ctx, plan, func(sites *orchestrator.Sites) error {
		halts, err := orchestrator.HaltSplit(ctx, plan, sites)
		for i := range halts {
			h := &halts[i]
			for _, ref := range h.Images {
				fmt.Fprintf(s.out, "%s %s\n", h.ID, ref)
			}
			s.pausedBy(h)
			if h.Split == nil {
				fmt.Fprintf(s.err, "%s: %s\n", h.ID, h.Reason)
				continue
			}
			for _, line := range h.Split.Lines() {
				fmt.Fprintln(s.err, line)
			}
		}
		switch {
		case len(halts) > 0:
			fmt.Fprintf(s.err, "next: drover resync %s IMAGE --keep SITE --dry-run\n", s.file)
		case err == nil:
			fmt.Fprintln(s.err, "nothing is in split-brain but what is halted already, or a record explains")
		}
		return err
	})
}

// pausedBy tells what a halt has paused, and what it cannot.
func (s *session) pausedBy(h *orchestrator.Halt) {
	for _, p := range h.Paused {
		fmt.Fprintf(s.err, "paused until it is cleared: the schedule %s\n", p)
	}
	for _, p := range h.GoesOn {
		fmt.Fprintf(s.err, "goes on, as it cannot be paused for single images: the schedule %s\n", p)
	}
}

func newHaltClear(s *session) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:   "clear FILE HALT",
		Short: "Clear a halt, so that its images may be changed again",
		Long: `Clear puts back the mirror snapshot schedules that the halt has paused, lets
replay of its images go on where it was stopped, and records that and why.`,
		Example: `  drover halt list plan.yaml
  drover halt clear plan.yaml halt-1a2b3c4d --reason "false alarm"`,
		Args:              arguments(2, 2),
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			return s.withBook(ctx, args[0], func(plan *plans.Plan, sites *orchestrator.Sites, book *orchestrator.Book) error {
				open := book.Halts()
				ended, err := orchestrator.EndHalt(ctx, plan, sites, book, args[1], reason)
				if err != nil {
					return err
				}
				fmt.Fprintf(s.err, "cleared: %s\n", args[1])
				for _, p := range ended.Back {
					fmt.Fprintf(s.err, "put back: the schedule %s\n", p)
				}
				for _, p := range ended.Deferred {
					fmt.Fprintf(s.err, "stays paused, as another halt covers it: the schedule %s\n", p)
				}
				if ended.Err != nil {
					fmt.Fprintf(s.err, "%s not put back (drover plan apply %s does, where the plan has it): %v\n", s.errPalette().Warn("!"), s.file, ended.Err)
				}
				for i := range open {
					if open[i].ID != args[1] {
						continue
					}
					if away := orchestrator.StartReplay(ctx, plan, sites, &open[i]); len(away) > 0 {
						fmt.Fprintf(s.err, "where replay was stopped by hand, start it again by hand: rbd-mirror at %s is not Drover's to tell\n", strings.Join(away, " and "))
					}
				}
				return nil
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return c
}

// planImage is the image of the plan that a person means by IMAGE, POOL/IMAGE or
// POOL/NAMESPACE/IMAGE.
func planImage(plan *plans.Plan, name string) (replay.ImageRef, error) {
	var found []replay.ImageRef
	for i := range plan.Pools {
		pool := replay.Pool{Name: plan.Pools[i].Name, Namespace: plan.Pools[i].Namespace}
		bare, qualified := strings.CutPrefix(name, pool.String()+"/")
		if !qualified && strings.Contains(name, "/") {
			continue
		}
		if _, ok := plan.Pools[i].Match(bare); ok && !strings.Contains(bare, "/") {
			found = append(found, pool.Image(bare))
		}
	}
	switch len(found) {
	case 0:
		return replay.ImageRef{}, view.Next(fmt.Errorf("%w: the plan has no image %s", orchestrator.ErrRefused, name), "drover status FILE shows the plan's images")
	case 1:
		return found[0], nil
	}
	names := make([]string, len(found))
	for i, ref := range found {
		names[i] = ref.String()
	}
	return replay.ImageRef{}, view.Next(fmt.Errorf("%w: more than one image is called %s", orchestrator.ErrRefused, name), "say which: %s", strings.Join(names, ", "))
}
