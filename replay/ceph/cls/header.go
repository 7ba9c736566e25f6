package cls

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/drover-io/drover/replay"
)

// Header is what an image's header says of it.
type Header struct {
	Size       uint64 // bytes
	ObjectSize uint64 // bytes
	Features   replay.Features
	Parent     *Parent           // of a clone
	Snapshots  []replay.Snapshot // oldest first
}

// Parent is the snapshot that a clone reads through to. Clones of both formats
// keep it here; they differ in how the parent's snapshot is kept alive.
type Parent struct {
	PoolID    int64
	Namespace string
	ImageID   string
	SnapID    uint64
}

// maxOrder is the largest object order that librbd accepts (32 MiB is 25; the
// class checks for less than 64): beyond it a header is not one.
const maxOrder = 63

// SnapshotKey is the prefix of a header's keys of snapshots.
const SnapshotKey = "snapshot_"

// DecodeHeader decodes the omap of rbd_header.<id>.
func DecodeHeader(omap map[string][]byte) (Header, error) {
	var h Header
	for _, field := range []string{"size", "order", "features"} {
		if _, ok := omap[field]; !ok {
			return h, fmt.Errorf("%w: image header without %s", ErrMalformed, field)
		}
	}
	size, order := newCursor(omap["size"]), newCursor(omap["order"])
	h.Size = size.u64()
	if o := order.u8(); o > maxOrder {
		order.failf("object order %d", o)
	} else {
		h.ObjectSize = 1 << o
	}
	for _, c := range []*cursor{size, order} {
		if c.err != nil {
			return h, fmt.Errorf("image header: %w", c.err)
		}
	}
	var err error
	if h.Features, err = DecodeFeatures(omap); err != nil {
		return h, err
	}
	if value, ok := omap["parent"]; ok {
		parent, err := DecodeParent(value)
		if err != nil {
			return h, fmt.Errorf("parent: %w", err)
		}
		h.Parent = parent
	}
	snapshots, err := DecodeSnapshots(omap)
	if err != nil {
		return h, err
	}
	h.Snapshots = snapshots
	return h, nil
}

// DecodeFeatures decodes a header's features.
func DecodeFeatures(omap map[string][]byte) (replay.Features, error) {
	c := newCursor(omap["features"])
	features := replay.Features(c.u64())
	if c.err != nil {
		return 0, fmt.Errorf("image header: %w", c.err)
	}
	return features, nil
}

// The class and method that change an image's features (cls/rbd/cls_rbd.cc).
const (
	ImageClass        = "rbd"
	SetFeaturesMethod = "set_features"
)

// EncodeSetFeatures is the request of [SetFeaturesMethod]: of the features in the
// mask, those that are given shall be on and the others off.
func EncodeSetFeatures(features, mask replay.Features) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(features)), uint64(mask))
}

// DecodeParent decodes a header's parent (cls_rbd_parent); a detached one is
// nil.
func DecodeParent(value []byte) (*Parent, error) {
	c := newCursor(value)
	body, version, _ := c.frame("parent", 2)
	p := &Parent{PoolID: body.i64()}
	if version >= 2 {
		p.Namespace = body.text()
	}
	p.ImageID = body.text()
	p.SnapID = body.u64()
	c.join(body)
	if c.err != nil {
		return nil, c.err
	}
	if p.PoolID < 0 {
		return nil, nil // pool -1 is how Ceph writes "no parent"
	}
	return p, nil
}

// isSnapshotKey tells the keys of snapshots, which end in a snapshot id of 16
// hex digits, from others that may begin alike.
func isSnapshotKey(key string) bool {
	id, ok := strings.CutPrefix(key, SnapshotKey)
	return ok && len(id) == 16
}
