package replay

import (
	"slices"
	"time"
)

// judgeLag judges how far a copy is behind that has had its first sync.
func (j *judge) judgeLag(p, s *SiteEvidence, v *SecondaryVerdict) {
	behind := v.Lag.Seconds
	switch {
	case behind == nil && (j.Objective > 0 || !v.Lag.CaughtUp && j.seemsWell(s, v)):
		j.problemf(ProblemLagUnknown, s.Site, "how far %s is behind cannot be told in seconds", s.Site)
	case j.Objective > 0 && *behind > j.Objective:
		j.problemf(ProblemRPOExceeded, s.Site, "%s is %s behind, the objective is %s", s.Site, roughly(*behind), roughly(j.Objective))
	case j.Objective <= 0 && behind != nil && p.Image.Mode == ModeJournal && *behind > j.Limits.JournalLag:
		j.problemf(ProblemLagging, s.Site, "%s is %s behind", s.Site, roughly(*behind))
	case j.Objective <= 0 && behind != nil && p.Image.Mode == ModeSnapshot && !v.Lag.CaughtUp:
		j.judgeSnapshotLag(p, s, *behind)
	}
}

// seemsWell reports whether nothing has been found that would explain why a
// copy is behind.
func (j *judge) seemsWell(s *SiteEvidence, v *SecondaryVerdict) bool {
	return v.State == Replaying && !j.HandingOver && !j.Resyncing && !slices.ContainsFunc(j.problems, func(p Problem) bool {
		kind, _ := kindOf(p.Code)
		return p.Site == s.Site && kind.State != ""
	})
}

// judgeSnapshotLag is for a copy that does not hold the primary's newest mirror
// snapshot. (Where none is taken any more, the schedule is to blame, not the
// copy.) A schedule tells how old a copy may get; without one it cannot be told
// from its age, as the snapshots may be days apart.
func (j *judge) judgeSnapshotLag(p, s *SiteEvidence, behind time.Duration) {
	if p.ScheduleEvery > 0 {
		if behind > 2*p.ScheduleEvery+j.Limits.ScheduleGrace+j.Limits.SnapshotSync {
			j.problemf(ProblemLagging, s.Site, "the newest mirror snapshot that %s holds is %s old, the schedule says every %s",
				s.Site, roughly(behind), roughly(p.ScheduleEvery))
		}
		return
	}
	if since := awaitedSince(p.copy(), s.copy()); olderThan(since, j.Now, j.Limits.SnapshotLag) {
		j.problemf(ProblemLagging, s.Site, "a mirror snapshot that is %s old has not come to %s", roughly(j.Now.Sub(since)), s.Site)
	}
}

// awaitedSince is the time of the first of the primary's mirror snapshots that
// the secondary is still to get; zero: none, or not known.
func awaitedSince(primary, secondary Copy) (since time.Time) {
	held, some := newestHeld(primary, secondary)
	for _, s := range primary.Image.Snapshots {
		if s.Mirror != nil && (!some || s.ID > held.ID) && (since.IsZero() || s.Created.Before(since)) {
			since = s.Created
		}
	}
	return since
}
