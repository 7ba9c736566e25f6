package orchestrator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// The codes of signals that a watch gives besides the problems of a status.
const (
	SignalSplitBrain     = "split-brain"
	SignalHaltReplays    = "halt-replays"
	SignalReplayStuck    = "replay-stuck"
	SignalJournalHeld    = "journal-held"
	SignalDaemonFlapping = "daemon-flapping"
	SignalDaemonFails    = "daemon-start-failed"
	SignalDrift          = "drift"
	SignalConvergeFailed = "converge-failed"
	SignalCopiesDiffer   = "copies-differ"
	SignalUnverified     = "verification-failed"
	SignalWatchFault     = "watch-fault"
	SignalWatchFaulty    = "watch-faulty"
	SignalInterrupted    = "watch-interrupted"
	SignalCannotAct      = "watch-cannot-act"
	SignalDrillFailed    = "drill-failed"
	SignalDrillAborted   = "drill-aborted"
	SignalDrillOverdue   = "drill-overdue"
	SignalDrillLeft      = "drill-leftover"
	SignalDrillHeld      = "drill-held"
	SignalManualStep     = "manual-step"
)

// WatchSignals is the one table of those signals: how much each matters, and what
// it means.
var WatchSignals = []struct {
	Code     string
	Severity alert.Severity
	Doc      string
}{
	{SignalSplitBrain, alert.Critical, "an image was halted because its copies contradict each other; a person must say which one stays"},
	{SignalCopiesDiffer, alert.Critical, "the last verification found that a copy does not hold what the primary held"},
	{SignalWatchFault, alert.Critical, "the watch could not halt a split-brain, or not record what it saw"},
	{SignalWatchFaulty, alert.Critical, "a check, or other work of the watch, has failed for a fault of the program"},
	{SignalCannotAct, alert.Critical, "sites answer the watch, and none lets it have the lease without which it halts no split-brain and changes nothing"},
	{SignalDrillHeld, alert.Critical, "a drill's hooks have held back the writers of a group, and nobody has let them go"},
	{SignalInterrupted, alert.Warning, "the watch was shut out of a site by another process, or loses the right to act again and again"},
	{SignalHaltReplays, alert.Warning, "an image that a split-brain has halted is replayed, and the watch cannot stop that"},
	{SignalReplayStuck, alert.Warning, "replay says that it runs, and comes no further while the primary is being written, or has mirror snapshots that wait"},
	{SignalJournalHeld, alert.Warning, "a primary's journal grows, because a secondary does not read it"},
	{SignalDaemonFlapping, alert.Warning, "an rbd-mirror that Drover runs ends again and again"},
	{SignalDaemonFails, alert.Warning, "an rbd-mirror that Drover runs cannot be started"},
	{SignalConvergeFailed, alert.Warning, "drift could not be repaired"},
	{SignalUnverified, alert.Warning, "the background verification could not be made"},
	{SignalDrillFailed, alert.Warning, "the last drill has found that the other site would not serve as planned"},
	{SignalDrillAborted, alert.Warning, "the last drill did not come to its end: a hook of it has failed, its time was over, or it had found something wrong before it made room for a run"},
	{SignalDrillOverdue, alert.Warning, "no drill has passed or failed for longer than the plan's schedule lets it"},
	{SignalDrillLeft, alert.Warning, "clones or snapshots of a drill are there after its expiry"},
	{SignalManualStep, alert.Warning, "a run waits at a manual step until a person says that it is done"},
	{SignalDrift, alert.Info, "the sites are not as the plan says"},
}

// signal is a signal of the table.
func signal(code, site, what, next string) alert.Signal {
	s := alert.Signal{Code: code, Severity: alert.Critical, Site: site, What: oneLine(what), Next: next}
	for i := range WatchSignals {
		if WatchSignals[i].Code == code {
			s.Severity = WatchSignals[i].Severity
		}
	}
	return s
}

// reportSignals are the problems of a status, one for each image and problem, and
// those of sites. What the signal of a halt tells is left to that.
func reportSignals(plan *plans.Plan, result *CheckResult) []alert.Signal {
	var out []alert.Signal
	split := map[string]bool{}
	for i := range result.Halts {
		split[result.Halts[i].ID] = result.Halts[i].ofSplit()
	}
	for i := range result.Report.Images {
		image := &result.Report.Images[i]
		for _, p := range image.Problems {
			if split[image.Halt] && tellsOfSplit(p.Code) {
				continue
			}
			out = append(out, alert.Signal{
				Code: string(p.Code), Severity: alert.Severity(p.Severity), Site: p.Site, Image: image.Ref.String(),
				What: p.What + image.paceWords(&p), Next: p.Next, Rank: image.lagSeconds(), Details: roleDetails(plan, image.Roles),
			})
		}
	}
	for i := range result.Report.Problems {
		if p := &result.Report.Problems[i]; p.Images == 0 {
			out = append(out, alert.Signal{Code: string(p.Code), Severity: alert.Severity(p.Severity), Site: p.Site, What: p.What, Next: p.Next})
		}
	}
	for _, err := range result.Faults {
		out = append(out, signal(SignalWatchFault, "", err.Error(), "look at the sites that it names; drover status "+plan.File))
	}
	return out
}

// tellsOfSplit reports whether a problem is what a split-brain's halt tells.
func tellsOfSplit(code replay.ProblemCode) bool {
	switch code {
	case replay.ProblemTwoPrimaries, replay.ProblemDiverged, replay.ProblemSplitBrain, ProblemHalted:
		return true
	}
	return false
}

// paceWords say, of a copy that is behind, whether it closes in.
func (i *ImageStatus) paceWords(p *replay.Problem) string {
	if p.Code != replay.ProblemLagging && p.Code != replay.ProblemRPOExceeded {
		return ""
	}
	for k := range i.Copies {
		switch c := &i.Copies[k]; {
		case c.Site != p.Site:
		case c.FallsBehind:
			return "; it falls further behind"
		case c.CatchUpSeconds != nil && *c.CatchUpSeconds > 0:
			return fmt.Sprintf("; at the present rate it has caught up in %v", roughly(*c.CatchUpSeconds))
		}
	}
	return ""
}

// roughly is a number of seconds for people, who know that it is an estimate.
func roughly(seconds float64) time.Duration {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d >= 2*time.Hour:
		return d.Round(time.Hour)
	case d >= 2*time.Minute:
		return d.Round(time.Minute)
	}
	return max(d.Round(10*time.Second), 10*time.Second)
}

// lagSeconds is by how much the slowest copy is behind, as far as that is known.
func (i *ImageStatus) lagSeconds() (worst float64) {
	for k := range i.Copies {
		if lag := i.Copies[k].Lag.Seconds; lag != nil {
			worst = max(worst, lag.Seconds())
		}
	}
	return worst
}

// roleDetails are the roles of an image, in the plan's order of sites.
func roleDetails(plan *plans.Plan, roles map[string]string) []alert.Detail {
	var out []alert.Detail
	for _, s := range plan.Sites {
		if role := roles[s.Name]; role != "" {
			out = append(out, alert.Detail{Name: s.Name, Text: role})
		}
	}
	return out
}

// haltSignals are the open halts of split-brains, each with its evidence and the
// question which copy stays.
func haltSignals(plan *plans.Plan, result *CheckResult) []alert.Signal {
	var out []alert.Signal
	for i := range result.Halts {
		h := &result.Halts[i]
		if !h.ofSplit() {
			continue
		}
		e := h.Split
		if e == nil {
			if err := json.Unmarshal(h.Evidence, &e); err != nil {
				e = nil // it was halted in a hurry
			}
		}
		for _, ref := range h.Images {
			s := signal(SignalSplitBrain, "", "halted: "+h.Reason, "")
			s.Image, s.Key = ref.String(), h.ID
			at := slices.IndexFunc(result.Report.Images, func(i ImageStatus) bool { return i.Ref == ref })
			if at >= 0 && result.Report.Images[at].Run != "" {
				s.Next = "drover runs show " + plan.File + " " + result.Report.Images[at].Run
				s.What += "; a run is at it"
			} else {
				askKeep(plan, h, e, ref, &s)
			}
			if at >= 0 {
				s.Details = append(roleDetails(plan, result.Report.Images[at].Roles), s.Details...)
			}
			out = append(out, s)
		}
	}
	return out
}

// askKeep asks which copy stays.
func askKeep(plan *plans.Plan, h *Halt, e *SplitEvidence, ref replay.ImageRef, s *alert.Signal) {
	var commands, options []string
	if e != nil {
		for i := range e.Choices {
			if c := &e.Choices[i]; c.Refused == "" {
				options = append(options, c.Keep)
			}
		}
		s.Details = evidenceDetails(e)
	} else {
		for _, site := range plan.Sites {
			options = append(options, site.Name)
		}
	}
	for _, site := range options {
		commands = append(commands, "drover resync "+shellLine(plan.File, ref.String(), "--keep", site))
	}
	s.Next = cmp.Or(strings.Join(commands, "\n"), "drover resync "+shellLine(plan.File, ref.String())+" --keep SITE --dry-run shows why no copy can be kept at present")
	if e != nil && len(options) > 0 {
		s.Asks = &alert.Question{Kind: alert.AskResync, Subject: h.ID, Evidence: e.Hash, Options: options}
	}
}

// ResyncAllCommands are the commands that decide all split-brains of a plan at once.
func ResyncAllCommands(plan *plans.Plan) string {
	var commands []string
	for i := range plan.Sites {
		commands = append(commands, "drover resync "+shellLine(plan.File, "--all", "--keep", plan.Sites[i].Name)+" --dry-run")
	}
	return strings.Join(commands, "\n")
}

// evidenceDetails is the evidence of a split-brain in short, for a message.
func evidenceDetails(e *SplitEvidence) []alert.Detail {
	out := []alert.Detail{{Name: "evidence", Text: e.Why}}
	if e.Common != nil {
		out = append(out, alert.Detail{Name: "last common point", Text: e.Common.Text})
	}
	for i := range e.Sites {
		s := &e.Sites[i]
		text := "has no copy"
		switch {
		case !s.Reachable:
			text = "does not answer"
		case s.Present:
			text = string(s.Role) + ", " + s.wrote()
		}
		out = append(out, alert.Detail{Name: "at " + s.Site, Text: text})
	}
	for i := range e.Choices {
		out = append(out, alert.Detail{Name: "choice", Text: strings.TrimSpace(e.Choices[i].line())})
	}
	return out
}
