package orchestrator

import (
	"fmt"
	"slices"
	"time"

	"github.com/drover-io/drover/replay"
)

// alreadyServing is already for a failover. A copy that an earlier failover gave
// up, and that came back as the primary that it was, is not where it shall be:
// it lacks what was written since, and to let it serve is a loss like any other.
// Where the site that is lost is seen to follow it, a person has put it right.
func (p *Prepared) alreadyServing(book *Book, stands []stand, from, to string) []stand {
	var given, rest []stand
	for i := range stands {
		s := &stands[i]
		other := s.copyAt(from)
		if s.primaryAt(to) && book.Tombstone(to, s.evidence.Ref) != nil && (other == nil || other.State != replay.Replaying) {
			given = append(given, *s)
		} else {
			rest = append(rest, *s)
		}
	}
	out := append(given, p.already(rest, to)...)
	slices.SortStableFunc(out, func(a, b stand) int { return a.evidence.Ref.Compare(b.evidence.Ref) })
	return out
}

// lossSince is what is lost where a copy serves again that was given up: all
// that was written at the site that took over from it.
func lossSince(book *Book, t *Tombstone) *Loss {
	where := "the site that took over"
	if s, err := story(book, t.Run); err == nil && t.Run != "" {
		where = s.Run.To
	}
	by := ""
	if t.Run != "" {
		by = " by " + t.Run
	}
	return &Loss{Why: fmt.Sprintf("the copy at %s was given up%s at %s: it lacks all that %s wrote since, and how much that is, is not known", t.Site, by, t.At.UTC().Format(time.RFC3339), where)}
}

// reviveStage lifts the tombstones of copies that serve again.
func (w *writer) reviveStage() (stage, bool) {
	if !slices.ContainsFunc(w.run.all(), func(i RunImage) bool { return i.Returns }) {
		return nil, false
	}
	return stage{{
		ID: "lift", Kind: StepClear, Site: w.run.To, What: "lift the tombstones of the copies at " + w.run.To + " that serve again",
		Proof: "no record stands against them", act: liftAct{only: w.run.To},
	}}, true
}
