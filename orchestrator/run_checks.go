package orchestrator

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// Check is one thing that has to hold before a run may begin.
type Check struct {
	Name string `json:"name"`
	// What is what was found, when it holds.
	What     string         `json:"what"`
	Failures []CheckFailure `json:"failures,omitempty"`
}

// CheckFailure is why a check does not hold, for one image or in general.
type CheckFailure struct {
	Image *replay.ImageRef `json:"image,omitempty"`
	Site  string           `json:"site,omitempty"`
	What  string           `json:"what"`
	Next  string           `json:"next"`
	// Halt: it is a split-brain.
	Halt bool `json:"halt,omitempty"`
	// Warning: it is said, and stops nothing.
	Warning bool `json:"warning,omitempty"`
}

// checks gathers what was checked.
type checks struct{ list []Check }

// add begins a check; what is said when it holds.
func (c *checks) add(name, format string, args ...any) *Check {
	c.list = append(c.list, Check{Name: name, What: fmt.Sprintf(format, args...)})
	return &c.list[len(c.list)-1]
}

func (c *Check) failf(site, next, format string, args ...any) {
	c.Failures = append(c.Failures, CheckFailure{Site: site, What: fmt.Sprintf(format, args...), Next: next})
}

func (c *Check) failImagef(ref replay.ImageRef, site, next, format string, args ...any) {
	c.Failures = append(c.Failures, CheckFailure{Image: &ref, Site: site, What: fmt.Sprintf(format, args...), Next: next})
}

func (c *Check) warnf(site, next, format string, args ...any) {
	c.Failures = append(c.Failures, CheckFailure{Site: site, What: fmt.Sprintf(format, args...), Next: next, Warning: true})
}

// Holds reports whether nothing stands in the way.
func (c *Check) Holds() bool {
	return !slices.ContainsFunc(c.Failures, func(f CheckFailure) bool { return !f.Warning })
}

// unfit are the images that fail a check, with the first reason of each.
func (c *checks) unfit() map[replay.ImageRef]CheckFailure {
	out := map[replay.ImageRef]CheckFailure{}
	for i := range c.list {
		for _, f := range c.list[i].Failures {
			if f.Image == nil || f.Warning {
				continue
			}
			if _, known := out[*f.Image]; !known {
				out[*f.Image] = f
			}
		}
	}
	return out
}

// refused is why nothing may begin: failures that are of no image, or, unless
// those are left aside, any.
func (c *checks) refused(imagesToo bool) error {
	var (
		first *CheckFailure
		name  string
		count int
		halt  bool
	)
	for i := range c.list {
		for j := range c.list[i].Failures {
			f := &c.list[i].Failures[j]
			if f.Warning || f.Image != nil && !imagesToo {
				continue
			}
			if first == nil || f.Halt && !halt {
				first, name = f, c.list[i].Name
			}
			halt = halt || f.Halt
			count++
		}
	}
	if first == nil {
		return nil
	}
	what := first.What
	if first.Image != nil {
		what = first.Image.String() + ": " + what
	}
	if count > 1 {
		what = fmt.Sprintf("%s (and %d more)", what, count-1)
	}
	kind := ErrRefused
	if halt {
		kind = ErrHalted
	}
	return advise(fmt.Errorf("%w: check %q failed: %s; nothing was changed", kind, name, what), first.Next)
}

// stand is how an image stands, for checks.
type stand struct {
	evidence replay.Evidence
	verdict  replay.Verdict
	mode     replay.MirrorMode
}

// site is what a site says of the image.
func (s *stand) site(name string) *replay.SiteEvidence {
	for i := range s.evidence.Sites {
		if s.evidence.Sites[i].Site == name {
			return &s.evidence.Sites[i]
		}
	}
	return nil
}

func (s *stand) copyAt(name string) *replay.SecondaryVerdict {
	for i := range s.verdict.Secondaries {
		if s.verdict.Secondaries[i].Site == name {
			return &s.verdict.Secondaries[i]
		}
	}
	return nil
}

// primaries are the sites where the image is seen to be primary.
func (s *stand) primaries() []string {
	var out []string
	for i := range s.evidence.Sites {
		if e := &s.evidence.Sites[i]; e.Err == nil && e.Image != nil && e.Image.Role == replay.RolePrimary {
			out = append(out, e.Site)
		}
	}
	return out
}

// unreadAt is why the image cannot be read at a site that else can be; nil: it
// can.
func (s *stand) unreadAt(site string) error {
	if e := s.site(site); e != nil && e.ImageUnread {
		return e.Err
	}
	return nil
}

// unreadWords say where the image cannot be read, to be appended.
func (s *stand) unreadWords() string {
	var out string
	for i := range s.evidence.Sites {
		if e := &s.evidence.Sites[i]; e.ImageUnread {
			out += fmt.Sprintf("; it cannot be read at %s: %s", e.Site, replay.WithoutSite(e.Site, e.Err.Error()))
		}
	}
	return out
}

// surveyOf observes the plan's images for a run.
func surveyOf(ctx context.Context, plan *plans.Plan, sites *Sites) (*Observation, []stand) {
	obs := Observe(ctx, plan, sites, ObserveOptions{Detail: replay.WithHeader | replay.WithPositions, Reports: true})
	evidence := gatherEvidence(plan, obs, obs.At)
	measureAppends(ctx, sites, evidence, defaultLagTime)
	stands := make([]stand, len(evidence))
	for i := range evidence {
		stands[i] = stand{evidence: evidence[i], verdict: replay.Judge(evidence[i])}
		for j := range evidence[i].Sites {
			if image := evidence[i].Sites[j].Image; image != nil && image.Mode != "" {
				stands[i].mode = image.Mode
			}
		}
	}
	return obs, stands
}

// before is what a run is prepared from: the records, the sites as they are, and
// the images of the scope.
func before(ctx context.Context, plan *plans.Plan, sites *Sites, scope Scope) (*Book, *Observation, []stand, error) {
	book, err := ReadBook(ctx, plan, sites)
	if err != nil {
		return nil, nil, nil, err
	}
	obs, all := surveyOf(ctx, plan, sites)
	if ctx.Err() != nil {
		return nil, nil, nil, ErrInterrupted
	}
	stands, err := scope.choose(plan, all)
	if err != nil {
		return nil, nil, nil, err
	}
	return book, obs, stands, nil
}

// Scope chooses images of a plan; empty: all of them.
type Scope struct {
	Images []string `json:"images,omitempty"` // POOL/IMAGE, POOL/NAMESPACE/IMAGE or the bare name
	Groups []string `json:"groups,omitempty"`
	Waves  []string `json:"waves,omitempty"`
}

// choose keeps the images that the scope names. A group moves as one: naming
// one of its images names them all.
func (s Scope) choose(plan *plans.Plan, stands []stand) ([]stand, error) {
	if len(s.Images)+len(s.Groups)+len(s.Waves) == 0 {
		return stands, nil
	}
	groups := map[string]bool{}
	named := map[string]bool{}
	chosen := map[replay.ImageRef]bool{}
	for i := range stands {
		ref := stands[i].evidence.Ref
		group, wave := plan.GroupOf(ref.Pool.Name, ref.Namespace, ref.Name), plan.WaveOf(ref.Pool.Name, ref.Namespace, ref.Name)
		for _, name := range s.Images {
			if name == ref.String() || name == ref.Name {
				named["image "+name], chosen[ref] = true, true
				if group != nil {
					groups[group.Name] = true
				}
			}
		}
		if group != nil && slices.Contains(s.Groups, group.Name) {
			named["group "+group.Name], chosen[ref] = true, true
		}
		if wave != nil && slices.Contains(s.Waves, wave.Name) {
			named["wave "+wave.Name], chosen[ref] = true, true
		}
	}
	var unknown []string
	for kind, names := range map[string][]string{"image ": s.Images, "group ": s.Groups, "wave ": s.Waves} {
		for _, name := range names {
			if !named[kind+name] {
				unknown = append(unknown, kind+name)
			}
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, refusal("drover status shows the plan's images", "the plan has no %s", strings.Join(unknown, ", no "))
	}
	var out []stand
	for i := range stands {
		ref := stands[i].evidence.Ref
		group := plan.GroupOf(ref.Pool.Name, ref.Namespace, ref.Name)
		if chosen[ref] || group != nil && groups[group.Name] {
			out = append(out, stands[i])
		}
	}
	return out, nil
}
