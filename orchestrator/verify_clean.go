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
	"github.com/drover-io/drover/replay/parallel"
)

// How long cleaning up may take: it goes on when the verification itself has
// been cancelled, but not for ever.
const (
	cleanTime = 90 * time.Second
	goneTime  = 30 * time.Second
)

// clean removes the run's snapshot of an image at the primary. From the
// secondaries it goes by itself: its removal stands in the journal, or travels
// with a mirror snapshot, and is not waited for. What stays is in the report.
func (v *verification) clean(ctx context.Context, t *verifyTarget, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer cancel()
	v.tell(VerifyEvent{Ref: t.ref, Step: VerifyClean, Snapshot: name, Mode: t.mode})
	if err := v.remove(ctx, t.ref, t.primary, t.mode, name); err != nil {
		v.left(LeftoverSnapshot{Ref: t.ref, Site: t.primary, Snapshot: name, Note: "could not be removed: " + err.Error()})
	}
}

// remove removes a snapshot at the primary. A copy that is not primary is
// read-only: its snapshots go when replay brings their removal.
func (v *verification) remove(ctx context.Context, ref replay.ImageRef, primary string, mode replay.MirrorMode, name string) error {
	site := v.sites[primary]
	if site == nil {
		return v.faults[primary]
	}
	if h := v.halt(ref, mode); h != nil {
		return afterHalt(h, ref)
	}
	if err := site.RemoveSnapshot(ctx, ref, name); err != nil && !errors.Is(err, replay.ErrNotFound) {
		return err
	}
	if mode != replay.ModeSnapshot {
		return nil
	}
	// In snapshot mode the removal travels with the next mirror snapshot.
	if _, err := v.mirrorSnapshot(ctx, primary, ref); err != nil {
		return fmt.Errorf("take the mirror snapshot that removes it at the other sites: %w", err)
	}
	return nil
}

// mirrorSnapshot takes a mirror snapshot, as a visitor where nobody holds the lease for
// this.
func (v *verification) mirrorSnapshot(ctx context.Context, site string, ref replay.ImageRef) (uint64, error) {
	return visitMirrorSnapshot(ctx, v.plan, v.all, site, ref, "mirror snapshot of a verification or drill")
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

// sweptSnapshot is a leftover that only secondaries have, be it that it has been
// removed at the primary just now or before.
type sweptSnapshot struct {
	target *verifyTarget
	left   LeftoverSnapshot
	before bool
	alive  bool // whose it is may be at work
}

// sweep removes at the primaries what killed runs have left behind, and answers
// with that, and with what is not there any more. It goes at the secondaries by
// replay, see confirm.
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
				if one, removed := v.sweepOne(ctx, t, site, s, run, judge); removed {
					mu.Lock()
					swept = append(swept, one)
					mu.Unlock()
				} else {
					v.left(one.left)
				}
			}
		}
	})
	return swept
}

func (v *verification) sweepOne(ctx context.Context, t *verifyTarget, site string, s replay.Snapshot, run verifyRun, judge verifyJudge) (one sweptSnapshot, removed bool) {
	dead, why := judge.dead(run)
	one = sweptSnapshot{target: t, alive: !dead, left: LeftoverSnapshot{Ref: t.ref, Site: site, Snapshot: s.Name, Created: s.Created, Note: why}}
	switch {
	case t.primary != "" && !hasSnapshot(t.at[t.primary], s.Name):
		one.before = true
		return one, true
	case !dead:
	case t.primary == "":
		one.left.Note = why + "; it can be removed once the image has one primary"
	default:
		err := v.remove(ctx, t.ref, t.primary, t.mode, s.Name)
		if err == nil {
			return one, true
		}
		one.left.Note = fmt.Sprintf("%s; could not be removed: %v", why, err)
	}
	return one, false
}

// confirm looks whether swept snapshots are gone at the secondaries, too. It
// comes last: replay keeps the order, so that where the verification's own
// snapshot has come, all removals before it have. What had been removed before
// and is gone by now was no leftover.
func (v *verification) confirm(ctx context.Context, swept []sweptSnapshot) {
	ctx, cancel := context.WithTimeout(ctx, goneTime)
	defer cancel()
	slots := make(chan struct{}, 8)
	var group parallel.Group
	for _, s := range swept {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			v.confirmOne(ctx, s)
		})
	}
	group.Wait()
}

func (v *verification) confirmOne(ctx context.Context, s sweptSnapshot) {
	switch {
	case !s.before:
	case v.goneAlready(ctx, s):
		return
	case s.alive:
		v.left(s.left)
		return
	default:
		if err := v.removeAgain(ctx, s.target, s.left.Snapshot); err != nil {
			s.left.Note = fmt.Sprintf("%s; could not be removed: %v", s.left.Note, err)
			v.left(s.left)
			return
		}
	}
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
}

// goneAlready reports whether no secondary has a swept snapshot any more.
func (v *verification) goneAlready(ctx context.Context, s sweptSnapshot) bool {
	for _, secondary := range s.target.secondaries {
		if v.sites[secondary] == nil {
			return false
		}
		image, err := v.sites[secondary].Image(ctx, s.target.ref)
		if err != nil && !errors.Is(err, replay.ErrNotFound) || err == nil && hasSnapshot(image, s.left.Snapshot) {
			return false
		}
	}
	return true
}

// removeAgain removes at the secondaries a snapshot of a dead run that the
// primary has no more, though all that it has done is replayed: it is made there
// once more, as replay of a removal needs one. It comes about when the client
// that held the image's lock died in the middle of the removal: seen on
// Ceph 16.2.15. Replay of the creation takes a snapshot that exists for good
// (EEXIST is ignored, librbd/journal/Replay.cc).
func (v *verification) removeAgain(ctx context.Context, t *verifyTarget, name string) error {
	if t.mode == replay.ModeJournal {
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
