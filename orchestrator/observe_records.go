package orchestrator

import (
	"context"
	"slices"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// Recorded is what the records of a plan say that bears on what is seen.
type Recorded struct {
	// Fault: no site's records could be read.
	Fault *Fault `json:"fault,omitempty"`
	Halts []Halt `json:"halts,omitempty"`
	// Unfinished are runs that are not over.
	Unfinished []Run `json:"unfinished,omitempty"`

	book *Book
}

// readRecords reads what is recorded. It writes nothing.
func readRecords(ctx context.Context, plan *plans.Plan, sites *Sites) *Recorded {
	book, err := ReadBook(ctx, plan, sites)
	if err != nil {
		return &Recorded{Fault: faultOf(err)}
	}
	return &Recorded{Halts: book.Halts(), Unfinished: unfinished(book), book: book}
}

// halted is the halt that covers an image, or nil.
func (r *Recorded) halted(ref replay.ImageRef) *Halt {
	if r == nil || r.book == nil {
		return nil
	}
	return r.book.Halted(ref)
}

// quarantined is the tombstone of the one copy, of several that say they are
// primary, that a failover gave up; nil when the others are not explained by
// that.
func (r *Recorded) quarantined(ref replay.ImageRef, primaries []string) *Tombstone {
	if r == nil || r.book == nil || len(primaries) != 2 {
		return nil
	}
	var found *Tombstone
	for _, site := range primaries {
		if t := r.book.Tombstone(site, ref); t != nil {
			if found != nil {
				return nil
			}
			found = t
		}
	}
	return found
}

// moving reports whether an unfinished run has the image in its hands.
func (r *Recorded) moving(ref replay.ImageRef) *Run {
	if r == nil {
		return nil
	}
	for i := range r.Unfinished {
		for _, image := range r.Unfinished[i].images() {
			if image == ref {
				return &r.Unfinished[i]
			}
		}
	}
	return nil
}

// inFlight tells the evidence of images which a run has in its hands: roles
// that contradict each other are no split-brain then.
func (r *Recorded) inFlight(evidence []replay.Evidence) {
	for i := range evidence {
		switch run := r.moving(evidence[i].Ref); {
		case run == nil:
		case run.Runbook == Resync:
			evidence[i].Resyncing = true
		case run.Runbook == Failback:
			evidence[i].Resyncing, evidence[i].HandingOver = true, true
		default:
			evidence[i].HandingOver = true
		}
	}
}

// The codes of problems that records tell of.
const (
	ProblemHalted      replay.ProblemCode = "halted"
	ProblemQuarantined replay.ProblemCode = "returned-quarantined"
	ProblemUnfinished  replay.ProblemCode = "run-not-over"
)

// overlay adds to an image's status what the records say of it.
func (r *Recorded) overlay(s *ImageStatus, plan *plans.Plan) {
	file := plan.File
	if r == nil {
		return
	}
	put := func(p replay.Problem) {
		s.Problems = append([]replay.Problem{p}, s.Problems...)
		s.Healthy = false
	}
	if run := r.moving(s.Ref); run != nil {
		s.Run = run.ID
		put(replay.Problem{
			Code: ProblemUnfinished, Severity: replay.SeverityWarning, What: "the " + string(run.Runbook) + " " + run.ID + " is not over",
			Next: "drover runs show " + file + " " + run.ID + "; if nobody is at it: drover runs resume " + file + " " + run.ID,
		})
	}
	var primaries []string
	for site, role := range s.Roles {
		if role == string(replay.RolePrimary) {
			primaries = append(primaries, site)
		}
	}
	if t := r.quarantined(s.Ref, primaries); t != nil {
		s.Quarantined = t.Site
		s.Problems = slices.DeleteFunc(s.Problems, func(p replay.Problem) bool {
			return p.Code == replay.ProblemTwoPrimaries || p.Code == replay.ProblemDiverged || p.Code == replay.ProblemSplitBrain
		})
		s.State = replay.Degraded
		for _, site := range primaries {
			if site != t.Site {
				s.Primary = site
			}
		}
		put(replay.Problem{
			Code: ProblemQuarantined, Severity: replay.SeverityWarning, Site: t.Site,
			What: t.Site + " has returned with the copy that " + t.Run + " gave up: quarantined, and still primary there; no client may write to it",
			Next: afterReturn(plan, s.Ref, t.Site, s.Primary),
		})
	}
	if h := r.halted(s.Ref); h != nil {
		s.Halt = h.ID
		if slices.ContainsFunc(h.Paused, func(p PausedSchedule) bool { return p.Image == s.Ref }) {
			s.Problems = slices.DeleteFunc(s.Problems, func(p replay.Problem) bool {
				return p.Code == replay.ProblemNoSchedule || p.Code == replay.ProblemScheduleDead
			})
		}
		put(replay.Problem{
			Code: ProblemHalted, Severity: replay.SeverityCritical, What: "halted: " + h.Reason,
			Next: "drover resync " + file + " " + s.Ref.String() + " --keep SITE; or drover halt clear " + file + " " + h.ID + " --reason TEXT",
		})
	}
}

// afterReturn is what comes next where a site has returned with copies that a
// failover gave up.
func afterReturn(plan *plans.Plan, ref replay.ImageRef, site, primary string) string {
	if site != plan.Primary {
		// A failback would go there only if it was the preferred primary.
		return "drover resync " + plan.File + " " + ref.String() + " --keep " + primary + " --discard " + site + " keeps what it holds and copies the image back; it refuses while clients hold it there, and names them (--fence shuts them out)"
	}
	first := "; it refuses while clients hold it there, and names them (--fence shuts them out)"
	if fences(plan, site) {
		first = "; before all that it shuts out the clients that still hold it there (osd blocklist)"
	}
	return "drover failback " + plan.File + " keeps what it holds, copies the image back and hands it over" + first
}
