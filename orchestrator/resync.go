package orchestrator

import (
	"context"
	"slices"
	"strings"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// ResyncOptions say which copies are discarded, and what a person accepts.
type ResyncOptions struct {
	Keep  string // the site whose copy stays
	Loser string // the site whose copy is discarded; "" where only one can be meant
	Scope Scope  // the images, or groups; required, unless All
	// All takes every image of the scope, or of the plan, that is halted, primary
	// at two sites, or stranded. Copies that a failover gave up are left to the
	// failback: unless they are halted, it takes none of them.
	All bool
	// Deep compares what both sides hold now, for the evidence.
	Deep   bool
	Fence  bool
	Reason string
	// NoVerify leaves out the comparison of the new copy with the one that it was
	// made of, which reads all that is allocated in both.
	NoVerify bool
	// Force resyncs also images of which nothing seems wrong, where they are named
	// one by one, and keeps also copies that a failover gave up.
	Force bool

	// along are images that nobody meant: they only share a group with one.
	along map[replay.ImageRef]bool
}

// PrepareResync gathers, for each image, the evidence that a person needs who
// has to choose which copy stays, and checks that the other may be discarded.
// It changes nothing.
func PrepareResync(ctx context.Context, plan *plans.Plan, sites *Sites, o ResyncOptions) (*Prepared, error) {
	if plan.Site(o.Keep) == nil {
		return nil, refusal("say which copy stays: --keep SITE", "the plan has no site %q", o.Keep)
	}
	if !o.All && len(o.Scope.Images)+len(o.Scope.Groups)+len(o.Scope.Waves) == 0 {
		return nil, refusal("name the image or the group, or say --all", "a resync discards copies, and is of nothing in particular")
	}
	book, obs, stands, err := before(ctx, plan, sites, o.Scope)
	if err != nil {
		return nil, err
	}
	var left []givenAway
	if o.All {
		if stands, left, err = troubled(plan, book, stands); err != nil {
			return nil, err
		}
	}
	loser, err := loserOf(plan, stands, o.Keep, o.Loser)
	if err != nil {
		return nil, err
	}
	p := &Prepared{book: book, Run: newRun(plan, book.now(), Resync, loser, o.Keep, o.Reason)}
	p.Run.Releases = obs.releases()
	p.Run.Fence, p.Run.Verify = o.Fence, !o.NoVerify
	var c checks
	checkSites(&c, plan, obs, loser, o.Keep)
	checkRecords(&c, plan, book, stands, Resync)
	checkLeft(&c, plan, left)
	if c.refused(false) == nil {
		checkReceiver(&c, plan, obs, &p.Run, loser, o.Keep)
		p.Evidence = evidenceOf(ctx, plan, sites, stands, o.Deep)
		if stands = p.spare(plan, stands, loser, &o); len(stands) == 0 {
			c.add("trouble", "a copy wants a resync").failf("", "name an image and say --force to discard its copy all the same", "nothing is wrong that a resync would mend: %s", p.Run.Left[0].Why)
		}
		checkUsers(ctx, &c, plan, sites, stands, loser, o.Fence, nil)
		p.choose(&c, stands, loser, o)
		checkPreserve(ctx, &c, plan, sites, p, loser)
	}
	p.Checks = c.list
	p.Refused = c.refused(true)
	p.Run.Units = unitsOf(plan, p.chosen)
	p.Hash = p.hash()
	p.Run.Approved = p.Hash
	return p, nil
}

// loserOf is the site whose copies are discarded.
func loserOf(plan *plans.Plan, stands []stand, keep, named string) (string, error) {
	if named != "" {
		if plan.Site(named) == nil || named == keep {
			return "", refusal("name another site of the plan", "%q cannot be the site that is discarded", named)
		}
		return named, nil
	}
	others := otherSites(plan, keep)
	if len(others) == 1 {
		return others[0], nil
	}
	var bad []string
	for i := range stands {
		for _, site := range others {
			if e := stands[i].site(site); e != nil && e.Image != nil && e.Image.Role == replay.RolePrimary && !slices.Contains(bad, site) {
				bad = append(bad, site)
			}
		}
	}
	if len(bad) != 1 {
		return "", refusal("say which: --discard SITE", "it cannot be told which of %s is to be discarded", strings.Join(others, " and "))
	}
	return bad[0], nil
}

// evidenceOf gathers the evidence of all images, several at once.
func evidenceOf(ctx context.Context, plan *plans.Plan, sites *Sites, stands []stand, deep bool) []*SplitEvidence {
	out := make([]*SplitEvidence, len(stands))
	forEach(ctx, len(stands), 8, func(i int) {
		e, err := splitEvidence(ctx, plan, sites, stands[i].evidence.Ref, deep)
		if err != nil {
			e = &SplitEvidence{Image: stands[i].evidence.Ref, State: replay.Unknown, Why: err.Error()}
		}
		out[i] = e
	})
	return slices.DeleteFunc(out, func(e *SplitEvidence) bool { return e == nil })
}
