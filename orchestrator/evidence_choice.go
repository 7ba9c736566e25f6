package orchestrator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// choose says of each copy what would be lost if it were kept.
func (e *SplitEvidence) choose(plan *plans.Plan, pairs map[string]*ownWrites) {
	e.headsInto(pairs)
	for i := range e.Sites {
		s := &e.Sites[i]
		if !s.Present {
			continue
		}
		c := e.choice(s, pairs)
		c.Hash = e.hashOf(s.Site)
		e.Choices = append(e.Choices, c)
	}
	if e.State == replay.Stranded {
		slices.SortStableFunc(e.Choices, e.byLastWritten)
		e.Recommended = e.recommend(plan)
	}
}

// headsInto gives each side the comparison with its rival.
func (e *SplitEvidence) headsInto(pairs map[string]*ownWrites) {
	for i := range e.Sites {
		s := &e.Sites[i]
		own := pairs[s.Site]
		if own == nil || own.first == nil {
			continue
		}
		if h := e.head(s.Site, own.rival()); h != nil {
			s.Writes.Ranges, s.Writes.RangeBytes, s.Writes.Share, s.Writes.Extents = &h.Ranges, &h.Bytes, &h.Share, h.Extents
		}
	}
}

// choice is what keeping one side means.
func (e *SplitEvidence) choice(keep *SideEvidence, pairs map[string]*ownWrites) Choice {
	c := Choice{Keep: keep.Site, Nothing: true, Refused: e.unfit(keep)}
	total := WritesSince{Entries: new(uint64), Bytes: new(uint64), Seconds: new(float64)}
	var parts []string
	for i := range e.Sites {
		other := &e.Sites[i]
		switch {
		case other == keep:
			continue
		case !other.Reachable:
			c.Nothing = false
			total = WritesSince{}
			parts = append(parts, fmt.Sprintf("whatever %s wrote that %s lacks: how much is not known, %s does not answer", other.Site, keep.Site, other.Site))
			continue
		case !other.Present:
			continue
		case !other.mirrored():
			parts = append(parts, fmt.Sprintf("nothing of %s: its image of this name is not mirrored and is left alone", other.Site))
			continue
		}
		lost := pairs[other.Site].against(keep.Site)
		parts = append(parts, e.losing(other, keep, lost))
		// A stranded copy that lacks nothing but the way to the primary is not
		// discarded, nor are its snapshots.
		if alone := other.alone(keep); len(alone) > 0 && (!lost.None || e.State != replay.Stranded) {
			c.Nothing = false
			c.Snapshots = append(c.Snapshots, alone...)
			parts = append(parts, "of "+other.Site+" also "+snapshotWords(alone)+", which no kept copy holds")
		}
		if lost.None {
			continue
		}
		c.Nothing = false
		if h := e.head(other.Site, keep.Site); h != nil {
			differing := h.Bytes
			if c.Differing != nil {
				differing += *c.Differing
			}
			c.Differing = &differing
		}
		total.Entries = plus(total.Entries, lost.Entries, lost.AtLeast)
		total.Bytes = plus(total.Bytes, lost.Bytes, lost.AtLeast)
		if total.Seconds != nil && lost.Seconds != nil {
			longest := max(*total.Seconds, *lost.Seconds)
			total.Seconds = &longest
		} else {
			total.Seconds = nil
		}
	}
	c.Entries, c.Bytes, c.Seconds = total.Entries, total.Bytes, total.Seconds
	c.Loses = strings.Join(parts, "; ")
	if c.Loses == "" {
		c.Loses = "nothing: no other site has the image"
	}
	return c
}

// snapshotWords names user snapshots.
func snapshotWords(names []string) string {
	const shown = 8
	text := "snapshot "
	if len(names) > 1 {
		text = fmt.Sprintf("%d snapshots: ", len(names))
	}
	if len(names) > shown {
		return text + fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
	}
	return text + strings.Join(names, ", ")
}

// plus adds a number that may not be known, or only as a bound.
func plus(sum, n *uint64, atLeast bool) *uint64 {
	if sum == nil || n == nil || atLeast {
		return nil
	}
	total := *sum + *n
	return &total
}

// unfit says why a side's copy cannot be kept; "" when it can.
func (e *SplitEvidence) unfit(s *SideEvidence) string {
	if !s.mirrored() {
		return "the image of " + s.Site + " is not mirrored"
	}
	for i := range e.Sites {
		other := &e.Sites[i]
		if other == s || !other.mirrored() {
			continue
		}
		if other.copy.Image.GlobalID != s.copy.Image.GlobalID {
			return fmt.Sprintf("%s and %s have different images of this name: neither is a copy of the other", s.Site, other.Site)
		}
		if j := other.copy.Image.Journal; j != nil && s.Role == replay.RoleSecondary {
			if client, ok := j.Client(s.copy.MirrorUUID); ok && client.Syncing {
				return fmt.Sprintf("the first sync from %s to %s is not complete: it is no valid image", other.Site, s.Site)
			}
		}
	}
	if s.Mode == replay.ModeSnapshot && !slices.ContainsFunc(s.copy.Image.Snapshots, func(snap replay.Snapshot) bool {
		return snap.Mirror != nil && snap.Mirror.Complete
	}) {
		return "the first sync to " + s.Site + " is not complete: it is no valid image"
	}
	return ""
}

// losing says what one side loses when another is kept.
func (e *SplitEvidence) losing(other, keep *SideEvidence, lost *ownSince) string {
	if lost.None {
		return fmt.Sprintf("nothing of %s (%s)", other.Site, lost.Why)
	}
	var amounts []string
	bound := ""
	if lost.AtLeast {
		bound = "at least "
	}
	if lost.Entries != nil {
		amounts = append(amounts, bound+plural(*lost.Entries, "journal entry", "journal entries"))
	}
	if lost.Bytes != nil {
		amounts = append(amounts, bound+sizeText(*lost.Bytes)+" of journal")
	}
	if h := e.head(other.Site, keep.Site); h != nil {
		if h.Ranges == 0 {
			amounts = append(amounts, "nothing that differs now")
		} else {
			amounts = append(amounts, fmt.Sprintf("at most %s in %s", sizeText(h.Bytes), plural(h.Ranges, "place", "places")))
		}
	}
	text := "what " + other.Site + " wrote" + spanText(other, lost)
	if len(amounts) == 0 {
		return text + ": how much is not known (" + lost.Why + ")"
	}
	return text + ": " + strings.Join(amounts, ", ")
}

// spanText is the time in which a side wrote what it would lose.
func spanText(other *SideEvidence, lost *ownSince) string {
	if lost.First == nil {
		return ""
	}
	from, to := lost.First.Format(evidenceTime), ""
	switch {
	case lost.until != nil && other.Role != replay.RolePrimary:
		to = lost.until.Format(evidenceTime)
	case other.LastWrite != nil:
		to = other.LastWrite.Format(evidenceTime)
	case other.Role == replay.RolePrimary:
		return " from " + from + " until now"
	}
	switch to {
	case "":
		return " from " + from + " on"
	case from:
		return " at " + from
	}
	return " from " + from + " to " + to
}

// plural is a number with its noun.
func plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// byLastWritten orders the choices for a stranded image: those that lose nothing
// first, those that cannot be kept last, and else the one written last first.
func (e *SplitEvidence) byLastWritten(a, b Choice) int {
	rank := func(c Choice) int {
		switch {
		case c.Refused != "":
			return 2
		case c.Nothing:
			return 0
		}
		return 1
	}
	newest := func(c Choice) time.Time {
		s := e.side(c.Keep)
		switch {
		case s.LastWrite != nil:
			return *s.LastWrite
		case s.Since != nil:
			return *s.Since
		}
		return time.Time{}
	}
	led := func(c Choice) int {
		if e.side(c.Keep).led() {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), newest(b).Compare(newest(a)), cmp.Compare(led(a), led(b)))
}

// led reports whether the side's own time as primary is the newest in its
// records: it was demoted, not the copy of one that was.
func (s *SideEvidence) led() bool {
	if s.Mode == replay.ModeSnapshot {
		newest, ok := newestMirrored(&s.copy.Image)
		return ok && !copied(newest)
	}
	if s.copy.Image.Journal == nil {
		return false
	}
	tag, ok := newestTag(s.copy.Image.Journal)
	return ok && writtenHere(tag)
}

// recommend names the site of a stranded image to keep: the only one by which
// nothing is lost, or of several such the one that was primary last. "" when
// that cannot be told.
func (e *SplitEvidence) recommend(plan *plans.Plan) string {
	var safe, led []string
	for _, c := range e.Choices {
		if !c.Nothing || c.Refused != "" {
			continue
		}
		safe = append(safe, c.Keep)
		if e.side(c.Keep).led() {
			led = append(led, c.Keep)
		}
	}
	switch {
	case len(safe) == 0:
		return ""
	case len(safe) == 1:
		return safe[0]
	case len(led) == 1:
		return led[0]
	case slices.Contains(safe, plan.Primary):
		return plan.Primary // all hold the same
	}
	return ""
}
