package ceph

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/drover-io/drover/replay"
)

// PoolSpace tells how full a pool is, in the words of `ceph df detail`: STORED,
// MAX AVAIL and QUOTA BYTES. The monitors have the first two from the mgr, which
// reports every few seconds.
func (s *Site) PoolSpace(ctx context.Context, pool string) (replay.Space, error) {
	command, err := json.Marshal(map[string]any{"prefix": "df", "detail": "detail", "format": "json"})
	if err != nil {
		return replay.Space{}, s.malformed(opSpace, pool, err)
	}
	return call(ctx, s, opSpace, pool, func() (replay.Space, error) {
		if _, err := s.conn.GetPoolByName(pool); err != nil {
			return replay.Space{}, missingPool(pool, err)
		}
		out, status, err := s.conn.MonCommand(command)
		if err != nil {
			return replay.Space{}, withStatus(err, status)
		}
		return decodeSpace(out, pool)
	})
}

// decodeSpace finds a pool in the output of `ceph df detail`.
func decodeSpace(out []byte, pool string) (replay.Space, error) {
	var df struct {
		Pools []struct {
			Name  string `json:"name"`
			Stats struct {
				Stored   uint64 `json:"stored"`    // replicas counted once
				MaxAvail uint64 `json:"max_avail"` // likewise; by the fullest OSD
				Quota    uint64 `json:"quota_bytes"`
			} `json:"stats"`
		} `json:"pools"`
	}
	if err := json.Unmarshal(out, &df); err != nil {
		return replay.Space{}, errors.Join(errors.New("cannot read the cluster's answer"), err)
	}
	for _, p := range df.Pools {
		if p.Name != pool {
			continue
		}
		space := replay.Space{Used: p.Stats.Stored, Available: p.Stats.MaxAvail, Quota: p.Stats.Quota}
		if space.Quota > 0 {
			space.Available = min(space.Available, space.Quota-min(space.Quota, space.Used))
		}
		return space, nil
	}
	return replay.Space{}, &explained{is: replay.ErrAgain, say: "the monitors have no numbers of the pool yet", err: eagain}
}
