package ceph_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph"
)

var bothModes = []replay.MirrorMode{replay.ModeJournal, replay.ModeSnapshot}

// newImage makes a mirrored image at site-a.
func (p pair) newImage(tb testing.TB, pool replay.Pool, name string, mode replay.MirrorMode) replay.ImageRef {
	tb.Helper()
	ref := pool.Image(name)
	features := replay.FeatureLayering | replay.FeatureExclusiveLock
	if mode == replay.ModeJournal {
		features |= replay.FeatureJournaling
	}
	must(tb, p.a.CreateImage(tb.Context(), ref, replay.ImageSpec{Size: 32 << 20, Features: features}))
	must(tb, p.a.EnableMirroring(tb.Context(), ref, mode))
	return ref
}

// settled waits until site-b has all that the image holds at site-a. It asks
// the images, as reports come up to half a minute late.
func (p pair) settled(tb testing.TB, ref replay.ImageRef) {
	tb.Helper()
	await(tb, ref.String()+" arrives at site-b", func() (bool, error) {
		a, err := p.a.Image(tb.Context(), ref)
		if err != nil {
			return false, err
		}
		b, err := p.b.Image(tb.Context(), ref)
		if err != nil {
			return false, err
		}
		if a.Mode == replay.ModeSnapshot {
			return newestMirrored(b).PrimaryID == newestID(a) && newestMirrored(b).Complete, nil
		}
		return followed(*a.Journal), nil
	})
}

func newestID(image replay.Image) (id uint64) {
	for _, s := range image.Snapshots {
		if s.Mirror != nil {
			id = s.ID
		}
	}
	return id
}

func newestMirrored(image replay.Image) (m replay.MirrorSnapshot) {
	for _, s := range image.Snapshots {
		if s.Mirror != nil {
			m = *s.Mirror
		}
	}
	return m
}

// followed reports whether a peer has committed all that the primary has.
func followed(j replay.Journal) bool {
	local, _ := j.Client("")
	want, _ := local.Newest()
	for _, c := range j.Clients {
		if got, _ := c.Newest(); c.ID != "" && !c.Syncing && got == want {
			return true
		}
	}
	return false
}

// demoted waits until the demotion of site-a has come to site-b.
func (p pair) demoted(tb testing.TB, ref replay.ImageRef) {
	tb.Helper()
	must(tb, p.a.Demote(tb.Context(), ref))
	await(tb, "the demotion comes to site-b", func() (bool, error) {
		image, err := p.b.Image(tb.Context(), ref)
		return image.Demoted, err
	})
}

// TestRoles leads an image of each mode through every role and compares what
// the bulk reading makes of omap with what librbd says of the opened image, at
// both sites.
func TestRoles(t *testing.T) {
	p := newPair(t)
	ctx := t.Context()
	space := replay.Pool{Name: p.pool.Name, Namespace: "tenant"}
	for _, s := range []*ceph.Site{p.a, p.b} {
		must(t, s.CreateNamespace(ctx, space))
		must(t, s.CreateNamespace(ctx, space)) // one that exists is no error
	}
	p.join(t, space)
	for _, pool := range []replay.Pool{p.pool, space} {
		for _, mode := range bothModes {
			t.Run(fmt.Sprintf("%s/%s", pool.Namespace, mode), func(t *testing.T) {
				t.Parallel()
				ref := p.newImage(t, pool, "roles-"+string(mode), mode)
				p.settled(t, ref)
				p.expect(t, "enabled", ref, replay.RolePrimary, false, replay.RoleSecondary, false)
				p.demoted(t, ref)
				p.expect(t, "demoted", ref, replay.RoleSecondary, true, replay.RoleSecondary, true)
				await(t, "promote at site-b", func() (bool, error) { err := p.b.Promote(t.Context(), ref, false); return err == nil, err })
				p.expectAt(t, "promoted at b", p.b, ref, replay.RolePrimary, false)
				// Refused for a moment while rbd-mirror holds the copy.
				await(t, "promote at site-a by force", func() (bool, error) { err := p.a.Promote(t.Context(), ref, true); return err == nil, err })
				p.expect(t, "both primary", ref, replay.RolePrimary, false, replay.RolePrimary, false)
			})
		}
	}
}

func (p pair) expect(t *testing.T, step string, ref replay.ImageRef, roleA replay.Role, demotedA bool, roleB replay.Role, demotedB bool) {
	t.Helper()
	p.expectAt(t, step, p.a, ref, roleA, demotedA)
	p.expectAt(t, step, p.b, ref, roleB, demotedB)
}

func (p pair) expectAt(t *testing.T, step string, s *ceph.Site, ref replay.ImageRef, role replay.Role, demoted bool) {
	t.Helper()
	info := rbdInfo(t, s.Name(), ref)
	for _, detail := range []replay.Detail{0, replay.WithHeader, replay.WithPositions} {
		image := find(t, s, ref, detail)
		if image.Role != role || image.Demoted != demoted {
			t.Errorf("%s: %s, detail %d: role %s, demoted %v; want %s, %v", step, s.Name(), detail, image.Role, image.Demoted, role, demoted)
		}
		if primary := image.Role == replay.RolePrimary; primary != info.Mirroring.Primary {
			t.Errorf("%s: %s: primary %v, librbd says %v", step, s.Name(), primary, info.Mirroring.Primary)
		}
		if image.GlobalID != info.Mirroring.GlobalID || string(image.State) != info.Mirroring.State || string(image.Mode) != info.Mirroring.Mode {
			t.Errorf("%s: %s: %+v, librbd says %+v", step, s.Name(), image, info.Mirroring)
		}
	}
	// Neither demotions nor promotions by hand go on while this is compared.
	one, err := s.Image(t.Context(), ref)
	must(t, err)
	if one.Role != role || one.Demoted != demoted {
		t.Errorf("%s: %s: the single image is %s, demoted %v", step, s.Name(), one.Role, one.Demoted)
	}
}

func find(tb testing.TB, s *ceph.Site, ref replay.ImageRef, detail replay.Detail) replay.Image {
	tb.Helper()
	images, err := s.Images(tb.Context(), ref.Pool, detail)
	must(tb, err)
	for _, image := range images {
		if image.Ref == ref {
			return image
		}
	}
	tb.Fatalf("%s: no %s among %d images", s.Name(), ref, len(images))
	return replay.Image{}
}

// rbdInfoOutput is `rbd info --format json`.
type rbdInfoOutput struct {
	ID         string   `json:"id"`
	Size       uint64   `json:"size"`
	ObjectSize uint64   `json:"object_size"`
	Features   []string `json:"features"`
	Parent     *struct {
		Pool      string `json:"pool"`
		Namespace string `json:"pool_namespace"`
		Image     string `json:"image"`
	} `json:"parent"`
	Mirroring struct {
		Mode     string `json:"mode"`
		GlobalID string `json:"global_id"`
		State    string `json:"state"`
		Primary  bool   `json:"primary"`
	} `json:"mirroring"`
}

func rbdInfo(tb testing.TB, site string, ref replay.ImageRef) rbdInfoOutput {
	tb.Helper()
	var info rbdInfoOutput
	must(tb, json.Unmarshal(rbd(tb, site, "info --format json "+ref.String()), &info))
	return info
}

func diff(tb testing.TB, what string, want, got any) {
	tb.Helper()
	if d := cmp.Diff(want, got); d != "" {
		tb.Errorf("%s (-want +got):\n%s", what, d)
	}
}
