package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"
	"golang.org/x/sync/errgroup"

	"github.com/drover-io/drover/test/lab"
)

// withPool connects to a site with nothing but go-ceph and opens a pool.
func withPool(site *lab.Site, pool string, do func(*rados.IOContext) error) error {
	conn, err := rados.NewConnWithUser("drover")
	if err != nil {
		return err
	}
	if err := conn.ReadConfigFile(site.Conf()); err != nil {
		return err
	}
	if err := conn.SetConfigOption("keyring", site.Keyring("client.drover")); err != nil {
		return err
	}
	if err := conn.Connect(); err != nil {
		return err
	}
	defer conn.Shutdown()
	ioctx, err := conn.OpenIOContext(pool)
	if err != nil {
		return err
	}
	defer ioctx.Destroy()
	return do(ioctx)
}

// enableBare makes the calls that enabling an image needs, with nothing around
// them: open, journaling on, mirroring on, close. It is the floor that Drover
// is held against.
func enableBare(ctx context.Context, site *lab.Site, pool string, images []string, parallel int) error {
	return withPool(site, pool, func(ioctx *rados.IOContext) error {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(parallel)
		for _, name := range images {
			g.Go(func() error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				img, err := rbd.OpenImage(ioctx, name, rbd.NoSnapshot)
				if err != nil {
					return fmt.Errorf("open %s: %w", name, err)
				}
				if err := img.UpdateFeatures(rbd.FeatureJournaling, true); err != nil {
					_ = img.Close()
					return fmt.Errorf("journaling on %s: %w", name, err)
				}
				if err := img.MirrorEnable(rbd.ImageMirrorModeJournal); err != nil {
					_ = img.Close()
					return fmt.Errorf("mirroring of %s: %w", name, err)
				}
				return img.Close()
			})
		}
		return g.Wait()
	})
}

// createBare makes images of one size with exclusive-lock, as plain volumes
// are.
func createBare(ctx context.Context, site *lab.Site, pool string, images []string, size uint64, parallel int) error {
	return withPool(site, pool, func(ioctx *rados.IOContext) error {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(parallel)
		for _, name := range images {
			g.Go(func() error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				return create(ioctx, name, size, rbd.FeatureLayering|rbd.FeatureExclusiveLock)
			})
		}
		return g.Wait()
	})
}

func create(ioctx *rados.IOContext, name string, size, features uint64) error {
	options := rbd.NewRbdImageOptions()
	defer options.Destroy()
	if err := options.SetUint64(rbd.ImageOptionFeatures, features); err != nil {
		return err
	}
	if err := rbd.CreateImage(ioctx, name, size, options); err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	return nil
}

// createSparse makes an image in which one object in every is written, with
// random bytes.
func createSparse(ctx context.Context, site *lab.Site, pool, name string, size uint64, every int) error {
	const object = 4 << 20
	return withPool(site, pool, func(ioctx *rados.IOContext) error {
		const features = rbd.FeatureLayering | rbd.FeatureExclusiveLock | rbd.FeatureObjectMap | rbd.FeatureFastDiff
		if err := create(ioctx, name, size, features); err != nil {
			return err
		}
		img, err := rbd.OpenImage(ioctx, name, rbd.NoSnapshot)
		if err != nil {
			return err
		}
		data := make([]byte, object)
		for offset := uint64(0); offset < size && ctx.Err() == nil; offset += object * uint64(every) {
			if _, err = rand.Read(data); err != nil {
				break
			}
			if _, err = img.WriteAt(data, int64(offset)); err != nil {
				break
			}
		}
		return errors.Join(ctx.Err(), err, img.Close())
	})
}
