package ceph

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/drover-io/drover/replay"
)

// OwnAddresses are the addresses of this connection's client instance, which
// librados knows once it is connected (rados_getaddrs). All operations of the
// connection go under them, librbd's too.
func (s *Site) OwnAddresses(ctx context.Context) ([]string, error) {
	return callIn(ctx, s, s.calls.ledger, opAddresses, "", func() ([]string, error) {
		text, err := s.conn.GetAddrs()
		if err != nil {
			return nil, err
		}
		return addressesOf(text)
	})
}

// Blocklist shuts out one client instance. It returns when this connection has
// the map in which the client is listed: each request that it sends from then
// on carries the map's epoch, and an OSD deals with it only once it has that
// map itself (ceph src/osd/PrimaryLogPG.cc, src/osdc/Objecter.cc; librbd relies
// on the same when it breaks a lock).
func (s *Site) Blocklist(ctx context.Context, address string, d time.Duration) error {
	if err := replay.CheckFence(address, d); err != nil {
		return s.failure(opBlocklist, address, err)
	}
	// The monitor refuses a whole number that is not written as a float.
	return s.fence(ctx, opBlocklist, address, map[string]any{"blocklistop": "add", "expire": json.RawMessage(strconv.FormatFloat(d.Seconds(), 'f', 3, 64))})
}

// Unblocklist lets a client in again.
func (s *Site) Unblocklist(ctx context.Context, address string) error {
	if err := replay.CheckFence(address, time.Hour); err != nil {
		return s.failure(opUnblocklist, address, err)
	}
	return s.fence(ctx, opUnblocklist, address, map[string]any{"blocklistop": "rm"})
}

func (s *Site) fence(ctx context.Context, op operation, address string, command map[string]any) error {
	command["prefix"], command["addr"] = "osd blocklist", address
	args, err := json.Marshal(command)
	if err != nil {
		return s.malformed(op, address, err)
	}
	return do(ctx, s, op, address, func() error {
		if _, status, err := s.conn.MonCommand(args); err != nil {
			return withStatus(err, status)
		}
		return s.conn.WaitForLatestOSDMap()
	})
}
