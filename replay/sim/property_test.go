package sim_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// TestAnyHistory runs random histories of two images over two sites and checks
// what always has to hold: an error is a *replay.Error; a write never succeeds
// on a copy; a world that is saved and read goes on the same way; and a copy
// that its daemon says it replays comes to hold what the primary holds.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := sim.Pair(sim.Options{Seed: 1}, "a", "b", "rbd")
		h := &history{w: w, ctx: context.Background(), refs: []replay.ImageRef{vm.Image("j"), vm.Image("s")}}
		for _, name := range w.Sites() {
			h.may(t, w.Site(name).SetSiteName(h.ctx, name))
			h.may(t, w.Site(name).SetPoolMode(h.ctx, vm.Pool, replay.PoolImage))
			w.StartDaemon(name)
		}
		token, err := w.Site("a").CreateBootstrapToken(h.ctx, vm.Pool)
		h.may(t, err)
		h.may(t, w.Site("b").ImportBootstrapToken(h.ctx, vm.Pool, replay.RxTx, token))
		w.Advance(time.Second)
		for k, ref := range h.refs {
			h.may(t, w.Site("a").CreateImage(h.ctx, ref, replay.ImageSpec{Size: 1 << 20, Features: replay.FeatureExclusiveLock}))
			h.may(t, w.Site("a").EnableMirroring(h.ctx, ref, []replay.MirrorMode{replay.ModeJournal, replay.ModeSnapshot}[k]))
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			h.step(t)
		}
		h.end(t)
	})
}

type history struct {
	w    *sim.World
	ctx  context.Context
	refs []replay.ImageRef
}

// may lets a call fail, but only in the one way.
func (h *history) may(t *rapid.T, err error) {
	var e *replay.Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("%v is a %T", err, err)
	}
}

func (h *history) step(t *rapid.T) {
	site := rapid.SampledFrom(h.w.Sites()).Draw(t, "site")
	ref := rapid.SampledFrom(h.refs).Draw(t, "image")
	s := h.w.Site(site)
	switch rapid.SampledFrom([]string{
		"write", "write", "wait", "wait", "mark", "promote", "force", "demote", "resync", "snap", "unsnap",
		"disable", "enable", "kill", "stop", "start", "start", "halt", "resume", "sever", "mend", "reload",
	}).Draw(t, "what") {
	case "write":
		img, err := s.Image(h.ctx, ref)
		data := fmt.Appendf(nil, "written at %s as %d", site, rapid.IntRange(0, 9).Draw(t, "data"))
		wrote := h.w.Write(site, ref, uint64(rapid.IntRange(0, 1<<19).Draw(t, "offset")), data)
		h.may(t, wrote)
		if err == nil && img.Role == replay.RoleSecondary && wrote == nil {
			t.Fatalf("a secondary was written to: %+v", img)
		}
	case "wait":
		h.w.Advance(time.Duration(rapid.IntRange(1, 70000).Draw(t, "ms")) * time.Millisecond)
	case "mark":
		_, err := s.CreateMirrorSnapshot(h.ctx, ref)
		h.may(t, err)
	case "promote":
		h.may(t, s.Promote(h.ctx, ref, false))
	case "force":
		h.may(t, s.Promote(h.ctx, ref, true))
	case "demote":
		h.may(t, s.Demote(h.ctx, ref))
	case "resync":
		h.may(t, s.Resync(h.ctx, ref))
	case "snap":
		h.may(t, s.CreateSnapshot(h.ctx, ref, "user"))
	case "unsnap":
		h.may(t, s.RemoveSnapshot(h.ctx, ref, "user"))
	case "disable":
		h.may(t, s.DisableMirroring(h.ctx, ref, rapid.Bool().Draw(t, "force")))
	case "enable":
		h.may(t, s.EnableMirroring(h.ctx, ref, rapid.SampledFrom([]replay.MirrorMode{replay.ModeJournal, replay.ModeSnapshot}).Draw(t, "mode")))
	case "kill":
		h.w.KillDaemon(site)
	case "stop":
		h.w.StopDaemon(site)
	case "start":
		h.w.StartDaemon(site)
	case "halt":
		h.may(t, h.w.HaltReplay(site, ref))
	case "resume":
		h.may(t, h.w.ResumeReplay(site, ref))
	case "sever":
		h.w.Sever(site, other(site))
	case "mend":
		h.w.Mend(site, other(site))
	case "reload":
		h.reload(t)
	}
}

func other(site string) string {
	if site == "a" {
		return "b"
	}
	return "a"
}

func (h *history) reload(t *rapid.T) {
	var b strings.Builder
	h.may(t, h.w.Save(&b))
	again, err := sim.Load(strings.NewReader(b.String()), nil)
	if err != nil {
		t.Fatal(err)
	}
	h.w.Advance(time.Minute)
	again.Advance(time.Minute)
	var one, two strings.Builder
	h.may(t, h.w.Save(&one))
	h.may(t, again.Save(&two))
	if one.String() != two.String() {
		t.Fatalf("saved and read, the world goes another way:\n%s\n%s", one.String(), two.String())
	}
	h.w = again
}

// end lets the daemons come to rest and compares.
func (h *history) end(t *rapid.T) {
	for _, site := range h.w.Sites() {
		h.w.Mend(site, other(site))
		h.w.StartDaemon(site)
	}
	h.w.Advance(2 * time.Minute)
	for _, ref := range h.refs {
		for _, site := range h.w.Sites() {
			h.compare(t, site, ref)
		}
	}
}

func (h *history) compare(t *rapid.T, primary string, ref replay.ImageRef) {
	p, err := h.w.Site(primary).Image(h.ctx, ref)
	if err != nil || p.Role != replay.RolePrimary {
		return
	}
	if p.Mode == replay.ModeSnapshot {
		if _, err := h.w.Site(primary).CreateMirrorSnapshot(h.ctx, ref); err != nil {
			return // it lost its peer
		}
		h.w.Advance(time.Minute)
	}
	reports, err := h.w.Site(other(primary)).Reports(h.ctx, ref.Pool)
	h.may(t, err)
	for _, r := range reports {
		if r.Ref != ref || r.MirrorUUID != "" || r.State != replay.ReportReplaying || !r.Up || r.GlobalID != p.GlobalID {
			continue
		}
		if a, b := h.bytes(t, primary, ref), h.bytes(t, other(primary), ref); a != b {
			t.Fatalf("%s replays %s and holds something else", other(primary), ref)
		}
	}
}

func (h *history) bytes(t *rapid.T, site string, ref replay.ImageRef) string {
	r, err := h.w.Site(site).OpenSnapshot(h.ctx, ref, "")
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, r.Size())
	if _, err := r.ReadAt(h.ctx, b, 0); err != nil {
		t.Fatal(err)
	}
	return string(b)
}
