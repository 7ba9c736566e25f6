package ceph_test

import (
	"bytes"
	"context"
	"sync"
	"testing"

	librbd "github.com/ceph/go-ceph/rbd"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph"
)

// TestReader reads snapshots of sparse images and of a clone, with and without
// fast-diff, from many goroutines.
func TestReader(t *testing.T) {
	s := open(t, "site-a")
	ctx, pool := t.Context(), newPool(t)
	const mib = 1 << 20
	for name, features := range map[string]replay.Features{
		"plain":     replay.FeatureLayering,
		"fast-diff": replay.FeatureLayering | replay.FeatureFastDiff,
	} {
		t.Run(name, func(t *testing.T) {
			ref := pool.Image(name)
			must(t, s.CreateImage(ctx, ref, replay.ImageSpec{Size: 64 * mib, ObjectSize: mib, Features: features}))
			first, second := bytes.Repeat([]byte("drover"), 20000), bytes.Repeat([]byte("x"), 4096)
			// Ceph tells an object's extent from its start to the last byte written.
			must(t, write("site-a", ref, 3*mib, first))
			must(t, s.CreateSnapshot(ctx, ref, "then"))
			must(t, write("site-a", ref, 40*mib, second))
			snapped := []replay.Extent{{Offset: 3 * mib, Length: uint64(len(first))}}
			head := append([]replay.Extent{}, snapped...)
			head = append(head, replay.Extent{Offset: 40 * mib, Length: 4096})
			check(t, s, ref, "then", snapped, 3*mib, first)
			check(t, s, ref, "", head, 40*mib, second)

			clone := pool.Image(name + "-clone")
			rbd(t, "site-a", "clone --rbd-default-clone-format 2 "+ref.String()+"@then "+clone.String())
			check(t, s, clone, "", snapped, 3*mib, first)
			must(t, asClient("site-a", ref, func(image *librbd.Image) error {
				_, err := image.Discard(3*mib, 2*mib)
				return err
			}))
			check(t, s, ref, "", head[1:], 3*mib, make([]byte, 2*mib))
		})
	}
	_, err := s.OpenSnapshot(ctx, pool.Image("plain"), "nowhere")
	refused(t, err, replay.ErrNotFound, pool.Name+"/plain@nowhere")
}

// check expects the extents and, at the offset, the content, read by many at
// once.
func check(t *testing.T, s *ceph.Site, ref replay.ImageRef, snapshot string, extents []replay.Extent, offset uint64, content []byte) {
	t.Helper()
	r, err := s.OpenSnapshot(t.Context(), ref, snapshot)
	must(t, err)
	var got []replay.Extent
	must(t, r.Extents(t.Context(), func(e replay.Extent) error {
		got = append(got, e)
		return nil
	}))
	diff(t, "extents of "+ref.String()+"@"+snapshot, extents, got)
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			p := make([]byte, len(content))
			if n, err := r.ReadAt(t.Context(), p, offset); err != nil || !bytes.Equal(p[:n], content) {
				t.Errorf("%s@%s: %d bytes at %d are not what was written; %v", ref, snapshot, n, offset, err)
			}
		})
	}
	readers.Wait()
	must(t, r.Close())
	must(t, r.Close()) // again is no error
	_, err = r.ReadAt(t.Context(), make([]byte, 1), 0)
	refused(t, err, replay.ErrInvalid, "closed")
}

// TestExtentsEnd ends a walk over extents from outside and from inside.
func TestExtentsEnd(t *testing.T) {
	s := open(t, "site-a")
	ref := newPool(t).Image("walk")
	must(t, s.CreateImage(t.Context(), ref, replay.ImageSpec{Size: 8 << 20}))
	must(t, write("site-a", ref, 0, []byte("something")))
	r, err := s.OpenSnapshot(t.Context(), ref, "")
	must(t, err)
	defer func() { must(t, r.Close()) }()
	if err := r.Extents(t.Context(), func(replay.Extent) error { return context.Canceled }); err != context.Canceled { //nolint:errorlint // the very error is handed on
		t.Errorf("the caller's own error comes back as %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	refused(t, r.Extents(ended, func(replay.Extent) error { return nil }), replay.ErrTimeout, "interrupted")
}
