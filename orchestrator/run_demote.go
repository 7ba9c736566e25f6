package orchestrator

import (
	"context"
	"fmt"
	"time"

	"github.com/drover-io/drover/replay"
)

// linkAct waits until the demoted side would follow the promoted one: in
// journal mode its rbd-mirror must be registered in the new primary's journal
// before that becomes primary, else it reports a split-brain for ever though
// nothing was lost (observed on 16.2.15; rbd-mirror registers within half a
// minute of the copy's first sync).
type linkAct struct{ exchange }

func (a linkAct) look(ctx context.Context, c *crew) (bool, string, error) {
	from, to, err := a.pair(ctx, c)
	switch {
	case err != nil:
		return false, "", err
	case from.Image.Role != replay.RolePrimary:
		return true, a.roles(from, to), nil // too late to wait
	case to.Image.Journal == nil:
		return false, "", fmt.Errorf("the journal of %s at %s cannot be read", a.ref, a.to)
	}
	if _, ok := to.Image.Journal.Client(from.MirrorUUID); !ok {
		return false, fmt.Sprintf("rbd-mirror at %s has not registered in the journal at %s yet", a.from, a.to), nil
	}
	return true, fmt.Sprintf("rbd-mirror at %s is registered in the journal at %s", a.from, a.to), nil
}

func (linkAct) do(context.Context, *crew) error { return nil }

// linkTime covers two of the half minutes in which rbd-mirror looks again.
const linkTime = 75 * time.Second

func (linkAct) patience(*crew) (time.Duration, time.Duration) { return linkTime, 0 }

// snapshotAct takes a last mirror snapshot at the primary and awaits its
// arrival, so that little is left to be copied once the image is demoted.
type snapshotAct struct {
	exchange
	step string
}

func (a snapshotAct) look(ctx context.Context, c *crew) (bool, string, error) {
	from, to, err := a.pair(ctx, c)
	switch {
	case err != nil:
		return false, "", err
	case from.Image.Role != replay.RolePrimary:
		return true, a.roles(from, to), nil
	case !c.past.tried(a.step) || replay.SnapshotCutShort(from.Image):
		return false, "", nil
	}
	proof := replay.CaughtUp(from, to)
	return proof.OK, proof.Why, nil
}

func (a snapshotAct) do(ctx context.Context, c *crew) error {
	return c.change(a.from, func(ctx context.Context, s Site) error {
		_, err := s.CreateMirrorSnapshot(ctx, a.ref)
		return err
	})
}

func (snapshotAct) patience(c *crew) (time.Duration, time.Duration) { return c.proofTime, 0 }

// demoteAct makes the primary a secondary, when the other side can take over and
// no client holds it.
type demoteAct struct {
	exchange
	followers int // see foreign
}

func (a demoteAct) look(ctx context.Context, c *crew) (bool, string, error) {
	from, to, err := a.unsplit(ctx, c)
	if err != nil {
		return false, "", err
	}
	if a.cutShort(from, to) {
		return false, fmt.Sprintf("the demotion of %s at %s was cut short: %s will never see it", a.ref, a.from, a.to), nil
	}
	return from.Image.Role == replay.RoleSecondary, a.roles(from, to), nil
}

// cutShort reports whether a process died in the middle of the demotion. The
// image is a secondary by then, but the other side would wait for ever for what
// was never written.
func (demoteAct) cutShort(from, to replay.Copy) bool {
	return to.Image.Role == replay.RoleSecondary && replay.DemotionCutShort(from.Image)
}

func (a demoteAct) do(ctx context.Context, c *crew) error {
	from, to, err := a.unsplit(ctx, c)
	if err != nil {
		return err
	}
	switch {
	case a.cutShort(from, to):
		// Nobody has taken over from it, so that it may become primary without
		// force, and be demoted for good.
		if err := c.change(a.from, func(ctx context.Context, s Site) error { return s.Promote(ctx, a.ref, false) }); err != nil {
			return err
		}
	case from.Image.Role != replay.RolePrimary:
		return nil // somebody else's doing: look tells
	case to.Image.Role != replay.RoleSecondary || to.Image.State != replay.StateEnabled:
		return refusal("wait until it is replayed, then begin again", "%s at %s is %s (mirroring %s)", a.ref, a.to, to.Image.Role, to.Image.State)
	case firstSync(from, to):
		return refusal("wait until its first sync is over", "%s at %s is still in its first sync", a.ref, a.to)
	}
	return c.change(a.from, func(ctx context.Context, s Site) error { return s.DemoteUnused(ctx, a.ref, a.unused) })
}

// unused refuses a client that has come since it was looked for.
func (a demoteAct) unused(users []replay.ImageUser) error {
	if users = foreign(users, a.followers); len(users) > 0 {
		return refusal("stop the client, then begin again", "%s is in use at %s by %s", a.ref, a.from, userWords(users))
	}
	return nil
}

func (demoteAct) patience(*crew) (time.Duration, time.Duration) { return 15 * time.Second, time.Second }

// firstSync reports whether the secondary does not hold a whole image yet.
func firstSync(from, to replay.Copy) bool {
	if from.Image.Mode == replay.ModeSnapshot {
		for _, s := range to.Image.Snapshots {
			if s.Mirror != nil && s.Mirror.Complete {
				return false
			}
		}
		return true
	}
	if from.Image.Journal == nil {
		return true
	}
	client, ok := from.Image.Journal.Client(to.MirrorUUID)
	return !ok || client.Syncing
}

// proveAct waits until the secondary is proven to hold all that the primary
// had when it was demoted.
type proveAct struct {
	exchange
	mode replay.MirrorMode
}

func (a proveAct) look(ctx context.Context, c *crew) (bool, string, error) {
	from, to, err := a.pair(ctx, c)
	switch {
	case err != nil:
		return false, "", err
	case exchanged(from, to):
		return true, a.roles(from, to), nil
	case from.Image.Role == replay.RolePrimary:
		if err := a.twoPrimaries(from, to); err != nil {
			return false, "", err
		}
		return false, "", refusal("see who else is at work, then begin again",
			"%s was promoted at %s by somebody else after it had been demoted", a.ref, a.from)
	}
	proof := replay.CaughtUp(from, to)
	return proof.Final, proofWords(proof), nil
}

// do announces the demotion where the process that made it may have died before
// it had told rbd-mirror, which would never hear of it.
func (a proveAct) do(ctx context.Context, c *crew) error {
	if a.mode != replay.ModeSnapshot || !c.resumed {
		return nil
	}
	return c.change(a.from, func(ctx context.Context, s Site) error { return s.Announce(ctx, a.ref) })
}

func (proveAct) patience(c *crew) (time.Duration, time.Duration) { return c.proofTime, announceAgain }

// announceAgain covers an rbd-mirror that has no watch at this moment.
const announceAgain = 15 * time.Second

// proofWords is a proof with what it rests on.
func proofWords(p replay.Proof) string {
	switch {
	case p.PrimaryPosition != nil && p.SecondaryPosition != nil:
		return fmt.Sprintf("%s (%s of %s)", p.Why, p.SecondaryPosition, p.PrimaryPosition)
	case p.PrimarySnapshot != 0:
		return fmt.Sprintf("%s (snapshot %d of %d)", p.Why, p.SecondarySnapshot, p.PrimarySnapshot)
	}
	return p.Why
}
