package replay

import (
	"slices"
	"time"
)

// judgePrimary judges what concerns the one primary.
func (j *judge) judgePrimary(p *SiteEvidence) {
	if p.Pool.Mode == PoolDisabled {
		j.problemf(ProblemPoolNotMirrored, p.Site, "mirroring of the pool is disabled at %s", p.Site)
	}
	if p.DaemonWanted && p.DaemonsErr == nil && !j.served(p) {
		j.problemf(ProblemNoStandbyDaemon, p.Site, "no rbd-mirror serves the pool at %s, the present primary", p.Site)
	}
	if len(j.Sites) == 1 {
		j.problemf(ProblemNobodyElseHoldsIt, p.Site, "%s is the only site that should hold the image", p.Site)
	}
	if p.Image.Mode == ModeSnapshot {
		j.judgeSchedule(p)
	}
	j.judgeJournal(p)
}

func (j *judge) judgeSchedule(p *SiteEvidence) {
	if p.SchedulesErr != nil {
		j.problemf(ProblemSchedulesUnknown, p.Site, "the mirror snapshot schedules of %s are not known: %s", p.Site, WithoutSite(p.Site, p.SchedulesErr.Error()))
	}
	if p.ScheduleEvery <= 0 {
		if p.SchedulesErr != nil {
			return
		}
		j.problemf(ProblemNoSchedule, p.Site, "no mirror snapshot schedule covers the image at %s", p.Site)
		return
	}
	newest, ok := newestMirrorSnapshot(*p.Image)
	limit := 2*p.ScheduleEvery + j.Limits.ScheduleGrace
	if ok && olderThan(newest.Created, j.Now, limit) {
		j.problemf(ProblemScheduleDead, p.Site, "the newest mirror snapshot at %s is %s old, the schedule says every %s",
			p.Site, roughly(j.Now.Sub(newest.Created)), roughly(p.ScheduleEvery))
	}
}

// judgeJournal looks for what the primary's journal has to hold back.
func (j *judge) judgeJournal(p *SiteEvidence) {
	journal := p.Image.Journal
	if journal == nil || journal.ActiveSet < journal.MinimumSet || journal.ActiveSet-journal.MinimumSet <= j.Limits.JournalSets {
		return
	}
	slowest, who := Position{}, ""
	for _, c := range journal.Clients {
		at, _ := c.Newest()
		if c.ID != "" && !c.Disconnected && (who == "" || before(at, slowest)) {
			slowest, who = at, c.ID
		}
	}
	name := "its reader " + who + ", which is none of the sites"
	for i := range j.Sites {
		if j.Sites[i].Pool.UUID == who && who != "" {
			name = j.Sites[i].Site
		}
	}
	if who == "" {
		name = "a reader that is gone"
	}
	j.problemf(ProblemJournalGrowing, p.Site, "the journal at %s holds back %d object sets, waiting for %s",
		p.Site, journal.ActiveSet-journal.MinimumSet, name)
}

// judgeSecondary judges one site against the one primary.
func (j *judge) judgeSecondary(p, s *SiteEvidence) SecondaryVerdict {
	if s.Err != nil {
		return SecondaryVerdict{Site: s.Site, State: Unknown}
	}
	begin := len(j.problems)
	v := SecondaryVerdict{Site: s.Site}
	v.Report, v.Stale = j.ownReport(s)
	if s.PoolMissing {
		return SecondaryVerdict{Site: s.Site, State: Degraded} // the problem has been told
	}
	j.judgeServing(p, s)
	switch {
	case s.Image == nil:
		v.State = j.judgeMissing(p, s, &v)
	case !s.Image.Mirrored():
		v.State = Degraded
		j.problemf(ProblemNameTaken, s.Site, "an image of this name at %s is not mirrored", s.Site)
	case s.Image.GlobalID != "" && p.Image.GlobalID != "" && s.Image.GlobalID != p.Image.GlobalID:
		v.State = Degraded
		j.problemf(ProblemDifferentImages, s.Site, "the image at %s is not a copy of the one at %s: their global ids differ", s.Site, p.Site)
	case s.Image.Mode != p.Image.Mode:
		v.State = Degraded
		j.problemf(ProblemModeMismatch, s.Site, "mirrored in %s mode at %s, in %s mode at %s", p.Image.Mode, p.Site, s.Image.Mode, s.Site)
	default:
		j.judgeCopy(p, s, &v)
	}
	for _, found := range j.problems[begin:] {
		kind, _ := kindOf(found.Code)
		v.State = worse(v.State, kind.State)
	}
	return v
}

// judgeServing judges what must be there before a site can replay at all.
func (j *judge) judgeServing(p, s *SiteEvidence) {
	if s.Pool.Mode == PoolDisabled {
		j.problemf(ProblemPoolNotMirrored, s.Site, "mirroring of the pool is disabled at %s", s.Site)
		return
	}
	j.judgeDaemon(s)
	receives := false
	for _, peer := range s.Pool.Peers {
		receives = receives || peer.Direction.Receives() && (p.isPeer(peer) || len(s.Pool.Peers) == 1 && peer.MirrorUUID == "")
	}
	if !receives {
		j.problemf(ProblemNoPeer, s.Site, "the pool at %s has no peer that it receives %s's images from", s.Site, p.Site)
	}
}

// judgeDaemon judges whether anybody replays to a site.
func (j *judge) judgeDaemon(s *SiteEvidence) {
	if s.DaemonsErr != nil || j.served(s) {
		return
	}
	what := "no rbd-mirror runs at %s"
	if len(s.Daemons) > 0 {
		what = "an rbd-mirror runs at %s but does not serve the pool"
	}
	j.problemf(ProblemNoDaemon, s.Site, what, s.Site)
}

// served reports whether a daemon serves the pool at the site. A daemon that
// names no pool at all has just started: it gets the benefit of the doubt. The
// service map is the mgr's, which forgets daemons when it fails over or is busy: that one
// lives is seen by its report of the image, too, unless that is old.
func (j *judge) served(s *SiteEvidence) bool {
	if slices.ContainsFunc(s.Daemons, j.serves) {
		return true
	}
	report, stale := j.ownReport(s)
	return report != nil && !stale
}

func (j *judge) serves(d MirrorDaemon) bool {
	return len(d.Pools) == 0 || slices.ContainsFunc(d.Pools, func(p DaemonPool) bool { return p.Pool.Name == j.Ref.Pool.Name })
}

// settled reports whether a daemon has served the pool long enough to have
// reported.
func (j *judge) settled(s *SiteEvidence) bool {
	return slices.ContainsFunc(s.Daemons, func(d MirrorDaemon) bool {
		return j.serves(d) && olderThan(d.Started, j.Now, j.Limits.DaemonStart)
	})
}

// judgeMissing tells a copy that is still to come from one that is gone, and
// from one that the daemon fails to make.
//
// Only snapshots have a time from which a copy that never came can be told:
// nothing in a journal, nor in a report (which is written anew every 30 s),
// says since when an image is mirrored.
func (j *judge) judgeMissing(p, s *SiteEvidence, v *SecondaryVerdict) State {
	if j.Resyncing {
		j.suppressed = true
		return Resyncing
	}
	if wasThere(*p.Image, s.Pool.UUID) || p.Image.Mode == ModeSnapshot && olderThan(oldestMirrorSnapshot(*p.Image), j.Now, j.Limits.Appearing) {
		j.problemf(ProblemSecondaryMissing, s.Site, "%s has no copy", s.Site)
		if v.Report != nil && !v.Stale {
			j.judgeReport(s, v)
		}
		return Degraded
	}
	before := len(j.problems)
	if v.Report != nil && !v.Stale {
		j.judgeReport(s, v)
	}
	if len(j.problems) > before {
		return Degraded // waiting will not help
	}
	j.problemf(ProblemSecondaryAwaited, s.Site, "%s has no copy yet", s.Site)
	return Enabling
}

// wasThere reports whether the peer has replayed the primary's journal before.
func wasThere(primary Image, peer string) bool {
	if primary.Journal == nil || peer == "" {
		return false
	}
	c, ok := primary.Journal.Client(peer)
	return ok && !c.Syncing
}

func oldestMirrorSnapshot(i Image) (oldest time.Time) {
	for _, s := range i.Snapshots {
		if s.Kind == SnapshotMirror && (oldest.IsZero() || s.Created.Before(oldest)) {
			oldest = s.Created
		}
	}
	return oldest
}

// judgeCopy judges a copy that is one.
func (j *judge) judgeCopy(p, s *SiteEvidence, v *SecondaryVerdict) {
	primary, secondary := p.copy(), s.copy()
	v.Proof = CaughtUp(primary, secondary)
	in := LagInput{Primary: &primary, Secondary: &secondary, Report: v.Report, Now: j.Now}
	if at, ok := p.Appended[s.Site]; ok {
		in.Appended = &at
	}
	if n, ok := p.BytesBehind[s.Site]; ok {
		in.Bytes = &n
	}
	v.Lag = MeasureLag(in)

	syncing := firstSyncing(primary, secondary, v.Report, v.Stale)
	v.State = j.replayState(v, syncing)
	if diverged, why := Diverged(primary, secondary); diverged {
		if j.HandingOver || j.Resyncing {
			j.suppressed = true
		} else {
			j.problemf(ProblemDiverged, s.Site, "%s: %s", s.Site, why)
		}
	}
	if j.gaveUp(primary, secondary) {
		j.problemf(ProblemDisconnected, s.Site, "the journal at %s has disconnected %s", p.Site, s.Site)
	}
	j.judgeReport(s, v)
	if v.Report != nil && v.Stale && j.settled(s) {
		// A daemon that lives but does not write may replay no more either, as
		// with a full pool: that the copy held all a while ago says nothing then.
		v.State = worse(v.State, Degraded)
	}
	if syncing {
		if olderThan(s.SyncStuckSince, j.Now, j.Limits.SyncStalled) {
			j.problemf(ProblemSyncStalled, s.Site, "the first sync to %s has come no further for %s", s.Site, roughly(j.Now.Sub(s.SyncStuckSince)))
		}
		return
	}
	j.judgeLag(p, s, v)
}

func (j *judge) gaveUp(primary, secondary Copy) bool {
	if primary.Image.Journal == nil || secondary.MirrorUUID == "" {
		return false
	}
	c, ok := primary.Image.Journal.Client(secondary.MirrorUUID)
	return ok && c.Disconnected
}

// firstSyncing reports whether the copy is not a valid image yet.
func firstSyncing(primary, secondary Copy, report *Report, stale bool) bool {
	if primary.Image.Mode == ModeSnapshot {
		if len(primary.Image.Snapshots) > 0 {
			for _, s := range secondary.Image.Snapshots {
				if s.Mirror != nil && s.Mirror.Complete {
					return false
				}
			}
			return true
		}
	} else if primary.Image.Journal != nil && secondary.MirrorUUID != "" {
		c, ok := primary.Image.Journal.Client(secondary.MirrorUUID)
		return ok && c.Syncing
	}
	return report != nil && !stale && (report.State == ReportSyncing || report.Has(CondBootstrapping))
}

// replayState is the copy's state as long as nothing is wrong with it.
func (j *judge) replayState(v *SecondaryVerdict, syncing bool) State {
	fresh := v.Report != nil && !v.Stale
	switch {
	case fresh && v.Report.Has(CondResyncRequested):
		return Resyncing
	case syncing && j.Resyncing:
		return Resyncing
	case syncing:
		return Syncing
	case v.Proof.OK:
		return Replaying
	case v.Report == nil:
		return Enabling // reports outlive daemons: none at all means that it is new
	case v.Stale:
		return Degraded
	}
	return Replaying // judgeReport objects where it is not so
}

// roughly is a duration for people: no more digits than they need.
func roughly(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Minute:
		return d.Round(time.Minute)
	case d >= 10*time.Second:
		return d.Round(time.Second)
	}
	return d.Round(10 * time.Millisecond)
}
