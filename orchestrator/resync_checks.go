package orchestrator

import (
	"context"
	"fmt"
	"math/bits"
	"slices"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// choose turns the choice of the site to keep into what happens to each image.
func (p *Prepared) choose(c *checks, stands []stand, loserSite string, o ResyncOptions) {
	check := c.add("evidence", "what each side holds is known as far as shown; the copy at %s can be kept", o.Keep)
	for _, e := range p.Evidence {
		var choice *Choice
		for i := range e.Choices {
			if e.Choices[i].Keep == o.Keep {
				choice = &e.Choices[i]
			}
		}
		loser := e.side(loserSite)
		s := find(stands, e.Image)
		force := o.Force && !o.along[e.Image]
		switch {
		case choice == nil || loser == nil || s == nil:
			check.failImagef(e.Image, o.Keep, "", "it cannot be told what keeping %s would mean: %s", o.Keep, e.Why)
			continue
		case choice.Refused != "":
			check.failImagef(e.Image, o.Keep, "keep the other site's copy, or bring the site back", "%s", choice.Refused)
			continue
		case e.State != replay.SplitBrain && e.State != replay.Stranded && !force && p.fine(s):
			check.failImagef(e.Image, "", "say --force to discard the copy all the same", "nothing is wrong with it: %s", e.Why)
			continue
		case e.State != replay.Stranded && e.side(o.Keep).Role != replay.RolePrimary:
			check.failImagef(e.Image, o.Keep, keepNext(loser), "it is not primary at %s: discarding the copy at %s could lose the only one that is complete", o.Keep, loserSite)
			continue
		case !force && overtaken(p.book, e.Image, o.Keep, loserSite) != nil:
			t := overtaken(p.book, e.Image, o.Keep, loserSite)
			check.failImagef(e.Image, o.Keep, "drover failback FILE brings it back; or --force, to keep the copy that was given up", "%s: it lacks what %s wrote since", t.words(), loserSite)
			continue
		case !loser.Present:
			check.failImagef(e.Image, loserSite, "rbd-mirror makes the copy by itself once the primary is right", "%s has no copy that could be discarded", loserSite)
			continue
		}
		image := RunImage{
			Ref: e.Image, Mode: s.mode, OldID: loser.copy.Image.ID,
			Loss:     &Loss{Entries: signed(choice.Entries), Bytes: signed(choice.Bytes), Seconds: choice.Seconds, Why: choice.Loses, Snapshots: choice.Snapshots},
			Evidence: choice.Hash,
		}
		if h := e.head(loserSite, o.Keep); h != nil {
			image.Loss.Ranges, image.Loss.RangeBytes = signed(&h.Ranges), signed(&h.Bytes)
		}
		if o.Fence && loser.written() {
			// It moves with each look, until its clients are shut out. All of it is
			// kept; so the word is bound to roughly how much it is.
			image.Evidence = fingerprint(map[string]string{"choice": e.hashOf(o.Keep, loserSite), "held": loser.roughly(image.Loss)})
		}
		image.Promote = e.State == replay.Stranded
		// A copy that lacks nothing but the way to the primary is not discarded.
		image.Resync = e.State != replay.Stranded || !choice.Nothing || force
		if image.Resync && !checkTies(check, p.book.plan, loser, e.Image) {
			continue
		}
		p.chosen = append(p.chosen, image)
	}
}

// checkTies sees that nothing hangs on a copy that is discarded; drills make room.
func checkTies(check *Check, plan *plans.Plan, loser *SideEvidence, ref replay.ImageRef) bool {
	if loser.tiesErr != nil {
		check.failImagef(ref, loser.Site, "try again", "it cannot be told whether clones of its snapshots are left at %s: %v", loser.Site, loser.tiesErr)
		return false
	}
	what, next := tied(withoutDrills(plan, loser.Ties), loser.Site)
	if what != "" {
		check.failImagef(ref, loser.Site, next, "%s", what)
	}
	return what == ""
}

// tied words why a copy cannot be discarded, and what to do about it; "" where
// nothing hangs on it.
func tied(t replay.Ties, site string) (what, next string) {
	switch {
	case len(t.Clones) > 0:
		return "the clones " + listed(t.Clones) + " at " + site + " rest on its snapshots, which go with the copy", "make them independent (rbd flatten) or remove them, there"
	case len(t.Protected) > 0:
		return "rbd-mirror at " + site + " cannot discard it with its protected snapshots " + listed(t.Protected), "unprotect them (rbd snap unprotect), there"
	}
	return "", ""
}

// keepNext is what to do about a copy that shall be kept and is not primary, while
// the image is not stranded.
func keepNext(loser *SideEvidence) string {
	if loser.Role == replay.RolePrimary {
		return "use switchover to make it primary there; or keep the copy at " + loser.Site
	}
	return "drover status FILE shows where it is primary, and which sites do not answer"
}

// written reports whether a client that is no rbd-mirror may be writing to the
// side's image.
func (s *SideEvidence) written() bool {
	return slices.ContainsFunc(s.Clients, func(u replay.ImageUser) bool { return !u.Mirror && (u.Locks || u.Kernel) })
}

// roughly is how much a side holds alone, to a power of sixteen: by bytes, or,
// where those are not known, by its place in its own journal, which the client
// records every few seconds.
func (s *SideEvidence) roughly(held *Loss) string {
	const step = 4 // bits
	if held.Bytes != nil {
		return fmt.Sprintf("bytes 2^%d", bits.Len64(uint64(max(*held.Bytes, 0)))/step*step)
	}
	if j := s.copy.Image.Journal; j != nil {
		if local, ok := j.Client(""); ok {
			p, _ := local.Newest()
			return fmt.Sprintf("entries 2^%d", bits.Len64(p.Entry)/step*step)
		}
	}
	return "unknown"
}

func signed(n *uint64) *int64 {
	if n == nil {
		return nil
	}
	v := int64(min(*n, 1<<62)) //nolint:gosec // bounded
	return &v
}

// checkReceiver sees that the loser's site can receive: a daemon and a peer.
func checkReceiver(c *checks, plan *plans.Plan, obs *Observation, run *Run, loser, keep string) {
	check := c.add("the way to "+loser, "rbd-mirror at %s replays from %s", loser, keep)
	if !slices.Contains(receivers(plan, keep), loser) {
		if plan.Runbooks.Reverse != plans.ReverseAllow {
			check.failf(loser, "set direction: two-way or runbooks.reverse: allow in the plan", "by the plan %s does not receive from %s: what is discarded there would never be copied anew", loser, keep)
			return
		}
		check.What = "the plan allows the reverse direction: it is set up first"
		run.Reverse = true
		return
	}
	for i := range plan.Pools {
		if seen := obs.Site(loser); seen != nil && !seen.Serves(poolOf(&plan.Pools[i])) {
			check.failf(loser, "start it: drover plan apply FILE", "no rbd-mirror serves %s at %s", plan.Pools[i].Name, loser)
		}
	}
}

// checkPreserve sees that there is room to keep what is discarded.
func checkPreserve(ctx context.Context, c *checks, plan *plans.Plan, sites *Sites, p *Prepared, loser string) {
	check := c.add("room to preserve", "nothing has to be preserved")
	var refs []replay.ImageRef
	for i := range p.chosen {
		if p.chosen[i].Resync {
			refs = append(refs, p.chosen[i].Ref)
		}
	}
	site, err := sites.Site(loser)
	if err != nil || len(refs) == 0 {
		return
	}
	bytes, err := preserveRoom(ctx, site, refs, preserveOrderOf(plan, p.Run.ID))
	if err != nil {
		check.failf(loser, "make room, or set preserve.as: export with a path in the plan", "%v", err)
		return
	}
	check.What = fmt.Sprintf("%d copies at %s, %s, are kept for %s before they are discarded", len(refs), loser, sizeText(bytes), plan.Preserve.Keep)
	p.Preserves = bytes
}
