package sim

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/drover-io/drover/replay"
)

// peerUser is the cephx user of a bootstrap token.
const peerUser = "client.rbd-mirror-peer"

// bootstrap is what a token holds, as librbd writes it.
type bootstrap struct {
	FSID   string `json:"fsid"`
	Client string `json:"client_id"`
	Key    string `json:"key"`
	Mon    string `json:"mon_host"`
}

func (p *peer) shown() replay.Peer {
	return replay.Peer{
		UUID: p.UUID, SiteName: p.SiteName, Client: p.Client, Direction: p.Direction,
		MirrorUUID: p.MirrorUUID, MonHost: p.MonHost, Key: replay.Token(p.Key),
	}
}

// CreateBootstrapToken makes a token and the user that it names.
func (s *Site) CreateBootstrapToken(ctx context.Context, pool replay.Pool) (t replay.Token, err error) {
	err = s.do(ctx, "CreateBootstrapToken", pool.String(), func(c *cluster) error {
		n, err := c.mustPool(pool)
		if err != nil {
			return err
		}
		if n.Mode == replay.PoolDisabled {
			return fail(einval, "mirroring is not enabled on the pool")
		}
		b, err := json.Marshal(bootstrap{
			FSID: c.FSID, Client: strings.TrimPrefix(peerUser, "client."),
			Key: s.w.user(c, peerUser), Mon: c.MonHost,
		})
		t = replay.Token(base64.StdEncoding.EncodeToString(b))
		return err
	})
	return t, err
}

// ImportBootstrapToken adds the token's cluster as peer.
func (s *Site) ImportBootstrapToken(ctx context.Context, pool replay.Pool, direction replay.Direction, token replay.Token) error {
	return s.do(ctx, "ImportBootstrapToken", pool.String(), func(c *cluster) error {
		n, err := c.mustPool(pool)
		if err != nil {
			return err
		}
		if !direction.Receives() {
			return fail(einval, "unsupported mirror peer direction")
		}
		var b bootstrap
		raw, err := base64.StdEncoding.DecodeString(string(token))
		if err != nil || json.Unmarshal(raw, &b) != nil || b.FSID == "" || b.Key == "" {
			return fail(einval, "failed to decode token")
		}
		if b.FSID == c.FSID {
			return fail(einval, "cannot import token for local cluster")
		}
		remote := s.w.byMonHost(b.Mon)
		if remote == nil || !c.reaches(remote) {
			return fail(enoent, "failed to connect to peer cluster")
		}
		if remote.Keys["client."+b.Client] != b.Key {
			return fail(eperm, "failed to connect to peer cluster")
		}
		far, err := remote.mustPool(pool)
		if err != nil {
			return fail(enoent, "failed to open remote pool %s", pool.Name)
		}
		if far.Mode == replay.PoolDisabled {
			return fail(enosys, "mirroring is not enabled on remote peer")
		}
		if n.Mode == replay.PoolDisabled {
			s.w.enablePool(n, replay.PoolImage)
		}
		if direction == replay.RxTx {
			err := s.w.joinPeer(far, peer{
				SiteName: c.knownAs(), Client: peerUser, Direction: direction,
				MonHost: c.MonHost, Key: s.w.user(c, peerUser),
			})
			if err != nil {
				return err
			}
		}
		return s.w.joinPeer(n, peer{
			SiteName: remote.knownAs(), Client: "client." + b.Client, Direction: direction, MonHost: b.Mon, Key: b.Key,
		})
	})
}

// joinPeer adds the peer of a token, or completes the one that is known by its
// name (librbd/api/Mirror.cc: create_mirror_peer). The direction of a known one
// stays; it grows when the other's daemon pings.
func (w *World) joinPeer(n *namespace, q peer) error {
	if q.Direction.Receives() && n.source() != nil && n.source().SiteName != q.SiteName {
		return fail(einval, "multiple RX peers are not currently supported")
	}
	for _, p := range n.Peers {
		if p.SiteName != q.SiteName {
			continue
		}
		p.Client, p.MonHost, p.Key = q.Client, q.MonHost, q.Key
		return nil
	}
	q.UUID = w.uuid()
	n.Peers = append(n.Peers, &q)
	return nil
}

// AddPeer adds a peer the way of conf files. As librbd does and the rbd command
// does not, it lets a second one be received from.
func (s *Site) AddPeer(ctx context.Context, pool replay.Pool, p replay.Peer) (uuid string, err error) {
	err = s.do(ctx, "AddPeer", pool.String(), func(c *cluster) error {
		n, err := c.mustPool(pool)
		if err != nil {
			return err
		}
		if n.Mode == replay.PoolDisabled {
			return fail(einval, "mirroring must be enabled on the pool")
		}
		if p.SiteName == "" || p.SiteName == c.knownAs() || p.SiteName == c.Name {
			return fail(einval, "cannot use the local cluster as peer")
		}
		if !p.Direction.Receives() && p.Direction != replay.TxOnly {
			return fail(einval, "there is no direction %q", p.Direction)
		}
		for _, old := range n.Peers {
			if old.SiteName == p.SiteName {
				return fail(eexist, "mirror peer already exists")
			}
		}
		added := &peer{
			UUID: s.w.uuid(), SiteName: p.SiteName, Client: p.Client, Direction: p.Direction,
			MonHost: p.MonHost, Key: string(p.Key),
		}
		n.Peers = append(n.Peers, added)
		uuid = added.UUID
		return nil
	})
	return uuid, err
}

// UpdatePeer changes a peer.
func (s *Site) UpdatePeer(ctx context.Context, pool replay.Pool, p replay.Peer) error {
	return s.do(ctx, "UpdatePeer", pool.String(), func(c *cluster) error {
		n, err := c.mustPool(pool)
		if err != nil {
			return err
		}
		for _, old := range n.Peers {
			if old.UUID != p.UUID {
				continue
			}
			old.SiteName, old.Client, old.Direction = p.SiteName, p.Client, p.Direction
			if p.MonHost != "" {
				old.MonHost = p.MonHost
			}
			if p.Key != "" {
				old.Key = string(p.Key)
			}
			return nil
		}
		return fail(enoent, "mirror peer %s does not exist", p.UUID)
	})
}

// RemovePeer removes a peer; one that is gone is no error.
func (s *Site) RemovePeer(ctx context.Context, pool replay.Pool, uuid string) error {
	return s.do(ctx, "RemovePeer", pool.String(), func(c *cluster) error {
		n, err := c.mustPool(pool)
		if err != nil {
			return err
		}
		n.Peers = slices.DeleteFunc(n.Peers, func(p *peer) bool { return p.UUID == uuid })
		return nil
	})
}

// spec is all by which a pool replayer is told from another (PeerSpec).
func (p *peer) spec() string {
	return strings.Join([]string{p.UUID, p.SiteName, p.Client, p.MonHost, p.Key}, " ")
}

func (w *World) byMonHost(mon string) *cluster {
	for _, c := range w.state.Sites {
		if c.MonHost == mon {
			return c
		}
	}
	return nil
}

// dial finds the cluster behind a peer as the daemon of c does; why tells what
// stands in the way.
func (w *World) dial(c *cluster, p *peer) (remote *cluster, why string) {
	if p.MonHost != "" {
		remote = w.byMonHost(p.MonHost)
	} else if alias := c.Confs[p.SiteName]; alias != "" {
		remote = w.site(alias)
	} else {
		remote = w.site(p.SiteName)
	}
	const unable = "unable to connect to remote cluster"
	if remote == nil || remote == c || !c.reaches(remote) {
		return nil, unable
	}
	key := remote.Keys[p.Client]
	if key == "" || p.Key != "" && p.Key != key {
		return nil, unable
	}
	return remote, ""
}
