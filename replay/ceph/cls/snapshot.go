package cls

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/drover-io/drover/replay"
)

// noSnap is CEPH_NOSNAP: no snapshot at all.
const noSnap = ^uint64(0) - 1

// Snapshot namespace types (cls/rbd/cls_rbd_types.h).
const (
	namespaceUser   = 0
	namespaceMirror = 3
)

// DecodeSnapshots decodes the snapshots in the omap of a header, oldest first.
// Keys other than those of snapshots are passed over.
func DecodeSnapshots(omap map[string][]byte) ([]replay.Snapshot, error) {
	var snaps []replay.Snapshot
	for key, value := range omap {
		if !isSnapshotKey(key) {
			continue
		}
		snap, err := DecodeSnapshot(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		snaps = append(snaps, snap)
	}
	slices.SortFunc(snaps, func(a, b replay.Snapshot) int { return cmp.Compare(a.ID, b.ID) })
	return snaps, nil
}

// DecodeSnapshot decodes one snapshot (cls_rbd_snap).
func DecodeSnapshot(value []byte) (replay.Snapshot, error) {
	c := newCursor(value)
	body, version, compat := c.frame("snapshot", 8)
	s := replay.Snapshot{Kind: replay.SnapshotUser}
	s.ID = body.u64()
	s.Name = body.text()
	s.Size = body.u64()
	if compat < 8 && version > 0 {
		body.u64() // features, no longer used
		if version >= 2 {
			parent, _, _ := body.frame("snapshot's parent", 2)
			body.join(parent)
		}
	}
	if version >= 3 {
		body.u8() // protection status
	}
	if version >= 4 {
		body.u64() // flags
	}
	if version >= 5 {
		decodeNamespace(body, &s)
	}
	if version >= 6 {
		s.Created = body.instant()
	}
	c.join(body)
	return s, c.err
}

// decodeNamespace decodes a cls::rbd::SnapshotNamespace into s.
func decodeNamespace(c *cursor, s *replay.Snapshot) {
	body, _, _ := c.frame("snapshot namespace", 1)
	switch kind := body.u32(); kind {
	case namespaceUser:
	case namespaceMirror:
		s.Kind = replay.SnapshotMirror
		s.Mirror = decodeMirrorNamespace(body)
	default:
		s.Kind = replay.SnapshotOther
	}
	c.join(body)
}

// decodeMirrorNamespace decodes a cls::rbd::MirrorSnapshotNamespace.
func decodeMirrorNamespace(c *cursor) *replay.MirrorSnapshot {
	m := &replay.MirrorSnapshot{}
	switch state := c.u8(); state {
	case 0:
		m.State = replay.SnapPrimary
	case 1:
		m.State = replay.SnapPrimaryDemoted
	case 2:
		m.State = replay.SnapNonPrimary
	case 3:
		m.State = replay.SnapNonPrimaryDemoted
	default:
		c.failf("mirror snapshot state %d", state)
	}
	m.Complete = c.bool()
	peers := c.count(4)
	for range peers {
		m.Peers = append(m.Peers, c.text())
	}
	m.PrimaryUUID = c.text()
	if id := c.u64(); id != noSnap {
		m.PrimaryID = id
	}
	m.LastCopiedObject = c.u64()
	return m
}
