package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// ReplayControl steers the replay of single images at a site, through the admin
// socket of the rbd-mirror daemon there.
type ReplayControl interface {
	StopReplay(ctx context.Context, ref replay.ImageRef) error
	StartReplay(ctx context.Context, ref replay.ImageRef) error
}

// stopReplay stops the replay of an image at every site whose daemon can be told
// so.
func stopReplay(ctx context.Context, plan *plans.Plan, sites *Sites, ref replay.ImageRef) error {
	var errs []error
	for _, s := range plan.Sites {
		if sites.Replay(s.Name) != nil {
			errs = append(errs, stopReplayAt(ctx, plan, sites, s.Name, ref))
		}
	}
	return errors.Join(errs...)
}

// stopReplayAt stops the replay of an image at a site whose daemon can be told so.
func stopReplayAt(ctx context.Context, plan *plans.Plan, sites *Sites, site string, ref replay.ImageRef) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime(plan))
	defer cancel()
	if err := sites.Replay(site).StopReplay(ctx, ref); err != nil {
		return fmt.Errorf("stop the replay of %s at %s: %w", ref, site, err)
	}
	return nil
}

// startReplay lets the replay of an image go on that a halt had stopped.
func startReplay(ctx context.Context, sites *Sites, plan *plans.Plan, ref replay.ImageRef) {
	for _, s := range plan.Sites {
		if control := sites.Replay(s.Name); control != nil {
			look, cancel := context.WithTimeout(ctx, answerTime(plan))
			_ = control.StartReplay(look, ref) // one that is not stopped is no error; status shows what does not replay
			cancel()
		}
	}
}

// StartReplay lets the replay of a cleared halt's images go on where the daemon
// can be told so; it names the sites whose daemon cannot.
func StartReplay(ctx context.Context, plan *plans.Plan, sites *Sites, h *Halt) (unreached []string) {
	restart(ctx, plan, sites, h)
	for _, s := range plan.Sites {
		if sites.Replay(s.Name) == nil {
			unreached = append(unreached, s.Name)
		}
	}
	return unreached
}

// restart lets the replay of all that a halt covers go on.
func restart(ctx context.Context, plan *plans.Plan, sites *Sites, h *Halt) {
	if !steered(plan, sites) {
		return
	}
	refs := slices.Clone(h.Images)
	for _, group := range h.groups(plan) {
		refs = membersOf(ctx, plan, sites, group, refs...)
	}
	for _, ref := range refs {
		startReplay(ctx, sites, plan, ref)
	}
}

// steered reports whether the daemon of any site can be told to stop and start the
// replay of single images.
func steered(plan *plans.Plan, sites *Sites) bool {
	return slices.ContainsFunc(plan.Sites, func(s plans.Site) bool { return sites.Replay(s.Name) != nil })
}

// membersOf are the images of a group that any site has, behind those that are
// given.
func membersOf(ctx context.Context, plan *plans.Plan, sites *Sites, group string, refs ...replay.ImageRef) []replay.ImageRef {
	seen := map[replay.ImageRef]bool{}
	for _, ref := range refs {
		seen[ref] = true
	}
	Observe(ctx, plan, sites, ObserveOptions{}).eachImage(func(_ string, image *replay.Image) {
		g := plan.GroupOf(image.Ref.Pool.Name, image.Ref.Namespace, image.Ref.Name)
		if g != nil && g.Name == group && !seen[image.Ref] {
			seen[image.Ref] = true
			refs = append(refs, image.Ref)
		}
	})
	return refs
}
