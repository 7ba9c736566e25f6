package orchestrator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// countedSite counts the bulk looks at a pool, and says when an image is first read
// by itself, as for evidence.
type countedSite struct {
	orchestrator.Site
	lists *atomic.Int64
	read  func()
}

func (s countedSite) Images(ctx context.Context, pool replay.Pool, detail replay.Detail) ([]replay.Image, error) {
	s.lists.Add(1)
	return s.Site.Images(ctx, pool, detail)
}

func (s countedSite) Image(ctx context.Context, ref replay.ImageRef) (replay.Image, error) {
	s.read()
	return s.Site.Image(ctx, ref)
}

// TestHaltSplitHaltsAllFirst records every halt, and stops every replay, before it
// looks for evidence; and whoever interrupts it then loses only evidence.
func TestHaltSplitHaltsAllFirst(t *testing.T) {
	const images = 40
	for name, interrupt := range map[string]bool{"left alone": false, "interrupted": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				plan := twoWay + "groups:\n  - name: db\n    images: [{pool: rbd, name: vm-1}"
				for i := range images {
					plan += fmt.Sprintf(", {pool: rbd, name: volume-%d}", i)
				}
				b := moving(t, plan+"]\n", images)
				for i := range images {
					b.must(b.world.Site("b").Promote(t.Context(), ref(fmt.Sprintf("volume-%d", i)), true))
				}
				time.Sleep(5 * time.Minute)
				all := b.steer()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var lists, early atomic.Int64
				inner := b.open
				b.open = func(ctx context.Context, s plans.Site) (orchestrator.Site, error) {
					site, err := inner(ctx, s)
					return countedSite{site, &lists, func() {
						for i := range images {
							if !all.stands(fmt.Sprintf("b rbd/volume-%d", i)) {
								early.Add(1)
							}
						}
						if interrupt {
							cancel()
						}
					}}, err
				}
				sites := b.sites(t.Context())
				defer b.close(sites)
				halts, err := orchestrator.HaltSplit(ctx, b.plan, sites)
				if b.must(err); len(halts) != images {
					t.Fatalf("%d halts", len(halts))
				}
				if early.Load() > 0 {
					t.Errorf("evidence was looked for while %d still replayed", early.Load())
				}
				if !all.stands("b rbd/vm-1") || !all.stands("a rbd/vm-1") {
					t.Error("the replay of the group's healthy member goes on")
				}
				if n := lists.Load(); n > 6 {
					t.Errorf("%d looks at whole pools", n)
				}
				book, err := orchestrator.ReadBook(t.Context(), b.plan, sites)
				b.must(err)
				recorded := book.Halts()
				if len(recorded) != images {
					t.Fatalf("%d halts are recorded", len(recorded))
				}
				for _, h := range recorded {
					if with := json.Valid(h.Evidence) && strings.Contains(string(h.Evidence), h.Images[0].Name); with == interrupt {
						t.Errorf("%s: evidence %q", h.Images[0], h.Evidence)
					}
				}
			})
		})
	}
}

// TestHaltSplitInterruptedBefore halts nothing that was not seen twice.
func TestHaltSplitInterruptedBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 1)
		b.must(b.world.Site("b").Promote(t.Context(), ref("vm-1"), true))
		time.Sleep(5 * time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		sites := b.sites(t.Context())
		defer b.close(sites)
		if halts, err := orchestrator.HaltSplit(ctx, b.plan, sites); len(halts) > 0 || !errors.Is(err, orchestrator.ErrInterrupted) {
			t.Errorf("%+v %v", halts, err)
		}
	})
}

// TestReturnedAndDemotedByHand is a copy that a failover gave up and that somebody
// has demoted: it stays quarantined, nothing halts it, and failback brings it back.
func TestReturnedAndDemotedByHand(t *testing.T) {
	for image, plan := range map[string]string{"volume-0": twoWay, "vm-1": snapshotsTwoWay} {
		t.Run(image, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, plan, 1)
				b.world.Vanish("a")
				scope := orchestrator.Scope{Images: []string{image}}
				_, r, err := b.failover(orchestrator.FailoverOptions{To: "b", From: "a", Reason: "fire", Scope: scope})
				if err != nil {
					t.Fatalf("%v\n%s", err, story(r))
				}
				b.world.Return("a")
				b.must(b.world.Write("a", ref(image), 4096, []byte("after the fire")))
				b.must(b.world.Write("b", ref(image), 4096, []byte("since the fire")))
				b.must(b.world.Site("a").Demote(t.Context(), ref(image)))
				time.Sleep(5 * time.Minute)
				status := b.status(orchestrator.StatusOptions{})
				var seen *orchestrator.ImageStatus
				for i := range status.Images {
					if status.Images[i].Ref == ref(image) {
						seen = &status.Images[i]
					}
				}
				if seen == nil || seen.Quarantined != "a" || seen.State != replay.Degraded || seen.Primary != "b" {
					t.Fatalf("%+v", seen)
				}
				for _, p := range seen.Problems {
					if p.Code == orchestrator.ProblemQuarantined && !strings.Contains(p.Next, "drover failback plan.yaml") {
						t.Errorf("next: %s", p.Next)
					}
					if p.Severity == replay.SeverityCritical {
						t.Errorf("still told: %+v", p)
					}
				}
				if halts, err := b.haltSplit(); err != nil || len(halts) > 0 {
					t.Errorf("halted: %+v %v", halts, err)
				}
				_, r, err = b.failback(orchestrator.FailbackOptions{To: "a", Reason: "a is back", Scope: scope})
				if err != nil || r.Outcome != orchestrator.RunDone {
					t.Fatalf("%v\n%s", err, story(r))
				}
				b.roles(ref(image), replay.RolePrimary, replay.RoleSecondary)
				if got := b.content("a", ref(image)); !strings.HasPrefix(got, "since the fire") {
					t.Errorf("a holds %q", got)
				}
			})
		})
	}
}
