package orchestrator

import (
	"context"
	"slices"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// FailbackOptions say what goes back to the preferred primary, and what a
// person accepts.
type FailbackOptions struct {
	To    string // the site that shall be primary again; "": the plan's preferred primary
	From  string // the site that is; "" where all images agree
	Scope Scope
	Fence bool
	Deep  bool
	// Verify compares each copy, byte by byte, with the primary before the image
	// is handed over to it.
	Verify bool
	Reason string
}

// PrepareFailback looks what lies between the images and their preferred
// primary: copies there that were given up in a failover are preserved and
// discarded first; then the images are handed over. It changes nothing.
func PrepareFailback(ctx context.Context, plan *plans.Plan, sites *Sites, o FailbackOptions) (*Prepared, error) {
	book, obs, stands, err := before(ctx, plan, sites, o.Scope)
	if err != nil {
		return nil, err
	}
	to := cmpOr(o.To, plan.Primary)
	from := o.From
	if from == "" {
		from = commonPrimary(stands, to)
	}
	if from == "" {
		if others := otherSites(plan, to); len(others) == 1 {
			from = others[0]
		}
	}
	if from, to, err = direction(plan, stands, from, to); err != nil {
		return nil, err
	}
	p := &Prepared{book: book, Run: newRun(plan, book.now(), Failback, from, to, o.Reason)}
	p.Run.Releases = obs.releases()
	p.Run.Fence, p.Run.Verify = o.Fence, o.Verify
	var c checks
	checkSites(&c, plan, obs, from, to)
	checkRecords(&c, plan, book, stands, Failback)
	if c.refused(false) == nil {
		stands = p.already(stands, to)
	}
	if c.refused(false) == nil && !p.nothingToDo(&c, stands, to) {
		given := givenUp(book, stands, to)
		checkReceiver(&c, plan, obs, &p.Run, to, from)
		checkUsers(ctx, &c, plan, sites, given, to, o.Fence || fences(plan, to), nil)
		checkUsers(ctx, &c, plan, sites, stands, from, o.Fence, func(ref replay.ImageRef) string {
			if slices.ContainsFunc(given, func(s stand) bool { return s.evidence.Ref == ref }) {
				return "its copy back to " + to
			}
			return stopsClients(plan, Failback, ref)
		})
		p.Evidence = evidenceOf(ctx, plan, sites, given, o.Deep)
		p.choose(&c, given, to, ResyncOptions{Keep: from, Force: true, Fence: o.Fence || fences(plan, to)})
		checkReturning(&c, p, book, stands, from, to)
		checkPreserve(ctx, &c, plan, sites, p, to)
		checkRoom(ctx, &c, plan, sites, stands, to)
	}
	p.Checks = c.list
	p.Refused = c.refused(true)
	p.Run.Units = unitsOf(plan, p.chosen)
	p.Hash = p.hash()
	p.Run.Approved = p.Hash
	return p, nil
}

// givenUp are the images whose copy at a site has to be discarded before they
// can go back there: primary there, too, or with a history of its own.
func givenUp(book *Book, stands []stand, site string) []stand {
	var out []stand
	for i := range stands {
		s := &stands[i]
		e := s.site(site)
		if e == nil || e.Image == nil {
			continue
		}
		if e.Image.Role == replay.RolePrimary || s.verdict.State == replay.SplitBrain ||
			book.Tombstone(site, s.evidence.Ref) != nil && s.copyAt(site) != nil && s.copyAt(site).State != replay.Replaying {
			out = append(out, *s)
		}
	}
	return out
}

// checkReturning sees that every image is primary where it shall come from, and
// adds those whose copies are fit to take over as they are.
func checkReturning(c *checks, p *Prepared, book *Book, stands []stand, from, to string) {
	check := c.add("roles", "every image is primary at %s, or at both of which %s was given up", from, to)
	recopied := map[replay.ImageRef]bool{}
	for i := range p.chosen {
		recopied[p.chosen[i].Ref] = true
	}
	for i := range stands {
		s := &stands[i]
		ref := s.evidence.Ref
		e := s.site(from)
		switch {
		case e == nil || e.Image == nil || e.Image.Role != replay.RolePrimary:
			check.failImagef(ref, from, "drover status shows how it is", "it is not seen to be primary at %s%s", from, s.unreadWords())
		case recopied[ref]:
			there := s.site(to)
			switch lives := there != nil && there.Image != nil && there.Image.Role == replay.RolePrimary && book.Tombstone(to, ref) == nil; {
			case lives && book.Tombstone(from, ref) != nil:
				check.failImagef(ref, from, "drover resync FILE "+ref.String()+" --keep "+to, "it serves at %s already, and %s", to, book.Tombstone(from, ref).words())
			case lives:
				check.Failures = append(check.Failures, CheckFailure{
					Image: &ref, Halt: true, What: "it is primary at " + from + " and at " + to + ", and no failover has given the copy at " + to + " up",
					Next: "drover resync FILE " + ref.String() + " --keep SITE",
				})
			}
		default:
			copied := s.copyAt(to)
			if copied == nil || copied.State != replay.Replaying {
				check.failImagef(ref, to, "wait until it replays; drover status shows what holds it back", "the copy at %s does not replay%s", to, problemAt(s, to))
				continue
			}
			p.chosen = append(p.chosen, RunImage{Ref: ref, Mode: s.mode})
		}
	}
}

// failback compiles a failback: first the copies at the new primary are made
// anew where they have to be, then the images are handed over.
func (w *writer) failback() itinerary {
	out := itinerary{closing: append(w.scheduleStages(), w.liftStage())}
	if s, wanted := w.fenceReturnedStep(w.plan.Site(w.run.To)); wanted {
		out.opening = append(out.opening, stage{s})
	}
	if w.run.Reverse {
		out.opening = append(out.opening, stage{w.reverseStep()})
	}
	out.program = func(u RunUnit) program {
		p := program{unit: u}
		w.recopy(&p, w.run.To, w.run.From, func(*RunImage) bool { return w.run.Verify })
		first := len(p.stages)
		over := w.handOver(u)
		p.stages = append(p.stages, over.stages...)
		p.undo, p.changesAt, p.commits = over.undo, first+over.changesAt, first+over.commits
		p.partAt = p.firstRole()
		return p
	}
	return out
}
