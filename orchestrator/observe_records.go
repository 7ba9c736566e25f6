package orchestrator

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// Recorded is what the records of a plan say that bears on what is seen.
type Recorded struct {
	// Fault: no site's records could be read. None: there are none, as all sites
	// answer and none has the pool that would hold them.
	Fault *Fault `json:"fault,omitempty"`
	None  bool   `json:"none,omitempty"`
	// Unread are the sites whose records could not be read, where another's were:
	// what was written at one of them alone is missing.
	Unread []UnreadRecords `json:"unread,omitempty"`
	Halts  []Halt          `json:"halts,omitempty"`
	// Unfinished are runs that are not over.
	Unfinished []Run `json:"unfinished,omitempty"`

	book *Book
}

// UnreadRecords is a site whose records could not be read.
type UnreadRecords struct {
	Site  string `json:"site"`
	Fault *Fault `json:"fault"`
}

// readRecords reads what is recorded. It writes nothing.
func readRecords(ctx context.Context, plan *plans.Plan, sites *Sites) *Recorded {
	book, err := ReadBook(ctx, plan, sites)
	if err != nil {
		return &Recorded{Fault: faultOf(err), None: errors.Is(err, errNoPlace)}
	}
	r := &Recorded{Halts: book.Halts(), Unfinished: unfinished(book), book: book}
	faults := book.Faults()
	for _, s := range plan.Sites {
		// Where the pool is missing there is nothing to read.
		if err := faults[s.Name]; err != nil && !errors.Is(err, replay.ErrNotFound) {
			r.Unread = append(r.Unread, UnreadRecords{Site: s.Name, Fault: faultOf(err)})
		}
	}
	return r
}

// unreadable is why it is not known what is recorded, so that every image may be
// halted or in the hands of a run; nil where it is known, or was not asked.
func (r *Recorded) unreadable() *Fault {
	if r == nil || r.None {
		return nil
	}
	return r.Fault
}

// recordFault is one thing about records that could not be read: at a site, or
// (no site) at all of them.
type recordFault struct {
	site, what, next string
}

// unreadHint is the next step where no site's records can be read.
const unreadHint = "make the plan's first pool, which holds the records, readable at a site: check its OSDs, and Drover's caps there; then try again"

// recordFaults tells what of the records could not be read. A site that does not
// answer at all is told of as such, not here.
func (o *Observation) recordFaults() []recordFault {
	if o.Records == nil {
		return nil
	}
	answers := func(site string) bool {
		s := o.Site(site)
		return s != nil && s.Fault == nil
	}
	if fault := o.Records.unreadable(); fault != nil {
		if !slices.ContainsFunc(o.Sites, func(s SiteObservation) bool { return s.Fault == nil }) {
			return nil
		}
		return []recordFault{{
			what: "halts, runs that are not over and copies that were given up are not known, so nothing may be changed: " + fault.What,
			next: cmp.Or(fault.Hint, unreadHint),
		}}
	}
	var out []recordFault
	for _, u := range o.Records.Unread {
		if answers(u.Site) {
			out = append(out, recordFault{
				site: u.Site, what: "what is recorded at " + u.Site + " alone is not known: " + replay.WithoutSite(u.Site, u.Fault.What),
				next: cmp.Or(u.Fault.Hint, "check the OSDs of "+u.Site+" and Drover's caps there"),
			})
		}
	}
	return out
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

// gaveUp reports whether a failover gave up a site's copy.
func (r *Recorded) gaveUp(ref replay.ImageRef, site string) bool {
	return r != nil && r.book != nil && r.book.Tombstone(site, ref) != nil
}

// stranger is the tombstone of a copy that a failover gave up, that somebody has
// demoted since, and that does not follow the one primary; nil when there is none.
// broken are the sites whose copies do not replay cleanly.
func (r *Recorded) stranger(ref replay.ImageRef, primaries, broken []string) *Tombstone {
	if r == nil || r.book == nil || len(primaries) != 1 || r.book.Tombstone(primaries[0], ref) != nil {
		return nil
	}
	for _, site := range broken {
		if t := r.book.Tombstone(site, ref); t != nil && site != primaries[0] {
			return t
		}
	}
	return nil
}

// unclean reports whether a copy neither replays nor is on its way to.
func unclean(s replay.State) bool { return s == replay.SplitBrain || s == replay.Degraded }

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
	// ProblemRecordsUnreadable is a site's, or the whole plan's.
	ProblemRecordsUnreadable replay.ProblemCode = "records-unreadable"
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
		next := "drover runs show " + file + " " + run.ID + "; if nobody is at it: drover runs resume " + file + " " + run.ID
		if lost := silentOf(r.book, run); lost != "" && run.Runbook != Failover {
			next += "; " + wayOut(run, lost)
		}
		put(replay.Problem{
			Code: ProblemUnfinished, Severity: replay.SeverityWarning, What: "the " + string(run.Runbook) + " " + run.ID + " is not over", Next: next,
		})
	}
	var primaries []string
	for site, role := range s.Roles {
		if role == string(replay.RolePrimary) {
			primaries = append(primaries, site)
		}
	}
	var broken []string
	for i := range s.Copies {
		if c := &s.Copies[i]; unclean(c.State) && s.Roles[c.Site] == string(replay.RoleSecondary) {
			broken = append(broken, c.Site)
		}
	}
	t, how := r.quarantined(s.Ref, primaries), "still primary there; no client may write to it"
	if t == nil {
		t, how = r.stranger(s.Ref, primaries, broken), "demoted since, which does not make it follow"
	}
	if t != nil {
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
			What: t.Site + " has returned with the copy that " + t.Run + " gave up: quarantined, and " + how,
			Next: afterReturn(plan, s.Ref, t.Site, s.Primary),
		})
	}
	if h := r.halted(s.Ref); h != nil {
		s.Halt = h.ID
		if plan.Snapshots.By == plans.SnapshotsByDrover || slices.ContainsFunc(h.Paused, func(p PausedSchedule) bool { return p.Image == s.Ref }) {
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
