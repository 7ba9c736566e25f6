package ceph

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ceph/go-ceph/rados"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph/cls"
	"github.com/drover-io/drover/replay/parallel"
)

// LookAt reads the images of a pool that are named. The directories are asked
// for their keys alone, so that a few images of a large pool cost no more than
// they do in a small one: one read of each directory for all images, and then
// what Images reads of each (nothing is opened).
func (s *Site) LookAt(
	ctx context.Context, pool replay.Pool, names []string, detail replay.Detail, seen func(string, replay.Image, error),
) error {
	listed, err := s.lookUp(ctx, pool, names)
	if err != nil {
		return err
	}
	var (
		looks parallel.Group
		mu    sync.Mutex
	)
	for i, name := range names {
		free, err := s.glance(ctx, pool.Image(name))
		tell := func(image replay.Image, err error) {
			mu.Lock()
			defer mu.Unlock()
			seen(name, image, s.failure(opImage, pool.Image(name).String(), err))
		}
		if err != nil {
			tell(replay.Image{}, err)
			continue
		}
		looks.Go(func() {
			defer free()
			tell(s.lookAt(ctx, pool, listed[i], detail))
		})
	}
	looks.Wait()
	return nil
}

// glanceTime is how long a look at an image counts against how many are taken
// at once. One that takes longer waits for an OSD that does not answer, and
// must not keep those from being seen whose OSDs do.
const glanceTime = time.Second

// glance waits until one more image may be looked at. free ends that, at the
// latest after glanceTime by itself.
func (s *Site) glance(ctx context.Context, ref replay.ImageRef) (free func(), err error) {
	select {
	case s.calls.looks <- struct{}{}:
	case <-ctx.Done():
		return nil, s.gaveUp(opImage, ref.String(), context.Cause(ctx))
	}
	leave := sync.OnceFunc(func() { <-s.calls.looks })
	timer := time.AfterFunc(glanceTime, leave)
	return func() {
		timer.Stop()
		leave()
	}, nil
}

// entry is what the directories of a pool know of an image, or why that cannot
// be read.
type entry struct {
	image replay.Image
	err   error
}

// lookUp reads the entries of the images that are named, in that order.
func (s *Site) lookUp(ctx context.Context, pool replay.Pool, names []string) ([]entry, error) {
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = cls.NameKey + name
	}
	return inPool(ctx, s, opLook, pool, pool.String(), func(io *rados.IOContext) ([]entry, error) {
		directory, err := readOmapKeys(io, cls.DirectoryObject, keys)
		if isErrno(err, enoent) {
			err = missingNamespace(s, pool)
		}
		if err != nil {
			return nil, err
		}
		entries := make([]entry, len(names))
		var ids []string
		for i, name := range names {
			e := &entries[i]
			e.image = replay.Image{Ref: pool.Image(name), Role: replay.RoleNone}
			value, ok := directory[keys[i]]
			if !ok {
				e.err = enoent
				continue
			}
			if e.image.ID, e.err = cls.DecodeString(value); e.err == nil {
				ids = append(ids, cls.MirrorImageKey+e.image.ID)
			}
		}
		mirrored, err := readOmapKeys(io, cls.MirroringObject, ids)
		if err != nil && !isErrno(err, enoent) {
			return nil, err
		}
		for i := range entries {
			e := &entries[i]
			value, ok := mirrored[cls.MirrorImageKey+e.image.ID]
			if e.err != nil || !ok {
				continue
			}
			m, err := cls.DecodeMirrorImage(value)
			if err != nil {
				e.err = fmt.Errorf("its mirroring entry: %w", err)
				continue
			}
			enrol(&e.image, m)
		}
		return entries, nil
	})
}

// lookAt reads one image that has been looked up. It has a slot already.
func (s *Site) lookAt(ctx context.Context, pool replay.Pool, e entry, detail replay.Detail) (replay.Image, error) {
	if e.err != nil || !e.image.Mirrored() && detail&replay.WithHeader == 0 {
		return e.image, e.err
	}
	d, err := s.read(ctx, pool, e.image, detail, nil)
	if err == nil && !d.present {
		err = enoent // gone since it was looked up
	}
	return d.image, err
}
