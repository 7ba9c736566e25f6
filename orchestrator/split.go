package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// ReplayStopper is a [Runner] that can stop the replay of single images at its
// site, through the daemon's admin socket.
type ReplayStopper interface {
	StopReplay(ctx context.Context, ref replay.ImageRef) error
	StartReplay(ctx context.Context, ref replay.ImageRef) error
}

// splitPause is how long a split-brain has to last before it is taken for one:
// a role is changed in a moment, but reports and journals follow.
const splitPause = 2 * time.Second

// HaltSplit looks for split-brains, and halts what it finds: the halt is
// recorded at every site that answers, with the evidence; schedules of its own
// are paused, and replay of the image and of its group is stopped where the daemon
// can be told so. What a run has in
// its hands, what is halted already, and copies that a failover gave up are left
// alone. A look that finds one is repeated after a moment before it counts.
//
// The error tells what could not be recorded or stopped; halts are those that
// were recorded.
func HaltSplit(ctx context.Context, plan *plans.Plan, sites *Sites) (halts []Halt, err error) {
	records := readRecords(ctx, plan, sites)
	if records.book == nil {
		return nil, records.Fault
	}
	first := splits(ctx, plan, sites, records)
	if len(first) == 0 {
		return nil, nil
	}
	select {
	case <-time.After(splitPause):
	case <-ctx.Done():
		return nil, ErrInterrupted
	}
	records = readRecords(ctx, plan, sites)
	if records.book == nil {
		return nil, records.Fault
	}
	again := splits(ctx, plan, sites, records)
	var errs []error
	for ref, why := range again {
		if _, twice := first[ref]; !twice {
			continue
		}
		h := Halt{Images: []replay.ImageRef{ref}, Reason: "split-brain: " + why}
		if group := plan.GroupOf(ref.Pool.Name, ref.Namespace, ref.Name); group != nil {
			h.Group = group.Name
		}
		if e, err := splitEvidence(ctx, plan, sites, ref, false); err == nil {
			if h.Evidence, err = json.Marshal(e); err != nil {
				errs = append(errs, err)
			}
		}
		set, err := SetHalt(ctx, plan, sites, records.book, h)
		if err != nil {
			errs = append(errs, fmt.Errorf("halt %s: %w", ref, err))
		}
		if set == nil {
			continue
		}
		halts = append(halts, *set)
		errs = append(errs, stopReplay(ctx, plan, sites, ref, h.Group))
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime(plan))
	defer cancel()
	return halts, errors.Join(append(errs, records.book.Close(closing))...)
}

// splits are the images in split-brain that nothing recorded explains.
func splits(ctx context.Context, plan *plans.Plan, sites *Sites, records *Recorded) map[replay.ImageRef]string {
	_, stands := surveyOf(ctx, plan, sites)
	out := map[replay.ImageRef]string{}
	for i := range stands {
		s := &stands[i]
		ref := s.evidence.Ref
		if s.verdict.State != replay.SplitBrain || records.halted(ref) != nil || records.moving(ref) != nil || records.quarantined(ref, s.primaries()) != nil {
			continue
		}
		out[ref] = splitWords(s)
	}
	return out
}

// stopReplay stops the replay of an image and of its group at every site whose
// daemon Drover runs.
func stopReplay(ctx context.Context, plan *plans.Plan, sites *Sites, ref replay.ImageRef, group string) error {
	refs := []replay.ImageRef{ref}
	if group != "" {
		obs := Observe(ctx, plan, sites, ObserveOptions{})
		seen := map[replay.ImageRef]bool{ref: true}
		obs.eachImage(func(_ string, image *replay.Image) {
			if g := plan.GroupOf(image.Ref.Pool.Name, image.Ref.Namespace, image.Ref.Name); g != nil && g.Name == group && !seen[image.Ref] {
				seen[image.Ref] = true
				refs = append(refs, image.Ref)
			}
		})
	}
	var errs []error
	for _, s := range plan.Sites {
		stopper, ok := sites.Runner(s.Name).(ReplayStopper)
		if !ok {
			continue
		}
		for _, ref := range refs {
			look, cancel := context.WithTimeout(ctx, answerTime(plan))
			if err := stopper.StopReplay(look, ref); err != nil {
				errs = append(errs, fmt.Errorf("stop the replay of %s at %s: %w", ref, s.Name, err))
			}
			cancel()
		}
	}
	return errors.Join(errs...)
}

// startReplay lets the replay of an image go on that a halt had stopped.
func startReplay(ctx context.Context, sites *Sites, plan *plans.Plan, ref replay.ImageRef) {
	for _, s := range plan.Sites {
		if stopper, ok := sites.Runner(s.Name).(ReplayStopper); ok {
			look, cancel := context.WithTimeout(ctx, answerTime(plan))
			_ = stopper.StartReplay(look, ref) // one that is not stopped is no error; status shows what does not replay
			cancel()
		}
	}
}

// StartReplay lets the replay of a cleared halt's images go on where the daemon
// can be told so; it names the sites whose daemon others run.
func StartReplay(ctx context.Context, plan *plans.Plan, sites *Sites, h *Halt) (unreached []string) {
	refs := h.Images
	if h.Group != "" {
		obs := Observe(ctx, plan, sites, ObserveOptions{})
		seen := map[replay.ImageRef]bool{}
		refs = nil
		obs.eachImage(func(_ string, image *replay.Image) {
			g := plan.GroupOf(image.Ref.Pool.Name, image.Ref.Namespace, image.Ref.Name)
			if g != nil && g.Name == h.Group && !seen[image.Ref] {
				seen[image.Ref] = true
				refs = append(refs, image.Ref)
			}
		})
	}
	for _, ref := range refs {
		startReplay(ctx, sites, plan, ref)
	}
	for _, s := range plan.Sites {
		if _, ok := sites.Runner(s.Name).(ReplayStopper); !ok {
			unreached = append(unreached, s.Name)
		}
	}
	return unreached
}
