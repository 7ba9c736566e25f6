package sitetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/drover-io/drover/replay"
)

// acquainted complains unless A lists B with the mirror uuid that B has.
func (s *suite) acquainted(t *testing.T, pool replay.Pool) error {
	there, err := s.B.PoolMirroring(t.Context(), pool)
	if err != nil {
		return err
	}
	here, err := s.A.PoolMirroring(t.Context(), pool)
	if err != nil {
		return err
	}
	for _, p := range here.Peers {
		if p.MirrorUUID == there.UUID && p.SiteName == s.B.Name() {
			return nil
		}
	}
	return fmt.Errorf("%s lists %d peers, none with %s", s.A.Name(), len(here.Peers), there.UUID)
}

func (s *suite) cluster(t *testing.T) {
	a, err := s.A.Identity(t.Context())
	ok(t, err)
	b, err := s.B.Identity(t.Context())
	ok(t, err)
	if a.FSID == "" || a.FSID == b.FSID || a.Release == "" {
		t.Fatalf("identities %+v and %+v", a, b)
	}
	pools, err := s.A.ListPools(t.Context())
	ok(t, err)
	if !slices.Contains(pools, s.pool("modes").Name) {
		t.Fatalf("pools %q lack one that was made", pools)
	}
	name, err := s.A.SiteName(t.Context())
	ok(t, err)
	if name != s.A.Name() {
		t.Fatalf("site name %q, want %q", name, s.A.Name())
	}
	ok(t, s.A.SetSiteName(t.Context(), name))
	if n := s.A.Abandoned(); n != 0 {
		t.Fatalf("%d calls abandoned", n)
	}
}

func (s *suite) modes(t *testing.T) {
	pool := s.pool("modes")
	check := func(want replay.PoolMode) {
		t.Helper()
		m, err := s.A.PoolMirroring(t.Context(), pool)
		ok(t, err)
		if m.Mode != want {
			t.Fatalf("mode %s, want %s", m.Mode, want)
		}
		if known := m.UUID != ""; known != (want != replay.PoolDisabled) {
			t.Fatalf("mode %s with mirror uuid %q", want, m.UUID)
		}
	}
	set := func(mode replay.PoolMode) {
		t.Helper()
		ok(t, s.A.SetPoolMode(t.Context(), pool, mode))
		check(mode)
	}
	ctx := t.Context()
	check(replay.PoolDisabled)
	set(replay.PoolDisabled)
	_, err := s.A.CreateBootstrapToken(ctx, pool)
	wants(t, err, replay.ErrInvalid, s.A)
	i := s.made(t, pool, "plain", replay.ModeJournal)
	wants(t, s.A.EnableMirroring(ctx, i.ref, replay.ModeJournal), replay.ErrInvalid, s.A)
	ok(t, s.A.EnableFeatures(ctx, i.ref, replay.FeatureJournaling))

	set(replay.PoolPool)
	if img := i.at(s.A); img.Role != replay.RolePrimary || img.Mode != replay.ModeJournal {
		t.Fatalf("in pool mode a journaled image is %s, %s", img.Role, img.Mode)
	}
	late := s.made(t, pool, "late", replay.ModeJournal)
	wants(t, s.A.EnableMirroring(ctx, late.ref, replay.ModeJournal), replay.ErrInvalid, s.A)
	wants(t, s.A.DisableMirroring(ctx, i.ref, false), replay.ErrInvalid, s.A)
	ok(t, s.A.EnableFeatures(ctx, late.ref, replay.FeatureJournaling))
	if !late.at(s.A).Mirrored() {
		t.Fatal("journaling switched on in pool mode did not enable mirroring")
	}
	ok(t, s.A.DisableFeatures(ctx, late.ref, replay.FeatureJournaling))
	if late.at(s.A).Mirrored() {
		t.Fatal("journaling switched off in pool mode did not disable mirroring")
	}

	set(replay.PoolImage)
	set(replay.PoolImage)
	if !i.at(s.A).Mirrored() {
		t.Fatal("the change from pool to image mode disabled an image")
	}
	wants(t, s.A.SetPoolMode(ctx, pool, replay.PoolDisabled), replay.ErrInvalid, s.A)
	set(replay.PoolPool)
	set(replay.PoolDisabled)
	if i.at(s.A).Mirrored() {
		t.Fatal("an image outlived the mirroring of its pool")
	}
	missing := replay.Pool{Name: "no-such-" + s.name}
	wants(t, s.A.SetPoolMode(ctx, missing, replay.PoolImage), replay.ErrNotFound, s.A)
	_, err = s.A.PoolMirroring(ctx, missing)
	wants(t, err, replay.ErrNotFound, s.A)
	_, err = s.A.Images(ctx, missing, 0)
	wants(t, err, replay.ErrNotFound, s.A)
	_, err = s.A.Reports(ctx, missing)
	wants(t, err, replay.ErrNotFound, s.A)
}

// only is the single peer that a site lists.
func (s *suite) only(t *testing.T, site replay.Site, pool replay.Pool) replay.Peer {
	t.Helper()
	m, err := site.PoolMirroring(t.Context(), pool)
	ok(t, err)
	if len(m.Peers) != 1 {
		t.Fatalf("%s lists %d peers, want one: %+v", site.Name(), len(m.Peers), m.Peers)
	}
	return m.Peers[0]
}

func (s *suite) peers(t *testing.T) {
	ctx, pool := t.Context(), s.pool("peers")
	byConf := replay.Peer{SiteName: s.B.Name(), Client: "client.admin", Direction: replay.RxTx}
	_, err := s.A.AddPeer(ctx, pool, byConf)
	wants(t, err, replay.ErrInvalid, s.A)
	ok(t, s.A.SetPoolMode(ctx, pool, replay.PoolImage))

	// By conf file.
	uuid, err := s.A.AddPeer(ctx, pool, byConf)
	ok(t, err)
	p := s.only(t, s.A, pool)
	if p.UUID != uuid || p.SiteName != byConf.SiteName || p.Client != byConf.Client || p.Direction != replay.RxTx {
		t.Fatalf("added %+v as %s, listed %+v", byConf, uuid, p)
	}
	wants(t, s.A.SetPoolMode(ctx, pool, replay.PoolDisabled), replay.ErrBusy, s.A)
	p.Client, p.Direction = "client.other", replay.RxOnly
	ok(t, s.A.UpdatePeer(ctx, pool, p))
	if got := s.only(t, s.A, pool); got.Client != p.Client || got.Direction != p.Direction {
		t.Fatalf("updated to %+v, listed %+v", p, got)
	}
	gone := p
	gone.UUID = "11111111-2222-3333-4444-555555555555"
	wants(t, s.A.UpdatePeer(ctx, pool, gone), replay.ErrNotFound, s.A)
	ok(t, s.A.RemovePeer(ctx, pool, p.UUID))
	ok(t, s.A.RemovePeer(ctx, pool, p.UUID))
	s.tokens(t, pool)
}

// tokens goes on with a pool that is mirrored at A and has no peers.
func (s *suite) tokens(t *testing.T, pool replay.Pool) {
	ctx := t.Context()
	token, err := s.A.CreateBootstrapToken(ctx, pool)
	ok(t, err)
	again, err := s.A.CreateBootstrapToken(ctx, pool)
	ok(t, err)
	if token == "" || token != again {
		t.Fatal("a second token differs from the first")
	}
	wants(t, s.A.ImportBootstrapToken(ctx, pool, replay.RxOnly, token), replay.ErrInvalid, s.A)
	wants(t, s.B.ImportBootstrapToken(ctx, pool, replay.RxOnly, "bm90IGEgdG9rZW4="), replay.ErrInvalid, s.B)

	ok(t, s.B.SetPoolMode(ctx, pool, replay.PoolImage))
	ok(t, s.B.ImportBootstrapToken(ctx, pool, replay.RxOnly, token))
	p := s.only(t, s.B, pool)
	if p.SiteName != s.A.Name() || p.Direction != replay.RxOnly || p.Client != "client.rbd-mirror-peer" || p.MonHost == "" || p.Key == "" {
		t.Fatalf("imported one way, listed %+v with mon host %q, a key: %v", p, p.MonHost, p.Key != "")
	}
	ok(t, s.B.ImportBootstrapToken(ctx, pool, replay.RxTx, token))
	s.eventually(t, "a peer that was one-way is two-way after the other side's daemon has called", func() error {
		got := s.only(t, s.B, pool)
		if got.UUID != p.UUID {
			t.Fatalf("imported both ways over %+v, listed %+v", p, got)
		}
		if got.Direction != replay.RxTx {
			return fmt.Errorf("it is %s", got.Direction)
		}
		return nil
	})
	if back := s.only(t, s.A, pool); back.Direction != replay.RxTx || back.SiteName != s.B.Name() {
		t.Fatalf("imported both ways, the other site lists %+v", back)
	}
	// What is there already is not made narrower, and nothing is doubled.
	ok(t, s.B.ImportBootstrapToken(ctx, pool, replay.RxOnly, token))
	if got := s.only(t, s.B, pool); got.Direction != replay.RxTx {
		t.Fatalf("imported one way over both ways, listed %+v", got)
	}
	for _, site := range []replay.Site{s.A, s.B} {
		ok(t, site.RemovePeer(ctx, pool, s.only(t, site, pool).UUID))
	}
}

func (s *suite) namespaces(t *testing.T, inner replay.Pool) {
	ctx := t.Context()
	for _, site := range []replay.Site{s.A, s.B} {
		ok(t, site.CreateNamespace(ctx, inner))
		ok(t, site.CreateNamespace(ctx, inner))
		names, err := site.Namespaces(ctx, inner.Name)
		ok(t, err)
		if !slices.Equal(names, []string{inner.Namespace}) {
			t.Fatalf("namespaces %q", names)
		}
		m, err := site.PoolMirroring(ctx, inner)
		ok(t, err)
		if m.Mode != replay.PoolDisabled {
			t.Fatalf("a new namespace has mode %s", m.Mode)
		}
	}
	missing := replay.Pool{Name: "no-such-" + s.name, Namespace: "x"}
	wants(t, s.A.CreateNamespace(ctx, missing), replay.ErrNotFound, s.A)
	if _, err := s.A.Namespaces(ctx, missing.Name); !errors.Is(err, replay.ErrNotFound) {
		t.Fatalf("namespaces of a missing pool: %v", err)
	}
	// Peers and mirror uuid are those of the pool: only the mode is its own.
	for _, site := range []replay.Site{s.A, s.B} {
		ok(t, site.SetPoolMode(ctx, inner, replay.PoolImage))
		outer, err := site.PoolMirroring(ctx, replay.Pool{Name: inner.Name})
		ok(t, err)
		m, err := site.PoolMirroring(ctx, inner)
		ok(t, err)
		if m.Mode != replay.PoolImage || m.UUID != outer.UUID || !slices.Equal(m.Peers, outer.Peers) {
			t.Fatalf("a namespace of %+v: %+v", outer, m)
		}
	}
}
