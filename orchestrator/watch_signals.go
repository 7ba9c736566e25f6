package orchestrator

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// The codes of signals that a watch gives besides the problems of a status.
const (
	SignalSplitBrain     = "split-brain"
	SignalReplayStuck    = "replay-stuck"
	SignalJournalHeld    = "journal-held"
	SignalDaemonFlapping = "daemon-flapping"
	SignalDaemonFails    = "daemon-start-failed"
	SignalDrift          = "drift"
	SignalConvergeFailed = "converge-failed"
	SignalCopiesDiffer   = "copies-differ"
	SignalUnverified     = "verification-failed"
	SignalWatchFault     = "watch-fault"
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
	{SignalReplayStuck, alert.Warning, "replay says that it runs, and comes no further while the primary is being written"},
	{SignalJournalHeld, alert.Warning, "a primary's journal grows, because a secondary does not read it"},
	{SignalDaemonFlapping, alert.Warning, "an rbd-mirror that Drover runs ends again and again"},
	{SignalDaemonFails, alert.Warning, "an rbd-mirror that Drover runs cannot be started"},
	{SignalConvergeFailed, alert.Warning, "drift could not be repaired"},
	{SignalUnverified, alert.Warning, "the background verification could not be made"},
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
				What: p.What, Next: p.Next, Rank: image.lagSeconds(), Details: roleDetails(plan, image.Roles),
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
		s.Details = EvidenceDetails(e)
	} else {
		for _, site := range plan.Sites {
			options = append(options, site.Name)
		}
	}
	for _, site := range options {
		commands = append(commands, "drover resync "+shellLine(plan.File, ref.String(), "--keep", site))
	}
	s.Next = cmp.Or(strings.Join(commands, " or "), "drover resync "+shellLine(plan.File, ref.String())+" --keep SITE --dry-run shows why no copy can be kept at present")
	if e != nil && len(options) > 0 {
		s.Asks = &alert.Question{Kind: "resync", Subject: h.ID, Evidence: e.Hash, Options: options}
	}
}

// EvidenceDetails is the evidence of a split-brain in short, for a message.
func EvidenceDetails(e *SplitEvidence) []alert.Detail {
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
