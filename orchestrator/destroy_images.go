package orchestrator

import (
	"slices"

	"github.com/drover-io/drover/replay"
)

// images takes the plan's images out of mirroring and answers with the ids of
// all changes for that.
func (w *wrecker) images(v poolView, before []string) []string {
	var ids []string
	names := map[string]bool{}
	for _, seen := range v.at {
		for i := range seen.Images {
			if name := seen.Images[i].Ref.Name; !names[name] {
				if _, ours := v.wanted.Match(name); ours {
					names[name] = true
				}
			}
		}
	}
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	for _, name := range sorted {
		if len(w.unreadAt(v, name)) > 0 {
			continue // a copy that is still mirrored would be deleted
		}
		image := imageView{poolView: v, ref: v.pool.Image(name), seen: map[string]*replay.Image{}}
		for site, seen := range v.at {
			if found := seen.Image(name); found != nil {
				image.seen[site] = found
			}
		}
		ids = append(ids, w.image(image, before)...)
	}
	w.childrenFirst()
	return ids
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
			c.act = removeCopy{site: site, ref: v.ref, primary: primaries[0]}
		case w.deleteCopies:
			w.notice(NoticeCopyNotFollower, site, v.pool, v.ref.Name, "remove by hand what is not needed",
				"the copy at %s is kept, since no single primary of it is seen", site)
		}
		copies = append(copies, w.change(c))
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

// strayCopies tells of images at secondaries that may be copies which an
// earlier destroy took out of mirroring and then could not remove.
func (w *wrecker) strayCopies(v imageView, primaries []string) {
	home := w.plan.Primary
	if len(primaries) == 1 {
		home = primaries[0]
	}
	for _, site := range w.with(v, replay.RoleNone) {
		if site != home && v.seen[home] != nil {
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
