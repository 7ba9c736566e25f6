package orchestrator

import (
	"context"
	"strconv"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// DrillFacts is what hooks and checks of a drill are told besides.
type DrillFacts struct {
	Name string `json:"name"`
	Site string `json:"site"` // the secondary that is tested
	// Conf, User and Keyring are how to reach the clones; the user is that of the
	// drill, or "" where the plan names none.
	Conf    string       `json:"conf"`
	User    string       `json:"user,omitempty"`
	Keyring string       `json:"keyring,omitempty"`
	Clones  []DrillClone `json:"clones"` // those that are up
}

// DrillClone is what was brought up of an image.
type DrillClone struct {
	Of        replay.ImageRef `json:"of"`
	Group     string          `json:"group,omitempty"`
	Wave      string          `json:"wave,omitempty"`
	Pool      string          `json:"pool"`
	Namespace string          `json:"namespace,omitempty"`
	Name      string          `json:"name"`
	Size      uint64          `json:"size"` // bytes
}

// drillEnv are the facts of a drill that fit into an environment; those of one clone
// are empty where there are several.
func drillEnv(f *DrillFacts) []string {
	if f == nil {
		f = &DrillFacts{}
	}
	var one DrillClone
	size, spec := "", ""
	if len(f.Clones) == 1 {
		one = f.Clones[0]
		spec = replay.Pool{Name: one.Pool, Namespace: one.Namespace}.Image(one.Name).String()
		size = strconv.FormatUint(one.Size, 10)
	}
	return []string{
		"DROVER_CLONE=" + spec, "DROVER_DRILL=" + f.Name, "DROVER_DRILL_SITE=" + f.Site,
		"DROVER_CEPH_CONF=" + f.Conf, "DROVER_CEPH_USER=" + f.User, "DROVER_CEPH_KEYRING=" + f.Keyring,
		"DROVER_CLONE_POOL=" + one.Pool, "DROVER_CLONE_NAMESPACE=" + one.Namespace, "DROVER_CLONE_IMAGE=" + one.Name, "DROVER_CLONE_SIZE=" + size,
	}
}

// facts are what a hook or a check on some images is told.
func (d *drill) facts(when, of string, images []*drillImage) HookFacts {
	f := HookFacts{
		Plan: d.plan.Name, Runbook: string(Drill), Run: d.report.ID, When: when, Of: of, From: d.from, To: d.to, hidden: planSecrets(d.plan),
		Drill: &DrillFacts{Name: d.spec.Name, Site: d.to, User: d.spec.User, Keyring: d.spec.Keyring, Clones: []DrillClone{}},
	}
	if when == plans.BeforeGroup || when == plans.AfterGroup {
		f.Group = of
	}
	if site := d.plan.Site(d.to); site != nil {
		f.Drill.Conf = site.Conf
	}
	d.made.Lock()
	defer d.made.Unlock()
	for _, i := range images {
		f.Images = append(f.Images, i.ref)
		if i.up {
			r := &d.report.Images[i.at]
			f.Drill.Clones = append(f.Drill.Clones, DrillClone{
				Of: i.ref, Group: r.Group, Wave: r.Wave, Pool: i.clone.Pool.Name, Namespace: i.clone.Namespace, Name: i.clone.Name, Size: r.Bytes,
			})
		}
	}
	return f
}

// all are the images of some units.
func all(units []*drillUnit) (images []*drillImage) {
	for _, u := range units {
		images = append(images, u.images...)
	}
	return images
}

// hooks takes the hooks of one point. The error is of one whose failure ends it.
func (d *drill) hooks(ctx context.Context, when, of string, units []*drillUnit) error {
	if units == nil {
		units = d.units
	}
	for _, h := range selectHooks(d.plan, string(Drill), when, of) {
		if err := d.hook(ctx, h, when, of, units); err != nil {
			return err
		}
	}
	return nil
}

// hook carries out one hook. The error is of one whose failure ends what it is for: of
// hooks that let writers go, which are owed, any failure is.
func (d *drill) hook(ctx context.Context, h *plans.Hook, when, of string, units []*drillUnit) error {
	around := when == plans.BeforeGroup || when == plans.AfterGroup // of one unit
	if h.Manual != "" {
		units[0].loose = units[0].loose || around
		d.notef("by hand, and left out of a drill: %s (%s)", h.Manual, h.Name)
		return nil
	}
	facts := d.facts(when, of, all(units))
	err := d.timed("hook "+h.Name, of, "", func() (string, error) {
		result, err := runHook(ctx, h, facts)
		return lastLine(result.Output), err
	})
	switch owed := when == plans.AfterGroup && units[0].owed; {
	case err != nil && h.OnFailure == plans.OnFailureContinue && ctx.Err() == nil && !owed:
		units[0].loose = units[0].loose || around
		d.notef("%v", err)
		return nil
	case err == nil && when == plans.BeforeGroup:
		units[0].heldBy = append(units[0].heldBy, h.Name)
	case err == nil && when == plans.AfterGroup:
		units[0].releasedBy = append(units[0].releasedBy, h.Name)
	}
	return err
}

func (d *drill) hooksOfWave(ctx context.Context, when string, units []*drillUnit) error {
	return d.hooks(ctx, when, units[0].wave, units)
}

// checkHook is a check as a hook, which is carried out in the same way.
func checkHook(c *plans.Check) *plans.Hook {
	return &plans.Hook{Name: c.Name, Command: c.Command, HTTP: c.HTTP, Timeout: c.Timeout}
}

// howOf names the kind of a check.
func howOf(c *plans.Check) string {
	switch {
	case c.BuiltIn != "":
		return "builtin " + c.BuiltIn
	case c.HTTP != nil:
		return "http " + shownAddress(c.HTTP.URL)
	}
	return "command " + shellLine(c.Command...)
}
