package ceph_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ceph/go-ceph/rados"
	"github.com/google/go-cmp/cmp"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph"
)

// lookAt looks at images with all details.
func lookAt(ctx context.Context, s *ceph.Site, pool replay.Pool, names ...string) (map[string]replay.Image, map[string]error, error) {
	images, errs := map[string]replay.Image{}, map[string]error{}
	err := s.LookAt(ctx, pool, names, replay.WithHeader|replay.WithPositions, func(name string, image replay.Image, err error) {
		if err != nil {
			errs[name] = err
			return
		}
		images[name] = image
	})
	return images, errs, err
}

// TestLookAtClones looks at clones, which name their parents: in the pool
// itself, in a namespace of it, in another pool, and in the trash.
func TestLookAtClones(t *testing.T) {
	s, pool, other := open(t, "site-a"), newPool(t), newPool(t)
	inner := replay.Pool{Name: pool.Name, Namespace: "inner"}
	must(t, s.CreateNamespace(t.Context(), inner))
	names := []string{"gone"}
	for i, parent := range []replay.ImageRef{pool.Image("base"), inner.Image("base"), other.Image("base"), pool.Image("binned")} {
		must(t, s.CreateImage(t.Context(), parent, replay.ImageSpec{Size: 8 << 20, Features: replay.FeatureLayering}))
		must(t, s.CreateSnapshot(t.Context(), parent, "snap"))
		names = append(names, fmt.Sprint("clone-", i))
		rbd(t, "site-a", fmt.Sprintf("clone --rbd-default-clone-format 2 %s@snap %s", parent, pool.Image(names[i+1])))
	}
	for i, parent := range []replay.ImageRef{pool.Image("base"), inner.Image("base")} {
		ties, err := s.Ties(t.Context(), parent)
		if want := []string{pool.Image(names[i+1]).String()}; err != nil || !slices.Equal(ties.Clones, want) || len(ties.Protected) > 0 {
			t.Errorf("ties of %s: %v (%v), want the clones %v", parent, ties, err, want)
		}
	}
	rbd(t, "site-a", "trash mv "+pool.Image("binned").String())
	images, errs, err := lookAt(t.Context(), s, pool, names...)
	must(t, err)
	refused(t, errs["gone"], replay.ErrNotFound)
	all, err := s.Images(t.Context(), pool, replay.WithHeader|replay.WithPositions)
	must(t, err)
	for i := range all {
		if all[i].Ref.Name == "base" {
			continue // was not asked for
		}
		if d := cmp.Diff(all[i], images[all[i].Ref.Name]); d != "" {
			t.Errorf("listed and looked at %s:\n%s", all[i].Ref, d)
		}
	}
	if len(images) != 4 || len(errs) != 1 {
		t.Errorf("saw %v, did not see %v", slices.Sorted(maps.Keys(images)), errs)
	}
	for i, want := range []string{"base", "base", "base", ""} {
		if parent := images[fmt.Sprint("clone-", i)].Parent; parent == nil || want != "" && parent.Name != want || want == "" && parent.Name == "binned" {
			t.Errorf("clone-%d has the parent %v", i, parent)
		}
	}
}

// TestImagesWithAnOddMirroringEntry lists a pool in whose mirroring directory
// one entry cannot be decoded: only that image is not known.
func TestImagesWithAnOddMirroringEntry(t *testing.T) {
	s, pool := open(t, "site-a"), newPool(t)
	for _, name := range []string{"odd", "sound"} {
		must(t, s.CreateImage(t.Context(), pool.Image(name), replay.ImageSpec{Size: 8 << 20, Features: replay.FeatureLayering}))
	}
	odd, err := s.Image(t.Context(), pool.Image("odd"))
	must(t, err)
	must(t, inPool("site-a", pool, func(io *rados.IOContext) error {
		return io.SetOmap("rbd_mirroring", map[string][]byte{"image_" + odd.ID: []byte("odd")})
	}))
	all, err := s.Images(t.Context(), pool, 0)
	must(t, err)
	if len(all) != 2 || all[1].Fault != nil || all[1].Role != replay.RoleNone {
		t.Fatalf("listed: %+v", all)
	}
	var e *replay.Error
	if !errors.As(all[0].Fault, &e) || e.Object != odd.Ref.String() || all[0].Role != "" || all[0].ID != odd.ID {
		t.Errorf("the odd one: %+v", all[0])
	}
}

// TestClonesOfAnotherPool looks, as a user whose caps are for one pool, at
// clones of images in another: OpenStack's volumes of images that Glance keeps.
func TestClonesOfAnotherPool(t *testing.T) {
	s, ours, theirs := open(t, "site-a"), newPool(t), newPool(t)
	base, clone := theirs.Image("base"), ours.Image("clone")
	must(t, s.CreateImage(t.Context(), base, replay.ImageSpec{Size: 8 << 20, Features: replay.FeatureLayering}))
	must(t, s.CreateSnapshot(t.Context(), base, "snap"))
	rbd(t, "site-a", fmt.Sprintf("clone --rbd-default-clone-format 2 %s@snap %s", base, clone))
	u := replay.DroverCaps(ours.Name)
	u.Name += ".of-one-pool"
	must(t, world.Site("site-a").Allow(t.Context(), u))
	narrow := openAs(t, "site-a", ceph.Config{User: u.Name})
	_, err := narrow.Images(t.Context(), theirs, 0)
	refused(t, err, replay.ErrPermission)
	parent, err := s.Image(t.Context(), base)
	must(t, err)
	all, err := narrow.Images(t.Context(), ours, replay.WithHeader)
	must(t, err)
	if len(all) != 1 || all[0].Fault != nil {
		t.Fatalf("listed: %+v", all)
	}
	want := theirs.Image(parent.ID) // its name is in a directory that may not be read
	images, errs, err := lookAt(t.Context(), narrow, ours, clone.Name)
	must(t, errors.Join(err, errs[clone.Name]))
	one, err := narrow.Image(t.Context(), clone)
	must(t, err)
	for _, image := range []replay.Image{all[0], images[clone.Name], one} {
		if image.Parent == nil || *image.Parent != want || image.Size != 8<<20 {
			t.Errorf("%+v has the parent %v, not %s", image, image.Parent, want)
		}
	}
}

// TestLookAtOneThatHangs has images the name of whose parent lies in a pool
// that does not answer, more of them than are looked at at once: the others
// are seen all the same, and at once.
func TestLookAtOneThatHangs(t *testing.T) {
	const hang, parallel = 4, 2
	s := openAs(t, "site-a", ceph.Config{Parallel: parallel})
	pool, silent := newPool(t), newPool(t)
	base := silent.Image("base")
	must(t, s.CreateImage(t.Context(), base, replay.ImageSpec{Size: 8 << 20, Features: replay.FeatureLayering}))
	must(t, s.CreateSnapshot(t.Context(), base, "snap"))
	var names []string
	for i := range 2 * hang {
		name := fmt.Sprintf("image-%02d", i)
		names = append(names, name)
		if i < hang {
			rbd(t, "site-a", fmt.Sprintf("clone --rbd-default-clone-format 2 %s@snap %s", base, pool.Image(name)))
			continue
		}
		must(t, s.CreateImage(t.Context(), pool.Image(name), replay.ImageSpec{Size: 8 << 20, Features: replay.FeatureLayering}))
	}
	ceph := func(command string) {
		t.Helper()
		if _, err := world.Site("site-a").Ceph(t.Context(), strings.Fields(command)...); err != nil {
			t.Fatal(err)
		}
	}
	// A pool that wants more copies than there are OSDs takes no requests.
	ceph("osd pool set " + silent.Name + " size 2")
	ceph("osd pool set " + silent.Name + " min_size 2")
	restored := false
	restore := func() {
		if !restored {
			restored = true
			ceph("osd pool set " + silent.Name + " size 1 --yes-i-really-mean-it")
			ceph("osd pool set " + silent.Name + " min_size 1")
		}
	}
	defer restore()
	await(t, "the parents' pool is silent", func() (bool, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := s.Images(ctx, silent, 0)
		return errors.Is(err, replay.ErrTimeout), nil
	})
	const limit = 8 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	began := time.Now()
	var seen []string
	var last time.Duration // until the last image that answers was seen
	errs := map[string]error{}
	must(t, s.LookAt(ctx, pool, names, replay.WithHeader, func(name string, image replay.Image, err error) {
		if err != nil {
			errs[name] = err
			return
		}
		seen, last = append(seen, name), time.Since(began)
	}))
	slices.Sort(seen)
	if !slices.Equal(seen, names[hang:]) || last > limit*3/4 {
		t.Errorf("seen within %v: %v", last, seen)
	}
	for _, name := range names[:hang] {
		refused(t, errs[name], replay.ErrTimeout, name)
	}
	// What is listed has the same, and its own time for each.
	began = time.Now()
	all, err := s.Images(t.Context(), pool, replay.WithHeader)
	must(t, err)
	if took := time.Since(began); took > 2*replay.ImageTime {
		t.Errorf("the list took %v", took)
	}
	if len(all) != len(names) {
		t.Errorf("listed: %+v", all)
	}
	for i := range all {
		if i < hang {
			refused(t, all[i].Fault, replay.ErrTimeout, names[i])
		} else if all[i].Fault != nil || all[i].Size != 8<<20 {
			t.Errorf("listed: %+v", all[i])
		}
	}
	restore()
	await(t, "all abandoned calls end", func() (bool, error) { return s.Abandoned() == 0, nil })
	images, errs, err := lookAt(t.Context(), s, pool, names...)
	must(t, err)
	if len(images) != len(names) {
		t.Errorf("when the pool answers again: %v", errs)
	}
}
