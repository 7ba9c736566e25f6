package orchestrator

import (
	"slices"

	"github.com/drover-io/drover/replay"
)

// parentMirrored reports whether the image is no clone, or one whose parent is
// mirrored or will be by this difference. Ceph refuses to mirror any other.
func (d *differ) parentMirrored(v imageView, site string) bool {
	parent := v.seen[site].Parent
	if parent == nil {
		return true
	}
	if image := d.seenImage(site, *parent); image != nil && image.Mirrored() {
		return true
	}
	if why := d.parentFault(site, *parent); why != nil {
		d.unreadNotice(v.poolView, site, v.ref.Name, "left alone, since its parent "+parent.String()+" cannot be read at "+site, why)
		return false
	}
	if wanted := d.plan.Pool(parent.Pool.Name, parent.Namespace); wanted != nil {
		if _, ok := wanted.Match(parent.Name); ok && d.seenImage(site, *parent) != nil {
			return true
		}
	}
	d.notice(NoticeParent, site, v.pool, v.ref.Name,
		"put the parent into the plan, or make the image independent: "+d.at(site).rbd("flatten", v.ref.String()),
		"it is a clone of %s, which is not mirrored", parent)
	return false
}

// parentFault is why a parent cannot be read at a site, or nil.
func (d *differ) parentFault(site string, parent replay.ImageRef) *Fault {
	if seen := d.obs.Site(site).Pool(parent.Pool); seen != nil {
		return seen.UnreadFault(parent.Name)
	}
	if image := d.seenImage(site, parent); image != nil {
		return faultOf(image.Fault)
	}
	return nil
}

// seenImage finds an image at a site, in the plan's pools or outside.
func (d *differ) seenImage(site string, ref replay.ImageRef) *replay.Image {
	seen := d.obs.Site(site)
	if seen == nil {
		return nil
	}
	if pool := seen.Pool(ref.Pool); pool != nil {
		return pool.Image(ref.Name)
	}
	i := slices.IndexFunc(seen.Parents, func(p replay.Image) bool { return p.Ref == ref })
	if i < 0 {
		return nil
	}
	return &seen.Parents[i]
}

// cloneOrder makes the mirroring of each clone wait for that of its parent.
func (d *differ) cloneOrder(v poolView) {
	for i := range d.out.Changes {
		c := &d.out.Changes[i]
		if c.Kind != KindMirror && c.Kind != KindFeatures || c.Pool != v.pool {
			continue
		}
		ref, _ := c.Ref()
		image := d.seenImage(c.Site, ref)
		if image == nil || image.Parent == nil {
			continue
		}
		c.Needs = append(c.Needs,
			changeID(KindMirror, c.Site, image.Parent.String()), changeID(KindFeatures, c.Site, image.Parent.String()))
	}
}
