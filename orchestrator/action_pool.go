package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/drover-io/drover/replay"
)

type setSiteName struct {
	looked
	site, name string
}

func (a setSiteName) done(ctx context.Context, x *execution) (bool, error) {
	return fact(x, a.site, func(s Site) (bool, error) {
		name, err := s.SiteName(ctx)
		return name == a.name, err
	})
}

func (a setSiteName) do(ctx context.Context, x *execution) error {
	return deed(x, a.site, func(s Site) error { return s.SetSiteName(ctx, a.name) })
}

type createNamespace struct {
	looked
	site string
	pool replay.Pool
}

func (a createNamespace) done(ctx context.Context, x *execution) (bool, error) {
	return fact(x, a.site, func(s Site) (bool, error) {
		names, err := s.Namespaces(ctx, a.pool.Name)
		return slices.Contains(names, a.pool.Namespace), err
	})
}

func (a createNamespace) do(ctx context.Context, x *execution) error {
	return deed(x, a.site, func(s Site) error { return s.CreateNamespace(ctx, a.pool) })
}

type setPoolMode struct {
	looked
	site string
	pool replay.Pool
	mode replay.PoolMode
}

func (a setPoolMode) done(ctx context.Context, x *execution) (bool, error) {
	return fact(x, a.site, func(s Site) (bool, error) {
		seen, err := s.PoolMirroring(ctx, a.pool)
		return seen.Mode == a.mode, err
	})
}

func (a setPoolMode) do(ctx context.Context, x *execution) error {
	return deed(x, a.site, func(s Site) error { return s.SetPoolMode(ctx, a.pool, a.mode) })
}

// disablePool removes the pool's peers and then disables its mirroring. The
// other site's daemon announces itself as a tx-only peer for as long as it has
// this site as its own (up to half a minute after that peer was removed), and
// Ceph refuses to disable a pool with peers: so it is tried again for a while.
type disablePool struct {
	looked
	site string
	pool replay.Pool
}

func (a disablePool) done(ctx context.Context, x *execution) (bool, error) {
	return setPoolMode{site: a.site, pool: a.pool, mode: replay.PoolDisabled}.done(ctx, x)
}

func (a disablePool) do(ctx context.Context, x *execution) error {
	attempt := func(ctx context.Context) error {
		return deed(x, a.site, func(s Site) error {
			seen, err := s.PoolMirroring(ctx, a.pool)
			if err != nil {
				return err
			}
			if a.pool.Namespace != "" {
				seen.Peers = nil // they are the pool's, and stay
			}
			for _, peer := range seen.Peers {
				if err := s.RemovePeer(ctx, a.pool, peer.UUID); err != nil {
					return err
				}
			}
			return s.SetPoolMode(ctx, a.pool, replay.PoolDisabled)
		})
	}
	err := attempt(ctx)
	if !errors.Is(err, replay.ErrBusy) {
		return err
	}
	return x.await("the peers of "+a.pool.String()+" to stay away", func(ctx context.Context) (bool, error) {
		err := attempt(ctx)
		return err == nil, err
	})
}

// peerWant says from whom a site shall receive, and how.
type peerWant struct {
	direction  replay.Direction
	siteName   string   // under which the peer is listed
	aliases    []string // other names under which the same site may be listed
	client     string   // cephx user there
	byToken    bool     // address and key stored with the peer
	mirrorUUID string   // of the pool at the peer, where known
	fsid       string
}

// is reports whether a listed peer is the wanted site.
func (w *peerWant) is(p *replay.Peer) bool {
	return p.SiteName == w.siteName || slices.Contains(w.aliases, p.SiteName) ||
		p.SiteName != "" && p.SiteName == w.fsid || p.FSID != "" && p.FSID == w.fsid ||
		p.MirrorUUID != "" && p.MirrorUUID == w.mirrorUUID
}

// announced picks the entry under which the wanted site's daemon looks for
// mirror snapshots that are meant for it: the one that it has announced itself
// as, by its site name or its pool's mirror uuid (cls_rbd, mirror_peer_ping).
func (w *peerWant) announced(peers []replay.Peer) *replay.Peer {
	for i := range peers {
		if peers[i].SiteName == w.siteName || peers[i].MirrorUUID != "" && peers[i].MirrorUUID == w.mirrorUUID {
			return &peers[i]
		}
	}
	return nil
}

// find picks the entry for the wanted site: one that receives if there is one.
func (w *peerWant) find(peers []replay.Peer) *replay.Peer {
	var found *replay.Peer
	for i := range peers {
		if w.is(&peers[i]) && (found == nil || !found.Direction.Receives() && peers[i].Direction.Receives()) {
			found = &peers[i]
		}
	}
	return found
}

// lacks tells in words what is wrong with the entry, and is empty when nothing
// is.
func (w *peerWant) lacks(p *replay.Peer) []string {
	var wrong []string
	if p.Direction != w.direction {
		wrong = append(wrong, fmt.Sprintf("direction %s", p.Direction))
	}
	if p.Client != w.client {
		wrong = append(wrong, fmt.Sprintf("client %s", orNone(p.Client)))
	}
	// A peer that was made before its site had a name is listed by its fsid.
	if p.SiteName != w.siteName {
		wrong = append(wrong, fmt.Sprintf("name %s", orNone(p.SiteName)))
	}
	switch {
	case w.byToken && p.MonHost == "":
		wrong = append(wrong, "no address stored")
	case w.byToken && p.Key == "":
		wrong = append(wrong, "no key stored")
	case !w.byToken && p.MonHost != "":
		wrong = append(wrong, "address stored")
	}
	return wrong
}

// imports reports whether it takes a token to make or complete the entry.
func (w *peerWant) imports(entry *replay.Peer) bool {
	return w.byToken && (entry == nil || entry.MonHost == "" || entry.Key == "")
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// ensurePeer makes a site receive from another. Importing a token with rx-tx
// makes both entries at once; importing again renews address and key of an
// entry but leaves its direction and client (librbd/api/Mirror.cc,
// create_bootstrap_peer), which are therefore set afterwards.
type ensurePeer struct {
	looked
	at, from string
	pool     replay.Pool
	want     peerWant
}

func (a ensurePeer) done(ctx context.Context, x *execution) (bool, error) {
	return fact(x, a.at, func(s Site) (bool, error) {
		seen, err := s.PoolMirroring(ctx, a.pool)
		if err != nil {
			return false, err
		}
		entry := a.want.find(seen.Peers)
		return entry != nil && len(a.want.lacks(entry)) == 0, nil
	})
}

func (a ensurePeer) do(ctx context.Context, x *execution) error {
	at, err := x.sites.Site(a.at)
	if err != nil {
		return err
	}
	if a.want.byToken {
		return a.byToken(ctx, x, at)
	}
	return a.byConf(ctx, at)
}

func (a ensurePeer) byToken(ctx context.Context, x *execution, at Site) error {
	source, err := x.sites.Site(a.from)
	if err != nil {
		return err
	}
	seen, err := at.PoolMirroring(ctx, a.pool)
	if err != nil {
		return err
	}
	if a.want.imports(a.want.find(seen.Peers)) {
		token, err := source.CreateBootstrapToken(ctx, a.pool)
		if err != nil {
			return err
		}
		if err := at.ImportBootstrapToken(ctx, a.pool, a.want.direction, token); err != nil {
			return err
		}
	}
	return a.straighten(ctx, at)
}

func (a ensurePeer) byConf(ctx context.Context, at Site) error {
	seen, err := at.PoolMirroring(ctx, a.pool)
	if err != nil {
		return err
	}
	entry := a.want.find(seen.Peers)
	// An entry made from a token keeps its stored address and key, and a
	// tx-only one may be named otherwise: it makes way for one by conf.
	if entry != nil && (entry.MonHost != "" || !entry.Direction.Receives()) {
		if err := at.RemovePeer(ctx, a.pool, entry.UUID); err != nil {
			return err
		}
		entry = nil
	}
	if entry == nil {
		_, err := at.AddPeer(ctx, a.pool, replay.Peer{
			SiteName: a.want.siteName, Client: a.want.client, Direction: a.want.direction,
		})
		return err
	}
	return a.straighten(ctx, at)
}

// straighten sets what an entry has wrong.
func (a ensurePeer) straighten(ctx context.Context, at Site) error {
	seen, err := at.PoolMirroring(ctx, a.pool)
	if err != nil {
		return err
	}
	entry := a.want.find(seen.Peers)
	if entry == nil {
		return &replay.Error{Op: "add peer to pool", Site: a.at, Object: a.pool.String(), Err: fmt.Errorf("peer %s: %w", a.from, replay.ErrNotFound), Hint: "run the command again"}
	}
	if len(a.want.lacks(entry)) == 0 {
		return nil
	}
	entry.Direction, entry.Client, entry.SiteName = a.want.direction, a.want.client, a.want.siteName
	return at.UpdatePeer(ctx, a.pool, *entry)
}

// turnPeer sets the direction of one entry.
type turnPeer struct {
	looked
	site string
	pool replay.Pool
	peer replay.Peer
}

func (a turnPeer) done(ctx context.Context, x *execution) (bool, error) {
	return fact(x, a.site, func(s Site) (bool, error) {
		seen, err := s.PoolMirroring(ctx, a.pool)
		for _, p := range seen.Peers {
			if p.UUID == a.peer.UUID {
				return p.Direction == a.peer.Direction && p.SiteName == a.peer.SiteName, err
			}
		}
		return true, err
	})
}

func (a turnPeer) do(ctx context.Context, x *execution) error {
	return deed(x, a.site, func(s Site) error { return s.UpdatePeer(ctx, a.pool, a.peer) })
}

type removePeer struct {
	looked
	site string
	pool replay.Pool
	uuid string
}

func (a removePeer) done(ctx context.Context, x *execution) (bool, error) {
	return fact(x, a.site, func(s Site) (bool, error) {
		seen, err := s.PoolMirroring(ctx, a.pool)
		gone := !slices.ContainsFunc(seen.Peers, func(p replay.Peer) bool { return p.UUID == a.uuid })
		return gone, err
	})
}

func (a removePeer) do(ctx context.Context, x *execution) error {
	return deed(x, a.site, func(s Site) error { return s.RemovePeer(ctx, a.pool, a.uuid) })
}

type runDaemon struct {
	looked
	site  string
	start bool
}

func (a runDaemon) done(ctx context.Context, x *execution) (bool, error) {
	runner := x.sites.Runner(a.site)
	if runner == nil {
		return !a.start, nil
	}
	state, err := runner.State(ctx)
	// A daemon that does not run may still have left things behind.
	return a.start && state.Running, err
}

func (a runDaemon) do(ctx context.Context, x *execution) error {
	runner := x.sites.Runner(a.site)
	switch {
	case runner == nil:
		return refusal("say in the plan how rbd-mirror is run at "+a.site, "nobody runs rbd-mirror at %s", a.site)
	case a.start:
		return runner.Start(ctx)
	default:
		return runner.Stop(ctx)
	}
}

// restartDaemon makes a daemon run as the plan says.
type restartDaemon struct {
	looked
	site string
}

func (a restartDaemon) done(ctx context.Context, x *execution) (bool, error) {
	runner := x.sites.Runner(a.site)
	if runner == nil {
		return false, nil
	}
	state, err := runner.State(ctx)
	return state.Running && !state.Outdated, err
}

func (a restartDaemon) do(ctx context.Context, x *execution) error {
	runner := x.sites.Runner(a.site)
	if runner == nil {
		return refusal("say in the plan how rbd-mirror is run at "+a.site, "nobody runs rbd-mirror at %s", a.site)
	}
	return runner.Restart(ctx)
}
