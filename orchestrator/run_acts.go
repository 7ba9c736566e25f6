package orchestrator

import (
	"context"
	"fmt"

	"github.com/drover-io/drover/replay"
)

// exchange is what the steps of a hand-over of one image have in common.
type exchange struct {
	ref      replay.ImageRef
	from, to string
}

// pair looks at the image at both sites.
func (x exchange) pair(ctx context.Context, c *crew) (from, to replay.Copy, err error) {
	seen, err := c.seen.fresh(ctx, x.ref)
	if err != nil {
		return from, to, err
	}
	from, fromErr := seen.at(x.from)
	to, toErr := seen.at(x.to)
	return from, to, replay.OneLine(fromErr, toErr)
}

// twoPrimaries is what nobody may go on from.
func (x exchange) twoPrimaries(from, to replay.Copy) error {
	if from.Image.Role == replay.RolePrimary && to.Image.Role == replay.RolePrimary {
		return fmt.Errorf("%w: %s is primary at %s and at %s", ErrHalted, x.ref, x.from, x.to)
	}
	return nil
}

// unsplit is pair for who may go on only while at most one side is primary
// ([ErrHalted]).
func (x exchange) unsplit(ctx context.Context, c *crew) (from, to replay.Copy, err error) {
	from, to, err = x.pair(ctx, c)
	if err == nil {
		err = x.twoPrimaries(from, to)
	}
	return from, to, err
}

// exchanged reports whether the roles are exchanged already.
func exchanged(from, to replay.Copy) bool {
	return from.Image.Role == replay.RoleSecondary && to.Image.Role == replay.RolePrimary
}

// serves reports whether clients can write to a copy, and others follow it: a
// primary whose promotion was cut short may refuse either.
func serves(c replay.Copy) bool {
	return c.Image.Role == replay.RolePrimary && !c.Image.Unwritable && !replay.SnapshotCutShort(c.Image)
}

// promote makes a copy primary for clients to write to: where it is one already,
// by ending what a promotion or a demotion that was cut short has left.
func (x exchange) promote(c *crew, site string, copied replay.Copy, force bool) error {
	return c.change(site, func(ctx context.Context, s Site) error {
		if copied.Image.Role == replay.RolePrimary {
			return s.FinishPromotion(ctx, x.ref)
		}
		return s.Promote(ctx, x.ref, force)
	})
}

// standing words what a copy is.
func standing(c replay.Copy) string {
	if c.Image.Unwritable {
		return fmt.Sprintf("%s that refuses every write", c.Image.Role)
	}
	return string(c.Image.Role)
}

// roles words the roles at both sites.
func (x exchange) roles(from, to replay.Copy) string {
	return fmt.Sprintf("%s at %s, %s at %s", standing(from), x.from, standing(to), x.to)
}
