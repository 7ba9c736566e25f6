package ceph_test

import (
	"testing"

	"github.com/ceph/go-ceph/rados"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph/cls"
)

// TestCreateHalfMade makes images whose names others have begun to use, and died: only
// what nobody can have any use for gives way.
func TestCreateHalfMade(t *testing.T) {
	t.Parallel()
	s, pool := open(t, "site-a"), newPool(t)
	spec := replay.ImageSpec{Size: 8 << 20, Features: replay.FeatureLayering}
	for _, c := range []struct {
		name  string
		spoil func(io *rados.IOContext, id string) error // takes parts of a whole image away
		made  bool
	}{
		{"whole", func(*rados.IOContext, string) error { return nil }, false},
		{"begun", func(io *rados.IOContext, id string) error {
			if err := io.RmOmapKeys(cls.DirectoryObject, []string{cls.NameKey + "begun", cls.IDKey + id}); err != nil {
				return err
			}
			return io.Delete(cls.HeaderObject(id))
		}, true},
		{"unlisted", func(io *rados.IOContext, id string) error {
			return io.RmOmapKeys(cls.DirectoryObject, []string{cls.NameKey + "unlisted", cls.IDKey + id})
		}, false},
		{"headless", func(io *rados.IOContext, id string) error { return io.Delete(cls.HeaderObject(id)) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ref := pool.Image(c.name)
			must(t, s.CreateImage(t.Context(), ref, spec))
			image, err := s.Image(t.Context(), ref)
			must(t, err)
			must(t, inPool("site-a", pool, func(io *rados.IOContext) error { return c.spoil(io, image.ID) }))
			err = s.CreateImage(t.Context(), ref, spec)
			if !c.made {
				refused(t, err, replay.ErrExists)
				return
			}
			must(t, err)
			again, err := s.Image(t.Context(), ref)
			must(t, err)
			if again.ID == image.ID {
				t.Errorf("%s still has the id %s", ref, image.ID)
			}
		})
	}
}
