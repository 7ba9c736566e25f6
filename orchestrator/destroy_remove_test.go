package orchestrator_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// withoutCopies are the options of a destroy that removes the copies.
var withoutCopies = orchestrator.DestroyOptions{DeleteSecondaryData: true, Reason: "not needed"}

// TestBoundCopyStaysMirrored wants a copy that cannot be removed left in
// mirroring, and removed once it can be.
func TestBoundCopyStaysMirrored(t *testing.T) {
	image := ref("volume-7")
	cases := []struct {
		name string
		bind func(b *bed)
		free func(b *bed)
		says string
	}{
		{"clone", func(b *bed) {
			b.must(b.world.Site("a").CreateSnapshot(b.t.Context(), image, "base"))
			time.Sleep(2 * time.Hour)
			b.must(b.world.Clone("b", image, "base", ref("mine")))
		}, func(b *bed) { b.must(b.world.Site("b").RemoveImage(b.t.Context(), ref("mine"))) }, "has clones: rbd/mine"},
		{
			"client", func(b *bed) { b.must(b.world.Attach("b", image, client(1), false)) },
			func(b *bed) { b.must(b.world.Detach("b", image)) }, "is in use: client.1",
		},
	}
	for _, form := range []struct{ name, plan string }{{"journal", twoWay}, {"snapshots", snapshots}} {
		for _, c := range cases {
			t.Run(form.name+"/"+c.name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					b := newBed(t, form.plan)
					b.image("a", image, plain)
					b.applied()
					c.bind(b)
					result, err := b.destroy(withoutCopies)
					if !errors.Is(err, orchestrator.ErrRefused) || !strings.Contains(err.Error(), c.says) {
						t.Errorf("want %q: %v\n%s", c.says, err, outcomes(result))
					}
					if here, there := b.role("a", image), b.role("b", image); here != replay.RolePrimary || there != replay.RoleSecondary {
						t.Errorf("the image is %s, its copy %s", here, there)
					}
					if role := b.role("b", ref("vm-1")); role != "absent" {
						t.Errorf("the copy of vm-1 is %s", role)
					}
					c.free(b)
					b.destroyed(withoutCopies)
					if role := b.role("b", image); role != "absent" {
						t.Errorf("the copy is %s", role)
					}
				})
			})
		}
	}
}

// TestRemovalIsFinished wants a removal that failed after the copy had been taken
// out of mirroring finished by the next destroy, and only as long as the image
// that it was a copy of is what it was.
func TestRemovalIsFinished(t *testing.T) {
	image := ref("volume-7")
	cases := []struct {
		name      string
		meanwhile func(b *bed)
		kept      string // what is said; "": it is removed
		fails     error
	}{
		{name: "as it was", meanwhile: func(*bed) {}},
		{name: "image not mirrored any more", meanwhile: func(b *bed) {
			b.must(b.world.Site("a").DisableMirroring(b.t.Context(), image, false))
		}, kept: "nothing tells whether it is a copy", fails: orchestrator.ErrRefused},
		{name: "mirrored anew", meanwhile: func(b *bed) {
			b.must(b.world.Site("a").DisableMirroring(b.t.Context(), image, false))
			b.must(b.world.Site("a").EnableMirroring(b.t.Context(), image, replay.ModeJournal))
		}, kept: "nothing tells whether it is a copy", fails: orchestrator.ErrRefused},
		{name: "another image of that name", meanwhile: func(b *bed) {
			b.must(b.world.Site("b").RemoveImage(b.t.Context(), image))
			b.image("b", image, plain)
		}, kept: "nothing tells whether it is a copy", fails: orchestrator.ErrRefused},
		{name: "in use", meanwhile: func(b *bed) {
			b.must(b.world.Attach("b", image, client(1), false))
		}, kept: "is in use: client.1", fails: orchestrator.ErrRefused},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, twoWay)
				b.image("a", image, plain)
				b.applied()
				mend := b.world.Inject(sim.Fault{Site: "b", Op: "RemoveImage", Object: image.String(), Errno: syscall.EBUSY})
				result, err := b.destroy(withoutCopies)
				mend()
				if err == nil || b.role("b", image) != replay.RoleNone || b.role("a", image) != replay.RolePrimary {
					t.Fatalf("the removal was to fail half-way: %v\n%s", err, outcomes(result))
				}
				c.meanwhile(b)
				if c.kept == "" {
					b.destroyed(withoutCopies)
					if role := b.role("b", image); role != "absent" {
						t.Errorf("the copy is %s", role)
					}
					return
				}
				result, err = b.destroy(withoutCopies)
				if !errors.Is(err, c.fails) || !strings.Contains(err.Error(), c.kept) {
					t.Errorf("want %q: %v\n%s", c.kept, err, outcomes(result))
				}
				if role := b.role("b", image); role != replay.RoleNone {
					t.Errorf("what was the copy is %s", role)
				}
			})
		})
	}
}

// TestRemovalInterrupted ends a destroy that removes copies at each of its
// calls: the next one finds what was a copy, and removes it.
func TestRemovalInterrupted(t *testing.T) {
	atEveryCall(t, oneWay,
		func(b *bed, _ context.Context) {
			b.image("a", b.ref("volume-7"), plain)
			b.must(b.world.Site("a").CreateSnapshot(b.t.Context(), b.ref("volume-7"), "mine"))
			b.applied()
		},
		func(b *bed, ctx context.Context) {
			sites := b.sites(ctx)
			defer b.close(sites)
			result, err := orchestrator.Destroy(ctx, b.plan, sites, withoutCopies)
			if ctx.Err() != nil && !errors.Is(err, orchestrator.ErrInterrupted) {
				b.t.Errorf("stopped, but said %v\n%s", err, outcomes(result))
			}
		},
		func(b *bed, _ context.Context) {
			b.destroyed(withoutCopies)
			if role := b.role("b", b.ref("volume-7")); role != "absent" {
				b.t.Errorf("the copy is %s", role)
			}
			if got, want := b.content("a", b.ref("volume-7")), "data of rbd/volume-7"; got != want {
				b.t.Errorf("content: %q", got)
			}
		})
}

// TestDeletionWantsReason wants no data deleted for no reason, and the reason on
// record with what was deleted.
func TestDeletionWantsReason(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, oneWay)
		b.applied()
		b.world.ForgetCalls()
		result, err := b.destroy(orchestrator.DestroyOptions{DeleteSecondaryData: true, Reason: " "})
		if !errors.Is(err, orchestrator.ErrRefused) || result.Refused == nil || len(b.world.Writes()) > 0 {
			t.Errorf("%v, %v", err, b.world.Writes())
		}
		result, err = b.destroy(withoutCopies)
		if err != nil || result.Reason != "not needed" {
			t.Errorf("%q, %v", result.Reason, err)
		}
		var found []string
		for _, e := range b.read().Entries() {
			if e.Kind == orchestrator.EntryRemoval {
				found = append(found, string(e.Body))
			}
		}
		if len(found) != 1 || !strings.Contains(found[0], `"reason":"not needed"`) || !strings.Contains(found[0], `"site":"b"`) {
			t.Errorf("recorded: %v", found)
		}
	})
}
