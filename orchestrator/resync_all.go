package orchestrator

import (
	"fmt"
	"slices"
	"strings"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// givenAway is an image in which nothing is wrong but what a failover has made of
// it on purpose: a copy that was given up is still there.
type givenAway struct {
	ref  replay.ImageRef
	tomb *Tombstone
}

// troubled are the images that want a resync, with their groups, and those that
// want a failback instead.
func troubled(plan *plans.Plan, book *Book, stands []stand) (wanted []stand, left []givenAway, err error) {
	var named Scope
	for i := range stands {
		s := &stands[i]
		ref := s.evidence.Ref
		halted := book.Halted(ref) != nil
		switch {
		case !halted && s.verdict.State != replay.SplitBrain && s.verdict.State != replay.Stranded:
			continue
		case !halted:
			if t := s.givenUpIn(book); t != nil {
				left = append(left, givenAway{ref, t})
				continue
			}
		}
		named.Images = append(named.Images, ref.String())
	}
	switch {
	case len(named.Images) > 0:
		wanted, err = named.choose(plan, stands)
		// What belongs to a group with one of those goes with it.
		left = slices.DeleteFunc(left, func(l givenAway) bool { return find(wanted, l.ref) != nil })
		return wanted, left, err
	case len(left) > 0:
		return nil, nil, refusal("drover failback "+plan.File+" brings them back",
			"nothing is in trouble but what a failover gave up: %s", leftWords(left))
	}
	return nil, nil, refusal("drover status FILE shows them all", "no image is halted, primary at two sites, or stranded")
}

// givenUpIn is the tombstone that explains the image as it stands: it is primary
// where nobody has given it up, and its copy elsewhere was. nil: nothing does.
func (s *stand) givenUpIn(book *Book) *Tombstone {
	var (
		found *Tombstone
		lives bool
	)
	for i := range s.evidence.Sites {
		e := &s.evidence.Sites[i]
		t := book.Tombstone(e.Site, s.evidence.Ref)
		primary := e.Err == nil && e.Image != nil && e.Image.Role == replay.RolePrimary
		switch {
		case t == nil && primary && lives:
			return nil // two primaries, and no failover is the cause
		case t == nil:
			lives = lives || primary
		case found == nil || t.after(found):
			found = t
		}
	}
	if !lives {
		return nil
	}
	return found
}

// checkLeft tells what a resync of all images leaves to a failback.
func checkLeft(c *checks, plan *plans.Plan, left []givenAway) {
	if len(left) == 0 {
		return
	}
	c.add("given up", "what a failover gave up is no split-brain, and is left out").
		warnf("", "drover failback "+plan.File+" brings them back", "left out: %s", leftWords(left))
}

// leftWords names images that a failover gave up, with the run of each.
func leftWords(left []givenAway) string {
	const shown = 8
	var out []string
	for i, l := range left {
		if i == shown {
			out = append(out, fmt.Sprintf("and %d images more", len(left)-shown))
			break
		}
		out = append(out, l.ref.String()+" ("+l.tomb.words()+")")
	}
	return strings.Join(out, ", ")
}

// words say who gave a copy up.
func (t *Tombstone) words() string {
	text := "the copy at " + t.Site + " was given up"
	if t.Run != "" {
		text += " by " + t.Run
	}
	return text
}

// overtaken is the tombstone of a copy that a failover gave up and that is about
// to be kept, at the cost of one that nobody, or only somebody earlier, gave up;
// nil: there is none.
func overtaken(book *Book, ref replay.ImageRef, keep, loser string) *Tombstone {
	kept, lost := book.Tombstone(keep, ref), book.Tombstone(loser, ref)
	if kept == nil || lost != nil && lost.after(kept) {
		return nil
	}
	return kept
}
