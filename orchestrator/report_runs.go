package orchestrator

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// Reports tells of all drills and runs of a plan that are recorded at the sites that
// answer, the oldest first. A drill leaves a report; that of a run is made of its own
// records. Faults are the sites that could not be read, where others could.
func Reports(ctx context.Context, plan *plans.Plan, sites *Sites) (reports []report.Report, faults map[string]error, err error) {
	drills, err := openDrills(ctx, plan, sites)
	if err != nil {
		return nil, nil, err
	}
	book, err := ReadBook(ctx, plan, sites)
	if err != nil {
		return nil, nil, err
	}
	reports, faults = recordedReports(drills.Entries(), sites.now()), drills.Faults()
	stories := Runs(book)
	for i := range stories {
		stories[i].Account(book)
		reports = append(reports, reportOfRun(plan, &stories[i]))
	}
	for site, err := range book.Faults() {
		if faults[site] == nil {
			faults[site] = err
		}
	}
	slices.SortStableFunc(reports, func(a, b report.Report) int { return a.Began.Compare(b.Began) })
	return reports, faults, nil
}

// FindReport finds one by its id, or the newest of a drill by its name; "" is the
// newest of all.
func FindReport(reports []report.Report, name string) (*report.Report, error) {
	for i := range slices.Backward(reports) {
		if r := &reports[i]; name == "" || r.ID == name || r.Name == name {
			return r, nil
		}
	}
	if name == "" {
		return nil, refusal("drover drill FILE makes one", "nothing is recorded that could be reported")
	}
	return nil, refusal("drover report list FILE shows all", "no drill or run %q is recorded", name)
}

// runVerdicts are what the outcomes of runs come to.
var runVerdicts = map[RunOutcome]report.Verdict{
	RunDone: report.Passed, RunIncomplete: report.Failed, RunAborted: report.Aborted, RunGivenUp: report.Aborted,
}

// reportOfRun makes the report of a run from its records. The plan is asked only for
// what the records of an earlier Drover do not tell.
func reportOfRun(plan *plans.Plan, s *RunStory) report.Report {
	r := report.Report{
		Version: report.Version, ID: s.Run.ID, Kind: string(s.Run.Runbook), Plan: s.Run.Plan, Fingerprint: s.Run.Fingerprint,
		From: s.Run.From, To: s.Run.To, By: s.Run.By, Trigger: "person", Reason: s.Run.Reason,
		Began: s.Run.Began, Ended: s.Run.Began, Verdict: report.Aborted, Why: "it is not over: " + resumeHint(&s.Run),
		Versions: map[string]string{}, Images: []report.Image{}, Checks: []report.Check{}, Steps: []report.Step{},
	}
	reportVersions(&r, s)
	switch {
	case s.Run.Objectives != nil:
		r.Objectives = *s.Run.Objectives
	case s.Run.Fingerprint == plan.Fingerprint():
		r.Objectives = *s.Run.objectives(plan)
	default:
		r.Notes = append(r.Notes, "objectives: its record does not tell what the plan asked for when it began")
	}
	final := map[string]int{}
	for i := range s.Steps {
		if s.Steps[i].Phase != PhaseIntent {
			final[s.Steps[i].Step] = i
		}
	}
	for i := range s.Steps {
		reportStep(&r, &s.Steps[i], final[s.Steps[i].Step] == i)
	}
	outcomes := map[string]*UnitReport{}
	if s.End != nil {
		r.Verdict, r.Why, r.Ended = runVerdicts[s.End.Outcome], s.End.Why, s.End.Ended
		if r.Verdict == "" {
			r.Verdict, r.Why = report.Aborted, "outcome "+string(s.End.Outcome)
		}
		r.Notes = append(r.Notes, s.End.Notes...)
		for i := range s.End.Units {
			outcomes[s.End.Units[i].Unit.Name] = &s.End.Units[i]
		}
		if r.Verdict == report.Passed {
			took := max(seconds(r.Ended.Sub(r.Began)), 0)
			r.Achieved.RTOSeconds = &took
		}
	}
	for i := range s.Run.Units {
		unit := &s.Run.Units[i]
		reportUnit(&r, s, unit, outcomes[unit.Name])
		reportMoment(&r, s, unit, outcomes[unit.Name])
	}
	if s.End != nil {
		reportRPO(&r, s)
		reportObjectives(&r)
	}
	for _, left := range s.Run.Left {
		r.Images = append(r.Images, report.Image{Image: left.Ref.String(), Verdict: report.Skipped, Why: left.Why})
	}
	for _, out := range s.ShutOut {
		r.Notes = append(r.Notes, fmt.Sprintf("shut out: %s", out.Who))
	}
	r.Compare()
	return r
}

// reportVersions enters those of Drover, of all processes that worked at the run, and
// of Ceph, and says of which site they are not known.
func reportVersions(r *report.Report, s *RunStory) {
	var drovers []string
	for i := range s.Who {
		if v := s.Who[i].Drover; v != "" && !slices.Contains(drovers, v) {
			drovers = append(drovers, v)
		}
	}
	if len(drovers) > 0 {
		r.Versions["drover"] = strings.Join(drovers, ", then ")
	}
	for site, release := range s.Run.Releases {
		r.Versions["ceph at "+site] = release
	}
	if s.Run.Releases == nil {
		r.Notes = append(r.Notes, "versions: it was begun by a Drover that did not record them")
		return
	}
	for _, site := range []string{s.Run.From, s.Run.To} {
		if s.Run.Releases[site] == "" {
			r.Notes = append(r.Notes, site+" did not answer when it was prepared: the version of its Ceph is not known")
		}
	}
}

// reportStep enters a step that has ended; those that prove something count as checks,
// by what the last try of each came to.
func reportStep(r *report.Report, s *StepStory, final bool) {
	if s.Phase == PhaseIntent {
		return
	}
	of := s.Unit
	if s.Image != nil {
		of = s.Image.String()
	}
	began := s.At.Add(-s.Took)
	good := s.Phase == PhaseDone || s.Phase == PhaseAlready
	note := s.Evidence
	if s.Fault != "" {
		note = s.Fault
	}
	if r.Ended.Before(s.At) {
		r.Ended = s.At
	}
	names := map[StepKind]string{StepProve: "caught up", StepVerify: "roles", StepCompare: "same content", StepAlone: "alone"}
	if name, isCheck := names[s.Kind]; isCheck && final && s.Image != nil {
		c := report.Check{Name: name, How: "builtin " + string(s.Kind), Per: plans.PerImage, Of: of, Verdict: report.Passed, Output: note, Began: began, Seconds: seconds(s.Took)}
		if !good {
			c.Verdict, c.Why, c.Output = report.Failed, note, ""
		}
		r.Checks = append(r.Checks, c)
		return
	}
	r.Steps = append(r.Steps, report.Step{Name: string(s.Kind), Of: of, Site: s.Site, Began: began, Seconds: seconds(s.Took), OK: good, Note: note})
}

// reportUnit enters the images of a unit. What did not come up has no RPO.
func reportUnit(r *report.Report, s *RunStory, u *RunUnit, end *UnitReport) {
	for i := range u.Images {
		image := &u.Images[i]
		out := report.Image{Image: image.Ref.String(), Mode: string(image.Mode), Group: u.Group, Wave: u.Wave, Verdict: report.Aborted}
		switch {
		case end == nil:
		case end.Outcome == UnitMoved:
			out.Verdict, out.RPOSeconds = report.Passed, rpoOf(s.Run.Runbook, image)
		case end.Outcome == UnitNotBegun || end.Outcome == UnitUntouched:
			out.Verdict, out.Why = report.Skipped, end.Why
		default:
			out.Verdict, out.Why = report.Failed, string(end.Outcome)+": "+end.Why
		}
		given := s.discardOf(image.Ref)
		switch {
		case given != nil && given.Held != nil:
			out.Lost = lossWords(given.Held)
			if given.State == DiscardMayBeGivenUp || given.State == DiscardAsked {
				out.Lost = "perhaps, as how it ended is not recorded: " + out.Lost
			}
			if given.LaterUnknown() {
				out.Lost += "; what " + given.Site + " wrote after that look is not known"
			}
			if given.Kept != nil {
				out.Lost += "; it is kept: " + given.Kept.Place() + " until " + given.Kept.Until.UTC().Format(time.RFC3339)
			}
		case out.Verdict == report.Passed && image.Loss.final():
			out.Lost = lossWords(image.Loss)
		}
		r.Images = append(r.Images, out)
	}
}

// reportMoment tells of a group that came up by force that each of its images is as far
// as it had been replayed. A hand-over brings all of each, and needs no telling.
func reportMoment(r *report.Report, s *RunStory, u *RunUnit, end *UnitReport) {
	whole := !slices.ContainsFunc(u.Images, func(i RunImage) bool { return i.Loss != nil && !i.Loss.Final })
	if s.Run.Runbook != Failover || u.Group == "" || len(u.Images) < 2 || whole || end == nil || end.Outcome != UnitMoved {
		return
	}
	g := report.Group{Group: u.Group, Images: len(u.Images), Moment: report.Apart}
	var least, most *float64
	for i := range u.Images {
		lag := rpoOf(s.Run.Runbook, &u.Images[i])
		if lag == nil {
			r.Groups = append(r.Groups, g)
			return
		}
		if least == nil || *lag < *least {
			least = lag
		}
		if most == nil || *lag > *most {
			most = lag
		}
	}
	spread := *most - *least
	g.SpreadSeconds = &spread
	r.Groups = append(r.Groups, g)
}

// discardOf is what became of an image's losing copy; nil: nothing, or there was none.
func (s *RunStory) discardOf(ref replay.ImageRef) *Discard {
	for i := range s.Discards {
		if d := &s.Discards[i]; d.Image == ref {
			return d
		}
	}
	return nil
}

// rpoOf is how much time of writes of an image was given up to bring it up; nil: that is
// not known.
func rpoOf(book Runbook, image *RunImage) *float64 {
	handedOver := book == Switchover || image.Loss == nil || book != Failover && !image.Resync
	if handedOver || image.Loss.Final {
		return new(float64)
	}
	return image.Loss.Seconds
}

// reportRPO is the greatest RPO of all images of a run that is over. What is not known
// of one is not known at all, and that is said.
func reportRPO(r *report.Report, s *RunStory) {
	var (
		worst   *float64
		unknown []string
	)
	images := s.Run.all()
	for i := range r.Images {
		m := &r.Images[i]
		switch age := m.RPOSeconds; {
		case age == nil && m.Verdict == report.Aborted:
			unknown = append(unknown, "it is not recorded what became of "+m.Image)
		case age == nil && m.Verdict != report.Passed:
			unknown = append(unknown, m.Image+" did not come up")
		case age == nil:
			unknown = append(unknown, "how much time of writes of "+m.Image+" was given up is not known ("+images[i].Loss.Why+")")
		case worst == nil || *age > *worst:
			worst = age
		}
	}
	switch len(unknown) {
	case 0:
		r.Achieved.RPOSeconds = worst
	case 1:
		r.Notes = append(r.Notes, "RPO: not known, as "+unknown[0])
	default:
		r.Notes = append(r.Notes, fmt.Sprintf("RPO: not known for %d of %d images, the first: %s", len(unknown), len(images), unknown[0]))
	}
}

// reportObjectives holds what a run that is over has come to against what the plan
// asks for: what is missed, or not known, is not met, and such a run has not passed.
func reportObjectives(r *report.Report) {
	if r.Verdict != report.Passed && r.Verdict != report.Failed {
		return
	}
	var wrong []string
	measures := r.Measures()
	for i := range measures {
		m := &measures[i]
		switch want := secondsText(m.Objective); {
		case m.Outcome == report.Missed && m.Name == "RPO":
			wrong = append(wrong, fmt.Sprintf("RPO: %s of writes were given up, and the objective is %s", secondsText(*m.Achieved), want))
		case m.Outcome == report.Missed:
			wrong = append(wrong, fmt.Sprintf("%s: it took %s, and the objective is %s", m.Name, secondsText(*m.Achieved), want))
		case m.Outcome == report.Unmeasured && r.Verdict == report.Passed:
			wrong = append(wrong, fmt.Sprintf("%s: it is not known, and the objective is %s", m.Name, want))
		}
	}
	if len(wrong) == 0 {
		return
	}
	if r.Why != "" {
		wrong = slices.Insert(wrong, 0, r.Why)
	}
	r.Verdict, r.Why = report.Failed, strings.Join(wrong, "; ")
}

// secondsText is a length of time as objectives and what is held against them are told:
// so that nothing looks the same that is not.
func secondsText(s float64) string {
	return strconv.FormatFloat(math.Round(s*1000)/1000, 'f', -1, 64) + " s"
}

// lossWords tell in a line what was given up.
func lossWords(l *Loss) string {
	if l.Final {
		return "nothing"
	}
	var parts []string
	if l.Entries != nil {
		parts = append(parts, plural(uint64(max(*l.Entries, 0)), "journal entry", "journal entries"))
	}
	if l.Bytes != nil {
		parts = append(parts, sizeText(uint64(max(*l.Bytes, 0))))
	}
	if l.Seconds != nil {
		parts = append(parts, "at most "+time.Duration(*l.Seconds*float64(time.Second)).Round(time.Second).String()+" of writes")
	}
	none := func(n *int64) bool { return n == nil || *n == 0 }
	text := "unknown: " + l.Why
	switch {
	case l.Seconds != nil && *l.Seconds == 0 && none(l.Entries) && none(l.Bytes):
		text = "nothing that is known of"
	case len(parts) > 0:
		text = strings.Join(parts, ", ")
	}
	if len(l.Snapshots) > 0 {
		text += "; " + snapshotWords(l.Snapshots)
	}
	return text
}
