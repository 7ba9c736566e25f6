package ceph_test

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/ceph/go-ceph/rados"
	librbd "github.com/ceph/go-ceph/rbd"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph/cls"
	"github.com/drover-io/drover/replay/sitetest"
)

// TestContract runs the contract of replay.Site on real clusters, as
// client.drover.
func TestContract(t *testing.T) {
	sitetest.Run(t, func(t *testing.T) sitetest.Harness {
		a, b := open(t, "site-a"), open(t, "site-b")
		must(t, a.SetSiteName(t.Context(), a.Name()))
		must(t, b.SetSiteName(t.Context(), b.Name()))
		return sitetest.Harness{
			A: a, B: b,
			Another: func(t *testing.T, site replay.Site) replay.Site { return open(t, site.Name()) },
			NewPool: func(ctx context.Context, name string) error {
				return errors.Join(world.Site("site-a").CreatePool(ctx, name), world.Site("site-b").CreatePool(ctx, name))
			},
			Write: func(_ context.Context, site replay.Site, ref replay.ImageRef, offset uint64, data []byte) error {
				return write(site.Name(), ref, offset, data)
			},
			Spoil:       spoil,
			CutShort:    cutShort,
			StartDaemon: func(ctx context.Context, site replay.Site) error { return world.Site(site.Name()).StartMirror(ctx) },
			StopDaemon:  func(_ context.Context, site replay.Site) error { return world.Site(site.Name()).StopMirror() },
			Pause:       time.Sleep,
		}
	})
}

// write writes to an image as a client of its own.
func write(site string, ref replay.ImageRef, offset uint64, data []byte) error {
	return asClient(site, ref, func(image *librbd.Image) error {
		if _, err := image.WriteAt(data, int64(offset)); err != nil {
			return err
		}
		return image.Flush()
	})
}

// asClient opens an image by a connection of its own, as client.admin, while
// fn runs.
func asClient(site string, ref replay.ImageRef, fn func(*librbd.Image) error) error {
	return inPool(site, ref.Pool, func(io *rados.IOContext) error {
		image, err := librbd.OpenImage(io, ref.Name, librbd.NoSnapshot)
		if err != nil {
			return err
		}
		return errors.Join(fn(image), image.Close())
	})
}

// inPool connects as client.admin while fn runs.
func inPool(site string, pool replay.Pool, fn func(*rados.IOContext) error) error {
	conn, err := rados.NewConnWithClusterAndUser(site, "client.admin")
	if err != nil {
		return err
	}
	if err := conn.ReadConfigFile(world.Site(site).Conf()); err != nil {
		return err
	}
	if err := conn.Connect(); err != nil {
		return err
	}
	defer conn.Shutdown()
	io, err := conn.OpenIOContext(pool.Name)
	if err != nil {
		return err
	}
	defer io.Destroy()
	io.SetNamespace(pool.Namespace)
	return fn(io)
}

// spoil takes the size out of an image's header.
func spoil(ctx context.Context, site replay.Site, ref replay.ImageRef) (mend func(context.Context) error, err error) {
	image, err := site.Image(ctx, ref)
	if err != nil {
		return nil, err
	}
	header, size := "rbd_header."+image.ID, make([]byte, 8)
	binary.LittleEndian.PutUint64(size, image.Size)
	mend = func(context.Context) error {
		return inPool(site.Name(), ref.Pool, func(io *rados.IOContext) error {
			return io.SetOmap(header, map[string][]byte{"size": size})
		})
	}
	return mend, inPool(site.Name(), ref.Pool, func(io *rados.IOContext) error {
		return io.RmOmapKeys(header, []string{"size"})
	})
}

// cutShort takes back what librbd does last when it takes a mirror snapshot, and
// when it promotes an image: it has a class of its own do both.
func cutShort(ctx context.Context, site replay.Site, ref replay.ImageRef, unfinished, marked bool) error {
	image, err := site.Image(ctx, ref)
	if err != nil {
		return err
	}
	op := rados.CreateWriteOp()
	defer op.Release()
	if unfinished {
		in := binary.LittleEndian.AppendUint64(nil, newestID(image))
		in = append(in, 0) // not complete
		op.Exec(cls.ImageClass, "mirror_image_snapshot_set_copy_progress", binary.LittleEndian.AppendUint64(in, 0))
	}
	if marked {
		op.Exec(cls.ImageClass, cls.SetFeaturesMethod, cls.EncodeSetFeatures(replay.FeatureNonPrimary, replay.FeatureNonPrimary))
	}
	return inPool(site.Name(), ref.Pool, func(io *rados.IOContext) error {
		return op.Operate(io, cls.HeaderObject(image.ID), rados.OperationNoFlag)
	})
}
