package replay

import (
	"cmp"
	"time"
)

// ownReport is the site's own daemon's report of the image, and whether it can
// be believed.
func (j *judge) ownReport(s *SiteEvidence) (report *Report, stale bool) {
	for i := range s.Reports {
		r := &s.Reports[i]
		if r.MirrorUUID != "" && r.MirrorUUID != s.Pool.UUID || r.State == ReportStatusNotFound || r.Has(CondNoReport) {
			continue
		}
		if report == nil || r.Updated.After(report.Updated) {
			report = r
		}
	}
	if report == nil {
		return nil, false
	}
	return report, !report.Up || olderThan(report.Updated, s.now(j.Now), j.Limits.ReportAge) || predates(*report, s.Daemons)
}

// now is the time by the clock of the site's rbd-mirror.
func (s *SiteEvidence) now(now time.Time) time.Time { return now.Add(-s.ClockAhead) }

// predates reports whether the report is older than every daemon's life.
func predates(r Report, daemons []MirrorDaemon) bool {
	if r.Updated.IsZero() || len(daemons) == 0 {
		return false
	}
	for _, d := range daemons {
		if d.Started.IsZero() || !r.Updated.Before(d.Started) {
			return false
		}
	}
	return true
}

// judgeReport hears what the daemon says, as far as it can be believed.
func (j *judge) judgeReport(s *SiteEvidence, v *SecondaryVerdict) {
	r := v.Report
	switch {
	case r == nil && s.ReportsErr != nil:
		j.problemf(ProblemReportsUnknown, s.Site, "what rbd-mirror at %s reports is not known: %s", s.Site, WithoutSite(s.Site, s.ReportsErr.Error()))
		return
	case r == nil:
		j.problemf(ProblemReportMissing, s.Site, "rbd-mirror at %s has not reported on the image", s.Site)
		return
	case v.Stale && !r.Up:
		j.problemf(ProblemReportStale, s.Site, "the last report of %s is of a daemon that is gone", s.Site)
		return
	case v.Stale:
		j.problemf(ProblemReportStale, s.Site, "the last report of %s is %s old by this host's clock", s.Site, roughly(s.now(j.Now).Sub(r.Updated)))
		return
	}
	text := cmp.Or(r.Description, string(r.State))
	says := func(code ProblemCode) { j.problemf(code, s.Site, "rbd-mirror at %s says: %s", s.Site, text) }
	switch {
	case r.Has(CondSplitBrain) && (j.HandingOver || j.Resyncing):
		j.suppressed = true
	case r.Has(CondSplitBrain):
		says(ProblemSplitBrain)
	case r.Has(CondUnknownPeer):
		says(ProblemUnknownPeer)
	case r.Has(CondNoSpace):
		says(ProblemNoSpace)
	case r.Has(CondDisconnected):
		says(ProblemDisconnected)
	case r.Has(CondResyncRequested):
		// the state tells
	case r.State == ReportError || r.Has(CondBootstrapFailed):
		says(ProblemReportError)
	case r.Has(CondStopped):
		says(ProblemReplayStopped)
	case r.State == ReportReplaying || r.State == ReportSyncing || r.State == ReportStartingReplay:
		// as it should be
	case s.Image == nil:
		// it may be about to begin
	case len(j.primaries) == 0 && (r.Has(CondRemoteNotPrimary) || r.Has(CondLocalPrimary)):
		// which is known
	case j.HandingOver || j.Resyncing:
		j.suppressed = true // it lags behind what the run has just done
	default:
		says(ProblemNotReplaying)
	}
}
