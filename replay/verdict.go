package replay

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Verdict is what the evidence means: Drover's own judgement, not Ceph's
// health.
type Verdict struct {
	Ref     ImageRef `json:"ref"`
	State   State    `json:"state"`
	Primary string   `json:"primary,omitempty"` // the site, where exactly one is known
	// Secondaries are the other sites' copies, sorted by site.
	Secondaries []SecondaryVerdict `json:"secondaries,omitempty"`
	Problems    []Problem          `json:"problems,omitempty"` // the most severe first
}

// SecondaryVerdict is the judgement of one site that is not the primary.
type SecondaryVerdict struct {
	Site  string `json:"site"`
	State State  `json:"state"`
	Lag   Lag    `json:"lag"`
	Proof Proof  `json:"proof"` // whether it holds all that the primary has
	// Report is its own daemon's report; Stale: it is older than the daemon's
	// life, too old for a living daemon, or of a dead one.
	Report *Report `json:"report,omitempty"`
	Stale  bool    `json:"stale,omitempty"`
}

// Healthy reports whether the image is protected and nothing needs a person.
func (v Verdict) Healthy() bool {
	return v.State == Replaying && !slices.ContainsFunc(v.Problems, func(p Problem) bool { return p.Severity != SeverityInfo })
}

// Judge tells an image's protection state and all that is wrong with it. It is
// total: whatever the evidence, there is a verdict; and it does not depend on
// the order of the sites.
//
// Roles come from the images alone. Two primaries are a split-brain, whatever
// reports say and whoever is at work.
func Judge(in Evidence) Verdict {
	in.Limits = in.Limits.complete()
	in.Sites = slices.Clone(in.Sites)
	slices.SortStableFunc(in.Sites, func(a, b SiteEvidence) int { return strings.Compare(a.Site, b.Site) })
	j := &judge{Evidence: in}
	j.roles()
	j.sites()
	if len(j.primaries) == 1 {
		j.judgePrimary(j.primaries[0])
		for i := range in.Sites {
			if s := &in.Sites[i]; s != j.primaries[0] {
				j.secondaries = append(j.secondaries, j.judgeSecondary(j.primaries[0], s))
			}
		}
	} else {
		j.judgeWithoutPrimary()
	}
	return j.verdict()
}

// judge gathers a verdict.
type judge struct {
	Evidence

	primaries   []*SiteEvidence
	copies      []*SiteEvidence // mirrored and not primary
	plain       []*SiteEvidence // there, not mirrored
	absent      []*SiteEvidence // no such image
	unreachable []*SiteEvidence

	secondaries []SecondaryVerdict
	problems    []Problem
	suppressed  bool // the runs in flight explain something that would be a split-brain
}

func (j *judge) problemf(code ProblemCode, site, format string, args ...any) {
	j.problems = append(j.problems, newProblem(code, j.Ref, site, fmt.Sprintf(format, args...)))
}

func (s *SiteEvidence) copy() Copy { return Copy{Image: *s.Image, MirrorUUID: s.Pool.UUID} }

// roles sorts the sites by what they hold.
func (j *judge) roles() {
	for i := range j.Sites {
		s := &j.Sites[i]
		switch {
		case s.Err != nil:
			j.unreachable = append(j.unreachable, s)
		case s.Image == nil:
			j.absent = append(j.absent, s)
		case !s.Image.Mirrored():
			j.plain = append(j.plain, s)
		case s.Image.Role == RolePrimary:
			j.primaries = append(j.primaries, s)
		default:
			j.copies = append(j.copies, s)
		}
	}
}

// sites judges what concerns a site whatever its role.
func (j *judge) sites() {
	for _, s := range j.unreachable {
		if s.ImageUnread {
			j.problemf(ProblemImageUnknown, s.Site, "%s cannot be read at %s: %s", j.Ref, s.Site, WithoutSite(s.Site, s.Err.Error()))
			continue
		}
		j.problemf(ProblemSiteUnknown, s.Site, "nothing is known of %s: %s", s.Site, WithoutSite(s.Site, s.Err.Error()))
	}
	for i := range j.Sites {
		s := &j.Sites[i]
		if s.Err != nil {
			continue
		}
		if s.PoolMissing && !j.Retired {
			j.problemf(ProblemPoolMissing, s.Site, "%s has no pool or namespace %s", s.Site, j.Ref.Pool)
		}
		if s.DaemonsErr != nil {
			j.problemf(ProblemDaemonsUnknown, s.Site, "the rbd-mirror daemons of %s are not known: %s", s.Site, WithoutSite(s.Site, s.DaemonsErr.Error()))
		}
		if s.Image == nil || !s.Image.Mirrored() {
			continue
		}
		if s.Image.State == StateCreating || s.Image.State == StateDisabling {
			j.problemf(ProblemTransitional, s.Site, "mirroring of the image is %s at %s", s.Image.State, s.Site)
		}
		if s.Image.Unwritable && !j.beingPromoted(s.Image) {
			j.problemf(ProblemUnwritable, s.Site, "the image is primary at %s and refuses every write: a promotion or demotion of it was cut short", s.Site)
		}
		if n := mirrorSnapshots(*s.Image); n > j.Limits.Snapshots {
			j.problemf(ProblemSnapshotsPiling, s.Site, "%d mirror snapshots at %s", n, s.Site)
		}
		j.complaints(s)
		j.strangePeers(s)
	}
}

// beingPromoted reports whether a run has just promoted a primary, so that what it
// still lacks is on its way. A run that is not over says little: its process may
// have died long ago.
func (j *judge) beingPromoted(i *Image) bool {
	newest, ok := newestMirrorSnapshot(*i)
	return j.HandingOver && ok && j.Now.Sub(newest.Created) < 30*time.Second
}

func mirrorSnapshots(i Image) (n int) {
	for _, s := range i.Snapshots {
		if s.Kind == SnapshotMirror {
			n++
		}
	}
	return n
}

// complaints are what the daemons themselves have put into the service map.
func (j *judge) complaints(s *SiteEvidence) {
	for i := range s.Daemons {
		d := &s.Daemons[i]
		for k := range d.Pools {
			if d.Pools[k].Pool.Name != j.Ref.Pool.Name {
				continue
			}
			for _, c := range Complaints(s.Daemons, i, k, s.Reports) {
				j.problemf(ProblemDaemonComplains, s.Site, "rbd-mirror at %s on %s says: %s", s.Site, cmp.Or(d.Host, "its host"), c.Text)
			}
		}
	}
}

// strangePeers are the pool's peers that are none of the sites. With a site out
// of sight nobody can tell.
func (j *judge) strangePeers(s *SiteEvidence) {
	if len(j.unreachable) > 0 {
		return
	}
	for _, p := range s.Pool.Peers {
		known := slices.ContainsFunc(j.Sites, func(o SiteEvidence) bool { return o.Site != s.Site && o.isPeer(p) })
		if !known {
			j.problemf(ProblemStrangePeer, s.Site, "the pool at %s has a peer %q that is none of the sites", s.Site, cmp.Or(p.SiteName, p.UUID))
		}
	}
}

// isPeer reports whether a peer's entry means this site.
func (s *SiteEvidence) isPeer(p Peer) bool {
	return p.MirrorUUID != "" && p.MirrorUUID == s.Pool.UUID || p.SiteName == s.Site || slices.Contains(s.Names, p.SiteName)
}

// judgeWithoutPrimary is for no primary in sight, or more than one.
func (j *judge) judgeWithoutPrimary() {
	switch {
	case len(j.primaries) > 1:
		j.severalPrimaries()
		j.judgeDaemons()
	case len(j.copies) > 0 && j.HandingOver:
		// both non-primary is what a hand-over looks like
	case len(j.copies) > 0 && len(j.unreachable) == 0:
		j.problemf(ProblemNoPrimary, "", "the image is not primary at any site: %s", j.standings())
	case len(j.copies) > 0 || len(j.unreachable) > 0:
		// the primary may be where we cannot look
	case len(j.plain) > 0:
		if !j.Retired {
			j.problemf(ProblemNotMirrored, "", "the image is mirrored at no site")
		}
	default:
		if !j.Retired {
			j.problemf(ProblemImageMissing, "", "no site has the image")
		}
	}
	for _, s := range j.copies {
		report, stale := j.ownReport(s)
		state := Unknown
		if len(j.unreachable) == 0 {
			state = Stranded
		}
		v := SecondaryVerdict{Site: s.Site, State: state, Report: report, Stale: stale}
		// While the primary is out of sight, the report tells what would be lost.
		mine := s.copy()
		v.Lag = MeasureLag(LagInput{Secondary: &mine, Report: report, Now: j.Now})
		for _, other := range j.copies {
			if other != s && other.Image.Demoted {
				if p := CaughtUp(other.copy(), mine); p.OK || v.Proof.Why == "" {
					v.Proof = p
				}
			}
		}
		if len(j.unreachable) == 0 && !j.HandingOver && !j.Resyncing && !stale && report != nil && report.Has(CondSplitBrain) {
			j.problemf(ProblemSplitBrain, s.Site, "rbd-mirror at %s says: %s", s.Site, report.Description)
		}
		j.judgeUnled(s, &v)
		j.secondaries = append(j.secondaries, v)
	}
	for _, s := range j.absent {
		if len(j.unreachable) > 0 && !s.PoolMissing && !j.HandingOver && !j.Resyncing && !j.Retired {
			j.problemf(ProblemSecondaryMissing, s.Site, "%s does not have the image, and who is primary cannot be seen", s.Site)
			v := SecondaryVerdict{Site: s.Site}
			v.Report, v.Stale = j.ownReport(s)
			j.judgeUnled(s, &v)
		}
	}
	for i, s := range j.copies {
		for _, other := range j.copies[i+1:] {
			if diverged, why := Diverged(s.copy(), other.copy()); diverged && !j.HandingOver {
				j.problemf(ProblemDiverged, "", "%s and %s: %s", s.Site, other.Site, why)
			}
		}
	}
}

// judgeUnled judges a site that receives while no primary is in sight: what is
// wrong there is wrong whatever the primary's site would say, and counts most
// when that site is lost. Of reports only a site out of sight makes it worth to
// ask: two copies that are known to have no primary cannot replay.
func (j *judge) judgeUnled(s *SiteEvidence, v *SecondaryVerdict) {
	if j.HandingOver || len(j.primaries) > 0 {
		return
	}
	if s.Pool.Mode == PoolDisabled {
		j.problemf(ProblemPoolNotMirrored, s.Site, "mirroring of the pool is disabled at %s", s.Site)
		return
	}
	if !s.receives() {
		return
	}
	j.judgeDaemon(s)
	if len(j.unreachable) > 0 && (s.Image != nil || v.Report != nil && !v.Stale) {
		j.judgeReport(s, v)
	}
}

// receives reports whether the pool has a peer to replay from.
func (s *SiteEvidence) receives() bool {
	return slices.ContainsFunc(s.Pool.Peers, func(p Peer) bool { return p.Direction.Receives() })
}

// judgeDaemons judges who would replay while several sites are primary: whichever copy
// is kept, no other one follows it without a daemon, and nobody else would tell.
func (j *judge) judgeDaemons() {
	if j.HandingOver {
		return
	}
	for i := range j.Sites {
		if s := &j.Sites[i]; s.Err == nil && s.Pool.Mode != PoolDisabled && s.receives() {
			j.judgeDaemon(s)
		}
	}
}

func (j *judge) severalPrimaries() {
	names := make([]string, len(j.primaries))
	ids := map[string]bool{}
	for i, s := range j.primaries {
		names[i] = s.Site
		if s.Image.GlobalID != "" {
			ids[s.Image.GlobalID] = true
		}
	}
	if len(ids) > 1 && len(ids) == len(j.primaries) {
		j.problemf(ProblemDifferentImages, "", "%s each mirror an image of this name that is not the other's copy", strings.Join(names, " and "))
		return
	}
	j.problemf(ProblemTwoPrimaries, "", "the image is primary at %s", strings.Join(names, " and "))
}

// standings says of each copy what it holds against the demoted others.
func (j *judge) standings() string {
	var parts []string
	for _, s := range j.copies {
		for _, other := range j.copies {
			if s == other || !other.Image.Demoted {
				continue
			}
			p := CaughtUp(other.copy(), s.copy())
			if p.Final {
				parts = append(parts, s.Site+" holds all that "+other.Site+" had when it was demoted")
			} else {
				parts = append(parts, s.Site+" is not proved to hold what "+other.Site+" had: "+p.Why)
			}
		}
	}
	if len(parts) == 0 {
		return "and none was demoted"
	}
	return strings.Join(parts, "; ")
}

func (j *judge) verdict() Verdict {
	sortProblems(j.problems)
	j.problems = slices.Compact(j.problems)
	v := Verdict{Ref: j.Ref, Secondaries: j.secondaries, Problems: j.problems}
	if len(j.primaries) == 1 {
		v.Primary = j.primaries[0].Site
	}
	v.State = j.state()
	return v
}

func (j *judge) state() State {
	state := State("")
	for _, s := range j.secondaries {
		state = worse(state, s.State)
	}
	for _, p := range j.problems {
		kind, _ := kindOf(p.Code)
		state = worse(state, kind.State)
	}
	mirrored := len(j.primaries) + len(j.copies)
	switch {
	case state == SplitBrain:
		return SplitBrain
	case j.Retired && mirrored == 0 && len(j.unreachable) == 0:
		return Retired
	case j.HandingOver && mirrored > 0:
		return HandingOver
	case j.Resyncing && len(j.primaries) == 1 && (j.suppressed || state != Replaying && state != Lagging):
		return Resyncing
	case state == "":
		return Unknown
	}
	return state
}

// olderThan reports whether at is more than limit before now. A time that is
// not known is not old.
func olderThan(at, now time.Time, limit time.Duration) bool {
	return !at.IsZero() && now.Sub(at) > limit
}
