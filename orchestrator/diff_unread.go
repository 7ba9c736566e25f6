package orchestrator

import (
	"strings"

	"github.com/drover-io/drover/replay"
)

// unreadAt are the sites, in the plan's order, that have an image of that name
// which cannot be read there.
func (d *differ) unreadAt(v poolView, name string) []string {
	var out []string
	for _, s := range d.plan.Sites {
		if seen := v.at[s.Name]; seen != nil && seen.UnreadFault(name) != nil {
			out = append(out, s.Name)
		}
	}
	return out
}

// unread tells where an image cannot be read, and reports whether there is such
// a site. Then it is neither missing there nor of any role, and is left alone
// everywhere.
func (d *differ) unread(v imageView) bool {
	sites := d.unreadAt(v.poolView, v.ref.Name)
	for _, site := range sites {
		d.unreadNotice(v.poolView, site, v.ref.Name, "left alone, since it cannot be read at "+site, v.at[site].UnreadFault(v.ref.Name))
	}
	return len(sites) > 0
}

func (d *differ) unreadNotice(v poolView, site, image, what string, why *Fault) {
	next := why.Hint
	if next == "" {
		next = "look for inactive placement groups at " + site + " (ceph health detail) and at the image itself (rbd info), then apply again"
	}
	d.notice(NoticeImageFault, site, v.pool, image, next, "%s: %s", what, replay.WithoutSite(site, why.What))
}

// modeBlind tells of images that cannot be read at a site whose pool shall
// change to pool mode, and reports whether there are any: Ceph could make them
// primary there.
func (d *differ) modeBlind(v poolView, site string) bool {
	seen := v.at[site]
	for i := range seen.Unread {
		name := seen.Unread[i].Name
		d.unreadNotice(v, site, name, "the pool is not set to pool mode while an image cannot be read at "+site+", since it could make it primary there", seen.Unread[i].Fault)
	}
	return len(seen.Unread) > 0
}

// unreadNames names the images that cannot be read at a site, with the reason of
// the first.
func unreadNames(seen *PoolObservation) string {
	names := make([]string, len(seen.Unread))
	for i := range seen.Unread {
		names[i] = seen.Unread[i].Name
	}
	return listed(names) + ": " + strings.TrimSpace(seen.Unread[0].Fault.What)
}
