package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
)

// applyFlags are the flags of plan apply.
type applyFlags struct {
	prune, dryRun, yes bool
	wait               string
	waitTime           time.Duration
	parallel           int
}

func newPlanApply(s *session) *cobra.Command {
	var flags applyFlags
	c := &cobra.Command{
		Use:   "apply FILE|SAVED",
		Short: "Make the sites match the plan",
		Long: `Apply carries out what diff shows: pools, peers, features, mirroring, schedules
and the rbd-mirror daemons that Drover runs. It can be stopped at any point; the
next apply goes on. Applying again what is so changes nothing.

The argument is a plan, or a diff that plan diff --out has saved: then exactly
that is done, and nothing (exit code 12) when the plan or the sites have changed
since. Images that were dropped from the plan stay mirrored unless --prune is
given; that is asked for by the plan's name.`,
		Example: `  drover plan apply plan.yaml
  drover plan apply plan.yaml --dry-run
  drover plan apply changes.json
  drover plan apply plan.yaml --prune --yes
  drover plan apply plan.yaml --wait replaying --wait-time 10m`,
		Args: oneFile,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(c *cobra.Command, args []string) error { return s.planApply(c, args[0], flags) },
	}
	c.Flags().BoolVar(&flags.prune, "prune", false, "also take down what is set up but not in the plan any more")
	c.Flags().BoolVar(&flags.dryRun, "dry-run", false, "only show what would be done")
	c.Flags().BoolVar(&flags.yes, "yes", false, "do not ask before --prune takes something down")
	c.Flags().StringVar(&flags.wait, "wait", string(orchestrator.WaitCopies), "what is waited for at the end: none, copies (each image exists at its secondaries), replaying")
	c.Flags().DurationVar(&flags.waitTime, "wait-time", 5*time.Minute, "how long that is waited for")
	c.Flags().IntVar(&flags.parallel, "parallel", 0, "changes carried out at once (0: 16)")
	return c
}

func (s *session) planApply(c *cobra.Command, file string, flags applyFlags) error {
	wait, err := parseWait(flags.wait)
	if err != nil {
		return view.Next(err, "%s --help", c.CommandPath())
	}
	plan, saved, err := loadPlanOrDiff(file)
	if err != nil {
		return err
	}
	s.file = plan.File // of a saved diff too
	if saved != nil && c.Flags().Changed("prune") && flags.prune != saved.Difference.Options.Prune {
		return view.Next(fmt.Errorf("%w: --prune was decided when the diff was saved", orchestrator.ErrRefused), "make a new diff with --prune")
	}
	ctx := c.Context()
	return s.withSites(ctx, plan, func(sites *orchestrator.Sites) error {
		prune := flags.prune || saved != nil && saved.Difference.Options.Prune
		if flags.dryRun {
			return s.dryApply(ctx, plan, sites, saved, prune)
		}
		approved, unconfirmed := saved, false
		if prune && !flags.yes {
			var err error
			if approved, err = s.approvePrune(ctx, plan, sites, saved); err != nil {
				return err
			}
			unconfirmed = approved == nil
		}
		progress := s.progress()
		result, err := orchestrator.Apply(ctx, plan, sites, orchestrator.Options{
			Prune: prune, Approved: approved, Unconfirmed: unconfirmed, Parallel: flags.parallel, Wait: wait, WaitTime: flags.waitTime,
			Progress: s.changeProgress(ctx, progress),
		})
		progress.Close()
		return s.showResult("ApplyResult", result, err)
	})
}

// approvePrune asks about what an apply with --prune would take away, and
// answers with what was shown: that, and no more, is done. The answer is nil
// when there was nothing to ask about.
func (s *session) approvePrune(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites, saved *orchestrator.SavedDiff) (*orchestrator.SavedDiff, error) {
	difference, err := s.diff(ctx, plan, sites, orchestrator.DiffOptions{Prune: true})
	if err != nil {
		return nil, err
	}
	if saved != nil {
		if err := saved.Check(plan, difference); err != nil {
			return nil, err
		}
		difference = &saved.Difference
	}
	if !difference.Destructive() {
		return saved, nil
	}
	if err := s.confirmChanges(ctx, plan, difference); err != nil {
		return nil, err
	}
	if saved == nil {
		saved = orchestrator.NewSavedDiff(plan, difference)
	}
	return saved, nil
}

func parseWait(word string) (orchestrator.Wait, error) {
	switch w := orchestrator.Wait(word); w {
	case orchestrator.WaitNone, orchestrator.WaitCopies, orchestrator.WaitReplaying:
		return w, nil
	}
	return "", fmt.Errorf("--wait %q: it is one of none, copies, replaying", word)
}

// loadPlanOrDiff reads a plan, or a saved diff and the plan that it is of.
func loadPlanOrDiff(path string) (*plans.Plan, *orchestrator.SavedDiff, error) {
	file, err := os.Open(path)
	if err != nil {
		_, err := loadPlan(path) // for the error with its next step
		return nil, nil, err
	}
	// A plan is YAML, in which a mapping may begin with a brace too: what tells
	// the two apart is whether it reads as a diff.
	saved, err := orchestrator.LoadDiff(file)
	if closed := file.Close(); closed != nil {
		return nil, nil, fmt.Errorf("read %s: %w", path, closed)
	}
	switch {
	case err == nil:
		plan, err := loadPlan(saved.PlanFile)
		return plan, saved, err
	case errors.Is(err, orchestrator.ErrNotSaved) && !strings.HasSuffix(path, ".json"):
		plan, err := loadPlan(path)
		return plan, nil, err
	}
	return nil, nil, view.Next(fmt.Errorf("%s: %w", path, err), "make one with drover plan diff PLAN --out %s", path)
}

// dryApply shows what an apply would do, and fails as it would.
func (s *session) dryApply(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites, saved *orchestrator.SavedDiff, prune bool) error {
	difference, err := s.diff(ctx, plan, sites, orchestrator.DiffOptions{Prune: prune})
	if err != nil {
		return err
	}
	if saved != nil {
		if err := saved.Check(plan, difference); err != nil {
			return err
		}
	}
	if err := s.showDifference(difference); err != nil {
		return err
	}
	fmt.Fprintln(s.err, "dry run: nothing was changed")
	return difference.Err()
}

// confirmChanges shows what cannot be undone and asks for the plan's name.
func (s *session) confirmChanges(ctx context.Context, plan *plans.Plan, d *orchestrator.Difference) error {
	p := s.errPalette()
	count := 0
	for i := range d.Changes {
		if d.Changes[i].Destructive {
			fmt.Fprintf(s.err, "%s %s\n", p.Bad("-"), d.Changes[i].Title())
			count++
		}
	}
	return s.confirm(ctx, view.Count(count, "change")+" above take protection or data away.", plan.Name)
}

// changeProgress turns the events of an apply or a destroy into progress.
func (s *session) changeProgress(ctx context.Context, progress *view.Progress) func(orchestrator.Event) {
	return func(e orchestrator.Event) {
		switch e.Kind {
		case orchestrator.EventPlanned, orchestrator.EventEnd:
			progress.Set("changes", view.UnitSteps, int64(e.Done), int64(e.Total))
			if e.Total > 0 && e.Done == e.Total {
				progress.Finish("changes", true)
			}
		case orchestrator.EventWaiting:
			progress.Set("images at their secondaries", view.UnitImages, int64(e.Done), int64(e.Total))
		}
		s.log.DebugContext(ctx, "progress", eventAttrs(e)...)
	}
}

func eventAttrs(e orchestrator.Event) []any {
	attrs := []any{slog.String("kind", string(e.Kind)), slog.Int("done", e.Done), slog.Int("total", e.Total)}
	if e.Change != nil {
		attrs = append(attrs, slog.String("site", e.Change.Site), slog.String("object", e.Change.Object()), slog.String("change", e.Change.What))
	}
	if e.Outcome != "" {
		attrs = append(attrs, slog.String("outcome", string(e.Outcome)))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.Any("error", e.Err))
	}
	return attrs
}

// showResult writes a result, then hands on its error.
func (s *session) showResult(kind string, result *orchestrator.Result, err error) error {
	v := view.NewResult(kind, result)
	shown := s.show(v, func(w io.Writer, p view.Palette) error { return v.Table(w, p) })
	return errors.Join(err, shown)
}
