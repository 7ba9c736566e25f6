package orchestrator

import (
	"slices"
	"strings"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/replay"
)

// hiding is the one table of which problems hide others: where one holds at a site
// that answers, it cannot be told there whether those hold. A signal that is hidden is
// not over because nothing is seen of it.
var hiding = []struct {
	codes   []replay.ProblemCode
	hidden  []string
	anySite bool // what it hides is not of the site alone
}{
	{codes: []replay.ProblemCode{replay.ProblemDaemonsUnknown}, hidden: []string{
		string(replay.ProblemNoDaemon), string(replay.ProblemNoStandbyDaemon), string(replay.ProblemDaemonComplains),
		string(replay.ProblemReportStale), string(ProblemDaemonStopped), SignalDrift,
	}},
	{codes: []replay.ProblemCode{ProblemDaemonUnknown}, hidden: []string{
		string(ProblemDaemonStopped), string(ProblemDaemonOutdated), SignalDaemonFlapping, SignalDaemonFails, SignalDrift,
	}},
	{codes: []replay.ProblemCode{replay.ProblemReportsUnknown}, hidden: []string{
		string(replay.ProblemReportError), string(replay.ProblemSyncStalled), string(replay.ProblemReplayStopped),
		string(replay.ProblemNotReplaying), string(replay.ProblemReportStale), string(replay.ProblemReportMissing),
		string(replay.ProblemNoSpace), string(replay.ProblemSplitBrain), string(replay.ProblemUnknownPeer),
		string(replay.ProblemLagging), string(replay.ProblemRPOExceeded), string(replay.ProblemLagUnknown),
		SignalReplayStuck, SignalHaltReplays,
	}},
	// The journal of a primary is held by a site whose reports say nothing.
	{codes: []replay.ProblemCode{replay.ProblemReportsUnknown}, hidden: []string{SignalJournalHeld}, anySite: true},
	{codes: []replay.ProblemCode{replay.ProblemSchedulesUnknown}, hidden: []string{
		string(replay.ProblemNoSchedule), string(replay.ProblemScheduleDead), SignalDrift,
	}},
	{codes: []replay.ProblemCode{ProblemRecordsUnreadable}, hidden: []string{
		SignalSplitBrain, string(ProblemHalted), string(ProblemQuarantined), string(ProblemUnfinished), SignalHaltReplays,
	}, anySite: true},
	{codes: []replay.ProblemCode{replay.ProblemImageUnknown, replay.ProblemSiteUnknown}, hidden: []string{SignalDrift}, anySite: true},
}

// ofImages are the codes of what cannot be told of an image that a site cannot read.
// That other sites can read it can.
var ofImages = func() []string {
	codes := []string{SignalReplayStuck, SignalJournalHeld}
	for _, kind := range replay.ProblemKinds() {
		switch kind.Code {
		case replay.ProblemSiteUnknown, replay.ProblemImageUnknown, replay.ProblemDaemonsUnknown,
			replay.ProblemReportsUnknown, replay.ProblemSchedulesUnknown:
		default:
			codes = append(codes, string(kind.Code))
		}
	}
	return codes
}()

// unseenIn is what a check could not learn: nothing of a site that is silent, and what
// the problems of one that answers hide. Of an image that a site cannot read, or whose
// pool it cannot, nothing is known at all: what its copies elsewhere are worth goes by
// the one that is out of sight.
func unseenIn(report *StatusReport) []alert.Unseen {
	out := alert.Blind(report.Summary.Silent...)
	type place struct {
		code replay.ProblemCode
		site string
	}
	var places []place
	var unread []string
	for i := range report.Problems {
		places = append(places, place{report.Problems[i].Code, report.Problems[i].Site})
	}
	for i := range report.Images {
		for _, p := range report.Images[i].Problems {
			if (p.Code == replay.ProblemImageUnknown || p.Code == replay.ProblemSiteUnknown) && !slices.Contains(report.Summary.Silent, p.Site) {
				unread = append(unread, report.Images[i].Ref.String())
				break
			}
		}
	}
	slices.SortFunc(places, func(a, b place) int { return strings.Compare(string(a.code)+a.site, string(b.code)+b.site) })
	for _, p := range slices.Compact(places) {
		for i := range hiding {
			if h := &hiding[i]; slices.Contains(h.codes, p.code) {
				u := alert.Unseen{Site: p.site, Codes: h.hidden}
				if h.anySite {
					u.Site = ""
				}
				out = append(out, u)
			}
		}
	}
	if len(unread) > 0 {
		out = append(out, alert.Unseen{Codes: ofImages, Images: unread})
	}
	return out
}
