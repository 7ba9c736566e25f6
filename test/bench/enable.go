package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// enableRounds is how often each side of the enablement is timed; the median
// counts.
const enableRounds = 3

// measureEnable switches journaling and mirroring on for many images: with
// plan apply, with the bare calls, and with a loop of rbd commands. The first
// two take turns at going first.
func measureEnable(ctx context.Context, b *bench) ([]Row, error) {
	images := names(b.enable)
	var drover, floor []time.Duration
	for round := range enableRounds {
		byDrover, byFloor := fmt.Sprintf("by-drover-%d", round), fmt.Sprintf("by-floor-%d", round)
		if err := b.barePools(ctx, images, byDrover, byFloor); err != nil {
			return nil, err
		}
		plan, err := b.plan(byDrover, labMirror)
		if err != nil {
			return nil, err
		}
		sides := []func() error{
			func() error {
				cost, err := b.droverRun(ctx, "plan", "apply", "--yes", "--wait", "none", plan)
				drover = append(drover, cost.wall)
				return err
			},
			func() error {
				took, err := clock(func() error { return enableBare(ctx, b.a, byFloor, images, b.parallel) })
				floor = append(floor, took)
				return err
			},
		}
		if round%2 == 1 {
			slices.Reverse(sides)
		}
		for _, side := range sides {
			if err := side(); err != nil {
				return nil, err
			}
		}
	}

	const byShell = "by-shell"
	if err := b.barePools(ctx, images, byShell); err != nil {
		return nil, err
	}
	shell, err := clock(func() error {
		for _, name := range images {
			if _, err := b.a.Rbd(ctx, "feature", "enable", byShell+"/"+name, "journaling"); err != nil {
				return err
			}
			if _, err := b.a.Rbd(ctx, "mirror", "image", "enable", byShell+"/"+name, "journal"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	work := fmt.Sprintf("enable %d images", b.enable)
	perImage := shell / time.Duration(b.enable)
	return []Row{
		ratio(work, "peer", median(drover), shell, 1.0/6, fmt.Sprintf("peer: rbd loop, %s an image; median of %d", perImage.Round(time.Millisecond), enableRounds)),
		ratio(work, "floor", median(drover), median(floor), 1.25, fmt.Sprintf(
			"floor: bare go-ceph calls at the primary, no look before or after; medians of %s and %s", inWords(drover), inWords(floor))),
	}, nil
}

// barePools makes mirrored pools, each with the images that are yet to be
// enabled.
func (b *bench) barePools(ctx context.Context, images []string, pools ...string) error {
	for _, pool := range pools {
		if err := b.mirroredPool(ctx, pool); err != nil {
			return err
		}
		if err := createBare(ctx, b.a, pool, images, 8<<20, b.parallel); err != nil {
			return err
		}
	}
	return nil
}
