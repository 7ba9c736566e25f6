package orchestrator

import (
	"context"

	"github.com/drover-io/drover/replay"
)

// guarded are the sites as a session uses them: nothing is changed at one that
// the session has not been admitted to, and the session learns when this process
// has been shut out.
func (s *Sites) guarded(session *Session) *Sites {
	out := &Sites{entries: append([]siteEntry(nil), s.entries...), open: s.open, hands: s.hands, clock: s.clock}
	for i := range out.entries {
		if e := &out.entries[i]; e.site != nil {
			e.site = guardedSite{Site: e.site, session: session}
		}
	}
	return out
}

// guardedSite is a site of which every call that changes it passes the session.
// Shutting out other clients needs no admission: it is what admission is made
// of. Nor do records and leases, which are the book's.
type guardedSite struct {
	Site
	session *Session
}

func (g guardedSite) change(ctx context.Context, do func() error) error {
	if err := g.session.Admit(ctx, g.Name()); err != nil {
		return notAdmitted{err}
	}
	err := do()
	if silent(err) {
		g.session.hangs(g.Name())
	}
	g.session.saw(err)
	return err
}

func changed[T any](ctx context.Context, g guardedSite, do func() (T, error)) (out T, err error) {
	err = g.change(ctx, func() (err error) {
		out, err = do()
		return err
	})
	return out, err
}

func (g guardedSite) CreateNamespace(ctx context.Context, pool replay.Pool) error {
	return g.change(ctx, func() error { return g.Site.CreateNamespace(ctx, pool) })
}

func (g guardedSite) SetSiteName(ctx context.Context, name string) error {
	return g.change(ctx, func() error { return g.Site.SetSiteName(ctx, name) })
}

func (g guardedSite) SetPoolMode(ctx context.Context, pool replay.Pool, mode replay.PoolMode) error {
	return g.change(ctx, func() error { return g.Site.SetPoolMode(ctx, pool, mode) })
}

func (g guardedSite) CreateBootstrapToken(ctx context.Context, pool replay.Pool) (replay.Token, error) {
	return changed(ctx, g, func() (replay.Token, error) { return g.Site.CreateBootstrapToken(ctx, pool) })
}

func (g guardedSite) ImportBootstrapToken(ctx context.Context, pool replay.Pool, direction replay.Direction, token replay.Token) error {
	return g.change(ctx, func() error { return g.Site.ImportBootstrapToken(ctx, pool, direction, token) })
}

func (g guardedSite) AddPeer(ctx context.Context, pool replay.Pool, peer replay.Peer) (string, error) {
	return changed(ctx, g, func() (string, error) { return g.Site.AddPeer(ctx, pool, peer) })
}

func (g guardedSite) UpdatePeer(ctx context.Context, pool replay.Pool, peer replay.Peer) error {
	return g.change(ctx, func() error { return g.Site.UpdatePeer(ctx, pool, peer) })
}

func (g guardedSite) RemovePeer(ctx context.Context, pool replay.Pool, uuid string) error {
	return g.change(ctx, func() error { return g.Site.RemovePeer(ctx, pool, uuid) })
}

func (g guardedSite) CreateImage(ctx context.Context, ref replay.ImageRef, spec replay.ImageSpec) error {
	return g.change(ctx, func() error { return g.Site.CreateImage(ctx, ref, spec) })
}

func (g guardedSite) EnableFeatures(ctx context.Context, ref replay.ImageRef, features replay.Features) error {
	return g.change(ctx, func() error { return g.Site.EnableFeatures(ctx, ref, features) })
}

func (g guardedSite) RemoveImage(ctx context.Context, ref replay.ImageRef) error {
	return g.change(ctx, func() error { return g.Site.RemoveImage(ctx, ref) })
}

func (g guardedSite) EnableMirroring(ctx context.Context, ref replay.ImageRef, mode replay.MirrorMode) error {
	return g.change(ctx, func() error { return g.Site.EnableMirroring(ctx, ref, mode) })
}

func (g guardedSite) DisableMirroring(ctx context.Context, ref replay.ImageRef, force bool) error {
	return g.change(ctx, func() error { return g.Site.DisableMirroring(ctx, ref, force) })
}

func (g guardedSite) Promote(ctx context.Context, ref replay.ImageRef, force bool) error {
	return g.change(ctx, func() error { return g.Site.Promote(ctx, ref, force) })
}

func (g guardedSite) Demote(ctx context.Context, ref replay.ImageRef) error {
	return g.change(ctx, func() error { return g.Site.Demote(ctx, ref) })
}

func (g guardedSite) DemoteUnused(ctx context.Context, ref replay.ImageRef, allow func([]replay.ImageUser) error) error {
	return g.change(ctx, func() error { return g.Site.DemoteUnused(ctx, ref, allow) })
}

func (g guardedSite) Resync(ctx context.Context, ref replay.ImageRef) error {
	return g.change(ctx, func() error { return g.Site.Resync(ctx, ref) })
}

func (g guardedSite) CreateMirrorSnapshot(ctx context.Context, ref replay.ImageRef) (uint64, error) {
	return changed(ctx, g, func() (uint64, error) { return g.Site.CreateMirrorSnapshot(ctx, ref) })
}

func (g guardedSite) Announce(ctx context.Context, ref replay.ImageRef) error {
	return g.change(ctx, func() error { return g.Site.Announce(ctx, ref) })
}

func (g guardedSite) FinishPromotion(ctx context.Context, ref replay.ImageRef) error {
	return g.change(ctx, func() error { return g.Site.FinishPromotion(ctx, ref) })
}

func (g guardedSite) CreateSnapshot(ctx context.Context, ref replay.ImageRef, name string) error {
	return g.change(ctx, func() error { return g.Site.CreateSnapshot(ctx, ref, name) })
}

func (g guardedSite) RemoveSnapshot(ctx context.Context, ref replay.ImageRef, name string) error {
	return g.change(ctx, func() error { return g.Site.RemoveSnapshot(ctx, ref, name) })
}

func (g guardedSite) CloneSnapshot(ctx context.Context, ref replay.ImageRef, snapshot string, clone replay.ImageRef) error {
	return g.change(ctx, func() error { return g.Site.CloneSnapshot(ctx, ref, snapshot, clone) })
}

func (g guardedSite) RenameImage(ctx context.Context, ref replay.ImageRef, name string) error {
	return g.change(ctx, func() error { return g.Site.RenameImage(ctx, ref, name) })
}

func (g guardedSite) OpenWriter(ctx context.Context, ref replay.ImageRef) (replay.Writer, error) {
	writer, err := changed(ctx, g, func() (replay.Writer, error) { return g.Site.OpenWriter(ctx, ref) })
	if err == nil {
		g.session.hangs(g.Name()) // what is written through it does not pass here
	}
	return writer, err
}

func (g guardedSite) AddMirrorSchedule(ctx context.Context, s replay.MirrorSchedule) error {
	return g.change(ctx, func() error { return g.Site.AddMirrorSchedule(ctx, s) })
}

func (g guardedSite) RemoveMirrorSchedule(ctx context.Context, s replay.MirrorSchedule) error {
	return g.change(ctx, func() error { return g.Site.RemoveMirrorSchedule(ctx, s) })
}
