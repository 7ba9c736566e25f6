package orchestrator

import (
	"fmt"
	"slices"
	"strings"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// imageView is one image and what each site says of it.
type imageView struct {
	poolView
	ref    replay.ImageRef
	wanted *plans.Image
	seen   map[string]*replay.Image // by site; only where it exists
}

// with lists the sites, in the plan's order, where the image has a role.
func (d *differ) with(v imageView, role replay.Role) []string {
	var out []string
	for _, s := range d.plan.Sites {
		if image := v.seen[s.Name]; image != nil && (image.Role == role || role == replay.RoleNone && !image.Mirrored()) {
			out = append(out, s.Name)
		}
	}
	return out
}

// images compares the images of one pool at all sites.
func (d *differ) images(v poolView) {
	index := map[string]map[string]*replay.Image{}
	for site, seen := range v.at {
		for i := range seen.Images {
			image := &seen.Images[i]
			if index[image.Ref.Name] == nil {
				index[image.Ref.Name] = map[string]*replay.Image{}
			}
			index[image.Ref.Name][site] = image
		}
	}
	names := make([]string, 0, len(index))
	for name := range index {
		names = append(names, name)
	}
	for _, seen := range v.at {
		for _, unread := range seen.Unread {
			names = append(names, unread.Name)
		}
	}
	for i := range v.wanted.Images {
		if name := v.wanted.Images[i].Name; name != "" && index[name] == nil && !v.wanted.Excludes(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		image := imageView{poolView: v, ref: v.pool.Image(name), seen: index[name]}
		if wanted, ok := v.wanted.Match(name); ok {
			image.wanted = wanted
			d.image(image)
		} else {
			d.unwanted(image)
		}
	}
	d.cloneOrder(v)
}

// image compares one image of the plan.
func (d *differ) image(v imageView) {
	unread := d.unread(v)
	if d.recorded(v) {
		return
	}
	primaries := d.with(v, replay.RolePrimary)
	secondaries := d.with(v, replay.RoleSecondary)
	switch {
	case len(primaries) > 1:
		d.splitBrain(v, "primary at "+strings.Join(primaries, " and "))
	case unread: // whatever the others hold, it may be anything there
	case len(primaries) == 1:
		d.mirrored(v, primaries[0])
	case len(secondaries) > 0 && len(v.silent) > 0:
		d.notice(NoticeImageUnsure, "", v.pool, v.ref.Name, "bring "+strings.Join(v.silent, ", ")+" back and apply again",
			"its primary is not seen while %s does not answer", strings.Join(v.silent, ", "))
	case len(secondaries) > 0 && len(d.with(v, replay.RoleNone)) > 0:
		d.orphaned(v, d.with(v, replay.RoleNone)[0], secondaries[0])
	case len(secondaries) > 0:
		d.stranded(v, secondaries)
	default:
		d.unmirrored(v)
	}
}

func (d *differ) splitBrain(v imageView, how string) {
	d.notice(NoticeSplitBrain, "", v.pool, v.ref.Name,
		"drover resync "+d.plan.File+" "+v.ref.String()+" --keep SITE --dry-run shows what each side holds; nothing is changed on this image until then",
		"split-brain: %s", how)
}

func (d *differ) stranded(v imageView, secondaries []string) {
	d.notice(NoticeStranded, "", v.pool, v.ref.Name,
		"drover resync "+d.plan.File+" "+v.ref.String()+" --keep SITE --dry-run shows which copy was written last; it makes that one primary again",
		"stranded: primary nowhere, secondary at %s", strings.Join(secondaries, " and "))
}

// orphaned is about a copy that is left of an image whose own mirroring has
// been ended: rbd-mirror is about to delete it.
func (d *differ) orphaned(v imageView, home, site string) {
	d.notice(NoticeInTransition, site, v.pool, v.ref.Name,
		"wait until rbd-mirror has deleted it, then apply again; or keep it as an image of its own: "+d.at(site).disableMirroring(v.ref, true),
		"%s holds a copy, but mirroring of the image at %s was ended", site, home)
}

// mirrored is about an image that has one primary.
func (d *differ) mirrored(v imageView, primary string) {
	image := v.seen[primary]
	if primary != d.plan.Primary {
		d.wrongPrimary(v, primary)
	}
	mode := replay.MirrorMode(v.wanted.Mode)
	if image.Mode != "" && image.Mode != mode {
		d.notice(NoticeWrongMode, primary, v.pool, v.ref.Name,
			"give the image mode: "+string(image.Mode)+" in the plan; or disable its mirroring and apply again, which copies it anew: "+d.at(primary).disableMirroring(v.ref, false),
			"mirrored in %s mode, while the plan wants %s", image.Mode, mode)
		return
	}
	switch image.State {
	case replay.StateDisabling:
		d.notice(NoticeInTransition, primary, v.pool, v.ref.Name, "let it finish: "+d.at(primary).disableMirroring(v.ref, false),
			"mirroring is being disabled at %s", primary)
		return
	case replay.StateCreating:
		d.enable(v, primary, "half enabled")
	}
	d.writable(v, primary, image)
	d.features(v, primary, image)
	for _, to := range d.plan.Sites {
		if to.Name == primary {
			continue
		}
		d.copyAt(v, primary, to.Name)
	}
	if mode == replay.ModeSnapshot {
		d.snapshotFor(v, primary)
	}
}

func (d *differ) wrongPrimary(v imageView, primary string) {
	const what = "primary at %s, while the plan prefers %s; apply does not change that"
	if len(receivers(d.plan, primary)) == 0 {
		d.notice(NoticeWrongPrimary, primary, v.pool, v.ref.Name, unfollowedHint(d.plan, primary),
			what+", and nobody follows it: by the plan no site receives from %s", primary, d.plan.Primary, primary)
		return
	}
	d.notice(NoticeWrongPrimary, primary, v.pool, v.ref.Name, "run a switchover when it shall go back",
		what, primary, d.plan.Primary)
}

// unfollowedHint is what can be done about an image that is primary where by
// the plan no other site receives from.
func unfollowedHint(plan *plans.Plan, primary string) string {
	if len(plan.Sites) == 2 {
		return "set direction: two-way in the plan and apply, so that " + plan.Primary + " follows it; or set primary: " + primary + ", where it shall stay there"
	}
	return "set direction: two-way in the plan and apply, so that " + plan.Primary + " follows it"
}

// copyAt is about the copy of a mirrored image at another site.
func (d *differ) copyAt(v imageView, primary, site string) {
	image := v.seen[site]
	if _, answered := v.at[site]; !answered {
		return
	}
	switch {
	case image == nil:
		if slices.Contains(receivers(d.plan, primary), site) {
			d.notice(NoticeCopyPending, site, v.pool, v.ref.Name, "wait for rbd-mirror at "+site, "%s has no copy yet", site)
		}
	case !image.Mirrored() || image.GlobalID != "" && v.seen[primary].GlobalID != "" && image.GlobalID != v.seen[primary].GlobalID:
		d.nameTaken(v, primary, site)
	}
}

func (d *differ) nameTaken(v imageView, primary, site string) {
	d.notice(NoticeNameConflict, site, v.pool, v.ref.Name,
		"if it is not needed, remove or rename it there, then apply again: "+d.at(site).rbd("rename", v.ref.String(), v.ref.String()+".old"),
		"%s has an image of this name that is no copy of the one at %s, so that none can be made", site, primary)
}

// unmirrored is about an image of the plan that is mirrored nowhere.
func (d *differ) unmirrored(v imageView) {
	if len(v.silent) > 0 {
		d.notice(NoticeImageUnsure, "", v.pool, v.ref.Name, "bring "+strings.Join(v.silent, ", ")+" back and apply again",
			"not enabled while %s does not answer: it could be primary there", strings.Join(v.silent, ", "))
		return
	}
	plain := d.with(v, replay.RoleNone)
	primary := d.plan.Primary
	switch {
	case len(plain) == 0 && v.wanted.Create != nil:
		d.create(v)
	case len(plain) == 0:
		d.notice(NoticeImageMissing, "", v.pool, v.ref.Name, "create it at "+primary+", give it create: with a size, or take it out of the plan",
			"the image exists nowhere")
	case v.seen[primary] == nil:
		d.notice(NoticeImageElsewhere, plain[0], v.pool, v.ref.Name,
			"move it to "+primary+", or remove it at "+plain[0]+", or prefer that site in the plan",
			"the image is not mirrored and exists at %s only, while %s shall be its primary", strings.Join(plain, " and "), primary)
	case len(plain) > 1:
		for _, site := range plain {
			if site != primary {
				d.nameTaken(v, primary, site)
			}
		}
	default:
		if d.parentMirrored(v, primary) {
			d.features(v, primary, v.seen[primary])
			d.enable(v, primary, "not mirrored")
		}
	}
}

// defaultFeatures are those that Ceph gives to a new image
// (rbd_default_features).
const defaultFeatures = replay.FeatureLayering | replay.FeatureExclusiveLock |
	replay.FeatureObjectMap | replay.FeatureFastDiff | replay.FeatureDeepFlatten

// featureNeeds are the features that a feature depends on.
var featureNeeds = []struct{ feature, needs replay.Features }{
	{replay.FeatureFastDiff, replay.FeatureObjectMap},
	{replay.FeatureObjectMap, replay.FeatureExclusiveLock},
	{replay.FeatureJournaling, replay.FeatureExclusiveLock},
}

// wantedFeatures are the features that the plan wants on, with those that they
// depend on.
func wantedFeatures(wanted *plans.Image) replay.Features {
	// The plan has been checked: it names no unknown feature.
	features, err := replay.ParseFeatures(wanted.FeaturesWanted())
	if err != nil {
		features = 0
	}
	for _, row := range featureNeeds {
		if features.Has(row.feature) {
			features |= row.needs
		}
	}
	return features
}

func (d *differ) create(v imageView) {
	spec := replay.ImageSpec{
		Size: uint64(v.wanted.Create.Size), ObjectSize: uint64(v.wanted.Create.ObjectSize),
		Features: defaultFeatures | wantedFeatures(v.wanted), DataPool: v.wanted.Create.DataPool,
	}
	if spec.Features.Has(replay.FeatureJournaling) {
		spec.JournalPool = v.poolView.wanted.JournalPool
	}
	if spec.DataPool != "" {
		spec.Features |= replay.FeatureDataPool
	}
	shown := spec
	shown.Features &^= replay.FeatureDataPool
	site := d.plan.Primary
	needs := []string{changeID(KindNamespace, site, v.pool.String())}
	if v.poolView.wanted.Mirror == plans.PoolModePool {
		// The pool's mode then mirrors it from the start.
		needs = append(needs, changeID(KindPoolMode, site, v.pool.String()))
	}
	spec.Features &^= replay.FeatureDataPool
	d.change(Change{
		ID: changeID(KindCreate, site, v.ref.String()), Kind: KindCreate, Site: site, Pool: v.pool, Image: v.ref.Name,
		What: fmt.Sprintf("create the image: %s, features %s", v.wanted.Create.Size, spec.Features), From: "missing", To: v.wanted.Create.Size.String(),
		Command: d.at(site).createImage(v.ref, shown), Needs: needs,
		act: createImage{site: site, ref: v.ref, spec: spec},
	})
	d.enable(v, site, "not mirrored")
}

func (d *differ) features(v imageView, site string, image *replay.Image) {
	missing := wantedFeatures(v.wanted) &^ image.Features
	if missing == 0 {
		return
	}
	d.change(Change{
		ID: changeID(KindFeatures, site, v.ref.String()), Kind: KindFeatures, Site: site, Pool: v.pool, Image: v.ref.Name,
		What: "switch on " + missing.String(), From: image.Features.String(), To: (image.Features | missing).String(),
		Command: d.at(site).enableFeatures(v.ref, missing),
		Needs:   []string{changeID(KindPoolMode, site, v.pool.String())},
		Drift:   image.Mirrored(),
		act:     enableFeatures{site: site, ref: v.ref, features: missing},
	})
	if pool := v.poolView.wanted.JournalPool; pool != "" && missing.Has(replay.FeatureJournaling) && pool != v.pool.Name {
		d.notice(NoticeJournalPool, site, v.pool, v.ref.Name,
			"to have it in "+pool+", switch journaling on by hand before applying: "+d.at(site).rbd("feature", "enable", v.ref.String(), "journaling", "--journal-pool", pool),
			"the journal of an image that exists already is made beside it, not in %s", pool)
	}
}

// writable ends what has left a primary that refuses every write.
func (d *differ) writable(v imageView, site string, image *replay.Image) {
	if !image.Unwritable {
		return
	}
	// It serves nobody as it is, and must not begin to where another one may.
	if d.obs.Records.gaveUp(v.ref, site) {
		d.notice(NoticeQuarantined, site, v.pool, v.ref.Name, "drover failback "+d.plan.File, "refuses every write, and was given up by a failover: it stays so")
		return
	}
	if len(v.silent) > 0 {
		d.notice(NoticeImageUnsure, site, v.pool, v.ref.Name,
			"bring "+strings.Join(v.silent, ", ")+" back and apply again; where that cannot be, drover failover "+d.plan.File+" --to "+site,
			"refuses every write, and whether another one serves is not seen while %s does not answer", strings.Join(v.silent, ", "))
		return
	}
	var others []string
	for _, other := range d.plan.Sites {
		if other.Name != site {
			others = append(others, other.Name)
		}
	}
	d.change(Change{
		ID: changeID(KindWritable, site, v.ref.String()), Kind: KindWritable, Site: site, Pool: v.pool, Image: v.ref.Name,
		What: "let clients write again: a promotion or demotion of it was cut short", From: "refuses every write", To: "writable",
		Command: d.at(site).rbd("mirror", "image", "demote", v.ref.String()) + "; " + d.at(site).rbd("mirror", "image", "promote", v.ref.String()),
		Drift:   true,
		act:     finishPromotion{site: site, ref: v.ref, others: others},
	})
}

// enable wants mirroring of one image at its primary. In a pool in pool mode
// the journaling feature does that.
func (d *differ) enable(v imageView, site, from string) {
	mode := replay.MirrorMode(v.wanted.Mode)
	needs := []string{
		changeID(KindPoolMode, site, v.pool.String()), changeID(KindNamespace, site, v.pool.String()),
		changeID(KindCreate, site, v.ref.String()), changeID(KindFeatures, site, v.ref.String()),
	}
	for _, f := range flows(d.plan) {
		if f.from == site || f.to == site {
			needs = append(needs, peerID(v.pool, f))
		}
	}
	if v.poolView.wanted.Mirror == plans.PoolModePool {
		if d.wants(changeID(KindCreate, site, v.ref.String())) || d.wants(changeID(KindFeatures, site, v.ref.String())) {
			return
		}
		if d.wants(changeID(KindPoolMode, site, v.pool.String())) {
			d.enabledByMode(v, site, from)
			return
		}
	}
	d.change(Change{
		ID: changeID(KindMirror, site, v.ref.String()), Kind: KindMirror, Site: site, Pool: v.pool, Image: v.ref.Name,
		What: fmt.Sprintf("mirror the image: %s → %s mode", from, mode), From: from, To: string(mode),
		Command: d.at(site).enableMirroring(v.ref, mode), Needs: needs,
		act: enableMirroring{site: site, ref: v.ref, mode: mode},
	})
	if mode == replay.ModeSnapshot {
		d.snapshotFor(v, site)
	}
}

// unwanted is about an image in the pool that the plan does not name.
func (d *differ) unwanted(v imageView) {
	primaries := d.with(v, replay.RolePrimary)
	if v.poolView.wanted.Excludes(v.ref.Name) {
		d.excluded(v)
		return
	}
	if d.options.Prune && d.unread(v) {
		return
	}
	if len(primaries) == 0 {
		d.unwantedWithoutPrimary(v)
		return
	}
	site := primaries[0]
	command := d.at(site).disableMirroring(v.ref, false)
	if !d.options.Prune || len(primaries) > 1 {
		d.notice(NoticeDropped, site, v.pool, v.ref.Name, "name it in the plan again, or apply with --prune: "+command,
			"mirrored, but not in the plan any more")
		return
	}
	var needs []string
	for _, s := range d.plan.Sites {
		if seen := v.at[s.Name]; seen != nil {
			needs = append(needs, d.dropSchedules(s.Name, v.ref, seen)...)
		}
	}
	d.change(Change{
		ID: changeID(KindUnmirror, site, v.ref.String()), Kind: KindUnmirror, Site: site, Pool: v.pool, Image: v.ref.Name,
		What: "stop mirroring an image that was dropped from the plan; rbd-mirror then deletes its copies", From: "mirrored", To: "not mirrored",
		Command: command, Needs: needs, Destructive: true,
		act: unmirror{site: site, ref: v.ref},
	})
}

// recorded tells what the records say of an image that keeps every change away
// from it.
func (d *differ) recorded(v imageView) bool {
	records := d.obs.Records
	if h := records.halted(v.ref); h != nil {
		d.notice(NoticeHalted, "", v.pool, v.ref.Name,
			"drover halt list "+d.plan.File+"; drover resync "+d.plan.File+" "+v.ref.String()+" --keep SITE", "halted: %s", h.Reason)
		return true
	}
	if run := records.moving(v.ref); run != nil {
		d.notice(NoticeInRun, "", v.pool, v.ref.Name, "drover runs resume "+d.plan.File+" "+run.ID, "the %s %s is not over", run.Runbook, run.ID)
		return true
	}
	if t := records.quarantined(v.ref, d.with(v, replay.RolePrimary)); t != nil {
		d.notice(NoticeQuarantined, t.Site, v.pool, v.ref.Name, "drover failback "+d.plan.File,
			"returned, quarantined: its copy was given up by %s; the other site serves", t.Run)
		return true
	}
	return false
}
