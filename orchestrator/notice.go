package orchestrator

import (
	"github.com/drover-io/drover/replay"
)

// NoticeCode names a kind of notice.
type NoticeCode string

// The codes of notices; [NoticeCodes] says what each means.
const (
	NoticeSiteSilent      NoticeCode = "site-unreachable"
	NoticeSameCluster     NoticeCode = "same-cluster"
	NoticePoolMissing     NoticeCode = "pool-missing"
	NoticePoolFault       NoticeCode = "pool-unreadable"
	NoticePeerUnknown     NoticeCode = "peer-unknown"
	NoticePeerOccupied    NoticeCode = "peer-occupied"
	NoticePeerSilent      NoticeCode = "peer-unreachable"
	NoticeDaemonComplains NoticeCode = "daemon-complains"
	NoticeNoDaemon        NoticeCode = "daemon-missing"
	NoticeDaemonFault     NoticeCode = "daemon-unreadable"
	NoticeDaemonIdle      NoticeCode = "daemon-not-serving"
	NoticeImageFault      NoticeCode = "image-unreadable"
	NoticeImageMissing    NoticeCode = "image-missing"
	NoticeImageElsewhere  NoticeCode = "image-elsewhere"
	NoticeImageUnsure     NoticeCode = "image-unsure"
	NoticeNameConflict    NoticeCode = "image-name-taken"
	NoticeNoRecords       NoticeCode = "records-unreadable"
	NoticeSomeRecords     NoticeCode = "records-incomplete"
	NoticeSplitBrain      NoticeCode = "split-brain"
	NoticeHalted          NoticeCode = "halted"
	NoticeInRun           NoticeCode = "in-a-run"
	NoticeQuarantined     NoticeCode = "quarantined"
	NoticeStranded        NoticeCode = "stranded"
	NoticeWrongPrimary    NoticeCode = "wrong-primary"
	NoticeWrongMode       NoticeCode = "wrong-mode"
	NoticeModeCatches     NoticeCode = "pool-mode-catches"
	NoticeInTransition    NoticeCode = "in-transition"
	NoticeParent          NoticeCode = "parent-not-mirrored"
	NoticeUnprotected     NoticeCode = "unprotected"
	NoticeDropped         NoticeCode = "dropped"
	NoticeExcluded        NoticeCode = "excluded-but-mirrored"
	NoticeShutOut         NoticeCode = "shut-out"
	NoticeCopyPending     NoticeCode = "copy-pending"
	NoticeExtraSchedule   NoticeCode = "schedule-unwanted"
	NoticeScheduleFault   NoticeCode = "schedules-unreadable"
	NoticeJournalPool     NoticeCode = "journal-pool-kept"
	NoticeDestroyKeeps    NoticeCode = "pool-kept"
	NoticeDestroyUnsure   NoticeCode = "destroy-unsure"
	NoticeDaemonByOthers  NoticeCode = "daemon-by-others"
	NoticeDaemonElsewhere NoticeCode = "daemon-elsewhere"
	NoticeCopyNotFollower NoticeCode = "copy-not-removed"
)

// Severity says how bad a notice is.
type Severity string

// The severities of notices.
const (
	SeverityInfo    Severity = "info"
	SeverityWarning Severity = "warning"
	SeverityError   Severity = "error"
)

// NoticeCodes is the one table of notices: how bad each is, what an apply
// fails with on its account (nil: it does not), and what it means.
var NoticeCodes = []struct {
	Code     NoticeCode
	Severity Severity
	Fails    error
	Doc      string
}{
	{NoticeSplitBrain, SeverityError, ErrHalted, "an image is primary at more than one site"},
	{NoticeHalted, SeverityError, ErrHalted, "an image is halted until a person clears it"},
	{NoticeInRun, SeverityError, ErrRefused, "a run that is not over has the image in its hands"},
	{NoticeNoRecords, SeverityError, ErrRefused, "the plan's records (halts, runs) can be read at no site, so nothing is changed"},
	{NoticeStranded, SeverityError, ErrRefused, "an image is mirrored and primary nowhere"},
	{NoticeSameCluster, SeverityError, ErrRefused, "two sites of the plan are one cluster"},
	{NoticeSiteSilent, SeverityError, ErrUnreachable, "a site does not answer"},
	{NoticePoolMissing, SeverityError, ErrIncomplete, "a pool does not exist at a site"},
	{NoticePoolFault, SeverityError, ErrIncomplete, "a pool cannot be read at a site"},
	{NoticeImageFault, SeverityError, ErrIncomplete, "an image was left alone because it cannot be read at a site"},
	{NoticePeerOccupied, SeverityError, ErrIncomplete, "a pool receives from a site that the plan does not know, and can receive from one only"},
	{NoticeImageMissing, SeverityError, ErrIncomplete, "an image of the plan exists nowhere"},
	{NoticeImageElsewhere, SeverityError, ErrRefused, "an image exists, not mirrored, at a secondary only"},
	{NoticeImageUnsure, SeverityError, ErrIncomplete, "an image was left alone because not every site can be seen"},
	{NoticeNameConflict, SeverityError, ErrRefused, "another image has the name at a secondary"},
	{NoticeWrongMode, SeverityError, ErrRefused, "an image is mirrored in the other mode"},
	{NoticeModeCatches, SeverityError, ErrRefused, "pool mode would make an image primary that must not be"},
	{NoticeInTransition, SeverityError, ErrIncomplete, "mirroring of an image is being ended"},
	{NoticeParent, SeverityError, ErrRefused, "the parent of a clone is not mirrored"},
	{NoticeScheduleFault, SeverityError, ErrIncomplete, "schedules cannot be read at a site"},
	{NoticeDaemonFault, SeverityError, ErrIncomplete, "it cannot be told whether rbd-mirror runs"},
	{NoticeDestroyKeeps, SeverityError, ErrRefused, "a pool stays mirrored: for images that the plan does not name, or that must not be touched"},
	{NoticeDestroyUnsure, SeverityError, ErrRefused, "a site, an image there or the records cannot be read: what a destroy would lose cannot be told"},
	{NoticeCopyNotFollower, SeverityError, ErrRefused, "a copy was not removed because no primary of it was seen"},
	{NoticeDaemonElsewhere, SeverityError, ErrRefused, "a daemon that Drover shall stop does not run where Drover could stop it"},
	{NoticeNoDaemon, SeverityWarning, nil, "no rbd-mirror runs where one must"},
	{NoticeDaemonIdle, SeverityWarning, nil, "rbd-mirror runs but does not serve the pool yet"},
	{NoticePeerSilent, SeverityWarning, nil, "a daemon cannot reach its peer"},
	{NoticeDaemonComplains, SeverityWarning, nil, "a daemon complains of something else"},
	{NoticePeerUnknown, SeverityWarning, nil, "a pool has a peer that the plan does not know"},
	{NoticeSomeRecords, SeverityWarning, nil, "the plan's records cannot be read at a site; those of the others count"},
	{NoticeQuarantined, SeverityWarning, nil, "the copy at a site that has returned is still primary, and was given up in a failover"},
	{NoticeWrongPrimary, SeverityWarning, nil, "an image is primary at another site than the preferred one"},
	{NoticeExcluded, SeverityWarning, nil, "an excluded image is mirrored"},
	{NoticeUnprotected, SeverityWarning, nil, "an image that no plan protects"},
	{NoticeDropped, SeverityWarning, nil, "an image is mirrored and not in the plan any more"},
	{NoticeExtraSchedule, SeverityWarning, nil, "a schedule that is not in the plan"},
	{NoticeJournalPool, SeverityWarning, nil, "an image keeps its journal where it is"},
	{NoticeDaemonByOthers, SeverityInfo, nil, "a daemon that Drover does not run is left running"},
	{NoticeShutOut, SeverityInfo, nil, "a process that did not end its session was shut out"},
	{NoticeCopyPending, SeverityInfo, nil, "a secondary has no copy yet"},
}

// Notice is something that a diff shows and that applying does not change.
type Notice struct {
	Code     NoticeCode  `json:"code"`
	Severity Severity    `json:"severity"`
	Site     string      `json:"site,omitempty"`
	Pool     replay.Pool `json:"pool"`
	Image    string      `json:"image,omitempty"`
	What     string      `json:"what"`
	Next     string      `json:"next,omitempty"` // what a person can do
}

// Object is what the notice is about, as rbd writes it; may be empty.
func (n *Notice) Object() string {
	c := Change{Pool: n.Pool, Image: n.Image}
	return c.Object()
}

// String is the notice in one line, with its next step.
func (n *Notice) String() string {
	if n.Next == "" {
		return n.Line()
	}
	return n.Line() + "; " + n.Next
}

// Line is the notice in one line, without its next step.
func (n *Notice) Line() string {
	where := n.Site
	if object := n.Object(); object != "" {
		if where != "" {
			where += " "
		}
		where += object
	}
	if where != "" {
		where += ": "
	}
	return where + n.What
}

// Fails is what an apply fails with on account of the notice; nil: it does
// not.
func (n *Notice) Fails() error {
	for _, row := range NoticeCodes {
		if row.Code == n.Code {
			return row.Fails
		}
	}
	return nil
}

func severityOf(code NoticeCode) Severity {
	for _, row := range NoticeCodes {
		if row.Code == code {
			return row.Severity
		}
	}
	return SeverityError
}
