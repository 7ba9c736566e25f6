package orchestrator_test

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// unread makes one image unreadable in lists.
func (b *bed) unread(site, name string) (mend func()) {
	return b.world.Inject(sim.Fault{Site: site, Op: "Images", Object: "rbd/" + name, Errno: syscall.EIO})
}

// untouched wants nothing to have been written to an image at any site.
func (b *bed) untouched(name string) {
	b.t.Helper()
	for _, call := range b.world.Writes() {
		if strings.Contains(call.Object, name) {
			b.t.Errorf("%s at %s of %s", call.Op, call.Site, call.Object)
		}
	}
}

// left wants a diff to leave one image alone, and to say so with the cause.
func left(t *testing.T, d *orchestrator.Difference, name, site string) {
	t.Helper()
	for i := range d.Changes {
		if d.Changes[i].Image == name || d.Changes[i].Kind == orchestrator.KindPoolDisable {
			t.Errorf("wanted: %s", d.Changes[i].Title())
		}
	}
	said := slices.ContainsFunc(d.Notices, func(n orchestrator.Notice) bool {
		return n.Code == orchestrator.NoticeImageFault && n.Image == name && n.Site == site &&
			strings.Contains(n.What, syscall.EIO.Error()) && n.Next != ""
	})
	if !said {
		t.Errorf("notices: %v", d.Notices)
	}
	for _, n := range d.Notices {
		if n.Image == name && n.Code != orchestrator.NoticeImageFault {
			t.Errorf("it is said to be something: %s", n.Line())
		}
	}
}

// An image that cannot be read is unknown by itself: whatever site it is at,
// the others are as healthy as they were.
func TestStatusOfOneUnreadableImage(t *testing.T) {
	for _, site := range []string{"site-a", "site-b"} {
		t.Run(site, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, statusPlan)
				b.applied()
				time.Sleep(time.Minute)
				b.unread(site, "vm-1")
				r := b.status(orchestrator.StatusOptions{})
				vm := imageStatus(t, r, "vm-1")
				if vm.State != replay.Unknown || vm.Roles[site] != "unknown" || vm.Healthy {
					t.Errorf("vm-1: %+v", vm)
				}
				if other := imageStatus(t, r, "vm-2"); !other.Healthy || other.State != replay.Replaying {
					t.Errorf("vm-2: %+v", other)
				}
				if got := problems(r); got != "image-unknown@"+site+"×1" || !strings.Contains(r.Problems[0].What, syscall.EIO.Error()) {
					t.Errorf("problems: %s: %+v", got, r.Problems)
				}
				if len(r.Summary.Silent) > 0 || r.Summary.Healthy != 1 {
					t.Errorf("summary: %+v", r.Summary)
				}
			})
		})
	}
}

// One that does not answer costs its own time, and not that of a whole pool.
func TestStatusOfOneHangingImage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.applied()
		time.Sleep(time.Minute)
		defer b.world.Inject(sim.Fault{Site: "site-b", Op: "Images", Object: "rbd/vm-1", Hang: true})()
		began := time.Now()
		r := b.status(orchestrator.StatusOptions{})
		if took := time.Since(began); took > replay.ImageTime+time.Second {
			t.Errorf("status took %s", took)
		}
		if vm, other := imageStatus(t, r, "vm-1"), imageStatus(t, r, "vm-2"); vm.State != replay.Unknown || !other.Healthy {
			t.Errorf("vm-1: %+v\nvm-2: %+v", vm, other)
		}
	})
}

// What an image may be where it cannot be read keeps an apply from each change
// that it would make were it missing, plain or a copy there.
func TestApplyLeavesUnreadableImages(t *testing.T) {
	plain := replay.FeatureLayering | replay.FeatureExclusiveLock
	for name, c := range map[string]struct {
		site string
		make func(*bed)
	}{
		"plain at the primary": {"site-a", func(b *bed) { b.image("site-a", ref("vm-1"), plain) }},
		"only at the secondary, to be created": {"site-b", func(b *bed) {
			b.image("site-b", ref("vm-1"), plain)
		}},
		"plain at the secondary, too": {"site-b", func(b *bed) {
			b.image("site-a", ref("vm-1"), plain)
			b.image("site-b", ref("vm-1"), plain)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, statusPlan)
				c.make(b)
				mend := b.unread(c.site, "vm-1")
				left(t, b.diff(orchestrator.DiffOptions{Prune: true}), "vm-1", c.site)
				b.world.ForgetCalls()
				began := time.Now()
				result, err := b.apply(orchestrator.Options{Wait: orchestrator.WaitReplaying})
				if !errors.Is(err, orchestrator.ErrIncomplete) || !strings.Contains(err.Error(), "vm-1") {
					t.Errorf("apply: %v\n%s", err, outcomes(result))
				}
				if took := time.Since(began); took > time.Minute {
					t.Errorf("it was waited for: %s", took)
				}
				b.untouched("vm-1")
				if at := b.role("site-b", ref("vm-2")); at != replay.RoleSecondary {
					t.Errorf("vm-2 is %s at site-b", at)
				}
				for _, image := range result.Images {
					if want := map[string]orchestrator.Protection{"vm-1": replay.Unknown, "vm-2": replay.Replaying}[image.Ref.Name]; image.State != want {
						t.Errorf("%s is %s", image.Ref, image.State)
					}
				}
				mend()
				if d := b.diff(orchestrator.DiffOptions{}); hasNotice(d.Notices, orchestrator.NoticeImageFault) {
					t.Errorf("mended: %v", d.Notices)
				}
			})
		})
	}
}

// An image that follows as it shall stays as it is; so does what a plan has
// dropped, and its schedule.
func TestPruneLeavesUnreadableImages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, strings.Replace(verifySnapshotPlan, "create: { size: 8MiB } }", "create: { size: 8MiB }, schedules: [{ every: 5m }] }\n      - { name: vm-2, create: { size: 8MiB } }", 1))
		b.applied()
		full := b.plan
		for _, c := range []struct {
			site string
			plan string
		}{{"site-b", verifySnapshotPlan}, {"site-a", strings.Replace(verifySnapshotPlan, "vm-1", "vm-2", 1)}, {"site-b", strings.Replace(verifySnapshotPlan, "vm-1", "vm-2", 1)}} {
			mend := b.unread(c.site, "vm-1")
			b.plan = parsePlan(t, c.plan)
			left(t, b.diff(orchestrator.DiffOptions{Prune: true}), "vm-1", c.site)
			mend()
		}
		// The plan has nothing to do with it: then it is no reason to fail.
		defer b.unread("site-a", "vm-1")()
		if d := b.diff(orchestrator.DiffOptions{}); hasNotice(d.Notices, orchestrator.NoticeImageFault) {
			t.Errorf("not in the plan: %v", d.Notices)
		}
		b.plan = full
	})
}

// Pool mode would make an image primary that has journaling: nobody can tell
// whether one that cannot be read has.
func TestPoolModeWaitsForUnreadableImages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, strings.Split(statusPlan, "    images:")[0]+"    mirror: pool\n    images: [{ glob: vm-* }]\n")
		b.image("site-b", ref("other"), replay.FeatureLayering|replay.FeatureExclusiveLock|replay.FeatureJournaling)
		defer b.unread("site-b", "other")()
		d := b.diff(orchestrator.DiffOptions{})
		left(t, d, "other", "site-b")
		for i := range d.Changes {
			if d.Changes[i].Kind == orchestrator.KindPoolMode {
				t.Errorf("wanted: %s", d.Changes[i].Title())
			}
		}
	})
}

// A clone waits for a parent that cannot be read; it is not said to be missing.
func TestCloneOfUnreadableParent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.image("site-a", ref("vm-1"), replay.FeatureLayering|replay.FeatureExclusiveLock)
		b.must(b.world.Site("site-a").CreateSnapshot(t.Context(), ref("vm-1"), "base"))
		b.must(b.world.Clone("site-a", ref("vm-1"), "base", ref("vm-2")))
		defer b.unread("site-a", "vm-1")()
		d := b.diff(orchestrator.DiffOptions{})
		left(t, d, "vm-1", "site-a")
		left(t, d, "vm-2", "site-a")
	})
}

// The same of a parent in a pool that the plan does not have, such as one that
// Drover's caps do not let it look into.
func TestCloneOfUnreadableParentElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.world.AddPool("site-a", "glance")
		base := replay.Pool{Name: "glance"}.Image("base")
		b.image("site-a", base, replay.FeatureLayering)
		b.must(b.world.Site("site-a").CreateSnapshot(t.Context(), base, "snap"))
		b.must(b.world.Clone("site-a", base, "snap", ref("vm-2")))
		remove := b.world.Inject(sim.Fault{Site: "site-a", Op: "Image", Object: base.String(), Errno: syscall.EIO})
		left(t, b.diff(orchestrator.DiffOptions{}), "vm-2", "site-a")
		remove()
		defer b.world.Inject(sim.Fault{Site: "site-a", Op: "Image", Object: base.String(), Hang: true})()
		began := time.Now()
		b.observe()
		if took := time.Since(began); took > replay.ImageTime+time.Second {
			t.Errorf("the look took %s", took)
		}
	})
}

// A destroy that took an image out of mirroring at its primary would have a
// copy deleted that it does not see.
func TestDestroyLeavesUnreadableImages(t *testing.T) {
	for _, site := range []string{"site-a", "site-b"} {
		bubble(t, func(t *testing.T) {
			b := newBed(t, statusPlan)
			b.applied()
			defer b.unread(site, "vm-1")()
			b.world.ForgetCalls()
			result, err := b.destroy(orchestrator.DestroyOptions{DeleteSecondaryData: true, Reason: "a test"})
			if !errors.Is(err, orchestrator.ErrRefused) || !strings.Contains(err.Error(), "vm-1") {
				t.Errorf("destroy: %v", err)
			}
			for i := range result.Changes {
				switch c := &result.Changes[i].Change; c.Kind {
				case orchestrator.KindPoolDisable, orchestrator.KindPeerRemove, orchestrator.KindDaemonStop:
					t.Errorf("the pool is still in use: %s", c.Title())
				}
			}
			b.untouched("vm-1")
			if a, c := b.role("site-a", ref("vm-1")), b.role("site-b", ref("vm-1")); a != replay.RolePrimary || c != replay.RoleSecondary {
				t.Errorf("vm-1 is %s and %s", a, c)
			}
			if a := b.role("site-a", ref("vm-2")); a != replay.RoleNone {
				t.Errorf("vm-2 is %s at site-a", a)
			}
		})
	}
}

func TestVerifyWithAnUnreadableImage(t *testing.T) {
	for _, site := range []string{"site-a", "site-b"} {
		bubble(t, func(t *testing.T) {
			b := newBed(t, statusPlan)
			b.applied()
			defer b.unread(site, "vm-1")()
			r, err := b.verify(t.Context(), orchestrator.VerifyOptions{})
			b.must(err)
			if err := r.Err(); err == nil || len(r.Images) != 2 || len(r.Faults) != 0 {
				t.Fatalf("%v\n%+v", err, r)
			}
			if got := r.Images[0]; got.Identical || !strings.Contains(got.Error, syscall.EIO.Error()) || strings.Contains(got.Error, "not found") {
				t.Errorf("vm-1: %+v", got)
			}
			if got := r.Images[1]; !got.Identical {
				t.Errorf("vm-2: %+v", got)
			}
		})
	}
}

// A run treats an image that cannot be read like one of a site that does not
// answer: its check fails, and that of no other.
func TestSwitchoverWithAnUnreadableImage(t *testing.T) {
	for site, check := range map[string]string{"site-a": "roles", "site-b": "replay"} {
		bubble(t, func(t *testing.T) {
			b := newBed(t, strings.Replace(statusPlan, "primary: site-a", "primary: site-a\ndirection: two-way", 1))
			b.applied()
			time.Sleep(time.Minute)
			defer b.unread(site, "vm-1")()
			sites := b.sites(t.Context())
			defer b.close(sites)
			p, err := orchestrator.PrepareSwitchover(t.Context(), b.plan, sites, orchestrator.SwitchoverOptions{To: "site-b"})
			b.must(err)
			if !errors.Is(p.Refused, orchestrator.ErrRefused) {
				t.Errorf("refused: %v", p.Refused)
			}
			found := false
			for _, c := range p.Checks {
				for _, f := range c.Failures {
					if f.Image == nil || f.Warning {
						continue
					}
					if f.Image.Name != "vm-1" || strings.Contains(f.What, "no copy") {
						t.Errorf("%s: %+v", c.Name, f)
					}
					found = found || c.Name == check && strings.Contains(f.What, syscall.EIO.Error())
				}
			}
			if !found {
				t.Errorf("checks: %+v", p.Checks)
			}
		})
	}
}
