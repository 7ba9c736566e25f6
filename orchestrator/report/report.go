// Package report is what a drill or a run leaves for whoever asks afterwards: an
// auditor, a CI job, the team in the morning. It holds the form of a report and its
// renderings (JSON, Markdown, JUnit XML, one page of HTML) and knows no site.
//
// A [Report] is filled by whoever drills or runs. [Bound] makes it fit a record and
// [Encode] is what is recorded; [Parse] reads that, and the file that [JSON] writes.
// [Write] renders one in the [Format] that a person asked for. [Summarize] is the line
// of it in a list of past ones, from which [HTML] draws the trend. [SignFile] and
// [VerifyFile] sign the bytes of an exported file and check them.
//
// Names and outputs come from clusters and from people's commands, and may hold
// anything: each rendering escapes them, and shows what no screen should get (control
// characters, marks that turn the direction of text) as U+FFFD.
package report

import "time"

// Version is that of the JSON form; a field is only ever added to it.
const Version = 1

// Report tells of one drill or run.
type Report struct {
	Version     int    `json:"version"`
	ID          string `json:"id"`
	Kind        string `json:"kind"`           // drill, switchover, failover, failback or resync
	Name        string `json:"name,omitempty"` // of the drill in the plan
	Plan        string `json:"plan"`
	Fingerprint string `json:"fingerprint"` // of the plan
	From        string `json:"from"`        // the site that is primary, or was
	To          string `json:"to"`          // the site that shall serve
	By          string `json:"by"`          // user@host
	Trigger     string `json:"trigger"`     // schedule or person
	Reason      string `json:"reason,omitempty"`
	// Scope is what a person chose in place of what the plan's drill names, in words;
	// "": nothing.
	Scope string `json:"scope,omitempty"`

	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended"`
	Verdict Verdict   `json:"verdict"`
	Why     string    `json:"why,omitempty"` // what decided the verdict, in one line
	// Fault, of one that was aborted: it is for a person to look at. A hook has failed, its
	// time was over, or it had found something wrong before it made room.
	Fault bool `json:"fault,omitempty"`

	Objectives Objectives `json:"objectives"`
	Achieved   Achieved   `json:"achieved"`
	// Outcomes are how both stand to each other: derived ([Report.Compare]), for readers
	// of the JSON.
	Outcomes Outcomes          `json:"outcomes,omitzero"`
	Versions map[string]string `json:"versions"` // of drover, and of Ceph by site

	Images []Image `json:"images"`
	// MoreImages are how many images are not in Images, to save room ([Bound]).
	MoreImages Counts `json:"more_images,omitzero"`

	// Groups tell of each group of several images whether what was brought up of them
	// is of one moment.
	Groups []Group `json:"groups,omitempty"`

	Checks []Check  `json:"checks"`
	Steps  []Step   `json:"steps"`
	Notes  []string `json:"notes,omitempty"` // what a reader should know besides
	Left   []string `json:"left,omitempty"`  // what could not be cleaned up
}

// Verdict is what a report comes to.
type Verdict string

// The verdicts.
const (
	Passed  Verdict = "passed"
	Failed  Verdict = "failed"  // a check is not green, or an objective is missed
	Skipped Verdict = "skipped" // it was not begun, or a check was not made
	Aborted Verdict = "aborted" // it was ended before its end: by a person, a run, a halt or a fault
)

// Objectives are what the plan asks for; 0: nothing.
type Objectives struct {
	RPOSeconds float64 `json:"rpo_seconds,omitempty"`
	RTOSeconds float64 `json:"rto_seconds,omitempty"`
}

// Achieved is what was measured; nil: it could not be.
type Achieved struct {
	// RPOSeconds is the age of the oldest data that were brought up, when they were.
	RPOSeconds *float64 `json:"rpo_seconds,omitempty"`
	// RTOSeconds is from the beginning until the last check was green.
	RTOSeconds *float64 `json:"rto_seconds,omitempty"`
	// ExposureSeconds is, of a drill, the age of the oldest data that the other site
	// held when it began: what the loss of the primary would have cost just then. The
	// RPO is of what the drill itself has had brought over.
	ExposureSeconds *float64 `json:"exposure_seconds,omitempty"`
}

// Image is one image of a report.
type Image struct {
	Image   string  `json:"image"` // POOL/[NAMESPACE/]IMAGE
	Mode    string  `json:"mode,omitempty"`
	Group   string  `json:"group,omitempty"`
	Wave    string  `json:"wave,omitempty"`
	Verdict Verdict `json:"verdict"`
	Why     string  `json:"why,omitempty"`

	Taken      *time.Time `json:"taken,omitempty"` // the moment of which the data are
	Up         *time.Time `json:"up,omitempty"`    // when they could be used
	RPOSeconds *float64   `json:"rpo_seconds,omitempty"`
	// ExposureSeconds: see [Achieved].
	ExposureSeconds *float64 `json:"exposure_seconds,omitempty"`
	Clone           string   `json:"clone,omitempty"` // what was brought up of it
	Bytes           uint64   `json:"bytes,omitempty"` // its size
	// Lost is what a failover, failback or resync gave up, in words.
	Lost string `json:"lost,omitempty"`
}

// Check is one check.
type Check struct {
	Name    string    `json:"name"`
	How     string    `json:"how"` // builtin NAME, command or http
	Per     string    `json:"per"` // image, group or drill
	Of      string    `json:"of,omitempty"`
	Verdict Verdict   `json:"verdict"`
	Why     string    `json:"why,omitempty"`
	Output  string    `json:"output,omitempty"` // the end of what it wrote
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"`
	// Count is of how many checks with the same name and verdict this is all that was
	// kept, to save room ([Bound]); 0: of itself. Began is then that of the first, and
	// Seconds last until the end of the last.
	Count int `json:"count,omitempty"`
}

// Step is one step of the timeline.
type Step struct {
	Name    string    `json:"name"` // such as snapshot, await, clone, remove
	Of      string    `json:"of,omitempty"`
	Site    string    `json:"site,omitempty"`
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"`
	OK      bool      `json:"ok"`
	Note    string    `json:"note,omitempty"` // what it rests on, or why it failed
	// Count is of how many steps with the same name at the same site this is all that
	// was kept, as with [Check].
	Count int `json:"count,omitempty"`
}
