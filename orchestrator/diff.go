package orchestrator

import (
	"errors"
	"fmt"
	"slices"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// DiffOptions say what a diff may contain.
type DiffOptions struct {
	// Prune also wants gone what is set up and not in the plan: images that
	// were dropped from it, their schedules, unknown peers that are in the way.
	Prune bool `json:"prune,omitempty"`
}

// Difference is how the sites differ from the plan: what an apply would do,
// and what it would leave to a person.
type Difference struct {
	Plan    string      `json:"plan"`
	Options DiffOptions `json:"options"`
	Changes []Change    `json:"changes"`
	Notices []Notice    `json:"notices"`

	// facts are what the difference rests on, by what they are about.
	facts map[string]string
}

// Diff compares a plan with what its sites said. It is pure: equal arguments
// give equal differences, in the same order.
func Diff(plan *plans.Plan, obs *Observation, o DiffOptions) *Difference {
	d := newDiffer(plan, obs, o)
	if d.sameCluster() {
		return d.finish()
	}
	d.records()
	d.sites()
	for i := range plan.Pools {
		d.pool(&plan.Pools[i])
	}
	d.daemons()
	return d.finish()
}

// Empty reports whether there is nothing to do.
func (d *Difference) Empty() bool { return len(d.Changes) == 0 }

// Destructive reports whether a change wants a person's word.
func (d *Difference) Destructive() bool {
	return slices.ContainsFunc(d.Changes, func(c Change) bool { return c.Destructive })
}

// Drift reports how many of the changes undo what was changed behind Drover's
// back.
func (d *Difference) Drift() int {
	n := 0
	for i := range d.Changes {
		if d.Changes[i].Drift {
			n++
		}
	}
	return n
}

// Err is what an apply of the difference would fail with on account of its
// notices: nil, or errors that wrap [ErrHalted], [ErrRefused], [ErrUnreachable]
// or [ErrIncomplete].
func (d *Difference) Err() error {
	var errs []error
	for i := range d.Notices {
		if fails := d.Notices[i].Fails(); fails != nil {
			errs = append(errs, advise(fmt.Errorf("%w: %s", fails, d.Notices[i].Line()), d.Notices[i].Next))
		}
	}
	return errors.Join(errs...)
}

// differ is a comparison in the making.
type differ struct {
	plan    *plans.Plan
	obs     *Observation
	options DiffOptions
	out     *Difference
	byID    map[string]int
	// occupied are the sites that cannot receive a pool as the plan wants.
	occupied map[occupant]bool
	// peered are the pools whose peers have been compared.
	peered map[string]bool
}

func newDiffer(plan *plans.Plan, obs *Observation, o DiffOptions) *differ {
	out := &Difference{Plan: plan.Name, Options: o, Changes: []Change{}, Notices: []Notice{}, facts: factsOf(obs)}
	return &differ{plan: plan, obs: obs, options: o, out: out, byID: map[string]int{}, occupied: map[occupant]bool{}, peered: map[string]bool{}}
}

// change adds a change, its needs reduced to those that are changes.
func (d *differ) change(c Change) string {
	if _, known := d.byID[c.ID]; known {
		return c.ID
	}
	d.byID[c.ID] = len(d.out.Changes)
	d.out.Changes = append(d.out.Changes, c)
	return c.ID
}

// wants reports whether there is a change of that id.
func (d *differ) wants(id string) bool {
	_, ok := d.byID[id]
	return ok
}

func (d *differ) notice(code NoticeCode, site string, pool replay.Pool, image, next, what string, args ...any) {
	d.out.Notices = append(d.out.Notices, Notice{
		Code: code, Severity: severityOf(code), Site: site, Pool: pool, Image: image,
		What: replay.WithoutSite(site, fmt.Sprintf(what, args...)), Next: next,
	})
}

func (d *differ) at(site string) commands {
	if s := d.plan.Site(site); s != nil {
		return commands{site: *s}
	}
	return commands{}
}

// sameCluster finds two sites that are one cluster, which makes everything
// else meaningless.
func (d *differ) sameCluster() bool {
	seen := map[string]string{}
	for i := range d.obs.Sites {
		s := &d.obs.Sites[i]
		if s.Identity.FSID == "" {
			continue
		}
		if other, ok := seen[s.Identity.FSID]; ok {
			d.notice(NoticeSameCluster, s.Name, replay.Pool{}, "", "correct the conf paths of the two sites in the plan",
				"sites %s and %s are the same cluster (fsid %s)", other, s.Name, s.Identity.FSID)
			return true
		}
		seen[s.Identity.FSID] = s.Name
	}
	return false
}

// records tells which records could not be read: what they keep changes away from
// is then not known.
func (d *differ) records() {
	for _, f := range d.obs.recordFaults() {
		code := NoticeSomeRecords
		if f.site == "" {
			code = NoticeNoRecords
		}
		d.notice(code, f.site, replay.Pool{}, "", f.next, "%s", f.what)
	}
}

// sites compares what belongs to whole sites.
func (d *differ) sites() {
	for i := range d.obs.Sites {
		s := &d.obs.Sites[i]
		if s.Fault != nil {
			hint := s.Fault.Hint
			if hint == "" {
				hint = "bring the site back and apply again"
			}
			d.notice(NoticeSiteSilent, s.Name, replay.Pool{}, "", hint, "%s", s.Fault.What)
			continue
		}
		want := d.plan.Site(s.Name).MirrorName
		if want == "" || s.SiteName == want {
			continue
		}
		from := s.SiteName
		drift := from != "" && from != s.Identity.FSID
		if !drift {
			from = "none"
		}
		d.change(Change{
			ID: changeID(KindSiteName, s.Name, ""), Kind: KindSiteName, Site: s.Name,
			What: fmt.Sprintf("set the site name: %s → %s", from, want), From: from, To: want,
			Command: d.at(s.Name).setSiteName(want), Drift: drift,
			act: setSiteName{site: s.Name, name: want},
		})
	}
}
