package orchestrator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/drover-io/drover/replay"
)

// How long cleaning up may take: it goes on when the verification itself has
// been cancelled, but not for ever.
const (
	cleanTime = 90 * time.Second
	goneTime  = 30 * time.Second
)

// clean removes the run's snapshot of an image at the primary, and waits until
// replay has removed it at the secondaries. What stays is in the report.
func (v *verification) clean(ctx context.Context, t *verifyTarget, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer cancel()
	v.tell(VerifyEvent{Ref: t.ref, Step: VerifyClean, Snapshot: name, Mode: t.mode})
	if err := v.remove(ctx, t.ref, t.primary, t.mode, name); err != nil {
		v.left(LeftoverSnapshot{Ref: t.ref, Site: t.primary, Snapshot: name, Note: "could not be removed: " + err.Error()})
		return
	}
	var group sync.WaitGroup
	for _, secondary := range t.secondaries {
		if t.unread[secondary] != nil {
			continue
		}
		group.Go(func() {
			if err := v.awaitGone(ctx, t.ref, secondary, name); err != nil {
				v.left(LeftoverSnapshot{Ref: t.ref, Site: secondary, Snapshot: name, Note: err.Error()})
			}
		})
	}
	group.Wait()
}

// remove removes a snapshot at the primary. A copy that is not primary is
// read-only: its snapshots go when replay brings their removal.
func (v *verification) remove(ctx context.Context, ref replay.ImageRef, primary string, mode replay.MirrorMode, name string) error {
	site := v.sites[primary]
	if site == nil {
		return v.faults[primary]
	}
	if err := site.RemoveSnapshot(ctx, ref, name); err != nil && !errors.Is(err, replay.ErrNotFound) {
		return err
	}
	if mode != replay.ModeSnapshot {
		return nil
	}
	// In snapshot mode the removal travels with the next mirror snapshot.
	if _, err := site.CreateMirrorSnapshot(ctx, ref); err != nil {
		return fmt.Errorf("take the mirror snapshot that removes it at the other sites: %w", err)
	}
	return nil
}

// awaitGone waits until a snapshot is gone at a secondary.
func (v *verification) awaitGone(ctx context.Context, ref replay.ImageRef, secondary, name string) error {
	ctx, cancel := context.WithTimeout(ctx, goneTime)
	defer cancel()
	began := time.Now()
	for {
		image, err := v.sites[secondary].Image(ctx, ref)
		if errors.Is(err, replay.ErrNotFound) || err == nil && !hasSnapshot(image, name) {
			return nil
		}
		timer := time.NewTimer(awaitPause(time.Since(began)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if err != nil {
				return fmt.Errorf("removed at the primary; not known to be gone: %w", err)
			}
			return errors.New("removed at the primary; goes here as soon as replay brings the removal")
		}
	}
}

// sweptSnapshot is a leftover that has been removed at the primary.
type sweptSnapshot struct {
	target *verifyTarget
	left   LeftoverSnapshot
}

// sweep removes at the primaries what killed runs have left behind, and answers
// with that. It goes at the secondaries by replay, see confirm.
func (v *verification) sweep(ctx context.Context, targets []*verifyTarget) []sweptSnapshot {
	judge := verifyJudge{self: v.run, now: time.Now(), booted: bootTime(), clean: v.options.Clean}
	var (
		mu    sync.Mutex
		swept []sweptSnapshot
	)
	forEach(ctx, len(targets), 8, func(i int) {
		t := targets[i]
		names := make(map[string]bool)
		for _, site := range v.siteNames() {
			for _, s := range t.at[site].Snapshots {
				if s.Kind != replay.SnapshotUser || names[s.Name] {
					continue
				}
				run, ours := parseVerifyRun(s.Name)
				if !ours {
					continue
				}
				names[s.Name] = true
				if left, removed := v.sweepOne(ctx, t, site, s, run, judge); removed {
					mu.Lock()
					swept = append(swept, sweptSnapshot{t, left})
					mu.Unlock()
				} else {
					v.left(left)
				}
			}
		}
	})
	return swept
}

func (v *verification) sweepOne(ctx context.Context, t *verifyTarget, site string, s replay.Snapshot, run verifyRun, judge verifyJudge) (left LeftoverSnapshot, removed bool) {
	left = LeftoverSnapshot{Ref: t.ref, Site: site, Snapshot: s.Name, Created: s.Created}
	dead, why := judge.dead(run)
	left.Note = why
	switch {
	case !dead:
	case t.primary == "":
		left.Note = why + "; it can be removed once the image has one primary"
	default:
		err := v.removeLeftover(ctx, t, s.Name)
		if err == nil {
			return left, true
		}
		left.Note = fmt.Sprintf("%s; could not be removed: %v", why, err)
	}
	return left, false
}

// confirm looks whether swept snapshots are gone at the secondaries, too. It
// comes last: by then replay has had the time of the whole verification.
func (v *verification) confirm(ctx context.Context, swept []sweptSnapshot) {
	ctx, cancel := context.WithTimeout(ctx, goneTime)
	defer cancel()
	slots := make(chan struct{}, 8)
	var group sync.WaitGroup
	for _, s := range swept {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			gone := true
			for _, secondary := range s.target.secondaries {
				err := s.target.unread[secondary]
				if err == nil {
					err = v.awaitGone(ctx, s.target.ref, secondary, s.left.Snapshot)
				} else {
					err = fmt.Errorf("removed at the primary; not known to be gone: %w", err)
				}
				if err != nil {
					gone = false
					left := s.left
					left.Site, left.Note = secondary, fmt.Sprintf("%s; %v", s.left.Note, err)
					v.left(left)
				}
			}
			if gone {
				s.left.Removed = true
				v.left(s.left)
			}
		})
	}
	group.Wait()
}

// removeLeftover removes a snapshot of a dead run at the primary and, by that,
// at the secondaries. One that only a secondary has is made at the primary
// once more: replay of a removal needs one there. It comes about when the
// client that held the image's lock died in the middle of the removal: seen on
// Ceph 16.2.15. Replay of the creation takes a snapshot that exists for good
// (EEXIST is ignored, librbd/journal/Replay.cc).
func (v *verification) removeLeftover(ctx context.Context, t *verifyTarget, name string) error {
	if t.mode == replay.ModeJournal && !hasSnapshot(t.at[t.primary], name) {
		if err := v.sites[t.primary].CreateSnapshot(ctx, t.ref, name); err != nil && !errors.Is(err, replay.ErrExists) {
			return err
		}
	}
	return v.remove(ctx, t.ref, t.primary, t.mode, name)
}

func (v *verification) left(l LeftoverSnapshot) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Leftovers = append(v.report.Leftovers, l)
	slices.SortFunc(v.report.Leftovers, func(a, b LeftoverSnapshot) int {
		return cmp.Or(a.Ref.Compare(b.Ref), cmp.Compare(a.Snapshot, b.Snapshot), cmp.Compare(a.Site, b.Site))
	})
}
