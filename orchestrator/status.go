package orchestrator

import (
	"cmp"
	"context"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// StatusReport is how the images of a plan stand, at one time. Its schema is
// part of the command line's contract.
type StatusReport struct {
	APIVersion string `json:"apiVersion"` // "drover/v1"
	Kind       string `json:"kind"`       // "Status"

	Plan    string        `json:"plan"`
	At      time.Time     `json:"at"`
	Seconds float64       `json:"seconds"` // it took to find out
	Summary StatusSummary `json:"summary"`
	// Problems are all that is wrong, the most severe first; a problem that many
	// images have is one row.
	Problems []StatusProblem `json:"problems"`
	Sites    []SiteStatus    `json:"sites"`
	// Images are the plan's, the worst state first, then by name.
	Images []ImageStatus `json:"images"`
}

// StatusSummary counts images.
type StatusSummary struct {
	Images  int `json:"images"`
	Healthy int `json:"healthy"` // protected, nothing needs a person
	// Critical and Warning count images by their most severe problem.
	Critical int                  `json:"critical"`
	Warning  int                  `json:"warning"`
	States   map[replay.State]int `json:"states"`
	// Silent are the sites that do not answer.
	Silent []string `json:"silent,omitempty"`
	// MaxLagSeconds is the greatest lag known; nil when none is.
	MaxLagSeconds *float64 `json:"max_lag_seconds,omitempty"`
	// LagUnmeasured counts images whose lag in seconds was not looked up for
	// want of time.
	LagUnmeasured int `json:"lag_unmeasured,omitempty"`
}

// StatusProblem is one thing that is wrong, with all the images that have it.
type StatusProblem struct {
	replay.Problem
	Images int `json:"images"` // how many have it; 0: the problem is a site's
	// Examples are the first of them.
	Examples []string `json:"examples,omitempty"`
}

// SiteStatus is how one site is.
type SiteStatus struct {
	Name      string         `json:"name"`
	Reachable bool           `json:"reachable"`
	Error     string         `json:"error,omitempty"`
	Next      string         `json:"next,omitempty"`
	FSID      string         `json:"fsid,omitempty"`
	Release   string         `json:"release,omitempty"`
	Daemons   []DaemonStatus `json:"daemons"`
	// Runner is what the one says who runs rbd-mirror there for Drover.
	Runner  *RunnerState `json:"runner,omitempty"`
	Seconds float64      `json:"seconds"` // it took to answer
	// Filling are pools that fill up with journals that nobody reads, as only who
	// keeps watch can tell.
	Filling []PoolFilling `json:"filling,omitempty"`

	served bool // a daemon serves a pool of the plan there, whether it is listed or not
}

// DaemonStatus is one rbd-mirror daemon in a site's service map.
type DaemonStatus struct {
	Client   string    `json:"client"`
	Host     string    `json:"host"`
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Serves   []string  `json:"serves"` // pools of the plan
	Leads    []string  `json:"leads,omitempty"`
	Callouts []string  `json:"callouts,omitempty"`
}

// ImageStatus is how one image is protected.
type ImageStatus struct {
	Ref     replay.ImageRef   `json:"ref"`
	Mode    replay.MirrorMode `json:"mode,omitempty"`
	State   replay.State      `json:"state"`
	Healthy bool              `json:"healthy"`
	// Roles by site: primary, secondary, none (not mirrored), missing, unknown.
	Roles   map[string]string `json:"roles"`
	Primary string            `json:"primary,omitempty"`
	// Objective is the RPO in seconds; nil: none is set. Met is nil while that
	// cannot be told.
	Objective *float64         `json:"rpo_seconds,omitempty"`
	Met       *bool            `json:"rpo_met,omitempty"`
	Copies    []CopyStatus     `json:"copies"`
	Problems  []replay.Problem `json:"problems,omitempty"`
	// Halt is the id of the halt that covers it; Run the unfinished run that has
	// it in its hands; Quarantined the site that has returned with a copy that a
	// failover gave up.
	Halt        string `json:"halt,omitempty"`
	Run         string `json:"run,omitempty"`
	Quarantined string `json:"quarantined,omitempty"`
	// Protection is its state by what is seen and what is recorded, as a watch has it:
	// a split-brain that was halted stays one while a site is out of sight. Empty where
	// no watch has looked.
	Protection Protection `json:"-"`
}

// CopyStatus is how one secondary of an image stands.
type CopyStatus struct {
	Site  string       `json:"site"`
	State replay.State `json:"state"`
	Lag   replay.Lag   `json:"lag"`
	// SyncedTo is the time whose writes the copy holds; nil: not known.
	SyncedTo *time.Time `json:"synced_to,omitempty"`
	// SyncPercent is how far a first sync or a snapshot's copy is.
	SyncPercent *float64 `json:"sync_percent,omitempty"`
	// CatchUpSeconds is how long it takes, at the rate of the last looks, until
	// nothing is lacking any more: no entry of the journal, nothing of the first sync
	// or of the mirror snapshot that is being copied. Nil: it does not close in, or
	// that is not known, as by a single look. See [Pace].
	CatchUpSeconds *float64 `json:"catch_up_seconds,omitempty"`
	// FallsBehind: it lacks more with each look.
	FallsBehind bool         `json:"falls_behind,omitempty"`
	Proof       replay.Proof `json:"proof"`
	// Report is the daemon's own; Stale: it is older than the daemon's life, or
	// too old.
	Report *replay.Report `json:"report,omitempty"`
	Stale  bool           `json:"report_stale,omitempty"`
	// Compared is what its last comparison with the primary has shown.
	Compared *CopyProof `json:"compared,omitempty"`
}

// Roles in an ImageStatus beside replay's own.
const (
	roleMissing = "missing" // the site has no such image
	roleUnknown = "unknown" // the site or its pool cannot be read
)

// defaultLagTime bounds the search for journal lags in seconds.
const defaultLagTime = 500 * time.Millisecond

// StatusOptions says how status is found out. The zero value is usable.
type StatusOptions struct {
	// LagTime is how long journals may be read to tell lags in seconds; the
	// images that are furthest behind come first. 0 means half a second.
	LagTime time.Duration
	// Now gives the time; nil: time.Now.
	Now func() time.Time
	// Pace is what earlier looks have taught, and learns from this one; nil: there
	// are no others.
	Pace *Pace
}

// Status observes all sites and judges each image of the plan. A site that
// does not answer is shown as such after the plan's check timeout and hides
// nothing of the others. Status itself never fails; what it could not see is
// in the report.
func Status(ctx context.Context, plan *plans.Plan, sites *Sites, o StatusOptions) *StatusReport {
	reading, done := context.WithCancel(ctx)
	defer done()
	var past *proofs
	var left, others []DrillLeft
	var unseen, hidden []DrillUnseen
	var owed []owedRelease
	var read parallel.Group
	read.Go(func() { past = readProofs(reading, plan, sites) })
	read.Go(func() { left, unseen = drillClones(reading, plan, sites, drillPlaces(plan)) })
	read.Go(func() {
		var places []replay.Pool
		if places, owed = drillRecords(reading, plan, sites); len(places) > 0 {
			others, hidden = drillClones(reading, plan, sites, places)
		}
	})
	seen := look(ctx, plan, sites, o, func([]replay.Evidence) {})
	// Nobody waits long for what is only history.
	late := time.AfterFunc(shortAnswer, done)
	read.Wait()
	late.Stop()
	past.tell(plan, seen.report)
	left, unseen = append(left, others...), append(unseen, hidden...)
	for i := range seen.obs.Sites {
		for _, pool := range seen.obs.Sites[i].Pools {
			left = append(left, drillSnapshots(seen.obs.Sites[i].Name, pool.Images)...)
		}
	}
	seen.report.drillProblems(plan, left, seen.report.At)
	seen.report.drillHeld(plan, owed)
	seen.report.drillUnseen(seen.obs, unseen)
	seen.report.sortProblems()
	return seen.report
}

// sight is a status with what it was made from.
type sight struct {
	obs      *Observation
	evidence []replay.Evidence // in order of image
	report   *StatusReport
}

// look finds out how the images are. recall adds to the evidence what only somebody
// knows who has looked before.
func look(ctx context.Context, plan *plans.Plan, sites *Sites, o StatusOptions, recall func([]replay.Evidence)) *sight {
	if o.Now == nil {
		o.Now = time.Now
	}
	began := o.Now()
	obs := Observe(ctx, plan, sites, ObserveOptions{Detail: replay.WithHeader | replay.WithPositions, Reports: true, Records: true, Now: o.Now})
	evidence := gatherEvidence(plan, obs, o.Now())
	obs.Records.inFlight(evidence)
	unmeasured := measureAppends(ctx, sites, evidence, cmp.Or(o.LagTime, defaultLagTime))
	now := o.Now()
	for i := range evidence {
		evidence[i].Now = now
	}
	recall(evidence)
	report := newStatusReport(plan, obs, evidence)
	if o.Pace != nil {
		o.Pace.note(report, time.Now())
	}
	report.Summary.LagUnmeasured = unmeasured
	report.At = now.UTC().Truncate(time.Millisecond)
	report.Seconds = seconds(now.Sub(began))
	return &sight{obs: obs, evidence: evidence, report: report}
}
