package orchestrator

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/drover-io/drover/replay"
)

// Tombstone marks the copies at one site as overtaken: another site was
// promoted over them by force. What they hold, and nothing else does, is lost
// unless a person decides otherwise.
type Tombstone struct {
	Site   string            `json:"site"`
	To     string            `json:"to,omitempty"` // the site that was promoted
	Images []replay.ImageRef `json:"images"`
	Run    string            `json:"run,omitempty"`
	Reason string            `json:"reason,omitempty"`
	At     time.Time         `json:"at"`
	Loss   json.RawMessage   `json:"loss,omitempty"` // what was shown as lost

	key string // of its entry, once it is recorded
}

// after reports whether it was recorded after another, whatever the clocks said.
func (t *Tombstone) after(other *Tombstone) bool { return t.key > other.key }

// tombstoneBody is a tombstone, or what lifts some. A lift names the entries
// that it lifts, so that it can never lift one that its writer had not seen.
type tombstoneBody struct {
	Tombstone
	Lifts []string `json:"lifts,omitempty"` // keys of entries
}

// grave is a tombstone as it stands.
type grave struct {
	Tombstone
	covers map[replay.ImageRef]bool // what has not been lifted
}

// gravesAt are the tombstones at a site that still cover something, the oldest
// first. b.mu is held.
func (b *Book) gravesAt(site string) []*grave {
	var (
		graves []*grave
		byKey  = map[string]*grave{}
		lifts  []tombstoneBody
	)
	for _, e := range b.standing[EntryTombstone] {
		var t tombstoneBody
		if json.Unmarshal(e.Body, &t) != nil || t.Site != site {
			continue
		}
		if len(t.Lifts) > 0 {
			lifts = append(lifts, t)
			continue
		}
		t.key = e.Key
		g := &grave{Tombstone: t.Tombstone, covers: make(map[replay.ImageRef]bool, len(t.Images))}
		for _, ref := range t.Images {
			g.covers[ref] = true
		}
		graves = append(graves, g)
		byKey[g.key] = g
	}
	for _, l := range lifts {
		for _, key := range l.Lifts {
			if g := byKey[key]; g != nil {
				for _, ref := range l.Images {
					delete(g.covers, ref)
				}
			}
		}
	}
	return slices.DeleteFunc(graves, func(g *grave) bool { return len(g.covers) == 0 })
}

// graves is gravesAt, made anew only when there are more tombstones. b.mu is
// held.
func (b *Book) graves(site string) []*grave {
	n := len(b.standing[EntryTombstone])
	if b.tombstones.bySite == nil || b.tombstones.entries != n {
		b.tombstones = tombstoneView{entries: n, bySite: map[string][]*grave{}, sites: b.buriedSites()}
	}
	graves, known := b.tombstones.bySite[site]
	if !known {
		graves = b.gravesAt(site)
		b.tombstones.bySite[site] = graves
	}
	return graves
}

// tombstoneView is what the entries say of tombstones. It holds for as many
// entries as it was made from.
type tombstoneView struct {
	entries int
	bySite  map[string][]*grave
	sites   []string // at which any was recorded
}

// buriedSites are the sites at which tombstones were recorded. b.mu is held.
func (b *Book) buriedSites() []string {
	var sites []string
	for _, e := range b.standing[EntryTombstone] {
		var t Tombstone
		if json.Unmarshal(e.Body, &t) == nil && !slices.Contains(sites, t.Site) {
			sites = append(sites, t.Site)
		}
	}
	return sites
}

// Bury records a tombstone. Where one of the same run covers all of its images
// already, it does nothing.
func (b *Book) Bury(ctx context.Context, t Tombstone) error {
	if t.Site == "" || len(t.Images) == 0 {
		return refusal("name the site and the images", "a tombstone of nothing")
	}
	if b.buried(t) {
		return nil
	}
	if t.At.IsZero() {
		t.At = b.now().UTC()
	}
	return b.appendBody(ctx, Entry{Kind: EntryTombstone, At: t.At, Run: t.Run}, t)
}

// buried reports whether a tombstone of the same run covers all that t does.
func (b *Book) buried(t Tombstone) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, g := range b.graves(t.Site) {
		if g.Run == t.Run && !slices.ContainsFunc(t.Images, func(ref replay.ImageRef) bool { return !g.covers[ref] }) {
			return true
		}
	}
	return false
}

// Tombstone returns the newest tombstone that covers an image's copy at a site,
// has not been lifted, and was not overtaken: a later failover to that site gave
// up another copy for this one, whether or not it knew of the tombstone. nil when
// there is none.
func (b *Book) Tombstone(site string, ref replay.ImageRef) *Tombstone {
	b.mu.Lock()
	defer b.mu.Unlock()
	graves := b.graves(site)
	for i := len(graves) - 1; i >= 0; i-- {
		if graves[i].covers[ref] {
			t := graves[i].Tombstone
			if b.overtakenBy(&t, ref) {
				return nil
			}
			return &t
		}
	}
	return nil
}

// overtakenBy reports whether a later failover chose the copy that a tombstone
// covers. b.mu is held.
func (b *Book) overtakenBy(t *Tombstone, ref replay.ImageRef) bool {
	for _, site := range b.tombstones.sites {
		if slices.ContainsFunc(b.graves(site), func(g *grave) bool { return g.To == t.Site && g.covers[ref] && g.after(t) }) {
			return true
		}
	}
	return false
}

// Lift takes back the tombstones that cover images at a site, all that are
// known by now; for images without one it does nothing.
func (b *Book) Lift(ctx context.Context, site string, images []replay.ImageRef, run string) error {
	lift := tombstoneBody{Tombstone: Tombstone{Site: site, Run: run, At: b.now().UTC()}}
	covered := map[replay.ImageRef]bool{}
	b.mu.Lock()
	for _, g := range b.graves(site) {
		before := len(lift.Lifts)
		for _, ref := range images {
			if !g.covers[ref] {
				continue
			}
			covered[ref] = true
			if len(lift.Lifts) == before {
				lift.Lifts = append(lift.Lifts, g.key)
			}
		}
	}
	b.mu.Unlock()
	if len(covered) == 0 {
		return nil
	}
	for _, ref := range images {
		if covered[ref] {
			lift.Images = append(lift.Images, ref)
			delete(covered, ref)
		}
	}
	return b.appendBody(ctx, Entry{Kind: EntryTombstone, At: lift.At, Run: run}, lift)
}
