package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
)

// verifyFlags are the flags of verify.
type verifyFlags struct {
	bandwidth         string
	parallel, workers int
	wait              time.Duration
	clean             bool
}

func newVerify(s *session) *cobra.Command {
	var flags verifyFlags
	c := &cobra.Command{
		Use:   "verify FILE [IMAGE…]",
		Short: "Prove that the secondaries hold what the primaries held",
		Long: `Verify takes a snapshot of each image at its primary, waits until replay has
brought it to the secondary, and compares both byte by byte over what is
allocated. Clients may go on writing. Nothing but the snapshot is written, and
it is removed again; what a killed run left behind, the next one removes.

Images are named as IMAGE or POOL/IMAGE, globs allowed; without any, all of the
plan are verified. The exit code is 0 when all copies are identical, 1 when one
differs or could not be compared, when a site or pool could not be read, and
when there was nothing to compare.

What runs on other hosts or in other containers left behind is removed once it
is older than a day, as such a run may still be at work; with --clean at once.`,
		Example: `  drover verify plan.yaml
  drover verify plan.yaml rbd/vm-1 'volume-*'
  drover verify plan.yaml --bandwidth 100MiB`,
		Args: func(c *cobra.Command, args []string) error {
			return view.Next(cobra.MinimumNArgs(1)(c, args), "%s --help", c.CommandPath())
		},
		ValidArgsFunction: completePlan,
		RunE:              func(c *cobra.Command, args []string) error { return s.verify(c, args[0], args[1:], flags) },
	}
	c.Flags().StringVar(&flags.bandwidth, "bandwidth", "", "bytes a second read at each site, such as 100MiB; 0: no limit (default: the plan's)")
	c.Flags().IntVar(&flags.parallel, "parallel", 0, "images compared at once (0: 2)")
	c.Flags().IntVar(&flags.workers, "workers", 0, "chunks of each image read at once (0: 8)")
	c.Flags().DurationVar(&flags.wait, "wait", 10*time.Minute, "how long a snapshot may take to reach a secondary")
	c.Flags().BoolVar(&flags.clean, "clean", false, "no other verification runs anywhere: remove what they left behind, whatever its age")
	return c
}

func (s *session) verify(c *cobra.Command, file string, images []string, flags verifyFlags) error {
	options := orchestrator.VerifyOptions{Images: images, Parallel: flags.parallel, Workers: flags.workers, Wait: flags.wait, Clean: flags.clean}
	if c.Flags().Changed("bandwidth") {
		size, err := plans.ParseSize(flags.bandwidth)
		if err != nil {
			return view.Next(fmt.Errorf("--bandwidth: %w", err), "give a size such as 100MiB")
		}
		bandwidth := size.Bytes()
		options.Bandwidth = &bandwidth
	}
	plan, err := loadPlan(file)
	if err != nil {
		return err
	}
	ctx := c.Context()
	return s.withSites(ctx, plan, func(sites *orchestrator.Sites) error {
		progress := s.progress()
		options.Progress = s.verifyProgress(ctx, progress)
		report, err := orchestrator.Verify(ctx, plan, sites, options)
		progress.Close()
		if err != nil && len(report.Images) == 0 && len(report.Faults) == 0 {
			return err
		}
		if lost := orchestrator.RecordVerified(context.WithoutCancel(ctx), plan, sites, report); lost != nil {
			s.log.WarnContext(ctx, "status will not know of this verification, as it could not be recorded", "error", lost)
		}
		shown := s.show(report, func(w io.Writer, p view.Palette) error { return view.Verification(w, p, report) })
		if err == nil {
			err = report.Err()
		}
		return errors.Join(err, shown)
	})
}

func (s *session) verifyProgress(ctx context.Context, progress *view.Progress) func(orchestrator.VerifyEvent) {
	return func(e orchestrator.VerifyEvent) {
		label := e.Ref.String()
		if e.Secondary != "" {
			label += " at " + e.Secondary
		}
		switch e.Step {
		case orchestrator.VerifyAwait:
			progress.Wait(label + ": waiting for the snapshot to arrive")
		case orchestrator.VerifyCompare:
			progress.Finish(label+": waiting for the snapshot to arrive", true)
			progress.Set(label, view.UnitBytes, int64(e.Done), int64(e.Total))
		case orchestrator.VerifyDone:
			progress.Finish(label+": waiting for the snapshot to arrive", false)
			progress.Finish(label, e.Result.Identical)
		default:
			s.log.DebugContext(ctx, "verifying", "image", e.Ref.String(), "site", e.Secondary, "step", string(e.Step))
		}
	}
}
