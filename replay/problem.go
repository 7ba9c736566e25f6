package replay

import (
	"cmp"
	"slices"
	"strings"
)

// Severity is how much a problem matters.
type Severity string

// The severities.
const (
	SeverityInfo     Severity = "info"
	SeverityWarning  Severity = "warning"  // protection may fail soon, or cannot be judged
	SeverityCritical Severity = "critical" // data is at risk now
)

// ProblemCode names a kind of problem. It is part of Drover's output contract.
type ProblemCode string

// The problem codes; problemKinds tells what each means.
const (
	ProblemTwoPrimaries      ProblemCode = "two-primaries"
	ProblemDiverged          ProblemCode = "histories-diverged"
	ProblemSplitBrain        ProblemCode = "split-brain-reported"
	ProblemNoPrimary         ProblemCode = "no-primary"
	ProblemUnwritable        ProblemCode = "primary-refuses-writes"
	ProblemDifferentImages   ProblemCode = "different-images"
	ProblemImageMissing      ProblemCode = "image-missing"
	ProblemNotMirrored       ProblemCode = "not-mirrored"
	ProblemPoolMissing       ProblemCode = "pool-missing"
	ProblemPoolNotMirrored   ProblemCode = "pool-not-mirrored"
	ProblemSecondaryMissing  ProblemCode = "secondary-missing"
	ProblemNameTaken         ProblemCode = "name-taken"
	ProblemModeMismatch      ProblemCode = "mode-mismatch"
	ProblemNoSpace           ProblemCode = "no-space"
	ProblemDisconnected      ProblemCode = "disconnected"
	ProblemNoPeer            ProblemCode = "no-peer"
	ProblemUnknownPeer       ProblemCode = "unknown-peer"
	ProblemNoDaemon          ProblemCode = "no-daemon"
	ProblemSiteUnknown       ProblemCode = "site-unknown"
	ProblemImageUnknown      ProblemCode = "image-unknown"
	ProblemReportError       ProblemCode = "replay-error"
	ProblemRPOExceeded       ProblemCode = "rpo-exceeded"
	ProblemScheduleDead      ProblemCode = "schedule-dead"
	ProblemSyncStalled       ProblemCode = "sync-stalled"
	ProblemReplayStopped     ProblemCode = "replay-stopped"
	ProblemNotReplaying      ProblemCode = "not-replaying"
	ProblemReportStale       ProblemCode = "report-stale"
	ProblemReportMissing     ProblemCode = "report-missing"
	ProblemDaemonsUnknown    ProblemCode = "daemons-unknown"
	ProblemReportsUnknown    ProblemCode = "reports-unknown"
	ProblemSchedulesUnknown  ProblemCode = "schedules-unknown"
	ProblemLagUnknown        ProblemCode = "lag-unknown"
	ProblemLagging           ProblemCode = "lagging"
	ProblemNoSchedule        ProblemCode = "no-schedule"
	ProblemTransitional      ProblemCode = "transitional"
	ProblemNoStandbyDaemon   ProblemCode = "no-standby-daemon"
	ProblemStrangePeer       ProblemCode = "strange-peer"
	ProblemDaemonComplains   ProblemCode = "daemon-complains"
	ProblemJournalGrowing    ProblemCode = "journal-growing"
	ProblemSnapshotsPiling   ProblemCode = "snapshots-piling"
	ProblemSecondaryAwaited  ProblemCode = "secondary-awaited"
	ProblemNobodyElseHoldsIt ProblemCode = "no-secondary"
)

// ProblemKind is what is known of a kind of problem without looking at an image.
type ProblemKind struct {
	Code     ProblemCode `json:"code"`
	Severity Severity    `json:"severity"`
	// State is what the image's (or that one secondary's) protection state is
	// at best while the problem lasts; empty: the problem does not change it.
	State State `json:"state,omitempty"`
	// Next is what a person can do, with $SITE and $IMAGE to be filled in.
	Next string `json:"next"`
}

// problemKinds is the one table of problems, the most severe first.
var problemKinds = []ProblemKind{
	{ProblemTwoPrimaries, SeverityCritical, SplitBrain, "stop the writers at both sites; drover halt set PLAN --split keeps all changes off; drover resync PLAN $IMAGE --keep SITE --dry-run shows what each side holds, and what is lost by keeping either"},
	{ProblemDiverged, SeverityCritical, SplitBrain, "stop the writers at both sites; drover halt set PLAN --split keeps all changes off; drover resync PLAN $IMAGE --keep SITE --dry-run shows what each side holds, and what is lost by keeping either"},
	{ProblemSplitBrain, SeverityCritical, SplitBrain, "stop the writers at both sites; drover halt set PLAN --split keeps all changes off; drover resync PLAN $IMAGE --keep SITE --dry-run shows what each side holds, and what is lost by keeping either"},
	{ProblemNoPrimary, SeverityCritical, Stranded, "drover resync PLAN $IMAGE --keep SITE --dry-run shows which copy was written last; it makes that one primary again"},
	{ProblemUnwritable, SeverityCritical, Degraded, "drover runs resume PLAN where a run is open; else drover plan apply PLAN lets clients write again (rbd mirror image demote $IMAGE and promote $IMAGE at $SITE do it too)"},
	{ProblemDifferentImages, SeverityCritical, Degraded, "the sites hold two images of one name: rename or disable mirroring of the wrong one"},
	{ProblemImageMissing, SeverityCritical, Unprotected, "create the image, or take it out of the plan"},
	{ProblemNotMirrored, SeverityCritical, Unprotected, "drover plan apply PLAN"},
	{ProblemPoolMissing, SeverityCritical, Degraded, "create the pool at $SITE if it is not there (ceph osd pool create); then drover plan apply PLAN, which makes a missing namespace too"},
	{ProblemPoolNotMirrored, SeverityCritical, Degraded, "drover plan apply PLAN enables mirroring of the pool at $SITE"},
	{ProblemSecondaryMissing, SeverityCritical, Degraded, "look why the copy at $SITE is gone; the daemon there makes it anew once it can: see its log"},
	{ProblemNameTaken, SeverityCritical, Degraded, "an image that is not mirrored has the name at $SITE: rename or remove it there, then the daemon makes the copy"},
	{ProblemModeMismatch, SeverityCritical, Degraded, "disable mirroring of the image at the wrong site and let drover plan apply PLAN enable it again"},
	{ProblemNoSpace, SeverityCritical, Degraded, "make room at $SITE (ceph df, pool quotas); replay goes on by itself"},
	{ProblemDisconnected, SeverityCritical, Degraded, "the primary's journal gave the copy at $SITE up; there: rbd mirror image resync $IMAGE discards the copy and makes it anew"},
	{ProblemNoPeer, SeverityCritical, Degraded, "drover plan apply PLAN adds the primary as a peer of the pool at $SITE"},
	{ProblemUnknownPeer, SeverityCritical, Degraded, "the copy at $SITE follows another cluster than its peer: compare rbd mirror pool info with the plan; there: rbd mirror image resync $IMAGE discards the copy and makes it anew from the primary"},
	{ProblemNoDaemon, SeverityCritical, Degraded, "start rbd-mirror at $SITE: drover plan apply PLAN, or systemctl start ceph-rbd-mirror@ID there"},
	{ProblemSiteUnknown, SeverityCritical, Unknown, "check the network, the monitors and the keyring of $SITE: ceph -s there"},
	{ProblemImageUnknown, SeverityCritical, Unknown, "the other images can be read: look for inactive placement groups (ceph health detail at $SITE), then at the image itself (rbd info $IMAGE there)"},
	{ProblemReportError, SeverityCritical, Degraded, "read rbd-mirror's log at $SITE; rbd mirror pool status --verbose there repeats the error"},
	{ProblemRPOExceeded, SeverityCritical, Lagging, "find what holds replay at $SITE back: bandwidth, a busy OSD, more writes than it can replay"},
	{ProblemScheduleDead, SeverityCritical, Lagging, "no new mirror snapshot comes: ceph mgr module ls and rbd mirror snapshot schedule status at $SITE; ceph mgr fail restarts the scheduler; where it is missing or stays dead, snapshots: {by: drover} in the plan has drover daemon take them"},
	{ProblemSyncStalled, SeverityWarning, Degraded, "restart rbd-mirror at $SITE if its log shows no reason"},
	{ProblemReplayStopped, SeverityWarning, Degraded, "somebody stopped it: ceph daemon SOCKET rbd mirror start $IMAGE at $SITE"},
	{ProblemNotReplaying, SeverityWarning, Degraded, "give it a minute after a change of primary; then restart rbd-mirror at $SITE"},
	{ProblemReportStale, SeverityWarning, "", "rbd-mirror at $SITE does not report: read its log, restart it"},
	{ProblemReportMissing, SeverityWarning, "", "give it a minute after enabling; then read rbd-mirror's log at $SITE"},
	{ProblemDaemonsUnknown, SeverityWarning, "", "the service map of $SITE cannot be read: check the mgr there, and Drover's caps"},
	{ProblemReportsUnknown, SeverityWarning, "", "what rbd-mirror reports cannot be read at $SITE: check the OSDs there, and Drover's caps"},
	{ProblemSchedulesUnknown, SeverityWarning, "", "mirror snapshot schedules cannot be read at $SITE, and may not run: check the mgr there and its module rbd_support (ceph mgr module ls; ceph mgr fail); where that is missing, snapshots: {by: drover} in the plan has drover daemon take mirror snapshots"},
	{ProblemLagUnknown, SeverityWarning, "", "look again: a copy that is behind for long without anybody knowing since when wants a look at rbd-mirror's log at $SITE, and at the primary's journal (rbd journal status --image $IMAGE)"},
	{ProblemLagging, SeverityWarning, Lagging, "find what holds replay at $SITE back, or set an objective that fits"},
	{ProblemNoSchedule, SeverityWarning, "", "nothing takes mirror snapshots: give the pool a schedule in the plan, then drover plan apply PLAN"},
	{ProblemTransitional, SeverityWarning, "", "give it a minute; mirroring that stays so is healed by drover plan apply PLAN"},
	{ProblemNoStandbyDaemon, SeverityWarning, "", "start rbd-mirror at $SITE: without it there is no way back after a failover"},
	{ProblemStrangePeer, SeverityWarning, "", "a peer that is no site of the plan: remove it with rbd mirror pool peer remove, or add the site"},
	{ProblemDaemonComplains, SeverityWarning, "", "read rbd-mirror's log at $SITE"},
	{ProblemJournalGrowing, SeverityWarning, "", "bring the slow reader back, or remove it: rbd journal client disconnect at $SITE"},
	{ProblemSnapshotsPiling, SeverityWarning, "", "mirror snapshots pile up at $SITE: look which peer does not sync them (rbd snap ls --all $IMAGE); never delete them blindly"},
	{ProblemNobodyElseHoldsIt, SeverityWarning, Unprotected, "add a secondary to the plan"},
	{ProblemSecondaryAwaited, SeverityInfo, Enabling, "wait: the daemon at $SITE makes the copy"},
}

// ProblemKinds is the table of all kinds of problem, the most severe first, for
// documentation.
func ProblemKinds() []ProblemKind { return slices.Clone(problemKinds) }

// Problem is one thing that is wrong with an image's protection.
type Problem struct {
	Code     ProblemCode `json:"code"`
	Severity Severity    `json:"severity"`
	Site     string      `json:"site,omitempty"` // empty: it concerns all
	What     string      `json:"what"`           // what was seen
	Next     string      `json:"next"`           // what a person can do
}

func kindOf(code ProblemCode) (kind ProblemKind, rank int) {
	rank = slices.IndexFunc(problemKinds, func(k ProblemKind) bool { return k.Code == code })
	if rank < 0 {
		return ProblemKind{Code: code, Severity: SeverityCritical, State: Unknown, Next: "report this: a problem without a kind"}, 0
	}
	return problemKinds[rank], rank
}

func newProblem(code ProblemCode, ref ImageRef, site, what string) Problem {
	kind, _ := kindOf(code)
	next := strings.NewReplacer("$SITE", cmp.Or(site, "each site"), "$IMAGE", ref.String()).Replace(kind.Next)
	return Problem{Code: code, Severity: kind.Severity, Site: site, What: what, Next: next}
}

// sortProblems puts the most severe first, in the order of the table.
func sortProblems(problems []Problem) {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		_, rankA := kindOf(a.Code)
		_, rankB := kindOf(b.Code)
		return cmp.Or(cmp.Compare(rankA, rankB), cmp.Compare(a.Site, b.Site), cmp.Compare(a.What, b.What))
	})
}
