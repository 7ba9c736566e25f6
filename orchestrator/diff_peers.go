package orchestrator

import (
	"fmt"
	"slices"
	"strings"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// tokenClient is the user that a bootstrap token carries
// (librbd/api/Mirror.cc, RBD_MIRROR_PEER_CLIENT_ID_PREFIX).
const tokenClient = "client.rbd-mirror-peer"

// flow is one way that data goes: to receives from from.
type flow struct{ from, to string }

// flows are the ways that data goes by the plan: from the preferred primary to
// each secondary, and in a two-way plan back as well.
func flows(plan *plans.Plan) []flow {
	var out []flow
	for _, s := range plan.Secondaries() {
		out = append(out, flow{from: plan.Primary, to: s.Name})
		if plan.Direction == plans.TwoWay {
			out = append(out, flow{from: s.Name, to: plan.Primary})
		}
	}
	return out
}

// receivers are the sites that replay from a site by the plan.
func receivers(plan *plans.Plan, from string) []string {
	var out []string
	for _, f := range flows(plan) {
		if f.from == from {
			out = append(out, f.to)
		}
	}
	return out
}

// peerWantOf is the entry that the receiver of a flow shall have.
func (d *differ) peerWantOf(v poolView, f flow) peerWant {
	want := d.peerIdentity(v, f.from)
	want.direction = replay.RxOnly
	if d.plan.Direction == plans.TwoWay {
		want.direction = replay.RxTx
	}
	want.client, want.byToken = tokenClient, true
	if d.plan.Peers.By == plans.PeerByConf {
		want.byToken = false
		want.siteName = d.plan.Site(f.from).Cluster
		if client := d.plan.Peers.ClientAt(f.from); client != "" {
			want.client = client
		}
	}
	return want
}

// peerIdentity is how an entry for a site may be recognised.
func (d *differ) peerIdentity(v poolView, name string) peerWant {
	site := d.plan.Site(name)
	want := peerWant{siteName: site.MirrorName}
	for _, alias := range []string{site.MirrorName, site.Cluster} {
		if alias != "" && !slices.Contains(want.aliases, alias) {
			want.aliases = append(want.aliases, alias)
		}
	}
	if seen := d.obs.Site(name); seen != nil && seen.Fault == nil {
		want.fsid = seen.Identity.FSID
		// Under the name it had before, an import would add a second entry.
		if seen.SiteName != "" && !slices.Contains(want.aliases, seen.SiteName) {
			want.aliases = append(want.aliases, seen.SiteName)
		}
	}
	if seen, ok := v.at[name]; ok {
		want.mirrorUUID = seen.Whole.UUID
	}
	return want
}

// peers compares the peers of one pool at all sites, once for all its
// namespaces.
func (d *differ) peers(v poolView) {
	v.pool = whole(v.pool)
	if d.peered[v.pool.Name] {
		return
	}
	d.peered[v.pool.Name] = true
	d.unknownPeers(v)
	// What is listed already is corrected before anything is imported, which
	// looks for a listing of its own site at the other side.
	for _, listed := range []bool{true, false} {
		for _, f := range flows(d.plan) {
			if seen := v.at[f.to]; seen != nil {
				want := d.peerWantOf(v, f)
				if entry := want.find(seen.Whole.Peers); listed == (entry != nil && !want.imports(entry)) {
					d.flow(v, f)
				}
			}
		}
	}
	d.senders(v)
}

// flow wants the receiver of a flow to have a sound entry for the sender.
func (d *differ) flow(v poolView, f flow) {
	seen, ok := v.at[f.to]
	if _, source := v.at[f.from]; !ok || !source {
		return
	}
	// An import of rx-tx makes an entry at both sites.
	both := d.plan.Direction == plans.TwoWay && d.plan.Peers.By == plans.PeerByToken
	if d.occupied[occupant{f.to, v.pool}] || both && d.occupied[occupant{f.from, v.pool}] {
		return
	}
	want := d.peerWantOf(v, f)
	entry := want.find(seen.Whole.Peers)
	from := "none"
	if entry != nil {
		wrong := want.lacks(entry)
		if len(wrong) == 0 {
			return
		}
		from = strings.Join(wrong, ", ")
	}
	to := fmt.Sprintf("%s as %s", want.direction, want.client)
	c := Change{
		ID: peerID(v.pool, f), Kind: KindPeer, Site: f.to, Pool: v.pool,
		From: from, To: to,
		What: fmt.Sprintf("receive from %s: %s → %s", f.from, from, to),
		// A sender's own name for itself is in the token; a peer that the plan
		// does not know must have left first.
		Needs: []string{changeID(KindSiteName, f.from, ""), changeID(KindSiteName, f.to, "")},
		// A tx-only entry is what a sender has of a receiver that was set up
		// alone, so only a wrong entry that receives is drift.
		Drift: entry != nil && entry.Direction.Receives(),
		act:   ensurePeer{at: f.to, from: f.from, pool: v.pool, want: want},
	}
	for _, site := range []string{f.from, f.to} {
		c.Needs = append(c.Needs, changeID(KindPoolMode, site, v.pool.String()))
	}
	for i := range d.out.Changes {
		if other := &d.out.Changes[i]; other.Pool == v.pool && (other.Kind == KindPeerRemove || other.Kind == KindPeer) {
			// One after the other: an import of rx-tx also makes the entry at the
			// other side.
			c.Needs = append(c.Needs, other.ID)
		}
	}
	c.Command = d.peerCommand(v, f, want, entry)
	d.change(c)
}

// peerID is the id of the change that makes the receiver of a flow receive.
func peerID(pool replay.Pool, f flow) string {
	return changeID(KindPeer, f.to, pool.Name, f.from)
}

func (d *differ) peerCommand(v poolView, f flow, want peerWant, entry *replay.Peer) string {
	at := d.at(f.to)
	if want.imports(entry) {
		line := at.importPeer(d.at(f.from), v.pool, want.direction)
		if entry != nil && entry.Direction != want.direction {
			line += " && " + at.setPeer(v.pool, entry.UUID, "direction", string(want.direction))
		}
		return line
	}
	if !want.byToken && (entry == nil || entry.MonHost != "" || !entry.Direction.Receives()) {
		line := at.addPeer(v.pool, replay.Peer{SiteName: want.siteName, Client: want.client, Direction: want.direction})
		if entry != nil {
			line = at.removePeer(v.pool, entry.UUID) + " && " + line
		}
		return line
	}
	var lines []string
	if entry.Direction != want.direction {
		lines = append(lines, at.setPeer(v.pool, entry.UUID, "direction", string(want.direction)))
	}
	if entry.Client != want.client {
		lines = append(lines, at.setPeer(v.pool, entry.UUID, "client", want.client))
	}
	if entry.SiteName != want.siteName {
		lines = append(lines, at.setPeer(v.pool, entry.UUID, "site-name", want.siteName))
	}
	return strings.Join(lines, " && ")
}

// senders wants sites that only send not to receive.
func (d *differ) senders(v poolView) {
	if d.plan.Direction == plans.TwoWay {
		return
	}
	seen, ok := v.at[d.plan.Primary]
	if !ok {
		return
	}
	for _, to := range receivers(d.plan, d.plan.Primary) {
		identity := d.peerIdentity(v, to)
		for _, entry := range seen.Whole.Peers {
			if !identity.is(&entry) || !entry.Direction.Receives() {
				continue
			}
			turned := entry
			turned.Direction, turned.SiteName = replay.TxOnly, identity.siteName
			d.change(Change{
				ID: changeID(KindPeer, d.plan.Primary, v.pool.String(), to), Kind: KindPeer, Site: d.plan.Primary, Pool: v.pool,
				From: string(entry.Direction), To: string(replay.TxOnly), Drift: true,
				What:    fmt.Sprintf("receive from %s: %s → %s (one-way plan)", to, entry.Direction, replay.TxOnly),
				Command: d.at(d.plan.Primary).setPeer(v.pool, entry.UUID, "direction", string(replay.TxOnly)),
				act:     turnPeer{site: d.plan.Primary, pool: v.pool, peer: turned},
			})
		}
	}
}

// occupant is a site that receives a pool from a site outside the plan.
type occupant struct {
	site string
	pool replay.Pool
}

// unknownPeers shows peers that are no site of the plan. One from which a site
// receives is in the way of the plan's, since Ceph replays from one peer only.
func (d *differ) unknownPeers(v poolView) {
	for _, s := range d.plan.Sites {
		seen, ok := v.at[s.Name]
		if !ok {
			continue
		}
		for _, entry := range seen.Whole.Peers {
			if d.knownPeer(v, s.Name, &entry) {
				continue
			}
			id := changeID(KindPeerRemove, s.Name, v.pool.String(), entry.UUID)
			command := d.at(s.Name).removePeer(v.pool, entry.UUID)
			what := fmt.Sprintf("peer %s (%s, %s) is no site of the plan", orNone(entry.SiteName), entry.Direction, entry.UUID)
			if d.options.Prune {
				d.change(Change{
					ID: id, Kind: KindPeerRemove, Site: s.Name, Pool: v.pool, From: orNone(entry.SiteName), To: "none",
					What: "remove: " + what, Command: command, Destructive: true,
					act: removePeer{site: s.Name, pool: v.pool, uuid: entry.UUID},
				})
				continue
			}
			code := NoticePeerUnknown
			if entry.Direction.Receives() && slices.ContainsFunc(flows(d.plan), func(f flow) bool { return f.to == s.Name }) {
				code = NoticePeerOccupied
				d.occupied[occupant{s.Name, v.pool}] = true
			}
			d.notice(code, s.Name, v.pool, "", "apply with --prune to remove it, or: "+command, "%s", what)
		}
	}
}

func (d *differ) knownPeer(v poolView, at string, entry *replay.Peer) bool {
	for _, s := range d.plan.Sites {
		if s.Name == at {
			continue
		}
		// While a site is silent it is known by its names alone.
		if identity := d.peerIdentity(v, s.Name); identity.is(entry) {
			// A secondary that receives from another secondary cannot receive from
			// the primary.
			return !entry.Direction.Receives() || at == d.plan.Primary || s.Name == d.plan.Primary
		}
	}
	return false
}
