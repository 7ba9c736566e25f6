package orchestrator

import (
	"context"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// SwitchoverOptions say what a switchover moves, and how.
type SwitchoverOptions struct {
	To    string // the site that shall be primary; "" where only one can be meant
	From  string // the site that is; "" where all images agree
	Scope Scope
	// OnlyReady leaves aside the images that are not fit, with their groups,
	// instead of refusing.
	OnlyReady bool
	// Fence shuts out the clients that hold images.
	Fence bool
	// NoWayBack accepts that the new secondary is not replayed to: nobody runs
	// rbd-mirror at the old primary.
	NoWayBack bool
	Reason    string
	// Brief leaves the images closed once it is clear that nothing may be moved: to
	// look for their clients is what takes longest.
	Brief bool
}

// openedAnyway is how many images are looked into for clients in any case.
const openedAnyway = 100

// PrepareSwitchover looks at the sites and checks that all of the images can
// be handed over without loss. It changes nothing.
func PrepareSwitchover(ctx context.Context, plan *plans.Plan, sites *Sites, o SwitchoverOptions) (*Prepared, error) {
	book, obs, stands, err := before(ctx, plan, sites, o.Scope)
	if err != nil {
		return nil, err
	}
	from, to, err := direction(plan, stands, o.From, o.To)
	if err != nil {
		return nil, err
	}
	p := &Prepared{book: book, Run: newRun(plan, book.now(), Switchover, from, to, o.Reason)}
	p.Run.Releases = obs.releases()
	p.Run.Fence = o.Fence
	var c checks
	checkSites(&c, plan, obs, from, to)
	checkRecords(&c, plan, book, stands, Switchover)
	if c.refused(false) == nil {
		stands = p.already(stands, to)
	}
	if c.refused(false) == nil && !p.nothingToDo(&c, stands, to) {
		checkRoles(&c, plan, book, stands, from, to, o.From != "")
		checkReplay(&c, stands, from, to)
		p.Run.NoWayBack = o.NoWayBack
		p.Run.Reverse = checkWayBack(&c, plan, obs, from, to, o.NoWayBack)
		if o.Brief && len(stands) > openedAnyway && c.refused(!o.OnlyReady) != nil {
			c.add("no clients", "who holds the images at %s was not looked at", from).warnf(from, "--dry-run looks, or begin again when the rest is put right",
				"who holds the images was not looked at: nothing is moved anyway")
		} else {
			checkUsers(ctx, &c, plan, sites, stands, from, o.Fence, func(ref replay.ImageRef) string { return stopsClients(plan, Switchover, ref) })
		}
		checkRoom(ctx, &c, plan, sites, stands, to)
	}
	p.Checks = c.list
	p.Refused = c.refused(!o.OnlyReady)
	p.units(plan, stands, &c)
	if p.Refused == nil && len(p.Run.Units) == 0 && len(stands) > 0 {
		p.Refused = c.refused(true)
	}
	p.Hash = p.hash()
	return p, nil
}
