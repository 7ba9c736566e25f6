package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
)

func newResync(s *session) *cobra.Command {
	var (
		flags              runbookFlags
		keep, discard      string
		fence, deep, force bool
		noVerify, all      bool
	)
	c := &cobra.Command{
		Use:   "resync FILE [IMAGE…] --keep SITE",
		Short: "End a split-brain, or revive an image without a primary: keep one site's copy",
		Long: `Resync is for images that are primary at two sites, whose histories went apart, or
that are primary nowhere. It shows what each side holds: the role and since when,
the last point that both share, what was written since, by whom it is used, and
what each choice would lose. Nothing is discarded before a person has said which
copy stays.

Then the other copy is preserved in a copy of its own, demoted, compared once
more, discarded, copied anew, and seen to hold all that the kept one holds. At
last the contents of both are compared, byte by byte, by a snapshot of that
moment, as drover verify does: all that is allocated is read at both sites, within
the bandwidth of the plan (verification.bandwidth), while clients may go on
writing. Where they differ the halt stays; else it is cleared. An image without a
primary becomes primary where it is kept; where the other copy lacks nothing it is
not discarded at all.

A group is named by any of its images; those of them in which nothing is wrong are
left alone, and replay on once the halt is cleared. The copy that is preserved
holds no user snapshots: those that go are named before. While clones rest on them
nothing is discarded.`,
		Example: `  drover resync plan.yaml rbd/vm-1 --keep site-a --dry-run
  drover resync plan.yaml rbd/vm-1 --keep site-b --reason "site-b served the users"
  drover resync plan.yaml --group shop --keep site-a --deep --no-verify
  drover resync plan.yaml --all --keep site-b --dry-run`,
		Args: func(c *cobra.Command, args []string) error {
			return view.Next(cobra.MinimumNArgs(1)(c, args), "%s --help", c.CommandPath())
		},
		ValidArgsFunction: completePlan,
		RunE: func(c *cobra.Command, args []string) error {
			flags.scope.Images = append(flags.scope.Images, args[1:]...)
			return s.follow(c, args[0], runbook{
				loses: true,
				prepare: func(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites, flags runbookFlags) (*orchestrator.Prepared, error) {
					return orchestrator.PrepareResync(ctx, plan, sites, orchestrator.ResyncOptions{
						Keep: keep, Loser: discard, Scope: flags.scope, Reason: flags.reason, Fence: fence, Deep: deep, Force: force, All: all, NoVerify: noVerify,
					})
				},
				what: func(p *orchestrator.Prepared) string {
					return fmt.Sprintf("%s: the copy at %s stays; the one at %s is kept aside and discarded.", imageCount(p), p.Run.To, p.Run.From)
				},
			}, flags)
		},
	}
	c.Annotations = map[string]string{writesMarkdown: "with --dry-run"}
	f := c.Flags()
	f.StringVar(&keep, "keep", "", "the site whose copy stays")
	f.StringVar(&discard, "discard", "", "the site whose copy is discarded (default: where only one can be meant)")
	f.StringArrayVar(&flags.scope.Groups, "group", nil, "all images of this group of the plan; may be repeated")
	f.BoolVar(&all, "all", false, "all images that are halted, primary at two sites, or stranded, but for what a failover gave up")
	f.StringVar(&flags.reason, "reason", "", "why, for the record")
	f.BoolVar(&fence, "fence", false, "shut out the clients of the copy that is discarded, for a day (osd blocklist)")
	f.BoolVar(&deep, "deep", false, "read and compare what both sides hold, for the evidence")
	f.BoolVar(&noVerify, "no-verify", false, "do not compare the contents at the end: saves reading all data at both sites, proves only positions")
	f.BoolVar(&force, "force", false, "also images, named one by one, in which nothing seems wrong; and also where the copy to keep is one that a failover gave up")
	f.BoolVar(&flags.dryRun, "dry-run", false, "only show the evidence, the checks and each step")
	f.BoolVar(&flags.yes, "yes", false, "do not ask")
	f.IntVar(&flags.parallel, "parallel", 0, "images and groups at once (0: as the plan says)")
	f.StringVar(&flags.approved, "approved", "", "the hash that --dry-run has printed: do only what was shown then")
	return c
}
