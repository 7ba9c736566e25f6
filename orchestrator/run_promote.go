package orchestrator

import (
	"context"
	"fmt"
	"time"

	"github.com/drover-io/drover/replay"
)

// promoteAct makes the secondary primary, without force.
type promoteAct struct{ exchange }

func (a promoteAct) look(ctx context.Context, c *crew) (bool, string, error) {
	from, to, err := a.unsplit(ctx, c)
	if err != nil {
		return false, "", err
	}
	return exchanged(from, to) && serves(to), a.roles(from, to), nil
}

func (a promoteAct) do(ctx context.Context, c *crew) error {
	from, to, err := a.pair(ctx, c)
	switch {
	case err != nil:
		return err
	case exchanged(from, to):
		if serves(to) {
			return nil
		}
		return a.promote(c, a.to, to, false)
	case from.Image.Role == replay.RolePrimary:
		return refusal("see who else is at work, then begin again", "%s is primary at %s", a.ref, a.from)
	}
	if proof := replay.CaughtUp(from, to); !proof.Final {
		return fmt.Errorf("%s is not promoted at %s: %s", a.ref, a.to, proof.Why)
	}
	return a.promote(c, a.to, to, false)
}

func (promoteAct) patience(c *crew) (time.Duration, time.Duration) {
	return c.proofTime, 500 * time.Millisecond
}

// returnAct promotes the image back at the site where it was demoted.
type returnAct struct {
	exchange
	promote string // the step that would have promoted it at the other side
}

func (a returnAct) look(ctx context.Context, c *crew) (bool, string, error) {
	from, to, err := a.seen(ctx, c)
	if err != nil {
		return false, "", err
	}
	return serves(from), a.roles(from, to), nil
}

// seen looks at both; the other side may be silent as long as nobody has asked
// it to become primary.
func (a returnAct) seen(ctx context.Context, c *crew) (from, to replay.Copy, err error) {
	seen, err := c.seen.fresh(ctx, a.ref)
	if err != nil {
		return from, to, err
	}
	if from, err = seen.at(a.from); err != nil {
		return from, to, err
	}
	to, err = seen.at(a.to)
	switch {
	case err != nil && (c.resumed || c.past.tried(a.promote)):
		// An earlier process may have promoted it, and only that site may know.
		return from, to, fmt.Errorf("%s may have become primary at %s, which cannot be seen: %w", a.ref, a.to, err)
	case err != nil:
		to = replay.Copy{Image: replay.Image{Role: "unseen"}}
	case to.Image.Role == replay.RolePrimary && from.Image.Role == replay.RolePrimary:
		return from, to, a.twoPrimaries(from, to)
	case to.Image.Role == replay.RolePrimary:
		return from, to, refusal("resume the run: it goes forward from here", "%s is primary at %s by now", a.ref, a.to)
	}
	return from, to, nil
}

func (a returnAct) do(ctx context.Context, c *crew) error {
	from, _, err := a.seen(ctx, c)
	if err != nil || serves(from) {
		return err
	}
	return a.exchange.promote(c, a.from, from, false)
}

func (returnAct) patience(c *crew) (time.Duration, time.Duration) {
	return c.callTime, time.Second
}

// verifyAct sees that the roles are what they shall be.
type verifyAct struct {
	exchange
	alone bool // the other site does not count: it is lost
}

func (a verifyAct) look(ctx context.Context, c *crew) (bool, string, error) {
	seen, err := c.seen.fresh(ctx, a.ref)
	if err != nil {
		return false, "", err
	}
	to, err := seen.at(a.to)
	if err != nil {
		return false, "", err
	}
	if a.alone {
		return serves(to), fmt.Sprintf("%s at %s", standing(to), a.to), nil
	}
	from, err := seen.at(a.from)
	if err != nil {
		return false, "", err
	}
	if err := a.twoPrimaries(from, to); err != nil {
		return false, "", err
	}
	return exchanged(from, to) && serves(to), a.roles(from, to), nil
}

func (verifyAct) do(context.Context, *crew) error { return nil }

func (verifyAct) patience(c *crew) (time.Duration, time.Duration) { return lookTime, 0 }

// forceAct promotes by force what a person has given the word for.
type forceAct struct {
	exchange
	others *bystanders
}

func (a forceAct) look(ctx context.Context, c *crew) (bool, string, error) {
	return verifyAct{exchange: a.exchange, alone: true}.look(ctx, c)
}

func (a forceAct) do(ctx context.Context, c *crew) error {
	if c.run.Approved == "" {
		return refusal("", "nobody has given the word for it")
	}
	if err := a.others.refuse(ctx, c, a.ref); err != nil {
		return err
	}
	seen, err := c.seen.fresh(ctx, a.ref)
	if err != nil {
		return err
	}
	to, err := seen.at(a.to)
	if err != nil || serves(to) {
		return err
	}
	return a.promote(c, a.to, to, true)
}

func (forceAct) patience(c *crew) (time.Duration, time.Duration) { return c.callTime, 2 * time.Second }
