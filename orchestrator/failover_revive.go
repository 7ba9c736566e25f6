package orchestrator

import (
	"fmt"
	"slices"
	"time"

	"github.com/drover-io/drover/replay"
)

// alreadyServing is already for a failover. A copy that was given up, and that
// came back as the primary that it was, is not where it shall be: it lacks what
// was written since, and to let it serve is a loss like any other. Where the site
// that is lost is seen to follow it, a person has put it right.
func (p *Prepared) alreadyServing(book *Book, stands []stand, from, to string) []stand {
	var given, rest []stand
	for i := range stands {
		s := &stands[i]
		other := s.copyAt(from)
		if s.primaryAt(to) && s.lossSince(book, to) != nil && (other == nil || other.State != replay.Replaying) {
			given = append(given, *s)
		} else {
			rest = append(rest, *s)
		}
	}
	out := append(given, p.already(rest, to)...)
	slices.SortStableFunc(out, func(a, b stand) int { return a.evidence.Ref.Compare(b.evidence.Ref) })
	return out
}

// lossSince is what is lost where a primary serves again that was given up: all
// that was written at the site that took over from it; nil: nobody gave it up.
func (s *stand) lossSince(book *Book, at string) *Loss {
	const unknown = "and how much that is, is not known"
	if t := book.Tombstone(at, s.evidence.Ref); t != nil {
		where := "the site that took over"
		if run, err := story(book, t.Run); err == nil && t.Run != "" {
			where = run.Run.To
		}
		return &Loss{Why: fmt.Sprintf("%s at %s: it lacks all that %s wrote since, %s", t.words(), t.At.UTC().Format(time.RFC3339), where, unknown)}
	}
	if r := s.servedElsewhere(book, at); r != nil {
		return &Loss{Why: fmt.Sprintf("at %s the rbd-mirror of another site, which does not answer now, reported that the image was primary there: %s may lack all that was written there, %s", r.Updated.UTC().Format(time.RFC3339), at, unknown)}
	}
	return nil
}

// servedElsewhere is what the rbd-mirror of a site that does not answer has left
// at a primary: that its own copy is primary. Of a failover that nobody has told
// this site of, nothing else here tells. It counts unless a run has put the image
// here since.
func (s *stand) servedElsewhere(book *Book, at string) *replay.Report {
	seen := s.site(at)
	for i := range seen.Reports {
		r := &seen.Reports[i]
		answers := slices.ContainsFunc(s.evidence.Sites, func(e replay.SiteEvidence) bool { return e.Err == nil && e.Pool.UUID == r.MirrorUUID })
		if r.MirrorUUID != "" && !answers && !s.silentBuried(book) && r.Has(replay.CondLocalPrimary) && !leftAt(book, s.evidence.Ref, at, r.Updated) {
			return r
		}
	}
	return nil
}

// silentBuried reports whether a failover gave up the copy of a site that does
// not answer: what its rbd-mirror says of it does not count.
func (s *stand) silentBuried(book *Book) bool {
	return slices.ContainsFunc(s.evidence.Sites, func(e replay.SiteEvidence) bool { return e.Err != nil && book.Tombstone(e.Site, s.evidence.Ref) != nil })
}

// leftAt reports whether a run that ended after a time has left an image at a
// site.
func leftAt(book *Book, ref replay.ImageRef, site string, after time.Time) bool {
	for _, s := range Runs(book) {
		if s.End == nil || !s.End.Ended.After(after) {
			continue
		}
		for i := range s.End.Units {
			unit := &s.End.Units[i]
			left := unit.Outcome == UnitMoved && s.Run.To == site || unit.Outcome == UnitReturned && s.Run.From == site
			if left && slices.Contains(unit.Unit.refs(), ref) {
				return true
			}
		}
	}
	return false
}
