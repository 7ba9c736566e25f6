package orchestrator

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// problemExamples is how many images a row of problems names.
const problemExamples = 3

func newStatusReport(plan *plans.Plan, obs *Observation, evidence []replay.Evidence) *StatusReport {
	r := &StatusReport{
		APIVersion: "drover/v1", Kind: "Status", Plan: plan.Name,
		Summary:  StatusSummary{States: make(map[replay.State]int)},
		Problems: []StatusProblem{}, Sites: []SiteStatus{}, Images: make([]ImageStatus, 0, len(evidence)),
	}
	next := strings.NewReplacer(" PLAN", " "+plan.File)
	for _, wanted := range plan.Sites {
		site := newSiteStatus(plan, wanted, obs.Site(wanted.Name))
		if !site.Reachable {
			r.Summary.Silent = append(r.Summary.Silent, site.Name)
		}
		r.Sites = append(r.Sites, site)
	}
	for i := range evidence {
		image := newImageStatus(plan, &evidence[i], next)
		obs.Records.overlay(&image, plan)
		r.Images = append(r.Images, image)
	}
	slices.SortStableFunc(r.Images, func(a, b ImageStatus) int { return cmp.Compare(stateRank(a.State), stateRank(b.State)) })
	r.recordProblems(obs)
	r.daemonProblems(plan)
	r.gather()
	return r
}

// stateRanks puts the states into the order in which people want to see them.
var stateRanks = []replay.State{
	replay.SplitBrain, replay.Stranded, replay.Unprotected, replay.Degraded, replay.Unknown, replay.Lagging,
	replay.Resyncing, replay.HandingOver, replay.Syncing, replay.Enabling, replay.Replaying, replay.Retired,
}

func stateRank(s replay.State) int { return slices.Index(stateRanks, s) }

func newSiteStatus(plan *plans.Plan, wanted plans.Site, seen *SiteObservation) SiteStatus {
	s := SiteStatus{Name: wanted.Name, Daemons: []DaemonStatus{}}
	if seen == nil {
		s.Error = "the site was not observed"
		return s
	}
	s.Seconds = seconds(seen.Took)
	if seen.Fault != nil {
		s.Error, s.Next = replay.WithoutSite(s.Name, seen.Fault.What), seen.Fault.Hint
		return s
	}
	s.Reachable, s.FSID, s.Release, s.Runner = true, seen.Identity.FSID, seen.Identity.Release, seen.Runner
	if seen.DaemonsFault != nil {
		s.Error, s.Next = replay.WithoutSite(s.Name, seen.DaemonsFault.What), seen.DaemonsFault.Hint
	}
	for i := range seen.Daemons {
		s.Daemons = append(s.Daemons, newDaemonStatus(plan, seen, i))
	}
	s.served = slices.ContainsFunc(plan.Pools, func(p plans.Pool) bool { return seen.Serves(poolOf(&p)) })
	return s
}

func newDaemonStatus(plan *plans.Plan, seen *SiteObservation, daemon int) DaemonStatus {
	d := &seen.Daemons[daemon]
	s := DaemonStatus{Client: d.ClientID, Host: d.Host, Version: d.Version, Started: d.Started, Serves: []string{}}
	for i := range d.Pools {
		p := &d.Pools[i]
		if !slices.ContainsFunc(plan.Pools, func(wanted plans.Pool) bool { return wanted.Name == p.Pool.Name }) {
			continue
		}
		s.Serves = append(s.Serves, p.Pool.String())
		if p.Leader {
			s.Leads = append(s.Leads, p.Pool.String())
		}
		for _, c := range seen.complaints(daemon, i) {
			s.Callouts = append(s.Callouts, p.Pool.String()+": "+c.Level+": "+c.Text)
		}
	}
	slices.Sort(s.Serves)
	return s
}

func newImageStatus(plan *plans.Plan, e *replay.Evidence, next *strings.Replacer) ImageStatus {
	v := replay.Judge(*e)
	s := ImageStatus{
		Ref: e.Ref, State: v.State, Healthy: v.Healthy(), Primary: v.Primary,
		Roles: make(map[string]string, len(e.Sites)), Copies: make([]CopyStatus, 0, len(v.Secondaries)), Problems: v.Problems,
	}
	for i := range s.Problems {
		p := &s.Problems[i]
		p.Next = next.Replace(p.Next)
		// An apply adds the peers that the plan wants, and no others.
		if p.Code == replay.ProblemNoPeer && !slices.Contains(receivers(plan, v.Primary), p.Site) {
			p.Next = "by the plan " + p.Site + " does not receive from " + v.Primary + ": " + unfollowedHint(plan, v.Primary)
		}
		if p.Code == replay.ProblemScheduleDead && plan.Snapshots.By == plans.SnapshotsByDrover {
			p.Next = "by the plan drover daemon " + plan.File + " takes mirror snapshots: see that it runs, and whether it says why it cannot"
		}
	}
	for _, site := range e.Sites {
		switch {
		case site.Err != nil:
			s.Roles[site.Site] = roleUnknown
		case site.Image == nil:
			s.Roles[site.Site] = roleMissing
		default:
			s.Roles[site.Site] = string(cmp.Or(site.Image.Role, replay.RoleNone))
			if s.Mode == "" || site.Site == v.Primary {
				s.Mode = cmp.Or(site.Image.Mode, s.Mode)
			}
		}
	}
	for _, c := range v.Secondaries {
		s.Copies = append(s.Copies, newCopyStatus(c, e.Now))
	}
	if e.Objective > 0 {
		objective := seconds(e.Objective)
		s.Objective, s.Met = &objective, met(v.Secondaries, e.Objective)
	}
	return s
}

func newCopyStatus(c replay.SecondaryVerdict, now time.Time) CopyStatus {
	s := CopyStatus{Site: c.Site, State: c.State, Lag: c.Lag, Proof: c.Proof, Report: c.Report, Stale: c.Stale}
	if c.Lag.Seconds != nil {
		to := now.Add(-*c.Lag.Seconds).UTC().Truncate(time.Second)
		s.SyncedTo = &to
	}
	if c.Report != nil && c.Report.Progress != nil && !c.Stale {
		s.SyncPercent = c.Report.Progress.SyncPercent
	}
	return s
}

// met tells whether every copy is within the objective; nil: that is not
// known. One copy that is not makes it false whatever the others are.
func met(copies []replay.SecondaryVerdict, objective time.Duration) *bool {
	known, ok := len(copies) > 0, true
	for _, c := range copies {
		switch {
		case c.Lag.Seconds == nil:
			known = false
		case *c.Lag.Seconds > objective:
			no := false
			return &no
		}
	}
	if !known {
		return nil
	}
	return &ok
}

// gather counts, and makes one row of each problem that images share.
func (r *StatusReport) gather() {
	rows := make(map[string]int)
	r.Summary.Images = len(r.Images)
	for i := range r.Images {
		image := &r.Images[i]
		r.Summary.States[image.State]++
		if image.Healthy {
			r.Summary.Healthy++
		}
		worst := replay.SeverityInfo
		for _, p := range image.Problems {
			if severityRank(p.Severity) < severityRank(worst) {
				worst = p.Severity
			}
			r.row(rows, p, image.Ref)
		}
		switch worst {
		case replay.SeverityCritical:
			r.Summary.Critical++
		case replay.SeverityWarning:
			r.Summary.Warning++
		}
		for _, c := range image.Copies {
			if c.Lag.Seconds != nil {
				lag := seconds(*c.Lag.Seconds)
				if r.Summary.MaxLagSeconds == nil || lag > *r.Summary.MaxLagSeconds {
					r.Summary.MaxLagSeconds = &lag
				}
			}
		}
	}
	r.siteProblems()
	r.sortProblems()
}

// sortProblems puts the most severe first.
func (r *StatusReport) sortProblems() {
	rank := make(map[replay.ProblemCode]int)
	for i, kind := range replay.ProblemKinds() {
		rank[kind.Code] = i
	}
	slices.SortStableFunc(r.Problems, func(a, b StatusProblem) int {
		return cmp.Or(cmp.Compare(severityRank(a.Severity), severityRank(b.Severity)), cmp.Compare(rank[a.Code], rank[b.Code]))
	})
}

// digits are what tells the words of one problem apart from image to image.
var digits = regexp.MustCompile(`[0-9]+`)

// row adds an image's problem to the row of its kind, site and words, numbers
// and the image's own name left aside.
func (r *StatusReport) row(rows map[string]int, p replay.Problem, ref replay.ImageRef) {
	words := digits.ReplaceAllString(strings.ReplaceAll(p.What, ref.String(), ""), "#")
	key := string(p.Code) + "\x00" + p.Site + "\x00" + words
	at, known := rows[key]
	if !known {
		at = len(r.Problems)
		rows[key] = at
		r.Problems = append(r.Problems, StatusProblem{Problem: p})
	}
	row := &r.Problems[at]
	row.Images++
	if len(row.Examples) < problemExamples {
		row.Examples = append(row.Examples, ref.String())
	}
}

// recordProblems shows which records could not be read: a halt, a run or a
// quarantine may be missing from what is shown.
func (r *StatusReport) recordProblems(obs *Observation) {
	for _, f := range obs.recordFaults() {
		r.Problems = append(r.Problems, StatusProblem{Problem: replay.Problem{
			Code: ProblemRecordsUnreadable, Severity: replay.SeverityWarning, Site: f.site, What: f.what, Next: f.next,
		}})
	}
}

// The codes of problems with daemons that Drover runs.
const (
	ProblemDaemonStopped  replay.ProblemCode = "daemon-stopped"
	ProblemDaemonOutdated replay.ProblemCode = "daemon-outdated"
	ProblemDaemonUnknown  replay.ProblemCode = "daemon-unknown"
)

// daemonProblems judges the daemons that Drover runs by what it knows of them
// itself: the service map forgets one that has died only after a minute.
func (r *StatusReport) daemonProblems(plan *plans.Plan) {
	for _, wanted := range plan.MirrorSites() {
		at := slices.IndexFunc(r.Sites, func(s SiteStatus) bool { return s.Name == wanted.Name })
		if at < 0 || !r.Sites[at].Reachable || r.Sites[at].Runner == nil {
			continue
		}
		runner := r.Sites[at].Runner
		p := replay.Problem{Severity: replay.SeverityWarning, Site: wanted.Name, Next: "drover plan apply " + plan.File + " starts it"}
		switch {
		case runner.Fault != nil:
			p.Code, p.Next = ProblemDaemonUnknown, cmp.Or(runner.Fault.Hint, "look on the host where it runs")
			p.What = "it cannot be told whether rbd-mirror at " + wanted.Name + " runs, which Drover runs: " + replay.WithoutSite(wanted.Name, runner.Fault.What)
		case !runner.Running && !runner.Died && r.Sites[at].served:
			continue // it runs on another host
		case !runner.Running:
			p.Code = ProblemDaemonStopped
			p.What = "rbd-mirror at " + wanted.Name + ", which Drover runs, does not run: " + cmp.Or(runner.Detail, "not running")
			if slices.ContainsFunc(r.Images, func(i ImageStatus) bool { return i.copyAt(wanted.Name) }) {
				p.Severity = replay.SeverityCritical
			}
		case runner.Outdated:
			p.Code, p.Next = ProblemDaemonOutdated, "drover plan apply "+plan.File+" restarts it"
			p.What = "rbd-mirror at " + wanted.Name + " runs with other options, conf, keyring or program than the plan says"
		default:
			continue
		}
		r.Problems = append(r.Problems, StatusProblem{Problem: p})
	}
}

// copyAt reports whether the site holds a copy that has to follow.
func (i *ImageStatus) copyAt(site string) bool {
	return slices.ContainsFunc(i.Copies, func(c CopyStatus) bool { return c.Site == site })
}

// siteProblems shows a silent site also where no image would.
func (r *StatusReport) siteProblems() {
	for _, s := range r.Sites {
		shown := slices.ContainsFunc(r.Problems, func(p StatusProblem) bool {
			return p.Code == replay.ProblemSiteUnknown && p.Site == s.Name
		})
		if s.Reachable || shown {
			continue
		}
		r.Problems = append(r.Problems, StatusProblem{Problem: replay.Problem{
			Code: replay.ProblemSiteUnknown, Severity: replay.SeverityCritical, Site: s.Name, What: s.Error, Next: s.Next,
		}})
	}
}

func severityRank(s replay.Severity) int {
	return slices.Index([]replay.Severity{replay.SeverityCritical, replay.SeverityWarning, replay.SeverityInfo}, s)
}
