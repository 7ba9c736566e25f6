package orchestrator

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

func checkSurvivor(c *checks, obs *Observation, to string) {
	check := c.add("the surviving site answers", "%s answers", to)
	if seen := obs.Site(to); seen == nil || seen.Fault != nil {
		what, next := "it was not observed", ""
		if seen != nil {
			what, next = replay.WithoutSite(to, seen.Fault.What), seen.Fault.Hint
		}
		check.failf(to, next, "%s does not answer: %s", to, what)
	}
}

// checkPromotable sees that each image has a copy at the surviving site that
// is a valid image, and that no site serves it that is not lost.
func checkPromotable(c *checks, book *Book, stands []stand, from, to string) {
	check := c.add("copies can serve", "every image has a whole copy at %s", to)
	for i := range stands {
		s := &stands[i]
		ref := s.evidence.Ref
		there := s.site(to)
		switch {
		case s.servedAt(book, from, to) != "":
			at := s.servedAt(book, from, to)
			check.failImagef(ref, at, "leave it out (--only-ready, or --image for the others), or use drover switchover FILE --from "+at+"; if "+at+" is what is unfit, say --from "+at,
				"it is primary at %s, which answers", at)
		case s.primaryAt(to) && len(s.primaries()) == 1: // given up once, and all that is left: see [Prepared.alreadyServing]
		case len(s.primaries()) > 1 || s.verdict.State == replay.SplitBrain && there != nil && there.Image != nil && there.Image.Role == replay.RolePrimary:
			check.Failures = append(check.Failures, CheckFailure{Image: &ref, Halt: true, What: "split-brain: " + splitWords(s), Next: "drover resync FILE " + ref.String() + " --keep SITE"})
		case there == nil || there.Err != nil:
			check.failImagef(ref, to, "", "its copy at %s cannot be read%s", to, problemAt(s, to))
		case there.Image == nil:
			check.failImagef(ref, to, "nothing can be promoted: restore it from a backup", "%s has no copy", to)
		case !there.Image.Mirrored():
			check.failImagef(ref, to, "look at the image of this name", "the image at %s is not mirrored", to)
		case there.Image.State != replay.StateEnabled:
			check.failImagef(ref, to, "its first sync is not over: it is not a valid image", "mirroring at %s is %s", to, there.Image.State)
		case s.firstSyncing(from, to):
			check.failImagef(ref, to, "it is not a valid image and must not be promoted", "its first sync is not complete")
		}
	}
}

// servedAt is a site that answers, has no part in the failover and is alone
// primary of the image; "" where there is none. A copy that an earlier failover
// gave up does not count: it serves nobody.
func (s *stand) servedAt(book *Book, from, to string) string {
	at := slices.DeleteFunc(s.primaries(), func(site string) bool { return book.Tombstone(site, s.evidence.Ref) != nil })
	if len(at) != 1 || at[0] == from || at[0] == to {
		return ""
	}
	return at[0]
}

func (s *stand) primaryAt(site string) bool { return slices.Contains(s.primaries(), site) }

// firstSyncing reports whether a copy is in its first sync, as far as can be
// told with the primary out of sight: in journal mode only the primary's
// journal and the daemon's report know.
func (s *stand) firstSyncing(from, to string) bool {
	there := s.site(to)
	if here := s.site(from); here != nil && here.Err == nil && here.Image != nil && here.Image.Mirrored() {
		return firstSync(replay.Copy{Image: *here.Image, MirrorUUID: here.Pool.UUID}, replay.Copy{Image: *there.Image, MirrorUUID: there.Pool.UUID})
	}
	if syncPoint(there.Image) {
		return true
	}
	if there.Image.Mode == replay.ModeSnapshot {
		return firstSync(replay.Copy{Image: replay.Image{Mode: replay.ModeSnapshot}}, replay.Copy{Image: *there.Image})
	}
	copied := s.copyAt(to)
	return copied != nil && copied.Report != nil && (copied.Report.State == replay.ReportSyncing || copied.Report.Has(replay.CondBootstrapping)) && !everReplayed(there.Image.Journal)
}

// syncPoint reports whether a copy has the snapshot that rbd-mirror keeps while
// it makes a first sync in journal mode (tools/rbd_mirror/image_sync,
// SNAP_NAME_PREFIX), and removes at its end.
func syncPoint(image *replay.Image) bool {
	return slices.ContainsFunc(image.Snapshots, func(s replay.Snapshot) bool { return strings.HasPrefix(s.Name, ".rbd-mirror.") })
}

// everReplayed reports whether a copy's own journal holds anything: rbd-mirror
// writes there only once the first sync is over.
func everReplayed(j *replay.Journal) bool {
	if j == nil {
		return false
	}
	local, ok := j.Client("")
	if !ok {
		return false
	}
	_, any := local.Newest()
	return any
}

// lossOf is what promoting the copy would give up.
func lossOf(s *stand, to string) *Loss {
	copied := s.copyAt(to)
	if copied == nil {
		return &Loss{Why: "nothing is known of how far the copy is"}
	}
	l := &Loss{Entries: copied.Lag.Entries, Bytes: copied.Lag.Bytes}
	if copied.Lag.Seconds != nil {
		v := copied.Lag.Seconds.Seconds()
		l.Seconds = &v
	}
	switch {
	case copied.Proof.Final:
		zero, none := int64(0), 0.0
		return &Loss{Entries: &zero, Bytes: &zero, Seconds: &none, Final: true, Why: copied.Proof.Why}
	case copied.Lag.Exact:
		l.Why = "from what both sites hold"
		if copied.Proof.Why != "" {
			l.Why += ": " + copied.Proof.Why
		}
		l.Why += "; what was written after this look is not known"
	case copied.Report != nil:
		l.Why = fmt.Sprintf("as rbd-mirror at %s reported %s; what was written later is not known", to, copied.Report.Updated.UTC().Format(time.RFC3339))
	default:
		l.Why = "nothing tells how far the copy is"
	}
	return l
}

// checkDaemonStops sees that the local rbd-mirror can be stopped for the batch.
func checkDaemonStops(c *checks, sites *Sites, obs *Observation, to string, leave bool) {
	check := c.add("rbd-mirror at "+to, "it is stopped while images are promoted")
	seen := obs.Site(to)
	switch {
	case leave:
		check.What = "it goes on, as asked: each promotion has to wait for it"
	case sites.Runner(to) == nil && seen != nil && seen.daemonRuns():
		check.What = "others run it: the run waits until it is stopped by hand"
	case seen != nil && !seen.daemonRuns():
		check.What = "none runs"
	}
}

// checkFence sees what can be done against the old site's clients.
func checkFence(c *checks, plan *plans.Plan, obs *Observation, from string, accepted bool) {
	check := c.add("fence", "the plan has none for %s: whoever still writes there is not stopped", from)
	site := plan.Site(from)
	silent := obs.Site(from) == nil || obs.Site(from).Fault != nil
	switch site.Fence.Method {
	case plans.FenceCommand:
		check.What = "the clients of " + from + " are shut out by: " + shellLine(site.Fence.Command...)
	case plans.FenceBlocklist:
		check.What = "the clients of " + from + " are put on its blocklist"
		if silent && !accepted {
			check.failf(from, "if nobody can be writing there, say so: --unfenced", "%s does not answer, so that its clients cannot be shut out", from)
		}
	default:
		return
	}
	if accepted {
		check.What = "left out, as asked: whoever still writes at " + from + " is not stopped"
	}
}
