package orchestrator

import (
	"context"
	"fmt"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/compare"
)

// verifyRechecks is how often what differs is looked at again, and
// verifyRanges the number of ranges above which that is no use: so much is not
// written while a snapshot is taken.
const (
	verifyRechecks = 5
	verifyRanges   = 1 << 16
)

// ranges are parts of an image, in order.
type ranges struct {
	list  []replay.Extent
	bytes uint64
	many  bool // there were more than are listed
}

func (r *ranges) add(e replay.Extent) {
	r.bytes += e.Length
	if len(r.list) == verifyRanges {
		r.many = true
		return
	}
	r.list = append(r.list, e)
}

// recheck looks again at what differed, by further snapshots, until nothing of
// it differs any more or it is clear that it does. It answers with what still
// does.
//
// The journal of a primary that is being written holds write events between a
// snapshot's SnapCreate and its OpFinish event: librbd lets writes go on before
// it has told the image's watchers (SnapshotCreateRequest.cc, the notification
// to unquiesce), and such a write is not in the snapshot. Replay takes the
// snapshot at OpFinish, after those writes (journal/Replay.cc). So the
// secondary's snapshot is a few writes newer: seen with `rbd journal inspect`
// on Ceph 16.2.15, with plain rbd commands only. A place that differs for that
// reason is equal in the next snapshot, unless it is written during that one
// too; one that was not copied stays different.
func (v *verification) recheck(ctx context.Context, t *verifyTarget, r *VerifiedImage, found ranges) (ranges, error) {
	for range verifyRechecks {
		if found.many {
			return found, nil
		}
		name := v.run.sequence(int(t.snapshots.Add(1)))
		left, result, err := v.recheckOnce(ctx, t, r.Secondary, name, &found)
		if err != nil {
			return found, fmt.Errorf("look again at what differed: %w", err)
		}
		r.Rechecks = append(r.Rechecks, Recheck{Snapshot: name, Ranges: len(found.list), Bytes: found.bytes, Different: left.bytes})
		r.Comparison.A.BytesRead += result.A.BytesRead
		r.Comparison.B.BytesRead += result.B.BytesRead
		r.Comparison.FirstDifference, r.Comparison.DifferentChunks = result.FirstDifference, result.DifferentChunks
		if result.Identical {
			r.Identical = true
			return left, nil
		}
		found = left
	}
	return found, nil
}

func (v *verification) recheckOnce(ctx context.Context, t *verifyTarget, secondary, name string, only *ranges) (left ranges, result compare.Result, err error) {
	defer v.clean(ctx, t, name)
	if err := v.sites[t.primary].CreateSnapshot(ctx, t.ref, name); err != nil {
		return left, result, fmt.Errorf("take snapshot: %w", err)
	}
	if err := v.await(ctx, t, secondary, name, 0); err != nil {
		return left, result, err
	}
	result, err = v.compare(ctx, t, secondary, name, nil, only, &left, nil)
	return left, result, err
}

// rangeReader reads only some ranges of an image; the rest counts as a hole.
type rangeReader struct {
	replay.Reader
	ranges []replay.Extent
}

// Extents are the ranges, as far as the image reaches.
func (r *rangeReader) Extents(ctx context.Context, fn func(replay.Extent) error) error {
	size := r.Size()
	for _, e := range r.ranges {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.Offset >= size {
			return nil
		}
		e.Length = min(e.Length, size-e.Offset)
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}
