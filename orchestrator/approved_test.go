package orchestrator_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// exchange hands an image over from a to b by hand, as a person would.
func exchange(b *bed, image replay.ImageRef) {
	b.t.Helper()
	b.must(b.world.Site("a").Demote(b.t.Context(), image))
	time.Sleep(time.Minute)
	b.must(b.world.Site("b").Promote(b.t.Context(), image, false))
	time.Sleep(time.Minute)
}

// TestDestroyAsShown wants a destroy that was approved to do exactly what was
// shown, and nothing at all once that would be something else.
func TestDestroyAsShown(t *testing.T) {
	cases := []struct {
		name      string
		meanwhile func(b *bed)
		delete    bool // what is destroyed; copies were shown to be deleted
		stale     string
	}{
		{"as it was", func(*bed) {}, true, ""},
		{"roles exchanged", func(b *bed) { exchange(b, ref("volume-7")) }, true, "rbd/volume-7"},
		{"demoted", func(b *bed) { b.must(b.world.Site("a").Demote(b.t.Context(), ref("volume-7"))) }, true, "a rbd/volume-7"},
		{"another copy", func(b *bed) {
			b.image("a", ref("volume-8"), plain)
			b.applied()
		}, true, "b rbd/volume-8"},
		{"data kept after all", func(*bed) {}, false, "b rbd/volume-7: take the copy out of mirroring"},
		{"site silent", func(b *bed) { b.world.Vanish("b") }, true, "b"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, twoWay)
				b.image("a", ref("volume-7"), plain)
				b.applied()
				shown := orchestrator.NewSavedDiff(b.plan, orchestrator.DestroyDiff(b.plan, b.observe(), true))
				c.meanwhile(b)
				b.world.ForgetCalls()
				result, err := b.destroy(orchestrator.DestroyOptions{Options: orchestrator.Options{Approved: shown}, DeleteSecondaryData: c.delete, Reason: "not needed"})
				if c.stale == "" {
					if err != nil || b.role("a", ref("volume-7")) != replay.RoleNone || b.role("b", ref("volume-7")) != "absent" {
						t.Errorf("%v\n%s", err, outcomes(result))
					}
					return
				}
				if stale := new(orchestrator.StaleError); !errors.As(err, &stale) || !strings.Contains(strings.Join(stale.Changed, "\n"), c.stale) {
					t.Errorf("want stale for %s: %v\n%s", c.stale, err, outcomes(result))
				}
				if writes := b.world.Writes(); len(writes) > 0 {
					t.Errorf("wrote %v", writes)
				}
			})
		})
	}
}

// TestCopyIsRemovedOnlyAsACopy wants a copy kept that is, at the last moment,
// no copy any more or holds what the primary has not.
func TestCopyIsRemovedOnlyAsACopy(t *testing.T) {
	cases := []struct {
		name    string
		before  func(b *bed)
		between func(b *bed) // runs once, after the destroy has looked
		late    bool         // and only after the copy was taken out of mirroring
		kept    string       // what is said
	}{
		{name: "roles exchanged", between: func(b *bed) {
			b.must(b.world.Site("a").Demote(b.t.Context(), ref("volume-7")))
			b.must(b.world.Site("b").Promote(b.t.Context(), ref("volume-7"), true))
		}, kept: "is not the primary of rbd/volume-7 any more"},
		{name: "primary gone after the copy was taken out", late: true, between: func(b *bed) {
			b.must(b.world.Site("a").Demote(b.t.Context(), ref("volume-7")))
		}, kept: "was changed by someone else meanwhile"},
		{name: "was primary once, and nobody has that", before: func(b *bed) {
			b.world.StopDaemon("a")
			b.world.StopDaemon("b")
			b.must(b.world.Site("b").Promote(b.t.Context(), ref("volume-7"), true))
			b.must(b.world.Write("b", ref("volume-7"), 4096, []byte("only here")))
			b.must(b.world.Site("b").Demote(b.t.Context(), ref("volume-7")))
		}, kept: "holds data that the one at a never had"},
	}
	for _, form := range []struct{ name, plan string }{{"journal", twoWay}, {"snapshots", snapshots}} {
		for _, c := range cases {
			t.Run(form.name+"/"+c.name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					b := newBed(t, form.plan)
					b.image("a", ref("volume-7"), plain)
					b.applied()
					time.Sleep(10 * time.Minute) // a mirror snapshot or two
					if c.before != nil {
						c.before(b)
					}
					if role := b.role("b", ref("volume-7")); role != replay.RoleSecondary {
						t.Fatalf("the copy is %s", role)
					}
					data := b.content("b", ref("volume-7"))
					options := orchestrator.DestroyOptions{DeleteSecondaryData: true, Reason: "not needed"}
					var due atomic.Bool // calls come from several goroutines
					due.Store(c.between != nil)
					if c.late {
						b.world.Observe(func(call sim.Call) {
							if call.Site == "b" && call.Op == "DisableMirroring" && call.Object == "rbd/volume-7" && due.CompareAndSwap(true, false) {
								c.between(b)
							}
						})
					} else {
						options.Progress = func(e orchestrator.Event) {
							if e.Kind == orchestrator.EventPlanned && due.CompareAndSwap(true, false) {
								c.between(b)
							}
						}
					}
					result, err := b.destroy(options)
					b.world.Observe(nil)
					if due.Load() {
						t.Fatal("the moment never came")
					}
					// By snapshots the daemon has found it out before, and said so.
					found := form.name == "snapshots" && c.before != nil && hasNotice(result.Notices, orchestrator.NoticeSplitBrain)
					if !errors.Is(err, orchestrator.ErrRefused) || !found && !strings.Contains(err.Error(), c.kept) {
						t.Errorf("want %q: %v\n%s", c.kept, err, outcomes(result))
					}
					if role := b.role("b", ref("volume-7")); role == "absent" {
						t.Fatalf("the copy is gone\n%s", outcomes(result))
					}
					if got := b.content("b", ref("volume-7")); got != data {
						t.Errorf("it held %q and now %q", data, got)
					}
				})
			})
		}
	}
}

// TestPruneUnconfirmed wants nothing taken down that nobody was asked about,
// and everything else done in as many rounds as it takes.
func TestPruneUnconfirmed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, oneWay)
		b.image("a", ref("volume-7"), plain)
		unconfirmed := orchestrator.Options{Prune: true, Unconfirmed: true, Wait: orchestrator.WaitReplaying}
		if result, err := b.apply(unconfirmed); err != nil {
			t.Fatalf("%v\n%s", err, outcomes(result))
		}
		b.settled()
		droppedImage(b)
		b.world.ForgetCalls()
		result, err := b.apply(unconfirmed)
		if !errors.Is(err, orchestrator.ErrStale) || !strings.Contains(err.Error(), "rbd/old") {
			t.Errorf("%v\n%s", err, outcomes(result))
		}
		if writes := b.world.Writes(); len(writes) > 0 {
			t.Errorf("wrote %v", writes)
		}
	})
}
