package daemon

import (
	"cmp"
	"net/url"
	"strings"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/notify"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// Runbooks is where the pages lie that messages link to, unless the plan says
// otherwise; they are those of examples/runbooks.
const Runbooks = "https://github.com/drover-io/drover/blob/main/examples/runbooks"

// otherPage is of what has no page of its own.
const otherPage = "problem.md"

// pages say by an incident's code which page tells what to do.
var pages = map[string]string{
	orchestrator.SignalSplitBrain:              "split-brain.md",
	string(replay.ProblemTwoPrimaries):         "split-brain.md",
	string(replay.ProblemDiverged):             "split-brain.md",
	string(replay.ProblemSplitBrain):           "split-brain.md",
	string(replay.ProblemNoPrimary):            "no-primary.md",
	string(replay.ProblemNotMirrored):          "unprotected.md",
	string(replay.ProblemNobodyElseHoldsIt):    "unprotected.md",
	string(replay.ProblemImageMissing):         "unprotected.md",
	string(replay.ProblemSiteUnknown):          "site-unreachable.md",
	string(replay.ProblemRPOExceeded):          "rpo-missed.md",
	string(replay.ProblemLagging):              "rpo-missed.md",
	string(replay.ProblemNoDaemon):             "degraded.md",
	string(replay.ProblemReportError):          "degraded.md",
	string(replay.ProblemReplayStopped):        "degraded.md",
	string(replay.ProblemNotReplaying):         "degraded.md",
	string(replay.ProblemReportStale):          "degraded.md",
	string(replay.ProblemSyncStalled):          "degraded.md",
	string(replay.ProblemNoSpace):              "degraded.md",
	string(replay.ProblemDisconnected):         "degraded.md",
	string(replay.ProblemDaemonComplains):      "degraded.md",
	string(orchestrator.ProblemDaemonStopped):  "degraded.md",
	string(orchestrator.ProblemDaemonOutdated): "degraded.md",
	orchestrator.SignalReplayStuck:             "degraded.md",
	orchestrator.SignalJournalHeld:             "degraded.md",
	orchestrator.SignalDaemonFlapping:          "degraded.md",
	orchestrator.SignalDaemonFails:             "degraded.md",
	string(orchestrator.ProblemHalted):         "halted.md",
	string(orchestrator.ProblemUnfinished):     "open-run.md",
	orchestrator.SignalManualStep:              "open-run.md",
	orchestrator.SignalUnverified:              "verification-old.md",
	orchestrator.SignalWatchFault:              "daemon.md",
	orchestrator.SignalCopiesDiffer:            "signals.md",
	orchestrator.SignalWatchFaulty:             "signals.md",
	orchestrator.SignalCannotAct:               "nobody-acts.md",
	orchestrator.SignalInterrupted:             "nobody-acts.md",
	orchestrator.SignalHaltReplays:             "halted.md",
	orchestrator.SignalConvergeFailed:          "signals.md",
	orchestrator.SignalDrillFailed:             "drill.md",
	orchestrator.SignalDrillAborted:            "drill.md",
	orchestrator.SignalDrillOverdue:            "drill.md",
	orchestrator.SignalDrillLeft:               "drill.md",
	orchestrator.SignalDrillHeld:               "drill.md",
	alert.ChannelFailing:                       "notifications.md",
}

// Links are what a plan's messages link to: the page that tells what to do, and the
// dashboard that the plan names.
func Links(plan *plans.Plan) func(alert.Message) []notify.Link {
	base := strings.TrimSuffix(cmp.Or(plan.Notifications.Runbooks, Runbooks), "/")
	dashboard := dashboardOf(plan)
	return func(m alert.Message) []notify.Link {
		links := []notify.Link{{Text: "What to do", URL: base + "/" + cmp.Or(pages[m.Code], otherPage)}}
		if dashboard != "" {
			links = append(links, notify.Link{Text: "Dashboard", URL: dashboard})
		}
		return links
	}
}

// dashboardOf is the plan's dashboard, as it shows this plan alone.
func dashboardOf(plan *plans.Plan) string {
	address, err := url.Parse(plan.Notifications.Dashboard)
	if err != nil || plan.Notifications.Dashboard == "" {
		return ""
	}
	query := address.Query()
	if !query.Has("var-plan") {
		query.Set("var-plan", plan.Name)
	}
	address.RawQuery = query.Encode()
	return address.String()
}
