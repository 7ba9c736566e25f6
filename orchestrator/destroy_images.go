package orchestrator

import (
	"maps"
	"slices"

	"github.com/drover-io/drover/replay"
)

// images takes the plan's images out of mirroring, but for those that are left
// alone, and answers with the ids of all changes for that.
func (w *wrecker) images(v poolView, before []string) []string {
	var ids []string
	for _, image := range w.ours(v) {
		// A copy that cannot be read may be mirrored still, and would be deleted.
		if !w.held[image.ref] && len(w.unreadAt(v, image.ref.Name)) == 0 {
			ids = append(ids, w.image(image, before)...)
		}
	}
	w.childrenFirst()
	return ids
}

// ours are the plan's images in a pool that any site has, by name.
func (w *wrecker) ours(v poolView) []imageView {
	seen := map[string]map[string]*replay.Image{}
	for site, at := range v.at {
		for i := range at.Images {
			image := &at.Images[i]
			if _, ours := v.wanted.Match(image.Ref.Name); !ours {
				continue
			}
			if seen[image.Ref.Name] == nil {
				seen[image.Ref.Name] = map[string]*replay.Image{}
			}
			seen[image.Ref.Name][site] = image
		}
	}
	out := make([]imageView, 0, len(seen))
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		out = append(out, imageView{poolView: v, ref: v.pool.Image(name), seen: seen[name]})
	}
	return out
}

// image takes one image out of mirroring, at its secondaries first.
func (w *wrecker) image(v imageView, before []string) []string {
	primaries := w.with(v, replay.RolePrimary)
	var copies []string
	for _, site := range w.with(v, replay.RoleSecondary) {
		c := Change{
			ID: changeID(KindUnmirror, site, v.ref.String()), Kind: KindUnmirror, Site: site, Pool: v.pool, Image: v.ref.Name,
			What: "take the copy out of mirroring; its data stays", From: "secondary", To: "not mirrored",
			Command: w.at(site).disableMirroring(v.ref, true), Needs: before, Destructive: true,
			act: unmirror{site: site, ref: v.ref, force: true},
		}
		switch {
		case w.deleteCopies && len(primaries) == 1:
			c.ID, c.Kind = changeID(KindRemoveCopy, site, v.ref.String()), KindRemoveCopy
			c.What, c.To = "remove the copy and its snapshots; the image at "+primaries[0]+" stays", "removed"
			c.Command += " && " + w.at(site).removeImage(v.ref)
			c.act = w.removal(v, site, primaries[0])
		case w.deleteCopies:
			w.notice(NoticeCopyNotFollower, site, v.pool, v.ref.Name, "remove by hand what is not needed",
				"the copy at %s is kept, since no single primary of it is seen", site)
		}
		copies = append(copies, w.change(c))
	}
	if w.deleteCopies {
		copies = append(copies, w.begun(v, before)...)
	}
	ids := copies
	for _, site := range primaries {
		ids = append(ids, w.change(Change{
			ID: changeID(KindUnmirror, site, v.ref.String()), Kind: KindUnmirror, Site: site, Pool: v.pool, Image: v.ref.Name,
			What: "stop mirroring the image; its data stays", From: "primary", To: "not mirrored",
			Command: w.at(site).disableMirroring(v.ref, false), Needs: append(slices.Clone(before), copies...), Destructive: true,
			act: unmirror{site: site, ref: v.ref},
		}))
	}
	if w.deleteCopies {
		w.strayCopies(v, primaries)
	}
	return ids
}

func (w *wrecker) removal(v imageView, site, primary string) removeCopy {
	return removeCopy{site: site, ref: v.ref, primary: primary, followers: followersOf(w.plan, site, v.seen[site].Mode)}
}

// begun goes on with removals that an earlier destroy has begun.
func (w *wrecker) begun(v imageView, before []string) []string {
	var ids []string
	for _, site := range w.with(v, replay.RoleNone) {
		r := w.obs.Records.begunRemoval(site, v.seen[site], v.seen)
		if r == nil {
			continue
		}
		ids = append(ids, w.change(Change{
			ID: changeID(KindRemoveCopy, site, v.ref.String()), Kind: KindRemoveCopy, Site: site, Pool: v.pool, Image: v.ref.Name,
			What: "remove what an earlier destroy has begun to remove, and its snapshots; the image at " + r.Primary + " stays", From: "not mirrored", To: "removed",
			Command: w.at(site).removeImage(v.ref), Needs: before, Destructive: true,
			act: removeRest{removeCopy: w.removal(v, site, r.Primary), begun: *r},
		}))
	}
	return ids
}

// strayCopies tells of images at secondaries that may have been copies, and of
// which nothing is recorded.
func (w *wrecker) strayCopies(v imageView, primaries []string) {
	home := w.plan.Primary
	if len(primaries) == 1 {
		home = primaries[0]
	}
	for _, site := range w.with(v, replay.RoleNone) {
		if site != home && v.seen[home] != nil && !w.wants(changeID(KindRemoveCopy, site, v.ref.String())) {
			w.notice(NoticeCopyNotFollower, site, v.pool, v.ref.Name, "if it is not needed: "+w.at(site).removeImage(v.ref),
				"%s is kept at %s: it is not mirrored, so that nothing tells whether it is a copy", v.ref, site)
		}
	}
}

// childrenFirst makes the end of each parent's mirroring wait for that of its
// clones, as Ceph demands.
func (w *wrecker) childrenFirst() {
	for i := range w.out.Changes {
		child := &w.out.Changes[i]
		ref, ok := child.Ref()
		if !ok || child.Kind != KindUnmirror && child.Kind != KindRemoveCopy {
			continue
		}
		image := w.seenImage(child.Site, ref)
		if image == nil || image.Parent == nil {
			continue
		}
		for _, kind := range []Kind{KindUnmirror, KindRemoveCopy} {
			if at, ok := w.byID[changeID(kind, child.Site, image.Parent.String())]; ok {
				parent := &w.out.Changes[at]
				parent.Needs = append(slices.Clone(parent.Needs), child.ID)
			}
		}
	}
}
