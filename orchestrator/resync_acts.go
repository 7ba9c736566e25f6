package orchestrator

import (
	"context"
	"errors"
	"time"

	"github.com/drover-io/drover/replay"
)

// reviveAct makes a stranded image primary again: without force as long as the
// copies allow it, by force only where a person was shown what that loses.
type reviveAct struct {
	exchange
	// loses: the person was shown that something is lost by it.
	loses bool
}

func (a reviveAct) look(ctx context.Context, c *crew) (bool, string, error) {
	from, to, err := a.unsplit(ctx, c)
	if err != nil {
		return false, "", err
	}
	return serves(to), a.roles(from, to), nil
}

func (a reviveAct) do(ctx context.Context, c *crew) error {
	from, to, err := a.pair(ctx, c)
	if err != nil {
		return err
	}
	if to.Image.Role == replay.RolePrimary && !serves(to) && from.Image.Role != replay.RolePrimary {
		return a.promote(c, a.to, to, false) // an earlier process died when it was nearly over
	}
	if from.Image.Role == replay.RolePrimary || to.Image.Role == replay.RolePrimary {
		return refusal("begin again", "%s is not without a primary any more: %s", a.ref, a.roles(from, to))
	}
	err = c.change(a.to, func(ctx context.Context, s Site) error { return s.Promote(ctx, a.ref, false) })
	// Busy may only mean that a demotion is still on its way: force is for what
	// has been shown to lose something, and stays busy.
	if !a.loses || c.run.Approved == "" || !errors.Is(err, replay.ErrBusy) || c.past.age(recopyStep(StepPromote, a.ref)) < reviveWait {
		return err
	}
	return c.change(a.to, func(ctx context.Context, s Site) error { return s.Promote(ctx, a.ref, true) })
}

// reviveWait is how long a demotion may be on its way.
const reviveWait = 45 * time.Second

func (reviveAct) patience(c *crew) (time.Duration, time.Duration) {
	return max(c.callTime, 2*reviveWait), 5 * time.Second
}

// demoteLoserAct demotes the copy that is discarded, while the other is
// primary.
type demoteLoserAct struct{ exchange }

func (a demoteLoserAct) look(ctx context.Context, c *crew) (bool, string, error) {
	from, to, err := a.pair(ctx, c)
	if err != nil {
		return false, "", err
	}
	if to.Image.Role != replay.RolePrimary {
		return false, "", refusal("find out who changed it, and begin again", "%s is not primary at %s any more", a.ref, a.to)
	}
	return from.Image.Role == replay.RoleSecondary, a.roles(from, to), nil
}

func (a demoteLoserAct) do(_ context.Context, c *crew) error {
	return c.change(a.from, func(ctx context.Context, s Site) error { return s.Demote(ctx, a.ref) })
}

func (demoteLoserAct) patience(*crew) (time.Duration, time.Duration) {
	return 15 * time.Second, time.Second
}

// winnerAct takes a mirror snapshot of the copy that stays, so that the new
// copy holds what it holds now.
type winnerAct struct {
	exchange
	step string
}

func (a winnerAct) look(_ context.Context, c *crew) (bool, string, error) {
	return c.past.here(a.step), "taken", nil
}

func (a winnerAct) do(ctx context.Context, c *crew) error {
	_, to, err := a.pair(ctx, c)
	if err != nil {
		return err
	}
	if to.Image.Unwritable {
		if err := a.promote(c, a.to, to, false); err != nil {
			return err
		}
	}
	err = c.change(a.to, func(ctx context.Context, s Site) error {
		_, err := s.CreateMirrorSnapshot(ctx, a.ref)
		return err
	})
	if err == nil {
		c.past.claim(a.step)
	}
	return err
}

func (winnerAct) patience(*crew) (time.Duration, time.Duration) {
	return 30 * time.Second, 2 * time.Second
}

// followAct waits until a copy holds all that the primary held when it was
// first looked at.
type followAct struct {
	exchange
	target *replay.Proof
}

func (a *followAct) look(ctx context.Context, c *crew) (bool, string, error) {
	from, to, err := a.pair(ctx, c)
	if errors.Is(err, replay.ErrNotFound) {
		return false, "the new copy is not there yet", nil
	}
	if err != nil {
		return false, "", err
	}
	if to.Image.Role != replay.RolePrimary {
		return false, "", refusal("find out who changed it", "%s is not primary at %s any more", a.ref, a.to)
	}
	proof := replay.CaughtUp(to, from)
	if a.target == nil && (proof.PrimaryPosition != nil || proof.PrimarySnapshot != 0) {
		a.target = &proof
	}
	return proof.OK || a.target != nil && !firstSync(to, from) && proof.Past(*a.target), proofWords(proof), nil
}

func (*followAct) do(context.Context, *crew) error { return nil }

// followTime is how long a new copy may take: images of terabytes take a day.
const followTime = 48 * time.Hour

func (*followAct) patience(*crew) (time.Duration, time.Duration) { return followTime, 0 }
