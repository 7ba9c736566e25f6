package orchestrator

import (
	"strings"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// excluded is about an image that the plan leaves alone.
func (d *differ) excluded(v imageView) {
	mirrored := append(d.with(v, replay.RolePrimary), d.with(v, replay.RoleSecondary)...)
	switch {
	case len(mirrored) == 0:
	case v.poolView.wanted.Mirror == plans.PoolModePool:
		d.notice(NoticeExcluded, mirrored[0], v.pool, v.ref.Name, "switch its journaling off, or mirror the pool in image mode",
			"the plan leaves it alone, but in pool mode Ceph mirrors every image with journaling")
	default:
		d.notice(NoticeExcluded, mirrored[0], v.pool, v.ref.Name,
			"exclude it no longer; or, where it is primary, end its mirroring: "+d.at(mirrored[0]).disableMirroring(v.ref, false),
			"the plan leaves it alone, but it is mirrored")
	}
}

// unwantedWithoutPrimary is about an image that the plan does not name and of
// which no primary is seen: pruning cannot take it down.
func (d *differ) unwantedWithoutPrimary(v imageView) {
	plain, secondaries := d.with(v, replay.RoleNone), d.with(v, replay.RoleSecondary)
	switch {
	case len(secondaries) == 0 && len(plain) == 0:
	case len(secondaries) == 0:
		d.notice(NoticeUnprotected, plain[0], v.pool, v.ref.Name, "name it in the plan, or exclude it", "no plan protects it")
	case len(plain) > 0:
		d.notice(NoticeDropped, secondaries[0], v.pool, v.ref.Name,
			"wait until rbd-mirror has deleted it; or keep it as an image of its own: "+d.at(secondaries[0]).disableMirroring(v.ref, true),
			"not in the plan any more; %s holds a copy, but mirroring of the image at %s was ended", secondaries[0], plain[0])
	case len(v.silent) > 0 && d.options.Prune:
		d.notice(NoticeImageUnsure, "", v.pool, v.ref.Name, "bring "+strings.Join(v.silent, ", ")+" back and apply again",
			"not in the plan any more, and its primary is not seen while %s does not answer", strings.Join(v.silent, ", "))
	case d.options.Prune:
		d.notice(NoticeStranded, "", v.pool, v.ref.Name,
			"find out which copy is the newest and promote it, then apply again: "+d.at(secondaries[0]).rbd("mirror", "image", "promote", v.ref.String()),
			"not in the plan any more, and cannot be taken out: primary nowhere, secondary at %s", strings.Join(secondaries, " and "))
	default:
		d.notice(NoticeDropped, secondaries[0], v.pool, v.ref.Name, "name it in the plan again, or promote one copy and apply with --prune",
			"mirrored, but not in the plan any more, and no primary of it is seen")
	}
}
