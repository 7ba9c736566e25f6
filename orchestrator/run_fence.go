package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// fenceAct shuts out the clients that hold or watch an image at a site, but
// for rbd-mirror.
type fenceAct struct {
	ref       replay.ImageRef
	site      string
	followers int // see foreign
}

// fenceFor is how long a client stays shut out: long enough for a person to
// stop it for good.
const fenceFor = 24 * time.Hour

func (a fenceAct) look(ctx context.Context, c *crew) (bool, string, error) {
	users, err := a.users(ctx, c)
	if err != nil {
		return false, "", err
	}
	if len(users) > 0 {
		return false, fmt.Sprintf("%s still has %s", a.ref, userWords(users)), nil
	}
	return true, fmt.Sprintf("no client has %s at %s", a.ref, a.site), nil
}

func (a fenceAct) users(ctx context.Context, c *crew) ([]replay.ImageUser, error) {
	site, err := c.site(a.site)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	users, err := site.Users(ctx, a.ref)
	return foreign(users, a.followers), err
}

func (a fenceAct) do(ctx context.Context, c *crew) error {
	users, err := a.users(ctx, c)
	if err != nil {
		return err
	}
	return a.shutOut(c, users)
}

// shutOut puts clients on the site's blocklist.
func (a fenceAct) shutOut(c *crew, users []replay.ImageUser) error {
	var errs []error
	for _, u := range users {
		errs = append(errs, c.change(a.site, func(ctx context.Context, s Site) error { return s.Blocklist(ctx, u.Address, fenceFor) }))
	}
	return errors.Join(errs...)
}

// A watch outlives its client by the OSD's watch timeout of 30 s.
func (fenceAct) patience(*crew) (time.Duration, time.Duration) {
	return 45 * time.Second, 5 * time.Second
}

// foreign are the users that are no rbd-mirror. Those of other sites that
// follow an image by snapshots keep it open here, each by one watch and without
// its lock, and nothing in this cluster names them (observed on 16.2.15): so
// many watches without a lock are taken for theirs. One more, and nobody can
// tell which is whose: then all of them count.
func foreign(users []replay.ImageUser, followers int) []replay.ImageUser {
	var out []replay.ImageUser
	idle := 0
	for _, u := range users {
		if u.Mirror {
			continue
		}
		out = append(out, u)
		if !u.Locks && !u.Kernel {
			idle++
		}
	}
	if idle > followers {
		return out
	}
	return slices.DeleteFunc(out, func(u replay.ImageUser) bool { return !u.Locks && !u.Kernel })
}

// followersOf is how many sites may keep an image open at a site because they
// follow it.
func followersOf(plan *plans.Plan, site string, mode replay.MirrorMode) int {
	if mode != replay.ModeSnapshot {
		return 0
	}
	return len(plan.Sites) - 1
}

func userWords(users []replay.ImageUser) string {
	text := ""
	for i, u := range users {
		if i > 0 {
			text += ", "
		}
		text += u.Client + " at " + u.Address
		switch {
		case u.Locks:
			text += " (holds the lock)"
		case u.Kernel:
			text += " (a kernel mapping)"
		}
	}
	return text
}
