package orchestrator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// triggerSchedule is that of a drill which nobody has asked for in person.
const triggerSchedule = "schedule"

// prepare looks at the sites and chooses what is rehearsed; it changes nothing.
func (d *drill) prepare(ctx context.Context) error {
	book, obs, stands, err := before(ctx, d.plan, d.sites, d.scope())
	if err != nil {
		return err
	}
	d.book, d.known = book, map[string]bool{}
	for _, s := range Runs(book) {
		d.known[s.Run.ID] = true
	}
	if stands, err = d.chosen(stands); err != nil {
		return err
	}
	if err := d.direction(obs, stands); err != nil {
		return err
	}
	for site, release := range obs.releases() {
		d.report.Versions["ceph at "+site] = release
	}
	var c checks
	d.checkSecondary(&c, obs)
	checkRecords(&c, d.plan, book, stands, Drill)
	if err := c.refused(true); err != nil {
		return err
	}
	if err := d.room(ctx, stands); err != nil {
		return err
	}
	d.v = newVerification(d.plan, d.sites, VerifyOptions{}, verifyLimits(d.plan, nil))
	d.copies, d.sources = newLookout(d.sites, d.to), newLookout(d.sites, d.from)
	d.copies.detail = replay.WithHeader // user snapshots are in it
	d.assemble(obs, stands)
	return nil
}

// scope is what the options choose; that of the drill itself has globs.
func (d *drill) scope() Scope { return d.options.Scope }

// chosen keeps the images that the drill names, with the groups that they are in.
func (d *drill) chosen(stands []stand) ([]stand, error) {
	asked := d.options.Scope
	if len(asked.Images)+len(asked.Groups)+len(asked.Waves) > 0 || len(d.spec.Images)+len(d.spec.Groups) == 0 {
		return stands, nil
	}
	groups := map[string]bool{}
	for _, name := range d.spec.Groups {
		groups[name] = true
	}
	named := make([]bool, len(stands))
	for i := range stands {
		ref := stands[i].evidence.Ref
		named[i] = slices.ContainsFunc(d.spec.Images, func(r plans.ImageRef) bool { return r.Matches(ref.Pool.Name, ref.Namespace, ref.Name) })
		if group := d.plan.GroupOf(ref.Pool.Name, ref.Namespace, ref.Name); named[i] && group != nil {
			groups[group.Name] = true
		}
	}
	var out []stand
	for i := range stands {
		ref := stands[i].evidence.Ref
		group := d.plan.GroupOf(ref.Pool.Name, ref.Namespace, ref.Name)
		if named[i] || group != nil && groups[group.Name] {
			out = append(out, stands[i])
		}
	}
	if len(out) == 0 {
		return nil, refusal("drover status shows the plan's images", "no image is there that drill %s names", d.spec.Name)
	}
	return out, nil
}

// direction tells which site is tested, and which is primary. In a plan of two sites
// of which the other has become primary since, it is the one that is secondary now.
func (d *drill) direction(obs *Observation, stands []stand) error {
	if len(stands) == 0 {
		return refusal("drover plan apply protects images", "there is no image to rehearse")
	}
	d.to = d.spec.Site
	if d.to == "" {
		return refusal("say which: --site SITE", "the plan has several secondaries, and the drill names none")
	}
	if d.plan.Site(d.to) == nil {
		return refusal("name a site of the plan", "no site %q", d.to)
	}
	primaries := map[string]int{}
	for i := range stands {
		for _, site := range stands[i].primaries() {
			primaries[site]++
		}
	}
	if len(d.plan.Sites) == 2 {
		d.from = otherSites(d.plan, d.to)[0]
		if d.options.Site == "" && primaries[d.to] > 0 && primaries[d.from] == 0 && obs.Site(d.from).Fault == nil {
			d.from, d.to = d.to, d.from
			d.notef("%s is primary now, so that the copies at %s are rehearsed", d.from, d.to)
		}
	} else {
		d.from = d.plan.Primary
		for site, n := range primaries {
			if site != d.to && n > primaries[d.from] {
				d.from = site
			}
		}
	}
	d.report.From, d.report.To = d.from, d.to
	if fault := obs.Site(d.from).Fault; fault != nil {
		d.lost = true
		what := replay.WithoutSite(d.from, fault.What)
		if d.options.Trigger == triggerSchedule && d.spec.PrimaryLost != plans.PrimaryLostCopy {
			return refusal("drill by hand, or write primary_lost: copy",
				"%s does not answer (%s), and by schedule whole images are not copied during an outage", d.from, what)
		}
		d.notef("%s does not answer (%s): what %s holds is brought up as copies", d.from, what, d.to)
	}
	return nil
}

func (d *drill) checkSecondary(c *checks, obs *Observation) {
	check := c.add("secondary answers", "%s answers", d.to)
	if fault := obs.Site(d.to).Fault; fault != nil {
		check.failf(d.to, fault.Hint, "%s does not answer: %s", d.to, replay.WithoutSite(d.to, fault.What))
	}
}

// firstLine is what a refusal says, to be part of another one.
func firstLine(err error) string {
	return strings.TrimPrefix(faultOf(err).What, ErrRefused.Error()+": ")
}

// assemble makes units of the images; those that could not serve are in the report.
func (d *drill) assemble(obs *Observation, stands []stand) {
	var images []RunImage
	index := map[replay.ImageRef]*stand{}
	for i := range stands {
		ref := stands[i].evidence.Ref
		index[ref] = &stands[i]
		images = append(images, RunImage{Ref: ref, Mode: stands[i].mode})
	}
	var objective time.Duration
	for _, unit := range unitsOf(d.plan, images) {
		u := &drillUnit{name: unit.Name, group: unit.Group, wave: unit.Wave}
		fit := true
		for _, image := range unit.Images {
			s := index[image.Ref]
			i := d.image(s, unit)
			if why := d.unfit(s); why != "" {
				fit = false
				d.report.Images[i.at].Verdict, d.report.Images[i.at].Why = report.Failed, why
			}
			if s.evidence.Objective > 0 && (objective == 0 || s.evidence.Objective < objective) {
				objective = s.evidence.Objective
			}
			u.images = append(u.images, i)
		}
		if fit {
			d.units = append(d.units, u)
			continue
		}
		for _, i := range u.images {
			if r := &d.report.Images[i.at]; r.Verdict == "" {
				r.Verdict, r.Why = report.Failed, "group "+unit.Group+" comes up as one, and another image of it cannot"
			}
		}
	}
	d.report.Objectives.RPOSeconds = seconds(objective)
	d.exposure()
	d.planChecks()
	d.total = len(d.units) + len(d.checks)
}

// image enters an image into the report.
func (d *drill) image(s *stand, unit RunUnit) *drillImage {
	ref := s.evidence.Ref
	i := &drillImage{
		ref: ref, mode: s.mode, stand: s, at: len(d.report.Images),
		clone:  drillPlace(&d.spec, ref.Pool.Name).Image(d.mark.clone(ref)),
		target: &verifyTarget{ref: ref, mode: s.mode, primary: d.from, secondaries: []string{d.to}, at: map[string]replay.Image{}, unread: map[string]error{}},
	}
	for k := range s.evidence.Sites {
		if e := &s.evidence.Sites[k]; e.Err == nil && e.Image != nil {
			i.target.at[e.Site] = *e.Image
		}
	}
	one := report.Image{Image: ref.String(), Mode: string(s.mode), Group: unit.Group, Wave: unit.Wave, Bytes: i.target.at[d.to].Size}
	if copied := s.copyAt(d.to); copied != nil && copied.Lag.Seconds != nil {
		age := seconds(*copied.Lag.Seconds)
		one.ExposureSeconds = &age
	}
	d.report.Images = append(d.report.Images, one)
	return i
}

// exposure tells what the loss of the primary would have cost just before the drill,
// which has newer data brought over than there are otherwise.
func (d *drill) exposure() {
	r := &d.report
	var (
		worst   *float64
		unknown []string
	)
	for i := range r.Images {
		switch age := r.Images[i].ExposureSeconds; {
		case age == nil:
			unknown = append(unknown, r.Images[i].Image)
		case worst == nil || *age > *worst:
			worst = age
		}
	}
	if len(unknown) > 0 {
		d.notef("exposure: how old the data were that %s held when the drill began is not known of %s, the first: %s", d.to, plural(uint64(len(unknown)), "image", "images"), unknown[0])
		return
	}
	r.Achieved.ExposureSeconds = worst
	if want := r.Objectives.RPOSeconds; worst != nil && want > 0 && *worst > want {
		d.notef("exposure: had %s been lost when the drill began, %s of writes would have been, and the objective is %s", d.from, secondsText(*worst), secondsText(want))
	}
}

// unfit is why an image could not serve at the secondary now; "" where it could.
func (d *drill) unfit(s *stand) string {
	at, there := s.primaries(), s.site(d.to)
	switch {
	case s.verdict.State == replay.SplitBrain || len(at) > 1:
		return "split-brain: " + splitWords(s)
	case there == nil || there.Err != nil:
		return "its copy at " + d.to + " cannot be read" + s.unreadWords()
	case there.Image == nil:
		return d.to + " has no copy"
	case there.Image.Role == replay.RolePrimary:
		return "it is primary at " + d.to + ": a drill rehearses a secondary"
	case !there.Image.Mirrored():
		return "it is not mirrored at " + d.to
	case d.lost:
		return d.unfitLost(there)
	case len(at) == 0:
		return "it is primary nowhere" + s.unreadWords()
	case at[0] != d.from:
		return fmt.Sprintf("it is primary at %s, not at %s", at[0], d.from)
	}
	switch copied := s.copyAt(d.to); {
	case copied == nil:
		return "nothing is known of its copy at " + d.to
	case copied.State == replay.Syncing || copied.State == replay.Enabling || copied.State == replay.Resyncing:
		return "its first sync to " + d.to + " is not over"
	}
	return ""
}

// unfitLost is why a copy could not serve while its primary is away. Whether a first
// sync is over in journal mode only its primary's journal tells for certain; rbd-mirror
// says it too, as long as it reports.
func (d *drill) unfitLost(there *replay.SiteEvidence) string {
	if there.Image.Mode == replay.ModeSnapshot && wholeMirrorSnapshot(there.Image) == nil {
		return "its first sync to " + d.to + " was not over: no mirror snapshot is whole there"
	}
	if syncPercent(there) >= 0 {
		return "its first sync to " + d.to + " was not over"
	}
	return ""
}

// wholeMirrorSnapshot is the newest complete mirror snapshot of a copy.
func wholeMirrorSnapshot(image *replay.Image) *replay.Snapshot {
	for k := range slices.Backward(image.Snapshots) {
		if s := &image.Snapshots[k]; s.Mirror != nil && s.Mirror.Complete {
			return s
		}
	}
	return nil
}
