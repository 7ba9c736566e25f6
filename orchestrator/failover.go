package orchestrator

import (
	"context"
	"slices"
	"strings"

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
	p.Run.Releases = obs.releases()
	p.Run.Unfenced, p.Run.LeaveDaemon = o.Unfenced, o.LeaveDaemon
	p.Run.Answered = answers(obs, from)
	p.Probes = probes(ctx, plan, sites, obs, from, to)
	var c checks
	checkSurvivor(&c, obs, to)
	checkRecords(&c, plan, book, stands, Failover)
	if c.refused(false) == nil {
		stands = p.alreadyServing(book, stands, from, to)
	}
	if c.refused(false) == nil && p.nothingToDo(&c, stands, to) {
		if !answers(obs, from) {
			c.list[len(c.list)-1].warnf(from, "ask who was on call; drover runs list FILE shows what "+to+" knows of",
				"if a failover to %s gave the copies at %s up, and nobody has worked at the plan since %s came back, only the records at %s tell it", from, to, to, from)
		}
	} else if c.refused(false) == nil {
		checkPromotable(&c, book, stands, from, to)
		checkRoom(ctx, &c, plan, sites, stands, to)
		checkDaemonStops(&c, sites, obs, to, o.LeaveDaemon)
		checkFence(&c, plan, obs, from, o.Unfenced)
		switch clones, err := ownClones(ctx, plan, sites, to); {
		case len(clones) == 0 && err != nil:
			p.Run.Sweep = true
			c.add("drills", "drills may have left clones at %s, which keep nothing from being promoted: looked for once more first (%s)", to, oneLine(err.Error()))
		case len(clones) > 0:
			p.Run.Sweep = true
			c.add("drills", "%s of drills at %s, such as %s: removed first, and a drill that is at work makes room", plural(uint64(len(clones)), "clone", "clones"), to, clones[0])
		}
	}
	p.Checks = c.list
	p.Refused = c.refused(!o.OnlyFit)
	p.units(plan, stands, &c)
	for i := range p.Run.Units {
		for j := range p.Run.Units[i].Images {
			image := &p.Run.Units[i].Images[j]
			s := find(stands, image.Ref)
			image.Loss = lossOf(s, to)
			if s.primaryAt(to) {
				if image.Loss = s.lossSince(book, to); image.Loss == nil {
					// It is where it shall be, and only refuses writes.
					image.Loss = &Loss{Entries: new(int64), Bytes: new(int64), Seconds: new(float64), Final: true, Why: "it is primary at " + to + " already, and refuses every write"}
				}
			}
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

// answers reports whether a site could be observed.
func answers(obs *Observation, site string) bool {
	seen := obs.Site(site)
	return seen != nil && seen.Fault == nil
}

// failing finds out which site is lost and which shall serve. A site that does
// not answer is the one that is meant: where the images are seen to be primary,
// nothing is lost.
func failing(plan *plans.Plan, obs *Observation, stands []stand, from, to string) (string, string, error) {
	if from == "" {
		silent := slices.DeleteFunc(otherSites(plan, to), func(site string) bool { return answers(obs, site) })
		switch {
		case len(silent) == 1:
			from = silent[0]
		case len(silent) > 1 && to == "":
			return "", "", refusal("say which is lost: --from SITE, and which shall serve: --to SITE", "more than one site does not answer: %s", strings.Join(silent, ", "))
		case len(silent) > 1:
			return "", "", refusal("say which of them was primary: --from SITE", "more than one site does not answer: %s", strings.Join(silent, ", "))
		case to != "":
			from = commonPrimary(stands, to)
			if others := otherSites(plan, to); from == "" && len(others) == 1 {
				from = others[0]
			}
		}
	}
	if from == "" {
		return "", "", refusal("say which site is lost: --from SITE, and which shall serve: --to SITE", "all sites answer")
	}
	return direction(plan, stands, from, to)
}
