package replay

import (
	"errors"
	"time"
)

// daemonJudgements are those of daemons and of what they report.
func daemonJudgements() []judged {
	gone := errors.New("no answer in time")
	type site = SiteEvidence
	j, s := journalEvidence, snapshotEvidence
	return []judged{
		{"no daemon", with(j, func(_ *Evidence, _, b *site) {
			dies(b)
		}), Degraded, []ProblemCode{ProblemNoDaemon, ProblemReportStale}, "b"},
		{"daemon serves another pool", with(j, func(_ *Evidence, _, b *site) {
			b.Daemons[0].Pools[0].Pool.Name, b.Reports[0].Up = "other", false
		}), Degraded, []ProblemCode{ProblemNoDaemon, ProblemReportStale}, "b"},
		{"a daemon that the mgr has forgotten", with(j, func(_ *Evidence, _, b *site) { b.Daemons = nil }), Replaying, nil, ""},
		{"a daemon that the mgr has forgotten, and that hangs", with(j, func(e *Evidence, _, b *site) {
			b.Daemons, b.Reports[0].Updated = nil, e.Now.Add(-time.Hour)
		}), Degraded, []ProblemCode{ProblemNoDaemon, ProblemReportStale}, "b"},
		{"no daemon at the primary of a two-way pair", with(j, func(_ *Evidence, a, _ *site) {
			dies(a)
		}), Replaying, []ProblemCode{ProblemNoStandbyDaemon}, "a"},
		{"no daemon at a one-way primary", with(j, func(_ *Evidence, a, _ *site) {
			a.Daemons, a.DaemonWanted = nil, false
		}), Replaying, nil, ""},
		{"service map unreadable", with(j, func(_ *Evidence, _, b *site) {
			b.Daemons, b.DaemonsErr = nil, gone
		}), Replaying, []ProblemCode{ProblemDaemonsUnknown}, "b"},
		{"reports unreadable", with(j, func(_ *Evidence, _, b *site) {
			b.Reports, b.ReportsErr = nil, gone
		}), Replaying, []ProblemCode{ProblemReportsUnknown}, "b"},
		{"schedules unreadable", with(s, func(_ *Evidence, a, _ *site) {
			a.SchedulesErr = gone
		}), Replaying, []ProblemCode{ProblemSchedulesUnknown}, "a"},
		{"schedules unreadable, none wanted", with(s, func(_ *Evidence, a, _ *site) {
			a.ScheduleEvery, a.SchedulesErr = 0, gone
		}), Replaying, []ProblemCode{ProblemSchedulesUnknown}, "a"},
		{"schedules unreadable, and no snapshot comes", with(s, func(e *Evidence, a, b *site) {
			a.SchedulesErr = gone
			e.Now = e.Now.Add(time.Hour)
			b.Reports[0].Updated = e.Now
		}), Lagging, []ProblemCode{ProblemScheduleDead, ProblemSchedulesUnknown}, "a"},
		{"daemon complains", with(j, func(_ *Evidence, _, b *site) {
			b.Daemons[0].Pools[0].Callouts = []Callout{{"info", "x"}, {"error", "unable to initialize leader messenger object"}}
		}), Replaying, []ProblemCode{ProblemDaemonComplains}, "b"},
		{"daemon complains of what its own reports disprove", with(j, func(_ *Evidence, _, b *site) {
			b.Daemons[0].Pools[0].Callouts = []Callout{{"error", "unable to connect to remote cluster"}}
		}), Replaying, nil, ""},
		{"daemon complains that stands by for the one that reports", with(j, func(_ *Evidence, _, b *site) {
			second := b.Daemons[0]
			second.Pools = []DaemonPool{{Pool: second.Pools[0].Pool, Callouts: []Callout{{"error", "unable to connect to remote cluster"}}}}
			b.Daemons = append(b.Daemons, second)
		}), Replaying, []ProblemCode{ProblemDaemonComplains}, "b"},
		{"daemon complains, and its reports are of an earlier life", with(j, func(e *Evidence, _, b *site) {
			b.Daemons[0].Pools[0].Callouts = []Callout{{"error", "unable to connect to remote cluster"}}
			b.Daemons[0].Started = e.Now.Add(-time.Second)
		}), Replaying, []ProblemCode{ProblemReportStale, ProblemDaemonComplains}, "b"},

		{"report older than the daemon", with(j, func(e *Evidence, _, b *site) {
			b.Daemons[0].Started = e.Now.Add(-time.Second)
		}), Replaying, []ProblemCode{ProblemReportStale}, "b"},
		{"report too old", with(j, func(e *Evidence, _, b *site) {
			b.Reports[0].Updated = e.Now.Add(-4 * time.Minute)
		}), Degraded, []ProblemCode{ProblemReportStale}, "b"},
		{"report too old, of a daemon that has just been started anew", with(j, func(e *Evidence, _, b *site) {
			b.Reports[0].Updated = e.Now.Add(-4 * time.Minute)
			b.Daemons[0].Started = e.Now.Add(-50 * time.Second)
		}), Replaying, []ProblemCode{ProblemReportStale}, "b"},
		{"report older than a daemon that had time to write one", with(j, func(e *Evidence, _, b *site) {
			b.Reports[0].Updated = e.Now.Add(-150 * time.Second)
			b.Daemons[0].Started = e.Now.Add(-2 * time.Minute)
		}), Degraded, []ProblemCode{ProblemReportStale}, "b"},
		{"report of the last cycle but three", with(j, func(e *Evidence, _, b *site) {
			b.Reports[0].Updated = e.Now.Add(-2 * time.Minute)
		}), Replaying, nil, ""},
		{"report too old, and behind", with(with(j, behind), func(e *Evidence, _, b *site) {
			b.Reports[0].Updated = e.Now.Add(-4 * time.Minute)
		}), Degraded, []ProblemCode{ProblemReportStale}, "b"},
		{
			"report missing, content there", with(j, func(_ *Evidence, _, b *site) { b.Reports = nil }),
			Replaying,
			[]ProblemCode{ProblemReportMissing},
			"b",
		},
		{"report missing", with(with(j, behind), func(_ *Evidence, _, b *site) {
			says(b, ReportUnknown, "status not found")
		}), Enabling, []ProblemCode{ProblemReportMissing}, "b"},

		{"unknown peer", with(s, func(_ *Evidence, _, b *site) {
			says(b, ReportError, "local image linked to unknown peer")
		}), Degraded, []ProblemCode{ProblemUnknownPeer}, "b"},
		{"error with a text", with(j, func(_ *Evidence, _, b *site) {
			says(b, ReportError, "error bootstrapping replay")
		}), Degraded, []ProblemCode{ProblemReportError}, "b"},
		{"bootstrap error though the state is fine", with(j, func(_ *Evidence, _, b *site) {
			says(b, ReportReplaying, "error bootstrapping replay")
		}), Degraded, []ProblemCode{ProblemReportError}, "b"},
		{"no space", with(j, func(_ *Evidence, _, b *site) {
			says(b, ReportError, "failed to commit journal event: (28) No space left on device")
		}), Degraded, []ProblemCode{ProblemNoSpace}, "b"},
		{
			"stopped by hand", with(j, func(_ *Evidence, _, b *site) { says(b, ReportStopped, "stopped") }),
			Degraded,
			[]ProblemCode{ProblemReplayStopped},
			"b",
		},
		{
			"stuck while stopping", with(j, func(_ *Evidence, _, b *site) { says(b, ReportStoppingReplay, "stopping replay") }),
			Degraded,
			[]ProblemCode{ProblemNotReplaying},
			"b",
		},
		{
			"primary not seen as such", with(j, func(_ *Evidence, _, b *site) { says(b, ReportUnknown, "remote image is not primary") }),
			Degraded,
			[]ProblemCode{ProblemNotReplaying},
			"b",
		},
		{
			"resync requested", with(j, func(_ *Evidence, _, b *site) { says(b, ReportStoppingReplay, "resync requested") }),
			Resyncing, nil, "",
		},
	}
}
