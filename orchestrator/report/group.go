package report

import (
	"fmt"
	"math"
	"strings"
)

// Group is how nearly the data that were brought up of a group's images are of one
// moment, as its application needs them to be.
type Group struct {
	Group  string `json:"group"`
	Images int    `json:"images"`
	Moment Moment `json:"moment"`
	// HeldBy are the hooks that had held its writers back.
	HeldBy []string `json:"held_by,omitempty"`
	// SpreadSeconds is at most how far apart its images are; nil: that is not known.
	SpreadSeconds *float64 `json:"spread_seconds,omitempty"`
}

// Moment is what the data of several images are of.
type Moment string

// The moments.
const (
	// OneMoment: hooks say that nothing was written while the snapshots were taken.
	OneMoment Moment = "one"
	// Apart: each image is of a moment of its own.
	Apart Moment = "apart"
)

// Words tell it in a line, for people.
func (g *Group) Words() string {
	switch apart := g.apart(); {
	case g.Moment == OneMoment && apart == "":
		return "one moment: its writers were held back by " + hooks(g.HeldBy)
	case g.Moment == OneMoment:
		return fmt.Sprintf("one moment: its writers were held back by %s (taken within %s)", hooks(g.HeldBy), apart)
	case apart == "":
		return "not one moment, and how far apart is not known: nothing is known to have held its writers back"
	}
	return "within " + g.apart() + ", not one moment: nothing is known to have held its writers back"
}

// apart is the spread for people; "": it is not known.
func (g *Group) apart() string {
	switch {
	case g.SpreadSeconds == nil:
		return ""
	case length(*g.SpreadSeconds) < 1:
		return fmt.Sprintf("%.0f ms", math.Ceil(length(*g.SpreadSeconds)*1000))
	}
	return span(*g.SpreadSeconds)
}

func hooks(names []string) string {
	word := "hook "
	if len(names) > 1 {
		word = "hooks "
	}
	return word + line(strings.Join(names, ", "))
}
