package orchestrator

import (
	"context"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// FailoverOptions say what a failover promotes, and what a person accepts.
type FailoverOptions struct {
	To     string // the site that shall be primary; "" where only one can be meant
	From   string // the site that is lost; "" where only one can be meant
	Scope  Scope
	Reason string
	// OnlyFit promotes what can be promoted and leaves the rest, with its
	// groups, instead of refusing.
	OnlyFit bool
	// Unfenced accepts that the old site's clients are not shut out, though the
	// plan has a fence.
	Unfenced bool
	// LeaveDaemon promotes although the local rbd-mirror goes on, which makes
	// each promotion slower.
	LeaveDaemon bool
}

// PrepareFailover finds out how the old site is, and what each image would
// lose. It changes nothing. The old site may answer, be gone, or accept
// connections and answer nothing.
func PrepareFailover(ctx context.Context, plan *plans.Plan, sites *Sites, o FailoverOptions) (*Prepared, error) {
	book, obs, stands, err := before(ctx, plan, sites, o.Scope)
	if err != nil {
		return nil, err
	}
	from, to, err := failing(plan, obs, stands, o.From, o.To)
	if err != nil {
		return nil, err
	}
	p := &Prepared{book: book, Run: newRun(plan, book.now(), Failover, from, to, o.Reason)}
	p.Run.Unfenced, p.Run.LeaveDaemon = o.Unfenced, o.LeaveDaemon
	p.Probes = probes(ctx, plan, sites, obs, from, to)
	var c checks
	checkSurvivor(&c, obs, to)
	checkRecords(&c, plan, book, stands, Failover)
	if c.refused(false) == nil {
		stands = p.already(stands, to)
	}
	if c.refused(false) == nil && !p.nothingToDo(&c, stands, to) {
		checkPromotable(&c, stands, from, to)
		checkRoom(ctx, &c, plan, sites, stands, to)
		checkDaemonStops(&c, sites, obs, to, o.LeaveDaemon)
		checkFence(&c, plan, obs, from, o.Unfenced)
	}
	p.Checks = c.list
	p.Refused = c.refused(!o.OnlyFit)
	p.units(plan, stands, &c)
	for i := range p.Run.Units {
		for j := range p.Run.Units[i].Images {
			image := &p.Run.Units[i].Images[j]
			image.Loss = lossOf(find(stands, image.Ref), to)
		}
	}
	p.Hash = p.hash()
	p.Run.Approved = p.Hash
	return p, nil
}

func find(stands []stand, ref replay.ImageRef) *stand {
	for i := range stands {
		if stands[i].evidence.Ref == ref {
			return &stands[i]
		}
	}
	return nil
}

// failing finds out which site is lost and which shall serve.
func failing(plan *plans.Plan, obs *Observation, stands []stand, from, to string) (string, string, error) {
	if from == "" && to == "" {
		for i := range obs.Sites {
			if obs.Sites[i].Fault != nil {
				if from != "" {
					return "", "", refusal("say which site shall serve: --to SITE", "more than one site does not answer")
				}
				from = obs.Sites[i].Name
			}
		}
	}
	if from == "" && to != "" {
		if from = commonPrimary(stands, to); from == "" {
			if others := otherSites(plan, to); len(others) == 1 {
				from = others[0]
			}
		}
		if from == "" {
			for i := range obs.Sites {
				if obs.Sites[i].Fault != nil && obs.Sites[i].Name != to {
					from = obs.Sites[i].Name
				}
			}
		}
	}
	if from == "" {
		return "", "", refusal("say which site is lost: --from SITE, and which shall serve: --to SITE", "all sites answer")
	}
	return direction(plan, stands, from, to)
}
