package replay

import (
	"errors"
	"time"
)

// unledJudgements are those of a site whose primary is out of sight, and of
// sites that lack the pool.
func unledJudgements() []judged {
	gone := errors.New("no answer in time")
	type site = SiteEvidence
	j := journalEvidence
	demoted := func() Evidence { return evidence(demotedPair()) }
	return []judged{
		{"primary out of sight, no daemon", with(j, func(_ *Evidence, a, b *site) {
			a.Image, a.Err = nil, gone
			dies(b)
		}), Degraded, []ProblemCode{ProblemNoDaemon, ProblemSiteUnknown, ProblemReportStale}, "b"},
		{"primary out of sight, report stale", with(j, func(e *Evidence, a, b *site) {
			a.Image, a.Err = nil, gone
			b.Reports[0].Updated = e.Now.Add(-time.Hour)
		}), Unknown, []ProblemCode{ProblemSiteUnknown, ProblemReportStale}, "a"},
		{"primary out of sight, the copy in error", with(j, func(_ *Evidence, a, b *site) {
			a.Image, a.Err = nil, gone
			says(b, ReportError, "error bootstrapping replay")
		}), Degraded, []ProblemCode{ProblemSiteUnknown, ProblemReportError}, "a"},
		{"primary out of sight, split-brain said", with(j, func(_ *Evidence, a, b *site) {
			a.Image, a.Err = nil, gone
			says(b, ReportError, "split-brain detected")
		}), SplitBrain, []ProblemCode{ProblemSplitBrain, ProblemSiteUnknown}, "b"},
		{"primary out of sight, its demotion said", with(j, func(_ *Evidence, a, b *site) {
			a.Image, a.Err = nil, gone
			says(b, ReportUnknown, "remote image is not primary")
		}), Unknown, []ProblemCode{ProblemSiteUnknown}, "a"},
		{"primary out of sight, pool disabled", with(j, func(_ *Evidence, a, b *site) {
			a.Image, a.Err, b.Pool.Mode = nil, gone, PoolDisabled
		}), Degraded, []ProblemCode{ProblemPoolNotMirrored, ProblemSiteUnknown}, "b"},
		{"primary out of sight, no copy", with(j, func(_ *Evidence, a, b *site) {
			a.Image, a.Err, b.Image, b.Reports = nil, gone, nil, nil
		}), Degraded, []ProblemCode{ProblemSecondaryMissing, ProblemSiteUnknown}, "b"},
		{"out of sight in a hand-over, no daemon", with(j, func(e *Evidence, a, b *site) {
			a.Image, a.Err, e.HandingOver = nil, gone, true
			dies(b)
		}), HandingOver, []ProblemCode{ProblemSiteUnknown}, "a"},
		{"stranded, no daemon", with(demoted, func(_ *Evidence, _, b *site) {
			dies(b)
		}), Stranded, []ProblemCode{ProblemNoPrimary, ProblemNoDaemon}, ""},

		{"several primaries, no daemon", with(j, func(_ *Evidence, a, b *site) {
			b.Image.Role = RolePrimary
			dies(b)
		}), SplitBrain, []ProblemCode{ProblemTwoPrimaries, ProblemNoDaemon}, ""},
		{"several primaries, no daemon at either", with(j, func(_ *Evidence, a, b *site) {
			b.Image.Role = RolePrimary
			dies(a)
			dies(b)
		}), SplitBrain, []ProblemCode{ProblemTwoPrimaries, ProblemNoDaemon, ProblemNoDaemon}, ""},
		{"several primaries, a site that does not receive", with(j, func(_ *Evidence, a, b *site) {
			b.Image.Role, a.Pool.Peers = RolePrimary, nil
			dies(a)
		}), SplitBrain, []ProblemCode{ProblemTwoPrimaries}, ""},
		{"no pool at the secondary", with(j, func(_ *Evidence, _, b *site) {
			*b = site{Site: "b", PoolMissing: true}
		}), Degraded, []ProblemCode{ProblemPoolMissing}, "b"},
		{"no pool at the primary's site", with(j, func(_ *Evidence, a, _ *site) {
			*a = site{Site: "a", PoolMissing: true}
		}), Stranded, []ProblemCode{ProblemNoPrimary, ProblemPoolMissing}, ""},
		{"no pool anywhere", with(j, func(_ *Evidence, a, b *site) {
			*a, *b = site{Site: "a", PoolMissing: true}, site{Site: "b", PoolMissing: true}
		}), Unprotected, []ProblemCode{ProblemImageMissing, ProblemPoolMissing, ProblemPoolMissing}, ""},
		{"no pool, the other site out of sight", with(j, func(_ *Evidence, a, b *site) {
			*b = site{Site: "b", PoolMissing: true}
			a.Image, a.Err = nil, gone
		}), Degraded, []ProblemCode{ProblemPoolMissing, ProblemSiteUnknown}, "b"},
	}
}
