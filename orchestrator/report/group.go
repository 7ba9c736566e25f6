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
	// HeldBy are the hooks that the plan has before it to hold its writers back, and
	// ReleasedBy those that let them go: all have gone well, which is all that is known.
	HeldBy     []string `json:"held_by,omitempty"`
	ReleasedBy []string `json:"released_by,omitempty"`
	// SpreadSeconds is at most how far apart its images are; nil: that is not known.
	SpreadSeconds *float64 `json:"spread_seconds,omitempty"`
}

// Moment is what the data of several images are of.
type Moment string

// The moments.
const (
	// OneMoment: by what the plan says of its hooks, nothing was written while the
	// snapshots were taken. Nothing proves it.
	OneMoment Moment = "one"
	// Apart: each image is of a moment of its own.
	Apart Moment = "apart"
)

// Words tell it in a line, for people.
func (g *Group) Words() string {
	apart := g.apart()
	switch {
	case g.Moment == OneMoment && len(g.HeldBy) > 0 && len(g.ReleasedBy) > 0:
		within := ""
		if apart != "" {
			within = "within " + apart + ", "
		}
		return fmt.Sprintf("taken %sbetween %s and %s, which the plan says hold the writers back (not proven by Drover)", within, hooks(g.HeldBy), hooks(g.ReleasedBy))
	case apart == "":
		return "not one moment, and how far apart is not known: nothing is known to have held its writers back"
	}
	return "within " + apart + ", not one moment: nothing is known to have held its writers back"
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
