package orchestrator_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

const verifySnapshotPlan = `
version: 1
name: payroll
primary: site-a
sites:
  - { name: site-a, conf: a.conf }
  - { name: site-b, conf: b.conf, daemon: { run: process } }
pools:
  - name: rbd
    mode: snapshot
    schedules: [{ every: 1h }]
    images:
      - { name: vm-1, create: { size: 8MiB } }
`

func (b *bed) verify(ctx context.Context, o orchestrator.VerifyOptions) (*orchestrator.VerifyReport, error) {
	b.t.Helper()
	sites := b.sites(ctx)
	defer b.close(sites)
	return orchestrator.Verify(ctx, b.plan, sites, o)
}

// userSnapshots are the names of an image's user snapshots at both sites, once
// replay has brought what was removed.
func (b *bed) userSnapshots(name string) (names []string) {
	b.t.Helper()
	time.Sleep(time.Minute)
	for _, site := range []string{"site-a", "site-b"} {
		image, err := b.world.Site(site).Image(context.Background(), ref(name))
		b.must(err)
		for _, s := range image.Snapshots {
			if s.Kind == replay.SnapshotUser {
				names = append(names, site+":"+s.Name)
			}
		}
	}
	return names
}

func TestVerifyIdentical(t *testing.T) {
	for mode, plan := range map[string]string{"journal": statusPlan, "snapshot": verifySnapshotPlan} {
		t.Run(mode, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, plan)
				b.applied()
				b.must(b.world.Write("site-a", ref("vm-1"), 1<<20, []byte("data")))
				steps := map[orchestrator.VerifyStep]bool{}
				r, err := b.verify(t.Context(), orchestrator.VerifyOptions{
					Images:   []string{"vm-1"},
					Progress: func(e orchestrator.VerifyEvent) { steps[e.Step] = true },
				})
				if err != nil || r.Err() != nil {
					t.Fatalf("%v, %v", err, r.Err())
				}
				if len(r.Images) != 1 || !r.Images[0].Identical || r.Images[0].Comparison.A.Allocated == 0 {
					t.Fatalf("%+v", r.Images)
				}
				if a, c := r.Images[0].Comparison.A.Digest, r.Images[0].Comparison.B.Digest; a != c {
					t.Errorf("digests %s and %s", a, c)
				}
				for _, step := range []orchestrator.VerifyStep{"snapshot", "await", "compare", "clean", "done"} {
					if !steps[step] {
						t.Errorf("no step %s", step)
					}
				}
				if left := b.userSnapshots("vm-1"); len(left) > 0 || len(r.Leftovers) > 0 {
					t.Errorf("left behind: %v, %v", left, r.Leftovers)
				}
			})
		})
	}
}

func TestVerifyFindsTheFirstDifference(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.applied()
		b.must(b.world.Write("site-a", ref("vm-1"), 5<<20, []byte("data")))
		time.Sleep(time.Minute)
		b.must(b.world.Corrupt("site-b", ref("vm-1"), 5<<20+2, []byte("x")))
		r, err := b.verify(t.Context(), orchestrator.VerifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(r.Err(), orchestrator.ErrDifferent) {
			t.Fatalf("error: %v", r.Err())
		}
		vm := r.Images[0]
		if vm.Identical || vm.Comparison.FirstDifference == nil || *vm.Comparison.FirstDifference != 5<<20+2 || vm.Next == "" {
			t.Errorf("vm-1: %+v", vm)
		}
		if !r.Images[1].Identical || r.Summary.Different != 1 || r.Summary.Identical != 1 {
			t.Errorf("%+v", r.Summary)
		}
	})
}

// A client that goes on writing changes nothing: what is compared is one
// moment.
func TestVerifyOfAWritingImage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.applied()
		stop := make(chan struct{})
		stopped := make(chan error, 1)
		go func() {
			for i := uint64(0); ; i++ {
				select {
				case <-stop:
					stopped <- nil
					return
				case <-time.After(10 * time.Millisecond):
				}
				if err := b.world.Write("site-a", ref("vm-1"), i%2000*4096, []byte{byte(i)}); err != nil {
					stopped <- err
					return
				}
			}
		}()
		time.Sleep(time.Second)
		for range 3 {
			r, err := b.verify(t.Context(), orchestrator.VerifyOptions{Images: []string{"rbd/vm-1"}})
			if err != nil || r.Err() != nil {
				t.Errorf("%v, %v", err, r.Err())
			}
		}
		close(stop)
		b.must(<-stopped)
	})
}

// forgetful is a site that does not show one snapshot.
type forgetful struct {
	orchestrator.Site
	hidden string
}

func (f forgetful) hide(image replay.Image) replay.Image {
	image.Snapshots = slices.DeleteFunc(slices.Clone(image.Snapshots), func(s replay.Snapshot) bool { return s.Name == f.hidden })
	return image
}

func (f forgetful) Image(ctx context.Context, ref replay.ImageRef) (replay.Image, error) {
	image, err := f.Site.Image(ctx, ref)
	return f.hide(image), err
}

func (f forgetful) Images(ctx context.Context, pool replay.Pool, detail replay.Detail) ([]replay.Image, error) {
	images, err := f.Site.Images(ctx, pool, detail)
	for i := range images {
		images[i] = f.hide(images[i])
	}
	return images, err
}

// The snapshot in snapshot mode is at the secondary before its content is: a
// copy that is still in the air must not be compared.
func TestVerifyAwaitsTheContentInSnapshotMode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, verifySnapshotPlan)
		b.applied()
		time.Sleep(time.Minute)
		b.must(b.world.Write("site-a", ref("vm-1"), 0, make([]byte, 4<<20)))
		b.must(b.world.Write("site-a", ref("vm-1"), 0, []byte(strings.Repeat("data", 1<<18))))
		b.world.SetReplayRate("site-b", 64<<10)
		r, err := b.verify(t.Context(), orchestrator.VerifyOptions{})
		if err != nil || r.Err() != nil {
			t.Fatalf("%v, %v", err, r.Err())
		}
		if r.Images[0].AwaitSeconds < 5 {
			t.Errorf("awaited only %v s at 64 KiB/s", r.Images[0].AwaitSeconds)
		}
	})
}

func TestVerifyFailures(t *testing.T) {
	cases := map[string]struct {
		spoil func(*bed)
		want  error
		text  string
	}{
		"not mirrored": {func(b *bed) { b.world.StopDaemon("site-b") }, replay.ErrTimeout, "has not come to site-b"},
		"split-brain": {
			func(b *bed) { b.must(b.world.Site("site-b").Promote(context.Background(), ref("vm-1"), true)) },
			orchestrator.ErrHalted, "primary at site-a and site-b",
		},
		"stranded": {
			func(b *bed) { b.must(b.world.Site("site-a").Demote(context.Background(), ref("vm-1"))) },
			orchestrator.ErrRefused, "primary nowhere",
		},
		"secondary gone": {func(b *bed) { b.world.Vanish("site-b") }, replay.ErrUnreachable, "site-b"},
		"primary gone":   {func(b *bed) { b.world.Vanish("site-a") }, replay.ErrUnreachable, "site-a"},
		"no space for a snapshot": {
			func(b *bed) { b.world.Inject(sim.Fault{Site: "site-a", Op: "CreateSnapshot", Errno: 28}) },
			replay.ErrNoSpace, "take snapshot",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, statusPlan)
				b.applied()
				time.Sleep(time.Minute)
				c.spoil(b)
				r, err := b.verify(t.Context(), orchestrator.VerifyOptions{Images: []string{"vm-1"}, Wait: time.Minute})
				if err != nil {
					t.Fatalf("the whole failed: %v", err)
				}
				if !errors.Is(r.Err(), c.want) || !errors.Is(r.Err(), orchestrator.ErrUnverified) || !strings.Contains(r.Err().Error(), c.text) {
					t.Errorf("error: %v", r.Err())
				}
				if r.Summary.Failed != 1 || r.Images[0].Error == "" {
					t.Errorf("%+v", r.Images)
				}
				synctest.Wait()
			})
		})
	}
}

func TestVerifyRefusesUnknownImages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.applied()
		for _, pattern := range []string{"vm-3", "other/vm-1", "["} {
			_, err := b.verify(t.Context(), orchestrator.VerifyOptions{Images: []string{"vm-1", pattern}})
			if !errors.Is(err, orchestrator.ErrRefused) || !strings.Contains(err.Error(), pattern) {
				t.Errorf("%s: %v", pattern, err)
			}
		}
	})
}

const verifyGlobPlan = `
version: 1
name: payroll
primary: site-a
sites:
  - { name: site-a, conf: a.conf }
  - { name: site-b, conf: b.conf, daemon: { run: process } }
pools:
  - name: rbd
    images:
      - { glob: "vm-*" }
  - name: other
    images:
      - { glob: "vm-*" }
      - { name: db, create: { size: 8MiB } }
`

// What could not be seen was not verified, and nothing to verify is no success.
func TestVerifyProvesNothing(t *testing.T) {
	everything := func(b *bed) {
		b.open = func(_ context.Context, s plans.Site) (orchestrator.Site, error) {
			return nil, &replay.Error{Op: "open", Site: s.Name, Err: replay.ErrUnreachable}
		}
	}
	unread := func(pool string) func(*bed) {
		return func(b *bed) {
			for _, op := range []string{"PoolMirroring", "Images"} {
				b.world.Inject(sim.Fault{Op: op, Object: pool, Errno: 5})
			}
		}
	}
	cases := map[string]struct {
		images []string
		spoil  func(*bed)
		faults string
		text   string // of the error; "" when there shall be none
	}{
		"all sites silent":      {nil, everything, "site-a: site-b:", "site-a"},
		"named, sites silent":   {[]string{"vm-1"}, everything, "site-a: site-b:", "vm-1"},
		"pool unread":           {nil, unread("rbd"), "site-a:rbd site-b:rbd", "pool rbd at site-a"},
		"named, pool unread":    {[]string{"rbd/vm-1"}, unread("rbd"), "site-a:rbd site-b:rbd", `"rbd/vm-1"`},
		"another pool unread":   {[]string{"other/*"}, unread("rbd"), "", ""},
		"of another pool alone": {[]string{"db"}, unread("rbd"), "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, verifyGlobPlan)
				b.image("site-a", ref("vm-1"), replay.FeatureLayering|replay.FeatureExclusiveLock)
				b.applied()
				time.Sleep(time.Minute)
				c.spoil(b)
				r, err := b.verify(t.Context(), orchestrator.VerifyOptions{Images: c.images})
				var faults []string
				for _, f := range r.Faults {
					faults = append(faults, f.Site+":"+f.Pool)
				}
				if got := strings.Join(faults, " "); got != c.faults {
					t.Errorf("faults: %s", got)
				}
				whole := errors.Join(err, r.Err())
				if c.text == "" {
					if whole != nil {
						t.Error(whole)
					}
					return
				}
				if !errors.Is(whole, orchestrator.ErrUnverified) || errors.Is(whole, orchestrator.ErrRefused) || !strings.Contains(whole.Error(), c.text) {
					t.Errorf("error: %v", whole)
				}
			})
		})
	}
	t.Run("no image", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := newBed(t, strings.ReplaceAll(verifyGlobPlan, "      - { name: db, create: { size: 8MiB } }\n", ""))
			b.applied()
			r, err := b.verify(t.Context(), orchestrator.VerifyOptions{})
			b.must(err)
			if !errors.Is(r.Err(), orchestrator.ErrUnverified) || len(r.Faults) > 0 {
				t.Errorf("error: %v", r.Err())
			}
		})
	})
}

// A site whose monitors answer and whose pools do not holds nobody up.
func TestVerifyWithSilentPools(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, verifyGlobPlan)
		b.image("site-a", ref("vm-1"), replay.FeatureLayering|replay.FeatureExclusiveLock)
		b.applied()
		time.Sleep(time.Minute)
		for _, op := range []string{"PoolMirroring", "Images", "Image"} {
			b.world.Inject(sim.Fault{Site: "site-b", Op: op, Hang: true})
		}
		began := time.Now()
		r, err := b.verify(t.Context(), orchestrator.VerifyOptions{})
		b.must(err)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("took %s", took)
		}
		if len(r.Faults) != 2 || r.Summary.Failed != 2 || !errors.Is(r.Err(), replay.ErrTimeout) {
			t.Errorf("faults %+v, images %+v, error %v", r.Faults, r.Images, r.Err())
		}
	})
}

// A limit of bandwidth holds for a site, over all images together.
func TestVerifyBandwidth(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.applied()
		for _, name := range []string{"vm-1", "vm-2"} {
			b.must(b.world.Write("site-a", ref(name), 0, []byte(strings.Repeat("data", 2<<20))))
		}
		time.Sleep(time.Minute)
		bandwidth := uint64(1 << 20)
		began := time.Now()
		r, err := b.verify(t.Context(), orchestrator.VerifyOptions{Bandwidth: &bandwidth})
		if err != nil || r.Err() != nil {
			t.Fatalf("%v, %v", err, r.Err())
		}
		// 16 MiB at each site, 4 MiB of them at once.
		if took := time.Since(began); took < 11*time.Second || took > 30*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// What differs only because it was written while the snapshot was taken is
// looked at again.
func TestVerifyLooksAgainAtWhatDiffers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.applied()
		b.must(b.world.Write("site-a", ref("vm-1"), 1<<20, []byte("old")))
		time.Sleep(time.Minute)
		b.must(b.world.Corrupt("site-b", ref("vm-1"), 1<<20, []byte("new")))
		var opened atomic.Int32 // calls come from several goroutines
		b.world.Observe(func(c sim.Call) {
			if c.Op != "OpenSnapshot" {
				return
			}
			if opened.Add(1) == 2 { // both copies of the first snapshot are open
				b.must(b.world.Write("site-a", ref("vm-1"), 1<<20, []byte("now")))
			}
		})
		r, err := b.verify(t.Context(), orchestrator.VerifyOptions{Images: []string{"vm-1"}})
		b.world.Observe(nil)
		if err != nil || r.Err() != nil {
			t.Fatalf("%v, %v", err, r.Err())
		}
		again := r.Images[0].Rechecks
		if len(again) != 1 || again[0].Ranges != 1 || again[0].Bytes != 4096 || again[0].Different != 0 || !r.Images[0].Identical {
			t.Errorf("rechecks %+v", again)
		}
		if left := b.userSnapshots("vm-1"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}
