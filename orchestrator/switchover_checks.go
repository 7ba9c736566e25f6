package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

func checkSites(c *checks, plan *plans.Plan, obs *Observation, from, to string) {
	check := c.add("sites answer", "%s and %s answer", from, to)
	for _, s := range plan.Sites {
		seen := obs.Site(s.Name)
		switch {
		case seen == nil || seen.Fault == nil:
		case s.Name == from || s.Name == to:
			next := seen.Fault.Hint
			if s.Name == from {
				next = "if " + from + " is lost, use drover failover; else bring it back first"
			}
			check.failf(s.Name, next, "%s does not answer: %s", s.Name, replay.WithoutSite(s.Name, seen.Fault.What))
		default:
			check.warnf(s.Name, seen.Fault.Hint, "%s does not answer: it will follow the new primary when it is back", s.Name)
		}
	}
}

// checkRecords looks for halts and for runs that are not over.
func checkRecords(c *checks, _ *plans.Plan, book *Book, stands []stand, runbook Runbook) {
	check := c.add("no halt, no unfinished run", "none is recorded")
	for _, run := range unfinished(book) {
		next := resumeHint(&run)
		if runbook == Failover {
			next += "; " + wayOut(&run, silentOf(book, &run))
		}
		check.failf("", next, "the %s %s of %s is not over", run.Runbook, run.ID, run.Began.Format(time.RFC3339))
	}
	if runbook == Resync {
		return
	}
	for i := range stands {
		ref := stands[i].evidence.Ref
		if h := book.Halted(ref); h != nil {
			check.Failures = append(check.Failures, CheckFailure{
				Image: &ref, Halt: true, What: "halted: " + h.Reason,
				Next: "drover resync FILE " + ref.String() + " --keep SITE, or drover halt clear FILE " + h.ID,
			})
		}
	}
	for site, err := range book.Faults() {
		check.warnf(site, "", "the records at %s could not be read: %v", site, err)
	}
}

// checkRoles sees that each image is primary at one site, where it should be.
func checkRoles(c *checks, plan *plans.Plan, book *Book, stands []stand, from, to string, named bool) {
	check := c.add("roles", "all images are primary at %s, and there only", from)
	last := lastPrimaries(book)
	for i := range stands {
		s := &stands[i]
		ref := s.evidence.Ref
		at := s.primaries()
		switch {
		case len(at) > 1 || s.verdict.State == replay.SplitBrain:
			check.Failures = append(check.Failures, CheckFailure{
				Image: &ref, Halt: true, What: "split-brain: " + splitWords(s),
				Next: "drover resync FILE " + ref.String() + " --keep SITE shows what each side holds",
			})
		case len(at) == 0:
			check.failImagef(ref, "", "drover status shows why; an image without a primary: drover resync FILE "+ref.String()+" --keep SITE", "it is seen to be primary nowhere%s", s.unreadWords())
		case at[0] != from && s.site(at[0]).Image.Unwritable:
			check.failImagef(ref, at[0], "drover plan apply FILE lets clients write again", "it is primary at %s and refuses every write: a promotion or demotion of it was cut short", at[0])
		case at[0] != from:
			check.failImagef(ref, at[0], "say --from "+at[0]+" if that is right", "it is primary at %s, not at %s", at[0], from)
		case !named && cmpOr(last[ref], plan.Primary) != from:
			check.failImagef(ref, from, "say --from "+from+" if that is right", "it is primary at %s, where neither the plan nor the last run has put it (%s)", from, cmpOr(last[ref], plan.Primary))
		}
	}
}

// splitWords is the problem that makes a split-brain one.
func splitWords(s *stand) string {
	for _, p := range s.verdict.Problems {
		switch p.Code {
		case replay.ProblemTwoPrimaries, replay.ProblemDiverged, replay.ProblemSplitBrain:
			return p.What
		}
	}
	return "primary at " + strings.Join(s.primaries(), " and ")
}

// checkReplay sees that each copy at the new primary is whole, replaying and
// within the objective.
func checkReplay(c *checks, stands []stand, from, to string) {
	check := c.add("replay", "every copy at %s is whole, replaying and within its objective", to)
	for i := range stands {
		s := &stands[i]
		ref := s.evidence.Ref
		if at := s.primaries(); len(at) != 1 || at[0] != from || s.verdict.State == replay.SplitBrain {
			continue // said already
		}
		copied := s.copyAt(to)
		next := "drover status shows what holds it back; begin again when it replays"
		unread := s.unreadAt(to)
		switch {
		case unread != nil:
			check.failImagef(ref, to, next, "its copy at %s cannot be read: %s", to, replay.WithoutSite(to, unread.Error()))
		case copied == nil || s.site(to) == nil || s.site(to).Image == nil:
			check.failImagef(ref, to, next, "%s has no copy", to)
		case copied.State == replay.Syncing || copied.State == replay.Enabling:
			check.failImagef(ref, to, "wait until its first sync is over", "its first sync to %s is not over", to)
		case copied.State != replay.Replaying:
			check.failImagef(ref, to, next, "the copy at %s is %s%s", to, copied.State, problemAt(s, to))
		case copied.Stale || copied.Report == nil:
			check.failImagef(ref, to, next, "rbd-mirror at %s does not report on it", to)
		}
	}
}

// problemAt is the worst problem of an image at a site, to be appended.
func problemAt(s *stand, site string) string {
	for _, p := range s.verdict.Problems {
		if p.Site == site {
			return ": " + p.What
		}
	}
	return ""
}

// checkWayBack sees that the old primary will follow the new one. set is true
// when the reverse direction has to be set up for that.
func checkWayBack(c *checks, plan *plans.Plan, obs *Observation, from, to string, accepted bool) (set bool) {
	check := c.add("way back", "rbd-mirror runs at %s, to follow the new primary", from)
	serves := true
	for i := range plan.Pools {
		serves = serves && obs.Site(from) != nil && obs.Site(from).Serves(poolOf(&plan.Pools[i]))
	}
	switch {
	case plan.Direction == plans.TwoWay && serves:
	case plan.Direction == plans.TwoWay:
		check.failf(from, "start rbd-mirror at "+from+", or accept it: --no-way-back", "no rbd-mirror serves the pools at %s", from)
	case plan.Runbooks.Reverse == plans.ReverseAllow:
		check.What = "the plan allows the reverse direction: it is set up first"
		return true
	default:
		check.failf(from, "set direction: two-way or runbooks.reverse: allow in the plan, or accept it: --no-way-back",
			"the plan is one-way: %s would not follow the new primary, and there would be no clean way back", from)
	}
	for _, other := range otherSites(plan, from) {
		if other != to && !slices.Contains(receivers(plan, to), other) {
			check.warnf(other, "afterwards set primary: "+to+" in the plan, and drover plan apply", "by the plan %s receives from %s only: it does not follow the new primary", other, from)
		}
	}
	if accepted {
		for i := range check.Failures {
			check.Failures[i].Warning = true
		}
	}
	return false
}

// checkUsers sees that nobody holds the images at the primary. Where something in
// the run comes first by which the client may have gone (later names it), that is
// only said: [clientsAct] looks again.
func checkUsers(ctx context.Context, c *checks, plan *plans.Plan, sites *Sites, stands []stand, from string, fence bool, later func(replay.ImageRef) string) {
	check := c.add("no clients", "no client holds an image at %s", from)
	site, err := sites.Site(from)
	if err != nil {
		check.failf(from, "", "%v", err)
		return
	}
	// What may not be moved anyway is not opened to look for clients: that takes
	// long where there are many, and rbd-mirror busy with them.
	unfit := c.unfit()
	if skipped := len(unfit); skipped > 0 {
		stands = slices.DeleteFunc(slices.Clone(stands), func(s stand) bool { _, no := unfit[s.evidence.Ref]; return no })
		check.What += fmt.Sprintf(" (%d that cannot be moved yet were not looked at)", skipped)
	}
	found := make([][]replay.ImageUser, len(stands))
	faults := make([]error, len(stands))
	// Visitors end by themselves, or are shut out, before anything is done.
	passing := visitors(ctx, plan, site)
	forEach(ctx, len(stands), 32, func(i int) {
		ctx, cancel := context.WithTimeout(ctx, lookTime)
		defer cancel()
		found[i], faults[i] = site.Users(ctx, stands[i].evidence.Ref)
	})
	passing = append(passing, visitors(ctx, plan, site)...)
	for i := range stands {
		found[i] = slices.DeleteFunc(found[i], func(u replay.ImageUser) bool { return slices.Contains(passing, u.Address) })
		found[i] = foreign(found[i], followersOf(plan, from, stands[i].mode))
	}
	var held []string
	for i := range stands {
		ref := stands[i].evidence.Ref
		switch {
		case faults[i] != nil && !errors.Is(faults[i], replay.ErrNotFound):
			check.failImagef(ref, from, "look again", "who uses it is not known: %v", faults[i])
		case len(found[i]) > 0 && !fence && later != nil && later(ref) != "":
			check.Failures = append(check.Failures, CheckFailure{
				Image: &ref, Site: from, Warning: true,
				What: fmt.Sprintf("in use by %s; %s comes first, and it is not demoted while it is in use", userWords(found[i]), later(ref)),
			})
		case len(found[i]) > 0 && !fence:
			check.failImagef(ref, from, "stop the client, or shut it out: --fence", "in use by %s", userWords(found[i]))
		case len(found[i]) > 0:
			held = append(held, fmt.Sprintf("%s by %s", ref, userWords(found[i])))
		}
	}
	const shown = 8
	if n := len(held) - shown; n > 0 {
		held = append(held[:shown], fmt.Sprintf("and %d images more", n))
	}
	if len(held) > 0 {
		check.What = fmt.Sprintf("in use at %s, and their clients will be shut out: %s", from, strings.Join(held, "; "))
	}
}

// checkRoom sees that the pools of the new primary have room to write.
func checkRoom(ctx context.Context, c *checks, plan *plans.Plan, sites *Sites, stands []stand, to string) {
	check := c.add("room", "the pools at %s have at least %s free", to, plan.Runbooks.MinFree)
	site, err := sites.Site(to)
	if err != nil {
		check.failf(to, "", "%v", err)
		return
	}
	pools := map[string]bool{}
	for i := range stands {
		pools[stands[i].evidence.Ref.Pool.Name] = true
	}
	var (
		mu sync.Mutex
		wg parallel.Group
	)
	for pool := range pools {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, lookTime)
			defer cancel()
			space, err := site.PoolSpace(ctx, pool)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				check.warnf(to, "", "how full pool %s is at %s is not known: %v", pool, to, err)
			case float64(space.Available) < float64(space.Used+space.Available)*float64(plan.Runbooks.MinFree)/100:
				check.failf(to, "make room at "+to+" (ceph df), or lower runbooks.min_free", "pool %s at %s has %d MiB left beside %d MiB used: less than %s",
					pool, to, space.Available>>20, space.Used>>20, plan.Runbooks.MinFree)
			}
		})
	}
	wg.Wait()
}
