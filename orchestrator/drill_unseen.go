package orchestrator

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/drover-io/drover/replay"
)

// ErrUnswept says that drills may have left something where nobody could look.
var ErrUnswept = errors.New("not everything could be swept")

// DrillSweep is what a sweep has come to.
type DrillSweep struct {
	Left   []DrillLeft   `json:"left"`             // what was found
	Unseen []DrillUnseen `json:"unseen,omitempty"` // where drills may have left more
}

// add takes in what another look has come to.
func (s *DrillSweep) add(other *DrillSweep) {
	s.Left = append(s.Left, other.Left...)
	s.Unseen = append(s.Unseen, other.Unseen...)
}

// Err is nil where all was looked at, and no group is held back any more.
func (s *DrillSweep) Err() error {
	var errs []error
	for i := range s.Left {
		if l := &s.Left[i]; l.Group != "" && !l.Removed {
			errs = append(errs, errors.New(l.words()))
		}
	}
	for i := range s.Unseen {
		errs = append(errs, s.Unseen[i].err())
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrUnswept, replay.OneLine(errs...))
}

// DrillUnseen is a site, or one pool there, that a sweep could not look at.
type DrillUnseen struct {
	Site  string `json:"site"`
	Pool  string `json:"pool,omitempty"` // as POOL or POOL/NAMESPACE; "" when it is the whole site
	What  string `json:"what"`
	Next  string `json:"next,omitempty"` // what a person can do
	cause error
}

func newDrillUnseen(site, pool string, err error) DrillUnseen {
	fault := faultOf(err)
	return DrillUnseen{Site: site, Pool: pool, What: oneLine(replay.WithoutSite(site, fault.What)), Next: fault.Hint, cause: err}
}

// where names it.
func (u *DrillUnseen) where() string {
	if u.Pool == "" {
		return "what " + u.Site + " holds"
	}
	return "pool " + u.Pool + " at " + u.Site
}

// words tell of it in one line.
func (u *DrillUnseen) words() string {
	return u.where() + " could not be looked at: " + u.What
}

func (u *DrillUnseen) err() error {
	return fmt.Errorf("%s could not be looked at: %w", u.where(), u.cause)
}

// hides reports whether what was found earlier may still be there, unseen.
func (u *DrillUnseen) hides(l *DrillLeft) bool {
	return l.Site == u.Site && (u.Pool == "" || u.Pool == l.Image.Pool.String())
}

// sortUnseen brings them in order, each once: a pool may hold images and clones.
func sortUnseen(unseen []DrillUnseen) []DrillUnseen {
	slices.SortStableFunc(unseen, func(a, b DrillUnseen) int {
		return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Pool, b.Pool))
	})
	return slices.CompactFunc(unseen, func(a, b DrillUnseen) bool { return a.Site == b.Site && a.Pool == b.Pool })
}
