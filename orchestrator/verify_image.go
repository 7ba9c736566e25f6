package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/compare"
	"github.com/drover-io/drover/replay/parallel"
)

// The pace at which a secondary is asked whether a snapshot has come or gone.
// A daemon looks into the primary's journal every few seconds, so that both
// mostly happen within a few.
const (
	awaitFirst = 25 * time.Millisecond
	awaitMost  = 2 * time.Second
	awaitShare = 16
)

// awaitPause is how long to wait before asking again: a share of what has been
// waited already, so that little is lost by it and seldom is asked for what
// takes long.
func awaitPause(waited time.Duration) time.Duration {
	return min(max(waited/awaitShare, awaitFirst), awaitMost)
}

// verifyImage verifies one image at all its secondaries.
func (v *verification) verifyImage(ctx context.Context, t *verifyTarget) []VerifiedImage {
	if t.fault != nil {
		return t.failed(t.fault, t.next)
	}
	if h := v.halt(t.ref, t.mode); h != nil {
		return t.failed(h.keeps(t.ref), "")
	}
	results := make([]VerifiedImage, len(t.secondaries))
	readable := 0
	for i, secondary := range t.secondaries {
		results[i] = t.result(secondary)
		if err := t.unread[secondary]; err != nil {
			results[i].fail(err, "")
			continue
		}
		readable++
	}
	if readable == 0 {
		return results
	}
	primary := v.sites[t.primary]
	name := v.run.snapshot()
	began := time.Now()
	v.tell(VerifyEvent{Ref: t.ref, Step: VerifySnapshot, Snapshot: name, Mode: t.mode})

	// From here on there may be a snapshot, whatever the answer says.
	defer v.clean(ctx, t, name)
	if err := primary.CreateSnapshot(ctx, t.ref, name); err != nil {
		return t.failed(fmt.Errorf("take snapshot: %w", err), "")
	}
	ahead := v.readAhead(ctx, t, name)
	defer ahead() // before the snapshot is removed
	taken := time.Now().UTC().Truncate(time.Millisecond)
	var carrier uint64 // the mirror snapshot that brings it over
	if t.mode == replay.ModeSnapshot {
		var err error
		if carrier, err = v.mirrorSnapshot(ctx, t.primary, t.ref); err != nil {
			return t.failed(fmt.Errorf("take mirror snapshot: %w", err), "")
		}
	}
	var group parallel.Group
	for i := range results {
		if results[i].cause != nil {
			continue
		}
		results[i].Snapshot, results[i].Taken = name, &taken
		group.Go(func() { v.verifyCopy(ctx, t, &results[i], carrier, ahead, began) })
	}
	group.Wait()
	return results
}

// verifyCopy awaits the snapshot at one secondary and compares.
func (v *verification) verifyCopy(ctx context.Context, t *verifyTarget, r *VerifiedImage, carrier uint64, ahead func() *compare.Ahead, began time.Time) {
	event := VerifyEvent{Ref: t.ref, Secondary: r.Secondary, Step: VerifyAwait, Snapshot: r.Snapshot, Mode: t.mode}
	v.tell(event)
	awaited := time.Now()
	err := v.await(ctx, t, r.Secondary, r.Snapshot, carrier)
	r.AwaitSeconds = seconds(time.Since(awaited))
	if err != nil {
		r.fail(err, "see why replay does not get on: drover status "+v.plan.File)
		return
	}
	event.Step = VerifyCompare
	compared := time.Now()
	defer func() { r.CompareSeconds = seconds(time.Since(compared)) }()
	progress := func(done, total uint64) {
		e := event
		e.Done, e.Total, e.Elapsed = done, total, time.Since(began)
		v.tell(e)
	}
	var found ranges
	result, err := v.compare(ctx, t, r.Secondary, r.Snapshot, ahead(), nil, &found, progress)
	if err != nil {
		r.fail(err, "")
		return
	}
	r.Comparison, r.Identical = &result, result.Identical
	if !result.Identical && t.mode == replay.ModeJournal && result.A.Size == result.B.Size {
		if found, err = v.recheck(ctx, t, r, found); err != nil {
			r.Comparison, r.Identical = nil, false
			r.fail(err, "")
			return
		}
	}
	if !r.Identical {
		r.Differing = found.bytes
		r.Extents = found.list[:min(len(found.list), shownExtents)]
		r.Next = fmt.Sprintf("do not fail over to %s; find the cause, then discard that copy by a resync", r.Secondary)
	}
}

// compare compares one snapshot of an image at the primary and a secondary:
// all of it, or only some ranges. It adds where they differ to found.
func (v *verification) compare(ctx context.Context, t *verifyTarget, secondary, snapshot string, ahead *compare.Ahead, only *ranges, found *ranges, progress func(done, total uint64)) (compare.Result, error) {
	open := func(site string) (replay.Reader, error) {
		reader, err := v.open(ctx, t.ref, site, snapshot)
		if err == nil && only != nil {
			reader = &rangeReader{Reader: reader, ranges: only.list}
		}
		return reader, err
	}
	a, err := open(t.primary)
	if err != nil {
		return compare.Result{}, err
	}
	b, err := open(secondary)
	if err != nil {
		return compare.Result{}, replay.OneLine(err, a.Close())
	}
	result, err := compare.Compare(ctx, a, b, compare.Options{
		Workers: v.options.Workers, NameA: t.primary, NameB: secondary, AheadA: ahead, Progress: progress, Different: found.add,
	})
	return result, replay.OneLine(err, a.Close(), b.Close())
}

// await waits until the snapshot has come to a secondary with all its content.
func (v *verification) await(ctx context.Context, t *verifyTarget, secondary, name string, carrier uint64) error {
	limited, cancel := context.WithTimeout(ctx, v.wait())
	defer cancel()
	began := time.Now()
	for {
		missing, err := v.missing(limited, t, secondary, name, carrier)
		switch {
		case err != nil && limited.Err() == nil && !retryable(err):
			return err
		case err == nil && missing == "":
			return nil
		}
		timer := time.NewTimer(awaitPause(time.Since(began)))
		select {
		case <-timer.C:
		case <-limited.Done():
			timer.Stop()
			if ctx.Err() != nil {
				return fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
			}
			if missing == "" {
				missing = err.Error()
			}
			return fmt.Errorf("snapshot %s has not come to %s within %s: %s: %w", name, secondary, v.wait(), missing, replay.ErrTimeout)
		}
	}
}

// missing says what the secondary still lacks to be compared.
func (v *verification) missing(ctx context.Context, t *verifyTarget, secondary, name string, carrier uint64) (string, error) {
	image, err := v.sites[secondary].Image(ctx, t.ref)
	if errors.Is(err, replay.ErrNotFound) {
		return "the image is not there", nil
	}
	if err != nil {
		return "", err
	}
	if image.Role != replay.RoleSecondary {
		return "", refusal("drover status "+v.plan.File, "%s has the role %s at %s", t.ref, image.Role, secondary)
	}
	if lacks := lacking(image, t.mode, name, carrier); lacks != "" || t.mode == replay.ModeSnapshot {
		return lacks, nil
	}
	return v.firstSync(ctx, t, secondary)
}

// lacking says what a copy still lacks of a snapshot at its primary; carrier is the
// mirror snapshot there that brings it.
func lacking(image replay.Image, mode replay.MirrorMode, name string, carrier uint64) string {
	if !hasSnapshot(image, name) {
		return "the snapshot is not there"
	}
	if mode != replay.ModeSnapshot {
		return ""
	}
	// A user snapshot is made at the secondary before the content of the
	// mirror snapshot that brought it is copied
	// (rbd_mirror/image_replayer/snapshot/Replayer.cc, copy_snapshots comes
	// before copy_image): only a complete carrier is proof.
	for _, s := range image.Snapshots {
		if s.Mirror != nil && s.Mirror.Complete && s.Mirror.PrimaryID >= carrier {
			return ""
		}
	}
	return "its mirror snapshot is not complete"
}

// firstSync says whether a journal image is still in its first sync.
func (v *verification) firstSync(ctx context.Context, t *verifyTarget, secondary string) (string, error) {
	mirroring, err := v.sites[secondary].PoolMirroring(ctx, t.ref.Pool)
	if err != nil {
		return "", err
	}
	source, err := v.sites[t.primary].Image(ctx, t.ref)
	if err != nil {
		return "", err
	}
	return unsynced(source, mirroring.UUID), nil
}

// unsynced says why a secondary, known by its mirror uuid, does not follow the journal
// of a primary yet. The first sync, too, makes all snapshots before it copies their
// content.
func unsynced(source replay.Image, secondary string) string {
	if source.Journal == nil {
		return "the primary has no journal"
	}
	client, ok := source.Journal.Client(secondary)
	switch {
	case !ok:
		return "the secondary is not registered in the primary's journal"
	case client.Syncing:
		return "the first sync is not done"
	case client.Disconnected:
		return "the primary's journal has given the secondary up"
	}
	return ""
}

func hasSnapshot(image replay.Image, name string) bool {
	for _, s := range image.Snapshots {
		if s.Kind == replay.SnapshotUser && s.Name == name {
			return true
		}
	}
	return false
}

// retryable tells whether an error may pass by itself.
func retryable(err error) bool {
	var known *replay.Error
	return errors.As(err, &known) && known.Retryable || errors.Is(err, replay.ErrAgain) ||
		errors.Is(err, replay.ErrBusy) || errors.Is(err, replay.ErrTimeout)
}

// limitBurst is how much may be read at once with a bandwidth limit, in bytes.
const limitBurst = compare.ChunkSize

// errTooSlow says that a time is too short for what is to be read in it.
var errTooSlow = errors.New("the plan's verification.bandwidth lets it not be read in the time that it has")

// limitedReader holds reads back to the bandwidth of a site, which all images
// share.
type limitedReader struct {
	replay.Reader
	limit *rate.Limiter
}

// ReadAt waits for its share of the bandwidth, then reads.
func (r *limitedReader) ReadAt(ctx context.Context, p []byte, offset uint64) (int, error) {
	for left := len(p); left > 0; {
		part := min(left, limitBurst)
		if err := r.limit.WaitN(ctx, part); err != nil {
			if ctx.Err() == nil { // it is known that the time will not do
				err = errTooSlow
			}
			return 0, fmt.Errorf("wait for bandwidth: %w", err)
		}
		left -= part
	}
	return r.Reader.ReadAt(ctx, p, offset)
}
