package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-io/drover/replay"
)

// resyncAct discards the copy, when nothing can be lost by it that is not kept
// elsewhere: the other site is primary, alone, and alive; a daemon is there to
// make the new copy; and what the copy held is preserved.
type resyncAct struct {
	exchange
	oldID    string
	preserve string // the step that kept it
}

func (a resyncAct) look(ctx context.Context, c *crew) (bool, string, error) {
	seen, err := c.seen.fresh(ctx, a.ref)
	if err != nil {
		return false, "", err
	}
	from, err := seen.at(a.from)
	switch {
	case errors.Is(err, replay.ErrNotFound):
		// Only rbd-mirror removes it, and only to make it anew.
		return c.past.tried(recopyStep(StepResync, a.ref)), "the old copy is gone", nil
	case err != nil:
		return false, "", err
	}
	return from.Image.ID != a.oldID, fmt.Sprintf("its id is %s and was %s", from.Image.ID, a.oldID), nil
}

func (a resyncAct) do(ctx context.Context, c *crew) error {
	// Asked again for, a copy that was made anew meanwhile would be discarded.
	if done, _, err := a.look(ctx, c); err == nil && done {
		return nil
	}
	if under, err := a.underWay(ctx, c); err != nil || under {
		return err
	}
	if err := a.guard(ctx, c); err != nil {
		return err
	}
	err := c.change(a.from, func(ctx context.Context, s Site) error { return s.Resync(ctx, a.ref) })
	if errors.Is(err, errUnknown) && c.may() == nil {
		// A request that is lost on a daemon that has just died may be made again:
		// asked twice, the copy is made anew once.
		return fmt.Errorf("resync %s at %s: %s", a.ref, a.from, err) //nolint:errorlint // it is not unknown for good
	}
	if err != nil {
		return err
	}
	// A halt may have stopped the replay of the image; who does not replay does
	// not resync.
	startReplay(ctx, c.sites, c.plan, a.ref)
	return nil
}

// underWay reports whether rbd-mirror is removing the old copy at this moment: it
// disables mirroring of it first and then gives it a journal of its own, by which
// it says that it is primary (rbd_mirror/image_deleter/TrashMoveRequest.cc).
func (a resyncAct) underWay(ctx context.Context, c *crew) (bool, error) {
	seen, err := c.seen.fresh(ctx, a.ref)
	if err != nil {
		return false, err
	}
	from, err := seen.at(a.from)
	return err == nil && from.Image.State == replay.StateDisabling && c.past.tried(recopyStep(StepResync, a.ref)), nil
}

func (a resyncAct) guard(ctx context.Context, c *crew) error {
	from, to, err := a.pair(ctx, c)
	if err != nil {
		return fmt.Errorf("nothing is discarded while both sites are not seen: %w", err)
	}
	kept := c.past.phase(a.preserve)
	switch {
	case to.Image.Role != replay.RolePrimary:
		return refusal("find out who changed it, and begin again", "%s is not primary at %s: discarding the copy at %s could lose the only one", a.ref, a.to, a.from)
	case from.Image.Role != replay.RoleSecondary:
		return refusal("begin again", "%s is %s at %s", a.ref, from.Image.Role, a.from)
	case kept != PhaseDone && kept != PhaseAlready:
		return refusal("begin again", "what %s holds at %s has not been preserved", a.ref, a.from)
	case c.run.Approved == "":
		return refusal("", "nobody has given the word for it")
	}
	for _, other := range c.plan.Sites {
		if other.Name == a.from || other.Name == a.to {
			continue
		}
		if err := a.notPrimary(ctx, c, other.Name); err != nil {
			return err
		}
	}
	site, err := c.site(a.from)
	if err != nil {
		return err
	}
	look, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	ties, err := site.Ties(look, a.ref)
	if err != nil {
		return err
	}
	if what, next := tied(withoutDrills(c.plan, ties), a.from); what != "" {
		return refusal(next, "%s: %s", a.ref, what)
	}
	if err := makeRoom(ctx, c, a.from, ties); err != nil {
		return err
	}
	serves, err := servesNow(look, site, c.sites.now(), a.ref.Pool)
	if err != nil {
		return err
	}
	if !serves {
		return refusal("start it: drover plan apply FILE", "no rbd-mirror serves %s at %s, which would make the new copy", a.ref.Pool, a.from)
	}
	return nil
}

// servesNow asks a site whether a daemon serves a pool, as [SiteObservation.Serves] tells.
func servesNow(ctx context.Context, site Site, now time.Time, pool replay.Pool) (bool, error) {
	daemons, err := site.MirrorDaemons(ctx)
	if err != nil {
		return false, err
	}
	seen := SiteObservation{Daemons: daemons, Pools: []PoolObservation{{Pool: pool}}, at: now}
	if seen.Serves(pool) {
		return true, nil
	}
	if seen.Pools[0].Reports, err = site.Reports(ctx, pool); err != nil {
		return false, err
	}
	return seen.Serves(pool), nil
}

// notPrimary sees that a third site, where it answers, is not primary, too.
func (a resyncAct) notPrimary(ctx context.Context, c *crew, name string) error {
	site, err := c.site(name)
	if err != nil {
		return nil // a site that is away delays only itself
	}
	look, cancel := context.WithTimeout(ctx, answerTime(c.plan))
	defer cancel()
	image, err := site.Image(look, a.ref)
	if err == nil && image.Role == replay.RolePrimary {
		return refusal("begin again: there are more than two sides", "%s is primary at %s as well", a.ref, name)
	}
	return nil
}

func (resyncAct) patience(*crew) (time.Duration, time.Duration) {
	return 5 * time.Minute, 15 * time.Second
}
