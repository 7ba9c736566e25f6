package orchestrator

import (
	"fmt"
	"strings"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// modeSafe looks at what a change to pool mode would do by itself: at each
// site Ceph then makes every image with journaling that is not mirrored yet a
// primary (librbd/api/Mirror.cc, mode_set). Where that would be one that must
// not be, the pool is left alone everywhere.
func (d *differ) modeSafe(v poolView) bool {
	if v.wanted.Mirror != plans.PoolModePool {
		return true
	}
	safe := true
	for _, s := range d.plan.Sites {
		seen := v.at[s.Name]
		if seen == nil || seen.Mirroring.Mode == replay.PoolPool {
			continue
		}
		if d.modeBlind(v, s.Name) {
			safe = false
		}
		for i := range seen.Images {
			image := &seen.Images[i]
			if image.Mirrored() || !image.Features.Has(replay.FeatureJournaling) {
				continue
			}
			why := d.catches(v, s.Name, image.Ref.Name)
			switch {
			case why != "":
				safe = false
				d.notice(NoticeModeCatches, s.Name, v.pool, image.Ref.Name,
					"switch its journaling off, then apply again: "+d.at(s.Name).rbd("feature", "disable", image.Ref.String(), "journaling")+
						"; or mirror the pool in image mode",
					"pool mode would make the image primary at %s, because it has journaling; %s", s.Name, why)
			case len(v.silent) > 0:
				safe = false // it could be primary there, of which it has a notice anyway
			}
		}
	}
	return safe
}

// catches tells why an image must not become primary at a site; empty: it may.
func (d *differ) catches(v poolView, site, name string) string {
	var others []string
	for _, s := range d.plan.Sites {
		if seen := v.at[s.Name]; s.Name != site && seen != nil && (seen.Image(name) != nil || seen.UnreadFault(name) != nil) {
			others = append(others, s.Name)
		}
	}
	switch {
	case v.wanted.Excludes(name):
		return "the plan excludes it"
	case site != d.plan.Primary:
		return "the plan wants images primary at " + d.plan.Primary
	case len(others) > 0:
		return "there is an image of this name at " + strings.Join(others, " and ")
	}
	return ""
}

// noticesOnly runs a comparison of which no change shall be made.
func (d *differ) noticesOnly(compare func()) {
	n := len(d.out.Changes)
	compare()
	for _, c := range d.out.Changes[n:] {
		delete(d.byID, c.ID)
	}
	d.out.Changes = d.out.Changes[:n]
}

// enabledByMode shows the mirroring of an image that the change of its pool's
// mode brings with it.
func (d *differ) enabledByMode(v imageView, site, from string) {
	d.change(Change{
		ID: changeID(KindMirror, site, v.ref.String()), Kind: KindMirror, Site: site, Pool: v.pool, Image: v.ref.Name,
		What: fmt.Sprintf("mirror the image: %s → %s mode, by the pool's mode", from, replay.ModeJournal), From: from, To: string(replay.ModeJournal),
		Command: d.at(site).setPoolMode(v.pool, replay.PoolPool),
		Needs:   []string{changeID(KindPoolMode, site, v.pool.String())},
		act:     mirroredByMode{site: site, ref: v.ref},
	})
}
