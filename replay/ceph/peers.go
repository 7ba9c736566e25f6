package ceph

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/drover-io/drover/replay"
)

// Attributes of a peer, kept in the monitors' config-key store
// (librbd/api/Mirror.cc).
const (
	attributeMonHost = "mon_host"
	attributeKey     = "key"
)

var directions = map[replay.Direction]rbd.MirrorPeerDirection{
	replay.RxOnly: rbd.MirrorPeerDirectionRx,
	replay.TxOnly: rbd.MirrorPeerDirectionTx,
	replay.RxTx:   rbd.MirrorPeerDirectionRxTx,
}

func listPeers(io *rados.IOContext) ([]replay.Peer, error) {
	listed, err := rbd.ListMirrorPeerSite(io)
	if err != nil {
		return nil, err
	}
	peers := make([]replay.Peer, 0, len(listed))
	for _, l := range listed {
		p := replay.Peer{UUID: l.UUID, SiteName: l.SiteName, Client: l.ClientName, MirrorUUID: l.MirrorUUID}
		for name, d := range directions {
			if d == l.Direction {
				p.Direction = name
			}
		}
		// A tx-only peer is reached by nobody from here, so it has none.
		if p.Direction.Receives() {
			attributes, err := peerAttributes(io, p.UUID)
			if err != nil {
				return nil, err
			}
			p.MonHost, p.Key = attributes[attributeMonHost], replay.Token(attributes[attributeKey])
		}
		peers = append(peers, p)
	}
	slices.SortFunc(peers, func(a, b replay.Peer) int {
		return cmp.Or(cmp.Compare(a.SiteName, b.SiteName), cmp.Compare(a.UUID, b.UUID))
	})
	return peers, nil
}

func peerAttributes(io *rados.IOContext, uuid string) (map[string]string, error) {
	attributes, err := rbd.GetAttributesMirrorPeerSite(io, uuid)
	switch {
	case isErrno(err, enoent):
		return nil, nil
	case isErrno(err, eperm), isErrno(err, eacces):
		return nil, &explained{say: "the stored address and key of its peers may not be read", hint: "the user needs " + needsPeerKeys, err: err}
	}
	return attributes, err
}

// All that follows is done to the pool, also where one of its namespaces is
// named: peers are the pool's.

// CreateBootstrapToken makes the token by which another site can import this
// one as its peer, and with it the user client.rbd-mirror-peer.
func (s *Site) CreateBootstrapToken(ctx context.Context, pool replay.Pool) (replay.Token, error) {
	return inPool(ctx, s, opToken, replay.Pool{Name: pool.Name}, pool.String(), func(io *rados.IOContext) (replay.Token, error) {
		token, err := rbd.CreateMirrorPeerBootstrapToken(io)
		return replay.Token(token), err
	})
}

// ImportBootstrapToken adds the token's cluster as peer, and this cluster
// there as tx-only peer.
func (s *Site) ImportBootstrapToken(ctx context.Context, pool replay.Pool, direction replay.Direction, token replay.Token) error {
	d, err := s.direction(opImport, pool, direction)
	if err != nil {
		return err
	}
	_, err = inPool(ctx, s, opImport, replay.Pool{Name: pool.Name}, pool.String(), func(io *rados.IOContext) (struct{}, error) {
		return struct{}{}, rbd.ImportMirrorPeerBootstrapToken(io, d, string(token))
	})
	return err
}

func (s *Site) direction(op operation, pool replay.Pool, direction replay.Direction) (rbd.MirrorPeerDirection, error) {
	d, ok := directions[direction]
	if !ok {
		return 0, s.refuse(op.name, pool.String(), replay.ErrInvalid, fmt.Sprintf("there is no direction %q", direction), "use rx-only, tx-only or rx-tx")
	}
	return d, nil
}

// AddPeer adds a peer by cluster name and client and answers with its uuid.
func (s *Site) AddPeer(ctx context.Context, pool replay.Pool, peer replay.Peer) (string, error) {
	d, err := s.direction(opAddPeer, pool, peer.Direction)
	if err != nil {
		return "", err
	}
	return inPool(ctx, s, opAddPeer, replay.Pool{Name: pool.Name}, pool.String(), func(io *rados.IOContext) (string, error) {
		uuid, err := rbd.AddMirrorPeerSite(io, peer.SiteName, peer.Client, d)
		if err != nil {
			return "", err
		}
		return uuid, setPeerAttributes(io, uuid, peer)
	})
}

// setPeerAttributes stores the peer's address and key where they are given;
// those not given stay as they are.
func setPeerAttributes(io *rados.IOContext, uuid string, peer replay.Peer) error {
	if peer.MonHost == "" && peer.Key == "" {
		return nil
	}
	attributes, err := peerAttributes(io, uuid)
	if err != nil {
		return err
	}
	if attributes == nil {
		attributes = make(map[string]string, 2)
	}
	if peer.MonHost != "" {
		attributes[attributeMonHost] = peer.MonHost
	}
	if peer.Key != "" {
		attributes[attributeKey] = string(peer.Key)
	}
	return rbd.SetAttributesMirrorPeerSite(io, uuid, attributes)
}

// UpdatePeer sets site name, client, direction and (where given) mon host and
// key of the peer with that UUID.
func (s *Site) UpdatePeer(ctx context.Context, pool replay.Pool, peer replay.Peer) error {
	d, err := s.direction(opUpdatePeer, pool, peer.Direction)
	if err != nil {
		return err
	}
	_, err = inPool(ctx, s, opUpdatePeer, replay.Pool{Name: pool.Name}, pool.String(), func(io *rados.IOContext) (struct{}, error) {
		return struct{}{}, updatePeer(io, peer, d)
	})
	return err
}

func updatePeer(io *rados.IOContext, peer replay.Peer, direction rbd.MirrorPeerDirection) error {
	listed, err := rbd.ListMirrorPeerSite(io)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(listed, func(l *rbd.MirrorPeerSite) bool { return l.UUID == peer.UUID })
	if at < 0 {
		return &explained{is: replay.ErrNotFound, say: "no peer " + peer.UUID, hint: "list the peers with: rbd mirror pool info", err: enoent}
	}
	if is := listed[at]; is.SiteName != peer.SiteName {
		if err := rbd.SetMirrorPeerSiteName(io, peer.UUID, peer.SiteName); err != nil {
			return err
		}
	}
	if listed[at].ClientName != peer.Client {
		if err := rbd.SetMirrorPeerSiteClientName(io, peer.UUID, peer.Client); err != nil {
			return err
		}
	}
	if listed[at].Direction != direction {
		if err := rbd.SetMirrorPeerSiteDirection(io, peer.UUID, direction); err != nil {
			return err
		}
	}
	return setPeerAttributes(io, peer.UUID, peer)
}

// RemovePeer removes a peer; one that is gone is no error.
func (s *Site) RemovePeer(ctx context.Context, pool replay.Pool, uuid string) error {
	_, err := inPool(ctx, s, opRemovePeer, replay.Pool{Name: pool.Name}, pool.String(), func(io *rados.IOContext) (struct{}, error) {
		err := rbd.RemoveMirrorPeerSite(io, uuid)
		if isErrno(err, enoent) {
			err = nil
		}
		return struct{}{}, err
	})
	return err
}
