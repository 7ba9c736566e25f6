package sitetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/drover-io/drover/replay"
)

func (s *suite) lookCases(t *testing.T) {
	t.Run("LookAt", func(t *testing.T) { t.Parallel(); s.looksLikeImages(t) })
	t.Run("LookAtOneRenamed", func(t *testing.T) { t.Parallel(); s.lookAtRenamed(t) })
	t.Run("LookAtOneUnreadable", func(t *testing.T) { t.Parallel(); s.lookAtSpoilt(t) })
	t.Run("LookAtNothing", func(t *testing.T) { t.Parallel(); s.lookAtNothing(t) })
}

// looked is what a look has told, by image.
type looked struct {
	images map[string]replay.Image
	errs   map[string]error
}

// look looks at images, and fails the test when one is told of twice or not at
// all, or without having been asked for.
func (s *suite) look(t *testing.T, site replay.Site, pool replay.Pool, detail replay.Detail, names ...string) looked {
	t.Helper()
	got := looked{images: map[string]replay.Image{}, errs: map[string]error{}}
	told := map[string]int{}
	err := site.LookAt(t.Context(), pool, names, detail, func(name string, image replay.Image, err error) {
		told[name]++
		if err != nil {
			got.errs[name] = err
			return
		}
		got.images[name] = image
	})
	ok(t, err)
	for _, name := range names {
		if told[name] != 1 {
			t.Fatalf("looking at %v, %s was told of %d times", names, name, told[name])
		}
	}
	if len(told) != len(names) {
		t.Fatalf("asked for %v, told of %v", names, slices.Sorted(maps.Keys(told)))
	}
	return got
}

// looksLikeImages compares looks with what Images says of the same images, in
// each detail, at both sites.
func (s *suite) looksLikeImages(t *testing.T) {
	pool := s.pool("two-way")
	var names []string
	for _, mode := range modes {
		names = append(names, s.protected(t, pool, "looked", mode).ref.Name)
	}
	plain := s.made(t, pool, "looked-plain", "")
	ok(t, s.A.CreateSnapshot(t.Context(), plain.ref, "one"))
	names = append(names, plain.ref.Name)
	for _, detail := range []replay.Detail{0, replay.WithHeader, replay.WithPositions, replay.WithHeader | replay.WithPositions} {
		for _, site := range []replay.Site{s.A, s.B} {
			// Daemons commit positions, and trim snapshots, whenever they like.
			s.eventually(t, fmt.Sprintf("a look with detail %d is what Images answers at %s", detail, site.Name()), func() error {
				got := s.look(t, site, pool, detail, names...)
				return s.compareLook(t, site, pool, detail, got, names)
			})
		}
	}
}

func (s *suite) compareLook(t *testing.T, site replay.Site, pool replay.Pool, detail replay.Detail, got looked, names []string) error {
	t.Helper()
	all, err := site.Images(t.Context(), pool, detail)
	ok(t, err)
	listed := map[string]replay.Image{}
	for i := range all {
		listed[all[i].Ref.Name] = all[i]
	}
	for _, name := range names {
		want, there := listed[name]
		if !there {
			if err := got.errs[name]; err == nil {
				return fmt.Errorf("%s is not listed, and is %+v", name, got.images[name])
			}
			wants(t, got.errs[name], replay.ErrNotFound, site)
			continue
		}
		ok(t, got.errs[name])
		if image := got.images[name]; !reflect.DeepEqual(image, want) {
			return fmt.Errorf("%s is listed as %+v, and is %+v", name, want, image)
		}
		if image := got.images[name]; image.Mirrored() && detail&replay.WithPositions != 0 && (image.Journal != nil) != (image.Mode == replay.ModeJournal) {
			return fmt.Errorf("%s in %s mode has the journal %+v", name, image.Mode, image.Journal)
		}
	}
	return nil
}

func (s *suite) lookAtRenamed(t *testing.T) {
	pool := s.pool("errors")
	was, is := s.made(t, pool, "look-before", "").ref, pool.Image("look-after")
	before := s.look(t, s.A, pool, 0, was.Name, is.Name)
	ok(t, before.errs[was.Name])
	wants(t, before.errs[is.Name], replay.ErrNotFound, s.A)
	ok(t, s.A.RenameImage(t.Context(), was, is.Name))
	after := s.look(t, s.A, pool, 0, was.Name, is.Name)
	ok(t, after.errs[is.Name])
	wants(t, after.errs[was.Name], replay.ErrNotFound, s.A)
	if id := after.images[is.Name].ID; id == "" || id != before.images[was.Name].ID {
		t.Fatalf("renamed, %s became %s", before.images[was.Name].ID, id)
	}
}

// lookAtSpoilt has one image that cannot be read among others that can.
func (s *suite) lookAtSpoilt(t *testing.T) {
	pool := s.pool("modes")
	var names []string
	for _, name := range []string{"look-1", "look-2", "look-3"} {
		names = append(names, s.made(t, pool, name, "").ref.Name)
	}
	mend, err := s.Spoil(t.Context(), s.A, pool.Image("look-2"))
	ok(t, err)
	got := s.look(t, s.A, pool, replay.WithHeader, append(names, "look-none")...)
	all, listErr := s.A.Images(t.Context(), pool, replay.WithHeader)
	ok(t, mend(t.Context()))
	ok(t, listErr)
	listsSpoilt(t, all, got)
	for _, name := range []string{"look-1", "look-3"} {
		ok(t, got.errs[name])
		if image := got.images[name]; image.Ref != pool.Image(name) || image.Size != imageSize {
			t.Errorf("%s is %+v", name, image)
		}
	}
	var e *replay.Error
	if err := got.errs["look-2"]; !errors.As(err, &e) || errors.Is(err, replay.ErrNotFound) || e.Object != pool.Image("look-2").String() {
		t.Errorf("an image that cannot be read: %v", err)
	}
	wants(t, got.errs["look-none"], replay.ErrNotFound, s.A)
	mended := s.look(t, s.A, pool, replay.WithHeader, "look-2")
	ok(t, mended.errs["look-2"])
}

// listsSpoilt compares a list that has an image which cannot be read with a
// look at the same: that one has its own error, and is neither left out nor
// shown as anything.
func listsSpoilt(t *testing.T, all []replay.Image, got looked) {
	t.Helper()
	listed := map[string]replay.Image{}
	for i := range all {
		listed[all[i].Ref.Name] = all[i]
	}
	for name, want := range got.images {
		if !reflect.DeepEqual(listed[name], want) {
			t.Errorf("%s is listed as %+v, and is %+v", name, listed[name], want)
		}
	}
	spoilt := listed["look-2"]
	var e *replay.Error
	if !errors.As(spoilt.Fault, &e) || errors.Is(spoilt.Fault, replay.ErrNotFound) || e.Object != spoilt.Ref.String() || spoilt.ID == "" {
		t.Errorf("an image that cannot be read is listed as %+v", spoilt)
	}
	if spoilt.Mirrored() || spoilt.Role != "" || spoilt.Size != 0 {
		t.Errorf("something is told of an image that cannot be read: %+v", spoilt)
	}
}

// lookAtNothing asks for no image, and in pools and with contexts that make the
// look as a whole fail.
func (s *suite) lookAtNothing(t *testing.T) {
	never := func(name string, _ replay.Image, err error) { t.Errorf("told of %s: %v", name, err) }
	pool := s.pool("errors")
	ok(t, s.A.LookAt(t.Context(), pool, nil, replay.WithPositions, never))
	for _, missing := range []replay.Pool{{Name: pool.Name + "-none"}, {Name: pool.Name, Namespace: "none"}} {
		wants(t, s.A.LookAt(t.Context(), missing, []string{"vm"}, 0, never), replay.ErrNotFound, s.A)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	wants(t, s.A.LookAt(ended, pool, []string{"vm"}, 0, never), replay.ErrTimeout, s.A)
}
