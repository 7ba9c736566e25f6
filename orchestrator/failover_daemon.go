package orchestrator

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/drover-io/drover/replay"
)

// Pauser is a [Runner] that can end the daemon for a while, and leaves its log
// where it is.
type Pauser interface {
	Pause(ctx context.Context) error
}

// daemonAct stops or starts rbd-mirror at a site, or waits until somebody has.
type daemonAct struct {
	site string
	run  bool
}

func (a daemonAct) look(ctx context.Context, c *crew) (bool, string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	if r := c.sites.Runner(a.site); r != nil {
		state, err := r.State(ctx)
		return state.Running == a.run && err == nil, state.Detail, err
	}
	site, err := c.site(a.site)
	if err != nil {
		return false, "", err
	}
	daemons, err := site.MirrorDaemons(ctx)
	if err != nil {
		return false, "", err
	}
	if len(daemons) > 0 {
		return false, fmt.Sprintf("%d in the service map (which forgets one about a minute after it has ended)", len(daemons)), nil
	}
	// The mgr may have forgotten one that lives; one that hangs holds the copies, too.
	asked := map[replay.Pool]bool{}
	for _, ref := range c.run.images() {
		if asked[ref.Pool] {
			continue
		}
		asked[ref.Pool] = true
		reports, err := site.Reports(ctx, ref.Pool)
		if err != nil {
			return false, "", err
		}
		if slices.ContainsFunc(reports, replay.Report.Watched) {
			return false, "none in the service map, though one still watches pool " + ref.Pool.String(), nil
		}
	}
	return true, "none in the service map, and none that watches a pool", nil
}

func (a daemonAct) do(_ context.Context, c *crew) error {
	r := c.sites.Runner(a.site)
	if r == nil {
		c.tell(RunEvent{Kind: RunWaits, Note: "stop rbd-mirror at " + a.site + " (or begin again with --leave-daemon); start it again when the run is over"})
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.hard), c.callTime)
	defer cancel()
	if a.run {
		return r.Start(ctx)
	}
	stop := r.Stop
	if p, ok := r.(Pauser); ok {
		stop = p.Pause
	}
	if err := stop(ctx); err != nil {
		return err
	}
	a.letGo(ctx, c)
	return nil
}

// samples is how many images of a pool are looked at for what a daemon has left
// there: it opens all images of a pool as one client.
const samples = 2

// letGo ends the locks and watches of a daemon that could not end in good order,
// which it cannot while its peer does not answer. They would last for half a
// minute more, and each promotion would wait for them (10 s an image observed on
// 16.2.15). Only rbd-mirror locks a copy. What cannot be ended is only waited for.
func (a daemonAct) letGo(ctx context.Context, c *crew) {
	site, err := c.site(a.site)
	if err != nil {
		return
	}
	seen, fenced := map[replay.Pool]int{}, map[string]bool{}
	for _, ref := range c.run.images() {
		if seen[ref.Pool]++; seen[ref.Pool] > samples {
			continue
		}
		users, err := site.Users(ctx, ref)
		if err != nil {
			continue
		}
		for _, u := range users {
			if !u.Locks || fenced[u.Address] {
				continue
			}
			fenced[u.Address] = true
			if image, err := site.Image(ctx, ref); err != nil || image.Role != replay.RoleSecondary {
				continue // whoever has a primary open is no daemon
			}
			if err := c.change(a.site, func(ctx context.Context, s Site) error { return s.Blocklist(ctx, u.Address, ghostTime) }); err != nil {
				c.tell(RunEvent{Kind: RunNotes, Note: "promotions will wait for what the stopped rbd-mirror has left: " + err.Error()})
			}
		}
	}
}

// ghostTime is how long a daemon that has ended stays shut out: longer than the
// OSDs need to forget it. The next daemon is another client.
const ghostTime = 5 * time.Minute

func (a daemonAct) patience(c *crew) (time.Duration, time.Duration) {
	if c.sites.Runner(a.site) == nil {
		return 15 * time.Minute, 0 // a person has to do it
	}
	return 30 * time.Second, 5 * time.Second
}
