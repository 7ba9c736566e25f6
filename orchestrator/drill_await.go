package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-io/drover/replay"
)

// looksApart is how many times as long as a look has taken the next one is put off:
// whoever waits for replay must not slow it down.
const looksApart = 4

// lookUntil looks at an image until what is seen of it is enough, or the time is over.
// The images of a drill share their looks. lacks is what was missing in the end.
func (d *drill) lookUntil(ctx context.Context, ref replay.ImageRef, limit time.Duration, enough func(context.Context, sighting) (lacks string, err error)) (lacks string, err error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	for {
		look := time.Now()
		seen, err := d.copies.fresh(limited, ref)
		if err == nil {
			lacks, err = enough(limited, seen)
		}
		switch {
		case err != nil && limited.Err() == nil && !retryable(err):
			return lacks, err
		case err == nil && lacks == "":
			return "", nil
		}
		pause(limited, max(awaitPause(time.Since(began)), looksApart*time.Since(look)))
		if limited.Err() == nil {
			continue
		}
		if ctx.Err() != nil {
			return lacks, contextCause(ctx)
		}
		if lacks == "" {
			lacks = "it was not seen"
			if err != nil {
				lacks = err.Error()
			}
		}
		return lacks, replay.ErrTimeout
	}
}

// await waits until replay has brought an image's snapshot to the secondary with all
// its content.
func (d *drill) await(ctx context.Context, i *drillImage) error {
	began := time.Now()
	defer func() { i.awaited = time.Since(began) }()
	lacks, err := d.lookUntil(ctx, i.ref, d.v.wait(), func(ctx context.Context, seen sighting) (string, error) {
		copied, err := seen.at(d.to)
		switch {
		case errors.Is(err, replay.ErrNotFound):
			return "the image is not there", nil
		case err != nil:
			return "", err
		case copied.Image.Role != replay.RoleSecondary:
			return "", refusal("drover status "+d.plan.File, "%s has the role %s at %s", i.ref, copied.Image.Role, d.to)
		}
		lacks := lacking(copied.Image, i.mode, d.mark.snapshot(), i.carrier)
		if lacks == "" && i.mode == replay.ModeSnapshot {
			brought := replayPoint{entry: i.carrier}
			i.was = &replayed{written: brought, held: brought}
		}
		if lacks != "" || i.mode == replay.ModeSnapshot {
			return lacks, nil
		}
		// Asked only now: it is the last thing that can be missing.
		source, err := d.sources.fresh(ctx, i.ref)
		if err != nil {
			return "", err
		}
		primary, err := source.at(d.from)
		if far, known := howFar(&primary.Image, copied); err == nil && known {
			i.was = &far
		}
		return unsynced(primary.Image, copied.MirrorUUID), err
	})
	if errors.Is(err, replay.ErrTimeout) {
		return fmt.Errorf("snapshot %s has not come to %s within %s: %s: %w", d.mark.snapshot(), d.to, d.v.wait(), lacks, err)
	}
	return err
}

// awaitGone waits until an image's snapshot is gone at the secondary, too, where replay
// brings its removal. Where replay was far behind with the snapshot, it will be so with
// the removal.
func (d *drill) awaitGone(ctx context.Context, i *drillImage) error {
	_, err := d.lookUntil(ctx, i.ref, replicatedTime+2*i.awaited, func(_ context.Context, seen sighting) (string, error) {
		copied, err := seen.at(d.to)
		switch {
		case errors.Is(err, replay.ErrNotFound):
			return "", nil
		case err == nil && hasSnapshot(copied.Image, d.mark.snapshot()):
			return "it is there", nil
		}
		return "", err
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, replay.ErrTimeout):
		return errors.New("removed at the primary; goes here as soon as replay brings the removal")
	}
	return fmt.Errorf("removed at the primary; not known to be gone: %w", err)
}
