package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-io/drover/replay"
)

// preserveAct keeps what the loser holds.
type preserveAct struct {
	ref  replay.ImageRef
	site string
	kept *Preserved
}

func (a *preserveAct) look(_ context.Context, c *crew) (bool, string, error) {
	if a.kept != nil {
		return true, fmt.Sprintf("%s in %s, until %s", sizeText(a.kept.Bytes), a.kept.Place(), a.kept.Until.Format(time.RFC3339)), nil
	}
	return false, "", nil
}

func (a *preserveAct) do(_ context.Context, c *crew) error {
	ctx := c.soft // it may take a day; who resumes begins it again
	site, err := c.site(a.site)
	if err != nil {
		return err
	}
	select {
	case c.copies <- struct{}{}:
	case <-ctx.Done():
		return ErrInterrupted
	}
	defer func() { <-c.copies }()
	if err := a.replayJournal(ctx, c, site); err != nil {
		return err
	}
	kept, err := preserve(ctx, site, a.ref, preserveOrderOf(c.plan, c.run.ID), func(done, total uint64) {
		c.tell(RunEvent{Kind: RunCopies, Note: a.ref.String(), Done: done, Whole: total})
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrInterrupted, err)
	case err != nil:
		return err
	}
	entry, err := preservedEntry(kept)
	if err == nil {
		err = c.records.Append(context.WithoutCancel(c.hard), entry)
	}
	if err != nil {
		return fmt.Errorf("%s is kept in %s, but that could not be recorded: %w", a.ref, kept.Place(), err)
	}
	a.kept = &kept
	return nil
}

func (*preserveAct) patience(*crew) (time.Duration, time.Duration) { return 0, 0 }

const (
	// replayTime covers the 30 s for which the OSDs take a client that has died for
	// alive (osd_client_watch_timeout), and with it for the holder of the lock.
	replayTime  = 60 * time.Second
	replayPause = 5 * time.Second
)

// replayJournal has librbd replay what a client that died has left in the journal of a
// primary and not yet in the image: else the copy would lack it, and the next
// who takes the image's lock, which is the demotion, would change the image
// (seen on 16.2.15 with a client that was put on the blocklist; librbd opens, and
// so replays, the journal when it takes the lock, ExclusiveLock.cc,
// post_acquire_lock_handler). A snapshot takes the lock; it goes again at once,
// and with the image for good.
func (a *preserveAct) replayJournal(ctx context.Context, c *crew, site Site) error {
	image, err := site.Image(ctx, a.ref)
	if err != nil || image.Role != replay.RolePrimary || image.Mode != replay.ModeJournal {
		return err
	}
	name := "drover-preserve-" + shortRun(c.run.ID)
	began := time.Now()
	for {
		err := c.change(a.site, func(ctx context.Context, s Site) error {
			if err := s.CreateSnapshot(ctx, a.ref, name); err != nil && !errors.Is(err, replay.ErrExists) {
				return err
			}
			return s.RemoveSnapshot(ctx, a.ref, name)
		})
		switch {
		case err == nil:
			return nil
		case !retryable(err), errors.Is(err, errUnknown), time.Since(began) >= replayTime:
			return fmt.Errorf("replay the journal of %s at %s: %w", a.ref, a.site, err)
		}
		timer := time.NewTimer(replayPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ErrInterrupted
		}
	}
}
