package orchestrator

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/compare"
	"github.com/drover-io/drover/replay/parallel"
)

// SplitEvidence is what a person needs who must choose which copy of an image
// is kept: after a split-brain, or where no site is primary any more. A nil
// number is not known.
type SplitEvidence struct {
	Image replay.ImageRef `json:"image"`
	Group string          `json:"group,omitempty"`
	At    time.Time       `json:"at"`
	// State is SplitBrain (several primaries, or histories that diverged),
	// Stranded (no primary, and every site answers), or Unknown.
	State replay.State   `json:"state"`
	Why   string         `json:"why"` // what the state rests on
	Sites []SideEvidence `json:"sites"`
	// Common is the newest point in time that both sides share.
	Common  *CommonPoint `json:"common,omitempty"`
	Choices []Choice     `json:"choices"`
	// Recommended is the site to keep of a stranded image, where it can be told;
	// never set for a split-brain.
	Recommended string `json:"recommended,omitempty"`
	// Heads are the comparisons of what the sides hold now, when asked for.
	Heads []HeadComparison `json:"heads,omitempty"`
	// Hash stands for all facts above that an approval rests on. That of a
	// single choice is Choice.Hash.
	Hash string `json:"hash"`
}

// SideEvidence is one site's side of it.
type SideEvidence struct {
	Site      string `json:"site"`
	Reachable bool   `json:"reachable"`
	Fault     *Fault `json:"fault,omitempty"` // why it is not, or what could not be read
	// Present: the site has an image of that name. All below is empty otherwise.
	Present bool              `json:"present"`
	Role    replay.Role       `json:"role,omitempty"`
	Demoted bool              `json:"demoted,omitempty"`
	Mode    replay.MirrorMode `json:"mode,omitempty"`
	// Since is when it took its role; SinceBefore: it may be earlier, older
	// records are gone.
	Since       *time.Time  `json:"since,omitempty"`
	SinceBefore bool        `json:"since_before,omitempty"`
	Writes      WritesSince `json:"writes_since_common"`
	// LastWrite is the time of the newest entry of the journal that is no change
	// of role, by the writing client's clock.
	LastWrite *time.Time         `json:"last_write,omitempty"`
	Clients   []replay.ImageUser `json:"clients,omitempty"`
	// ClientsKnown: they could be listed.
	ClientsKnown    bool   `json:"clients_known"`
	Size            uint64 `json:"size,omitempty"` // bytes
	Snapshots       int    `json:"snapshots,omitempty"`
	MirrorSnapshots int    `json:"mirror_snapshots,omitempty"`
	// Ties are the clones of its snapshots, which cannot be read without it, and
	// the snapshots that are protected: with either it is not discarded.
	Ties replay.Ties `json:"ties,omitzero"`

	// tiesErr is why the ties are not known.
	tiesErr error

	site Site
	copy replay.Copy
}

// WritesSince is what one side wrote after the last point in time that another
// shares.
type WritesSince struct {
	None    bool    `json:"none,omitempty"`    // it is known that there is nothing
	Entries *uint64 `json:"entries,omitempty"` // of the journal; changes of role left out
	Bytes   *uint64 `json:"bytes,omitempty"`   // of the journal
	// AtLeast: records before these numbers are gone.
	AtLeast bool       `json:"at_least,omitempty"`
	First   *time.Time `json:"first,omitempty"` // of the writes
	Seconds *float64   `json:"seconds,omitempty"`
	// Ranges, RangeBytes, Extents and Share tell where the two sides differ now,
	// whoever wrote there; only when the heads were compared.
	Ranges     *uint64         `json:"ranges,omitempty"`
	RangeBytes *uint64         `json:"range_bytes,omitempty"`
	Extents    []replay.Extent `json:"extents,omitempty"` // the first of them
	Share      *float64        `json:"share,omitempty"`   // of the image, 0..1
	Why        string          `json:"why,omitempty"`     // what the numbers rest on, or why they are not known
}

// CommonPoint is a point in time that two sides share.
type CommonPoint struct {
	Text string `json:"text"`
	Site string `json:"site"` // whose journal or snapshot it is
	// Position is in that site's journal; nil in snapshot mode, and where the
	// records only tell that the other followed it until it was promoted.
	Position *replay.Position `json:"position,omitempty"`
	Snapshot uint64           `json:"snapshot,omitempty"` // id at that site
	At       *time.Time       `json:"at,omitempty"`
}

// Choice is one way out: the site whose copy is kept, and what the others lose
// by it.
type Choice struct {
	Keep string `json:"keep"`
	// Refused is why that copy cannot be kept; empty when it can.
	Refused string   `json:"refused,omitempty"`
	Nothing bool     `json:"nothing,omitempty"` // it is known that nothing is lost
	Loses   string   `json:"loses"`
	Entries *uint64  `json:"entries,omitempty"`
	Bytes   *uint64  `json:"bytes,omitempty"`
	Seconds *float64 `json:"seconds,omitempty"` // at most so much time of writes
	// Differing is, where the heads were compared, in how many bytes they differ
	// now: a bound for what is lost, as the kept side wrote some of them.
	Differing *uint64 `json:"differing,omitempty"`
	// Snapshots are the user snapshots that go with what is discarded, as the side
	// that is kept has none of that name: a kept copy is of the head alone.
	Snapshots []string `json:"snapshots,omitempty"`
	// Hash stands for the facts that an approval of this choice rests on: all but
	// what the kept side goes on to write.
	Hash string `json:"hash"`
}

// LookAtSplit is the evidence of one image as it is now, without what its copies
// hold. It changes nothing.
func LookAtSplit(ctx context.Context, plan *plans.Plan, sites *Sites, ref replay.ImageRef) (*SplitEvidence, error) {
	return splitEvidence(ctx, plan, sites, ref, false)
}

// splitEvidence gathers the evidence on one image from all sites that answer
// within the plan's time. With deep, the sides' heads are read and compared as
// well, for as long as ctx lasts; a comparison that fails is part of the
// evidence. The error tells that no site at all could be asked.
func splitEvidence(ctx context.Context, plan *plans.Plan, sites *Sites, ref replay.ImageRef, deep bool) (*SplitEvidence, error) {
	e := &SplitEvidence{Image: ref, At: sites.now().UTC(), Sites: make([]SideEvidence, len(plan.Sites))}
	if group := plan.GroupOf(ref.Pool.Name, ref.Namespace, ref.Name); group != nil {
		e.Group = group.Name
	}
	each := func(f func(ctx context.Context, s *SideEvidence)) {
		limited, cancel := context.WithTimeout(ctx, answerTime(plan))
		defer cancel()
		var group parallel.Group
		for i := range e.Sites {
			group.Go(func() { f(limited, &e.Sites[i]) })
		}
		group.Wait()
	}
	for i := range plan.Sites {
		e.Sites[i].Site = plan.Sites[i].Name
	}
	each(func(ctx context.Context, s *SideEvidence) { s.look(ctx, sites, ref) })
	if !slices.ContainsFunc(e.Sites, func(s SideEvidence) bool { return s.Reachable }) {
		return nil, noSide(e.Sites, ref)
	}
	e.nameAbsent(plan)
	e.judge()
	pairs := e.compareHistories()
	// Journals are asked for times and bytes only now that it is known after
	// which positions.
	each(func(ctx context.Context, s *SideEvidence) { s.measure(ctx, ref, pairs[s.Site]) })
	if deep {
		e.compareHeads(ctx, pairs)
	}
	e.choose(plan, pairs)
	e.Hash = e.hash()
	return e, nil
}

func noSide(sides []SideEvidence, ref replay.ImageRef) error {
	errs := make([]error, 0, len(sides))
	for i := range sides {
		errs = append(errs, sides[i].Fault)
	}
	return advise(errors.Join(ErrUnreachable, replay.OneLine(errs...)), "nothing is known of "+ref.String()+"; look at the sites first")
}

// look reads what the site has of the image.
func (s *SideEvidence) look(ctx context.Context, sites *Sites, ref replay.ImageRef) {
	site, err := sites.Site(s.Site)
	if err != nil {
		s.Fault = faultOf(err)
		return
	}
	mirroring, err := site.PoolMirroring(ctx, ref.Pool)
	if err == nil {
		s.copy.MirrorUUID = mirroring.UUID
		s.copy.Image, err = site.Image(ctx, ref)
	}
	switch {
	case errors.Is(err, replay.ErrNotFound):
		s.Reachable, s.site = true, site
		return
	case err != nil:
		s.Fault = faultOf(err)
		return
	}
	s.Reachable, s.site, s.Present = true, site, true
	image := &s.copy.Image
	s.Role, s.Demoted, s.Mode, s.Size = image.Role, image.Demoted, image.Mode, image.Size
	for _, snap := range image.Snapshots {
		switch snap.Kind {
		case replay.SnapshotMirror:
			s.MirrorSnapshots++
		case replay.SnapshotUser:
			s.Snapshots++
		case replay.SnapshotOther:
		}
	}
	if len(image.Snapshots) > s.MirrorSnapshots { // those of the trash are cloned, too
		s.Ties, s.tiesErr = site.Ties(ctx, ref)
	}
	users, err := site.Users(ctx, ref)
	s.Clients, s.ClientsKnown = users, err == nil
	if err = cmp.Or(err, s.tiesErr); err != nil {
		s.Fault = faultOf(err)
	}
}

// alone are the user snapshots of the side of which another has none of that name.
func (s *SideEvidence) alone(other *SideEvidence) []string {
	var names []string
	for _, snap := range s.copy.Image.Snapshots {
		if snap.Kind == replay.SnapshotUser && !slices.ContainsFunc(other.copy.Image.Snapshots, func(o replay.Snapshot) bool {
			return o.Kind == replay.SnapshotUser && o.Name == snap.Name
		}) {
			names = append(names, snap.Name)
		}
	}
	return names
}

// mirrored reports whether the side has a copy that mirroring knows.
func (s *SideEvidence) mirrored() bool { return s.Present && s.copy.Image.Mirrored() }

// nameAbsent finds the mirror uuid of sites that do not answer in the peers
// that the others list: journals and snapshots name them by it.
func (e *SplitEvidence) nameAbsent(plan *plans.Plan) {
	for i := range e.Sites {
		absent := &e.Sites[i]
		if absent.copy.MirrorUUID != "" {
			continue
		}
		// With two sites, the only peer in a journal is the other one.
		if wanted := plan.Site(absent.Site); wanted != nil && len(plan.Sites) == 2 {
			other := &e.Sites[1-i]
			if uuid, only := onlyPeer(&other.copy.Image); only {
				absent.copy.MirrorUUID = uuid
			}
		}
	}
}

// onlyPeer is the one other site that an image's records name.
func onlyPeer(image *replay.Image) (uuid string, only bool) {
	names := map[string]bool{}
	if image.Journal != nil {
		for _, c := range image.Journal.Clients {
			if c.ID != "" {
				names[c.ID] = true
			}
		}
	}
	for _, s := range image.Snapshots {
		if s.Mirror != nil && s.Mirror.PrimaryUUID != "" {
			names[s.Mirror.PrimaryUUID] = true
		}
	}
	for name := range names {
		uuid = name
	}
	return uuid, len(names) == 1
}

// judge tells the state from roles and histories alone.
func (e *SplitEvidence) judge() {
	var primaries, copies []*SideEvidence
	unreachable := 0
	for i := range e.Sites {
		s := &e.Sites[i]
		switch {
		case !s.Reachable:
			unreachable++
		case s.mirrored() && s.Role == replay.RolePrimary:
			primaries = append(primaries, s)
		case s.mirrored():
			copies = append(copies, s)
		}
	}
	all := append(slices.Clone(primaries), copies...)
	for i, s := range all {
		for _, other := range all[i+1:] {
			if diverged, why := replay.Diverged(s.copy, other.copy); diverged && e.State == "" {
				named := strings.NewReplacer("the secondary", other.Site, "the primary", s.Site)
				e.State, e.Why = replay.SplitBrain, s.Site+" and "+other.Site+": "+named.Replace(why)
			}
		}
	}
	switch {
	case e.State != "":
	case len(primaries) > 1:
		e.State, e.Why = replay.SplitBrain, "several sites are primary"
	case len(primaries) == 0 && len(copies) > 0 && unreachable == 0:
		e.State, e.Why = replay.Stranded, "no site is primary"
	case unreachable > 0:
		e.State, e.Why = replay.Unknown, "not every site answers"
	default:
		e.State, e.Why = replay.Unknown, "neither roles nor histories contradict each other"
	}
}

// HeadComparison is where the heads of two sides differ, to blocks of 4 KiB.
type HeadComparison struct {
	A       string          `json:"a"`
	B       string          `json:"b"`
	Bytes   uint64          `json:"bytes"`
	Ranges  uint64          `json:"ranges"`
	Extents []replay.Extent `json:"extents,omitempty"` // the first of them
	Share   float64         `json:"share"`             // of the larger image, 0..1
	Fault   *Fault          `json:"fault,omitempty"`   // it could not be done; the numbers are none
}

// shownExtents is how many ranges evidence lists.
const shownExtents = 100

// compareHeads reads the heads of the sides and compares them, two by two,
// where one may have written what the other lacks.
func (e *SplitEvidence) compareHeads(ctx context.Context, pairs map[string]*ownWrites) {
	for i := range e.Sites {
		for k := i + 1; k < len(e.Sites); k++ {
			a, b := &e.Sites[i], &e.Sites[k]
			if !a.mirrored() || !b.mirrored() {
				continue
			}
			if pairs[a.Site].against(b.Site).None && pairs[b.Site].against(a.Site).None {
				continue
			}
			e.Heads = append(e.Heads, compareSides(ctx, a, b, e.Image))
		}
	}
}

func compareSides(ctx context.Context, a, b *SideEvidence, ref replay.ImageRef) HeadComparison {
	h := HeadComparison{A: a.Site, B: b.Site}
	err := func() error {
		from, err := a.site.OpenSnapshot(ctx, ref, "")
		if err != nil {
			return err
		}
		to, err := b.site.OpenSnapshot(ctx, ref, "")
		if err != nil {
			return replay.OneLine(err, from.Close())
		}
		_, err = compare.Compare(ctx, from, to, compare.Options{NameA: a.Site, NameB: b.Site, Different: h.differ})
		return replay.OneLine(err, from.Close(), to.Close())
	}()
	if err != nil {
		return HeadComparison{A: a.Site, B: b.Site, Fault: faultOf(err)}
	}
	if whole := max(a.Size, b.Size); whole > 0 {
		h.Share = float64(h.Bytes) / float64(whole)
	}
	return h
}

func (h *HeadComparison) differ(e replay.Extent) {
	h.Bytes += e.Length
	h.Ranges++
	if len(h.Extents) < shownExtents {
		h.Extents = append(h.Extents, e)
	}
}

// head is the comparison of two sides; nil when there is none.
func (e *SplitEvidence) head(a, b string) *HeadComparison {
	for i := range e.Heads {
		if h := &e.Heads[i]; h.Fault == nil && (h.A == a && h.B == b || h.A == b && h.B == a) {
			return h
		}
	}
	return nil
}
