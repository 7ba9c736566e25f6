package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
)

// runbookFlags are the flags that all runbooks have.
type runbookFlags struct {
	scope    orchestrator.Scope
	from, to string
	reason   string
	ready    bool
	dryRun   bool
	yes      bool
	approved string
	parallel int
}

// runbook is how one kind of run is prepared and agreed upon.
type runbook struct {
	// prepare looks at the sites; it changes nothing.
	prepare func(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites, flags runbookFlags) (*orchestrator.Prepared, error)
	// what says what a person agrees to by typing the plan's name.
	what func(p *orchestrator.Prepared) string
	// loses: it gives data up. It wants a reason, and a script has to say, by its
	// hash, what it was shown.
	loses bool
}

// addRunbookFlags declares the flags that all runbooks have.
func addRunbookFlags(c *cobra.Command, flags *runbookFlags) {
	c.Annotations = map[string]string{writesMarkdown: "with --dry-run"}
	f := c.Flags()
	f.StringVar(&flags.to, "to", "", "the site that shall be primary (default: where only one can be meant, that)")
	f.StringVar(&flags.from, "from", "", "the site that is, or was, primary (default: where the images are)")
	f.StringArrayVar(&flags.scope.Images, "image", nil, "only this image, as IMAGE or POOL/IMAGE; may be repeated")
	f.StringArrayVar(&flags.scope.Groups, "group", nil, "only this group of the plan; may be repeated")
	f.StringArrayVar(&flags.scope.Waves, "wave", nil, "only this wave of the plan; may be repeated")
	f.StringVar(&flags.reason, "reason", "", "why, for the record")
	f.BoolVar(&flags.dryRun, "dry-run", false, "only check, and show each step")
	f.BoolVar(&flags.yes, "yes", false, "do not ask")
	f.IntVar(&flags.parallel, "parallel", 0, "images and groups moved at once (0: as the plan says)")
}

// follow carries a runbook out: prepares it, shows what was found, asks, and
// goes through with it.
func (s *session) follow(c *cobra.Command, file string, book runbook, flags runbookFlags) error {
	if s.format == view.Markdown && !flags.dryRun {
		return view.Next(errors.New("a run is not written as Markdown while it goes on"), "--dry-run -o markdown before it, drover runs show %s RUN -o markdown after it", file)
	}
	plan, err := loadPlan(file)
	if err != nil {
		return err
	}
	ctx := c.Context()
	return s.withSites(ctx, plan, func(sites *orchestrator.Sites) error {
		p, err := book.prepare(ctx, plan, sites, flags)
		if err != nil {
			return err
		}
		if flags.dryRun || p.Refused != nil {
			shown := s.showPrepared(c, plan, sites, p, book, flags)
			if errors.Is(p.Refused, orchestrator.ErrHalted) && !flags.dryRun {
				shown = errors.Join(shown, s.haltSplit(ctx, plan, sites))
			}
			return shown
		}
		if p, err = s.agree(ctx, plan, sites, p, book, flags); err != nil {
			return err
		}
		return s.carryOut(ctx, func(o orchestrator.RunOptions) (*orchestrator.RunReport, error) {
			o.Parallel = flags.parallel
			return orchestrator.Start(ctx, plan, sites, p, o)
		})
	})
}

// haltSplit records what a runbook has found to be in split-brain.
func (s *session) haltSplit(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites) error {
	halts, err := orchestrator.HaltSplit(ctx, plan, sites)
	for i := range halts {
		fmt.Fprintf(s.err, "halted: %s: %s\n", halts[i].ID, halts[i].Reason)
		s.pausedBy(&halts[i])
	}
	return err
}

// showPrepared is the result of a runbook that is not carried out.
func (s *session) showPrepared(c *cobra.Command, plan *plans.Plan, sites *orchestrator.Sites, p *orchestrator.Prepared, book runbook, flags runbookFlags) error {
	var steps []orchestrator.Step
	if flags.dryRun {
		steps = p.Steps(plan, sites)
	}
	v := view.NewPrepared(p, steps, s.file)
	var err error
	if s.format == view.Markdown {
		err = v.Markdown(s.out, plan)
	} else {
		err = s.show(v, v.Table)
	}
	if flags.dryRun {
		fmt.Fprintln(s.err, "dry run: nothing was changed")
		if book.loses && p.Refused == nil {
			fmt.Fprintf(s.err, "to carry out what is shown here, from a script: %s %s … --yes --approved %s\n", c.CommandPath(), s.file, p.Hash)
		}
	}
	return errors.Join(p.Refused, err)
}

// agree shows what was prepared and lets a person say yes, by typing the plan's
// name. They may take their time over it: so it is prepared again, and they are
// asked again when that shows something else.
func (s *session) agree(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites, p *orchestrator.Prepared, book runbook, flags runbookFlags) (*orchestrator.Prepared, error) {
	if err := view.NewPrepared(p, nil, s.file).Table(s.err, s.errPalette()); err != nil {
		return nil, err
	}
	if len(p.Run.Units) == 0 {
		return p, nil // nobody is asked about nothing
	}
	if err := s.checkApproved(p, book, flags); err != nil {
		return nil, err
	}
	if flags.yes {
		return p, nil
	}
	for {
		if book.loses && flags.reason == "" {
			reason, err := s.ask(ctx, "Why, for the record: ")
			if err != nil {
				return nil, err
			}
			if reason == "" {
				return nil, view.Next(fmt.Errorf("%w: no reason was given", orchestrator.ErrRefused), "say why, or give --reason")
			}
			flags.reason = reason
		}
		fmt.Fprintln(s.err, book.what(p))
		if err := s.confirmName(ctx, plan.Name); err != nil {
			return nil, err
		}
		again, err := book.prepare(ctx, plan, sites, flags)
		switch {
		case err != nil:
			return nil, err
		case again.Refused != nil:
			v := view.NewPrepared(again, nil, s.file)
			return nil, errors.Join(again.Refused, s.show(v, v.Table))
		case again.Hash == p.Hash:
			return again, nil
		}
		if err := view.Changes(s.err, s.errPalette(), p, again); err != nil {
			return nil, err
		}
		if err := view.NewPrepared(again, nil, s.file).Table(s.err, s.errPalette()); err != nil {
			return nil, err
		}
		p = again
	}
}

// checkApproved binds a script to what it was shown.
func (s *session) checkApproved(p *orchestrator.Prepared, book runbook, flags runbookFlags) error {
	switch {
	case flags.approved != "" && flags.approved != p.Hash:
		return view.Next(fmt.Errorf("%w: approved was %s, found is %s", orchestrator.ErrStale, flags.approved, p.Hash),
			"look at what is found now with --dry-run, and approve that")
	case !book.loses || !flags.yes:
		return nil
	case flags.approved == "":
		return view.Next(fmt.Errorf("%w: a script has to say what it was shown", orchestrator.ErrRefused),
			"--dry-run shows it and prints its hash: --yes --approved HASH")
	case flags.reason == "":
		return view.Next(fmt.Errorf("%w: no reason was given", orchestrator.ErrRefused), "--reason TEXT")
	}
	return nil
}

// carryOut shows a run while it goes on, and what became of it.
func (s *session) carryOut(ctx context.Context, start func(o orchestrator.RunOptions) (*orchestrator.RunReport, error)) error {
	drawn := isTerminal(s.err) && s.getenv("TERM") != "dumb"
	progress := view.NewRunProgress(s.err, drawn, s.errPalette(), func() int { return columns(s.err) }, s.file)
	report, err := start(orchestrator.RunOptions{Insist: insisted(ctx), Version: version, Progress: func(e orchestrator.RunEvent) {
		s.log.DebugContext(ctx, "run", runAttrs(e)...)
		progress.Tell(e)
	}})
	progress.Close()
	if report == nil {
		return err
	}
	v := view.NewRunReport(report, s.file)
	return errors.Join(err, s.show(v, v.Table))
}

// columns is how wide a terminal is.
func columns(w io.Writer) int {
	if file, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}

func runAttrs(e orchestrator.RunEvent) []any {
	attrs := []any{"kind", string(e.Kind)}
	if e.Step != nil {
		attrs = append(attrs, "step", e.Step.ID)
	}
	if e.Unit != nil {
		attrs = append(attrs, "unit", e.Unit.Name)
	}
	for name, text := range map[string]string{"wave": e.Wave, "phase": string(e.Phase), "outcome": string(e.Outcome), "evidence": e.Evidence, "note": e.Note} {
		if text != "" {
			attrs = append(attrs, name, text)
		}
	}
	if e.Err != nil {
		attrs = append(attrs, "error", e.Err)
	}
	return attrs
}
