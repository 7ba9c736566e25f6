package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// outcomeOf is what became of the change of a kind and image; "" when there
// was none.
func outcomeOf(r *orchestrator.Result, kind orchestrator.Kind, image string) orchestrator.Outcome {
	for i := range r.Changes {
		if r.Changes[i].Change.Kind == kind && r.Changes[i].Change.Image == image {
			return r.Changes[i].Outcome
		}
	}
	return ""
}

// TestOneImageFails wants the error of one image to stop only that image, and
// the next apply to heal it.
func TestOneImageFails(t *testing.T) {
	for _, fault := range []sim.Fault{
		{Op: "EnableFeatures", Errno: syscall.EIO},
		{Op: "EnableFeatures", Errno: syscall.ENOSPC},
		{Op: "EnableFeatures", Errno: syscall.EROFS},
		{Op: "EnableMirroring", Errno: syscall.EBUSY},
		{Op: "EnableMirroring", Errno: syscall.EPERM},
	} {
		t.Run(fmt.Sprint(fault.Op, " ", fault.Errno), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, oneWay)
				for i := range 5 {
					b.image("a", ref(fmt.Sprint("volume-", i)), plain)
				}
				fault.Site, fault.Object = "a", "rbd/volume-3"
				heal := b.world.Inject(fault)
				result, err := b.apply(orchestrator.Options{})
				if !errors.Is(err, orchestrator.ErrIncomplete) || !errors.Is(err, fault.Errno) && !strings.Contains(err.Error(), "volume-3") {
					t.Fatalf("got %v", err)
				}
				for i := range 5 {
					name := fmt.Sprint("volume-", i)
					want := replay.RoleSecondary
					if i == 3 {
						want = "absent"
					}
					if role := b.role("b", ref(name)); role != want {
						t.Errorf("%s at b is %s, want %s", name, role, want)
					}
				}
				if fault.Op == "EnableFeatures" {
					if got := outcomeOf(result, orchestrator.KindMirror, "volume-3"); got != orchestrator.OutcomeBlocked {
						t.Errorf("mirroring of volume-3: %q", got)
					}
				}
				heal()
				b.applied()
				b.settled()
			})
		})
	}
}

// TestLostAnswers wants a call whose answer was lost, but which took effect, to
// count as done.
func TestLostAnswers(t *testing.T) {
	for _, op := range []string{"SetSiteName", "SetPoolMode", "ImportBootstrapToken", "CreateImage", "EnableFeatures", "EnableMirroring"} {
		t.Run(op, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, oneWay)
				b.image("a", ref("volume-1"), plain)
				b.world.Inject(sim.Fault{Op: op, Lost: true, Count: 1})
				if result, err := b.apply(orchestrator.Options{}); err != nil {
					t.Fatalf("%v\n%s", err, outcomes(result))
				}
				b.settled()
			})
		})
	}
}

// TestImageInUse wants features refused that a running client could not bear.
func TestImageInUse(t *testing.T) {
	cases := []struct {
		name     string
		features replay.Features
		user     replay.ImageUser
		want     string
	}{
		{"without exclusive-lock", replay.FeatureLayering, replay.ImageUser{Client: "client.77", Address: "10.0.0.7"}, "in use by client.77 10.0.0.7 without exclusive-lock"},
		{"kernel", plain, replay.ImageUser{Client: "client.88", Kernel: true}, "mapped by the kernel client client.88"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, oneWay)
				b.image("a", ref("volume-1"), c.features)
				b.must(b.world.Attach("a", ref("volume-1"), c.user, false))
				_, err := b.apply(orchestrator.Options{})
				if !errors.Is(err, orchestrator.ErrRefused) || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("got %v", err)
				}
				if role := b.role("b", ref("vm-1")); role != replay.RoleSecondary {
					t.Errorf("the other image is %s", role)
				}
				b.must(b.world.Detach("a", ref("volume-1")))
				b.applied()
			})
		})
	}
}

// TestBlockedImages wants images that need a person to stop nothing else, and
// the kind of error to tell.
func TestBlockedImages(t *testing.T) {
	cases := []struct {
		name   string
		change func(b *bed)
		want   error
	}{
		{"split-brain", func(b *bed) { b.must(b.world.Site("b").Promote(b.t.Context(), ref("vm-1"), true)) }, orchestrator.ErrHalted},
		{"stranded", func(b *bed) { b.must(b.world.Site("a").Demote(b.t.Context(), ref("vm-1"))) }, orchestrator.ErrRefused},
		{"name taken", func(b *bed) {
			b.image("a", ref("volume-2"), plain)
			b.image("b", ref("volume-2"), plain)
		}, orchestrator.ErrRefused},
		{"silent site", func(b *bed) {
			open := b.open
			b.open = func(ctx context.Context, s plans.Site) (orchestrator.Site, error) {
				if s.Name == "b" {
					return nil, &replay.Error{Op: "open", Site: "b", Err: replay.ErrUnreachable}
				}
				return open(ctx, s)
			}
		}, orchestrator.ErrUnreachable},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, oneWay)
				b.applied()
				c.change(b)
				b.image("a", ref("volume-9"), plain)
				b.must(b.world.Site("a").SetSiteName(t.Context(), "elsewhere"))
				_, err := b.apply(orchestrator.Options{})
				if !errors.Is(err, c.want) {
					t.Fatalf("got %v", err)
				}
				if name, err := b.world.Site("a").SiteName(t.Context()); err != nil || name != "a" {
					t.Errorf("the site name was not corrected: %q, %v", name, err)
				}
				if role := b.role("a", ref("volume-9")); c.name != "silent site" && role != replay.RolePrimary {
					t.Errorf("the other image is %s", role)
				}
			})
		})
	}
}

// TestPoolMissing wants a pool that is missing at one site to stop only that
// pool.
func TestPoolMissing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, oneWay+"  - {name: backups, images: [{name: img, create: {size: 8MiB}}]}\n")
		b.world = sim.Pair(sim.Options{Seed: 7, Clock: time.Now, Pace: sim.Instant}, "a", "b", "rbd")
		b.world.AddPool("a", "backups")
		result, err := b.apply(orchestrator.Options{})
		if !errors.Is(err, orchestrator.ErrIncomplete) || !hasNotice(result.Notices, orchestrator.NoticePoolMissing) {
			t.Fatalf("got %v", err)
		}
		if role := b.role("b", ref("vm-1")); role != replay.RoleSecondary {
			t.Errorf("the other pool's image is %s", role)
		}
		b.world.AddPool("b", "backups")
		b.applied()
		b.settled()
	})
}

// TestSameCluster wants nothing at all done to two names of one cluster.
func TestSameCluster(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, oneWay)
		identity, err := b.world.Site("a").Identity(t.Context())
		b.must(err)
		b.world.SetFSID("b", identity.FSID)
		b.world.ForgetCalls()
		if _, err := b.apply(orchestrator.Options{}); !errors.Is(err, orchestrator.ErrRefused) {
			t.Errorf("apply: %v", err)
		}
		if _, err := b.destroy(orchestrator.DestroyOptions{}); !errors.Is(err, orchestrator.ErrRefused) {
			t.Errorf("destroy: %v", err)
		}
		if writes := b.world.Writes(); len(writes) > 0 {
			t.Errorf("wrote %v", writes)
		}
	})
}

// TestDryRun wants a dry run to write nothing and to list what would be done.
func TestDryRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, oneWay)
		b.world.ForgetCalls()
		result, err := b.apply(orchestrator.Options{DryRun: true})
		if err != nil || result.Count(orchestrator.OutcomePlanned) != len(result.Changes) || result.Unchanged() {
			t.Errorf("%v\n%s", err, outcomes(result))
		}
		if writes := b.world.Writes(); len(writes) > 0 {
			t.Errorf("wrote %v", writes)
		}
	})
}

// TestPrune wants what was dropped from the plan kept without prune, and gone
// with it.
func TestPrune(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, oneWay)
		b.applied()
		droppedImage(b)
		b.settled()
		if role := b.role("a", ref("old")); role != replay.RolePrimary {
			t.Fatalf("without prune it is %s", role)
		}
		if result, err := b.apply(orchestrator.Options{Prune: true}); err != nil {
			t.Fatalf("%v\n%s", err, outcomes(result))
		}
		if role := b.role("a", ref("old")); role != replay.RoleNone {
			t.Errorf("with prune it is %s", role)
		}
		if got := b.content("a", ref("old")); got != "data of rbd/old" {
			t.Errorf("its data: %q", got)
		}
	})
}

// TestStillWanted: what a later look wants and an apply may not do then is told,
// and the apply has not done everything.
func TestStillWanted(t *testing.T) {
	// comes makes an image appear once the first change is under way.
	comes := func(b *bed, more func()) {
		open := b.open
		var once sync.Once
		b.open = func(ctx context.Context, s plans.Site) (orchestrator.Site, error) {
			site, err := open(ctx, s)
			return changing{site, func() { once.Do(more) }}, err
		}
	}
	t.Run("destructive", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := newBed(t, oneWay)
			b.applied()
			b.must(b.world.Site("a").SetSiteName(t.Context(), "elsewhere"))
			comes(b, func() {
				b.image("a", ref("old"), plain)
				b.must(b.world.Site("a").EnableMirroring(t.Context(), ref("old"), replay.ModeJournal))
			})
			result, err := b.apply(orchestrator.Options{Prune: true})
			if !errors.Is(err, orchestrator.ErrIncomplete) || outcomeOf(result, orchestrator.KindUnmirror, "old") != orchestrator.OutcomeUntried {
				t.Errorf("%v\n%s", err, outcomes(result))
			}
			if role := b.role("a", ref("old")); role != replay.RolePrimary {
				t.Errorf("the image that nobody was asked about is %s", role)
			}
		})
	})
	t.Run("not approved", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := newBed(t, oneWay)
			b.applied()
			b.must(b.world.Site("a").SetSiteName(t.Context(), "elsewhere"))
			saved := orchestrator.NewSavedDiff(b.plan, b.drift(orchestrator.DiffOptions{}))
			comes(b, func() { b.image("a", ref("volume-9"), plain) })
			result, err := b.apply(orchestrator.Options{Approved: saved})
			if !errors.Is(err, orchestrator.ErrIncomplete) || !strings.Contains(err.Error(), "not in the diff that was approved") ||
				outcomeOf(result, orchestrator.KindMirror, "volume-9") != orchestrator.OutcomeUntried {
				t.Errorf("%v\n%s", err, outcomes(result))
			}
		})
	})
	t.Run("too many rounds", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := newBed(t, oneWay)
			b.applied()
			b.must(b.world.Site("a").SetSiteName(t.Context(), "elsewhere"))
			n := 0
			open := b.open
			b.open = func(ctx context.Context, s plans.Site) (orchestrator.Site, error) {
				site, err := open(ctx, s)
				if s.Name == "b" {
					return site, err
				}
				return changing{site, func() { n++; b.image("a", ref(fmt.Sprint("volume-", n)), plain) }}, err
			}
			result, err := b.apply(orchestrator.Options{})
			if !errors.Is(err, orchestrator.ErrIncomplete) || result.Count(orchestrator.OutcomeUntried) == 0 || !strings.Contains(err.Error(), "3 rounds") {
				t.Errorf("%v\n%s", err, outcomes(result))
			}
			b.open = open
			b.applied()
			b.settled()
		})
	})
}

// changing is a site where somebody else does something each time that its name
// is set or an image is mirrored.
type changing struct {
	orchestrator.Site
	more func()
}

func (c changing) SetSiteName(ctx context.Context, name string) error {
	defer c.more()
	return c.Site.SetSiteName(ctx, name)
}

func (c changing) EnableMirroring(ctx context.Context, ref replay.ImageRef, mode replay.MirrorMode) error {
	defer c.more()
	return c.Site.EnableMirroring(ctx, ref, mode)
}

// TestStoppedAtRivalsLease wants an apply that is asked to stop while it finds
// another at work to say both.
func TestStoppedAtRivalsLease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, oneWay)
		rival, err := b.read().Lease(t.Context(), "apply")
		b.must(err)
		defer func() { b.must(rival.Release(t.Context())) }()
		ctx, stop := context.WithCancel(t.Context())
		open := b.open
		b.open = func(ctx context.Context, s plans.Site) (orchestrator.Site, error) {
			site, err := open(ctx, s)
			return stopping{site, stop}, err
		}
		sites := b.sites(t.Context())
		defer b.close(sites)
		result, err := orchestrator.Apply(ctx, b.plan, sites, orchestrator.Options{})
		if !result.Interrupted || result.Refused == nil || !errors.Is(err, orchestrator.ErrInterrupted) || !errors.Is(err, orchestrator.ErrLeased) {
			t.Errorf("interrupted %v, refused %v, %v", result.Interrupted, result.Refused, err)
		}
	})
}

// stopping is a site that is asked for a lease at the moment that somebody
// presses Ctrl-C.
type stopping struct {
	orchestrator.Site
	stop func()
}

func (s stopping) AcquireLease(ctx context.Context, ledger replay.LedgerRef, lease replay.Lease, renew bool) error {
	defer s.stop()
	return s.Site.AcquireLease(ctx, ledger, lease, renew)
}

// TestDestroyDeletes wants the copies gone and the images kept.
func TestDestroyDeletes(t *testing.T) {
	for _, topology := range topologies {
		t.Run(topology.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, topology.plan)
				b.image(b.plan.Primary, b.ref("volume-7"), plain)
				b.applied()
				b.destroyed(orchestrator.DestroyOptions{DeleteSecondaryData: true, Reason: "not needed"})
				for _, s := range b.plan.Secondaries() {
					if role := b.role(s.Name, b.ref("volume-7")); role != "absent" {
						t.Errorf("the copy at %s is %s", s.Name, role)
					}
				}
				if got := b.content(b.plan.Primary, b.ref("volume-7")); got != "data of "+b.ref("volume-7").String() {
					t.Errorf("the image: %q", got)
				}
			})
		})
	}
}

// TestWaitEnds wants an apply to say which images it waited for in vain.
func TestWaitEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, oneWay)
		b.applied()
		b.image("a", ref("volume-1"), plain)
		b.world.Sever("b", "a")
		began := time.Now()
		result, err := b.apply(orchestrator.Options{WaitTime: 20 * time.Second})
		if !errors.Is(err, orchestrator.ErrIncomplete) || result.Pending() != 1 {
			t.Errorf("%v\n%s", err, outcomes(result))
		}
		if took := time.Since(began); took < 20*time.Second || took > 40*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestProgress wants each change to begin and end once, in sense, and each
// image's protection to move by the table.
func TestProgress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, fanOut)
		b.image("a", ref("volume-7"), plain)
		var mu sync.Mutex
		begun, ended := map[string]bool{}, map[string]bool{}
		states := map[replay.ImageRef][]orchestrator.Protection{}
		result, err := b.apply(orchestrator.Options{Wait: orchestrator.WaitReplaying, Progress: func(e orchestrator.Event) {
			if !mu.TryLock() {
				t.Error("progress is told from two goroutines at once")
				return
			}
			defer mu.Unlock()
			switch e.Kind {
			case orchestrator.EventBegin:
				for _, need := range e.Change.Needs {
					if !ended[need] {
						t.Errorf("%s began before %s", e.Change.ID, need)
					}
				}
				begun[e.Change.ID] = true
			case orchestrator.EventEnd:
				if !begun[e.Change.ID] || ended[e.Change.ID] {
					t.Errorf("%s ended without having begun, or twice", e.Change.ID)
				}
				ended[e.Change.ID] = true
			case orchestrator.EventProtects:
				states[e.Image] = append(states[e.Image], e.State)
			case orchestrator.EventPlanned, orchestrator.EventWaiting:
			}
		}})
		b.must(err)
		if len(ended) != len(result.Changes) {
			t.Errorf("%d of %d changes ended", len(ended), len(result.Changes))
		}
		for image, moves := range states {
			if moves[0] != replay.Enabling || moves[len(moves)-1] != replay.Replaying {
				t.Errorf("%s went through %v", image, moves)
			}
		}
		if len(states) != 3 {
			t.Errorf("protection of %d images was told", len(states))
		}
	})
}
