package orchestrator

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

const testRun = "failback-20260101T120000Z-ab12"

func (s *split) order(as, path string) preserveOrder {
	how := s.plan.Preserve
	how.As, how.Path = as, path
	return preserveOrder{plan: s.plan.Name, run: testRun, how: how, minFree: 10}
}

func (s *split) preserve(ref replay.ImageRef, o preserveOrder) (Preserved, error) {
	return preserve(s.t.Context(), s.world.Site("b"), ref, o, nil)
}

// fill scatters data over the image at b, at places of all kinds.
func (s *split) fill(ref replay.ImageRef) {
	for _, at := range []uint64{0, 4<<20 - 3, 5 << 20, 8<<20 - 8} {
		s.write("b", ref, at, "scatter!")
	}
}

func TestPreserveAndRestore(t *testing.T) {
	for _, as := range []string{plans.PreserveClone, plans.PreserveExport} {
		t.Run(as, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSplit(t, splitPlan)
				ref := s.image("vm")
				s.promote(ref)
				s.fill(ref)
				o := s.order(as, t.TempDir())
				var last, total uint64
				p, err := preserve(t.Context(), s.world.Site("b"), ref, o, func(done, all uint64) {
					if done < last || done > all {
						t.Errorf("progress %d of %d after %d", done, all, last)
					}
					last, total = done, all
				})
				s.must(err)
				if last != total || total == 0 {
					t.Errorf("progress ended at %d of %d", last, total)
				}
				if p.Size != 8<<20 || p.Bytes != 5*4096 && p.Bytes != 6*4096 || p.Digest == "" || p.Run != testRun {
					t.Errorf("%+v", p)
				}
				if want := p.At.Add(7 * 24 * time.Hour); !p.Until.Equal(want) {
					t.Errorf("kept until %v, want %v", p.Until, want)
				}
				held := s.digest("b", ref)
				if as == plans.PreserveClone {
					if p.Name != "vm.preserved-20260101T120000Z-ab12" || !isPreserved(s.plan, p.Name) || !isPreserved(s.plan, p.Name+partialSuffix) {
						t.Errorf("name %q", p.Name)
					}
					copied, _ := p.Ref()
					if got := s.digest("b", copied); got != held {
						t.Errorf("the copy holds %s, the image %s", got, held)
					}
					image, err := s.world.Site("b").Image(t.Context(), copied)
					s.must(err)
					if image.Mirrored() || image.Features.Has(replay.FeatureJournaling) || image.Parent != nil || !image.Features.Has(replay.FeatureFastDiff) {
						t.Errorf("%+v", image)
					}
				} else if want := filepath.Join(o.how.Path, "shop", "b", "rbd", "vm-20260101T120000Z-ab12.raw"); p.Path != want {
					t.Errorf("path %q, want %q", p.Path, want)
				}

				// The image is discarded; the copy is not.
				s.must(s.world.Site("b").Demote(t.Context(), ref))
				s.must(s.world.Site("b").Resync(t.Context(), ref))
				time.Sleep(10 * time.Second)
				if s.digest("b", ref) == held {
					t.Fatal("the resync changed nothing")
				}
				s.must(restore(t.Context(), s.world.Site("b"), p, "back", 10, nil))
				if got := s.digest("b", s.image("back")); got != held {
					t.Errorf("restored %s, want %s", got, held)
				}
				if err := restore(t.Context(), s.world.Site("b"), p, "vm", 10, nil); !errors.Is(err, ErrRefused) {
					t.Errorf("restored over an image: %v", err)
				}
				// Making it again would keep what the winner wrote: the copy stays.
				if _, err := s.preserve(ref, o); !errors.Is(err, ErrRefused) {
					t.Errorf("preserved again: %v", err)
				}
				s.must(removePreserved(t.Context(), s.world.Site("b"), p))
				s.must(removePreserved(t.Context(), s.world.Site("b"), p))
				if names := s.names("b"); !slices.Equal(names, []string{"back", "snap", "vm"}) {
					t.Errorf("left at b: %v", names)
				}
				left, err := filepath.Glob(filepath.Join(o.how.Path, "shop", "b", "rbd", "*"))
				if err != nil || len(left) > 0 {
					t.Errorf("left: %v %v", left, err)
				}
			})
		})
	}
}

// A copy in a pool in pool mode, where whatever has journaling is mirrored.
func TestPreservedIsNotMirroredInPoolMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSplit(t, strings.Replace(splitPlan, `    images:
      - {name: vm, mode: journal}
      - {name: snap, mode: snapshot}`, `    mirror: pool
    images:
      - {name: vm}`, 1))
		ref := s.image("vm")
		s.promote(ref)
		p, err := s.preserve(ref, s.order(plans.PreserveClone, ""))
		s.must(err)
		time.Sleep(time.Minute)
		copied, _ := p.Ref()
		image, err := s.world.Site("b").Image(t.Context(), copied)
		if err != nil || image.Mirrored() {
			t.Errorf("%+v %v", image, err)
		}
		if names := s.names("a"); !slices.Equal(names, []string{"vm"}) {
			t.Errorf("at a: %v", names)
		}
	})
}

// Whatever call fails, and whether or not it had its effect, the next try ends
// with a whole copy and nothing half beside it.
func TestPreserveAgainAfterEachFault(t *testing.T) {
	ops := []string{"Image", "CreateImage", "OpenSnapshot", "Extents", "ReadAt", "OpenWriter", "WriteAt", "Flush", "PoolSpace", "RenameImage", "RemoveImage"}
	for _, op := range ops {
		for _, fault := range []sim.Fault{{Errno: syscall.EIO}, {Lost: true}} {
			for skip := range 4 {
				synctest.Test(t, func(t *testing.T) {
					s := newSplit(t, splitPlan)
					ref := s.image("vm")
					s.promote(ref)
					s.fill(ref)
					held := s.digest("b", ref)
					fault.Site, fault.Op, fault.Skip, fault.Count = "b", op, skip, 1
					disarm := s.world.Inject(fault)
					p, err := s.preserve(ref, s.order(plans.PreserveClone, ""))
					if err != nil {
						p, err = s.preserve(ref, s.order(plans.PreserveClone, ""))
					}
					if err != nil {
						t.Fatalf("%s %+v: %v", op, fault, err)
					}
					disarm()
					copied, _ := p.Ref()
					if got := s.digest("b", copied); got != held {
						t.Errorf("%s: %s, want %s", op, got, held)
					}
					if names := s.names("b"); !slices.Equal(names, []string{"snap", "vm", copied.Name}) {
						t.Errorf("%s: %v", op, names)
					}
				})
			}
		}
	}
}

// What a killed process had open is held by it for a while yet.
func TestPreserveAwaitsADeadProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSplit(t, splitPlan)
		ref := s.image("vm")
		s.promote(ref)
		o := s.order(plans.PreserveClone, "")
		image, err := s.world.Site("b").Image(t.Context(), ref)
		s.must(err)
		p := o.planned("b", &image)
		half := s.image(p.Name + partialSuffix)
		s.must(s.world.Site("b").CreateImage(t.Context(), half, replay.ImageSpec{Size: 1 << 20}))
		s.must(s.world.Attach("b", half, replay.ImageUser{Client: "client.1", Address: "10.0.0.1:0/1"}, false))
		time.AfterFunc(30*time.Second, func() { _ = s.world.Detach("b", half) })
		began := time.Now()
		p, err = s.preserve(ref, o)
		s.must(err)
		if took := time.Since(began); took < 30*time.Second || took > partialPatience {
			t.Errorf("took %v", took)
		}
		if p.Size != 8<<20 {
			t.Errorf("%+v", p)
		}
	})
}

func TestPreserveRefuses(t *testing.T) {
	cases := map[string]struct {
		spoil func(s *split, ref replay.ImageRef)
		want  string
	}{
		"no room": {func(s *split, _ replay.ImageRef) { s.world.SetQuota("b", "rbd", 40<<10) }, "do not fit into pool rbd at b"},
		"written meanwhile": {func(s *split, ref replay.ImageRef) {
			s.world.Observe(func(c sim.Call) {
				if c.Op == "Flush" {
					go func() { _ = s.world.Write("b", ref, 6<<20, []byte("more")) }()
					synctest.Wait()
				}
			})
		}, "does not hold what its copy"},
		"a copy of another size": {func(s *split, _ replay.ImageRef) {
			s.must(s.world.Site("b").CreateImage(s.t.Context(), s.image("vm.preserved-20260101T120000Z-ab12"), replay.ImageSpec{Size: 4096}))
		}, "exists and has 4.0 KiB"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSplit(t, splitPlan)
				ref := s.image("vm")
				s.promote(ref)
				s.fill(ref)
				c.spoil(s, ref)
				before := s.names("b")
				_, err := s.preserve(ref, s.order(plans.PreserveClone, ""))
				if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want %q", err, c.want)
				}
				if after := s.names("b"); !slices.Equal(before, after) {
					t.Errorf("left: %v", after)
				}
			})
		})
	}
}

func TestPreserveEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSplit(t, splitPlan)
		ref := s.image("vm")
		s.promote(ref)
		s.fill(ref)
		allow := s.world.Inject(sim.Fault{Site: "b", Op: "WriteAt", Hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		_, err := preserve(ctx, s.world.Site("b"), ref, s.order(plans.PreserveClone, ""), nil)
		if err == nil || time.Since(began) > 4*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		allow()
		if _, err := s.preserve(ref, s.order(plans.PreserveClone, "")); err != nil {
			t.Error(err)
		}
	})
}

func TestRestoreRefusesAFileThatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSplit(t, splitPlan)
		ref := s.image("vm")
		s.promote(ref)
		s.fill(ref)
		p, err := s.preserve(ref, s.order(plans.PreserveExport, t.TempDir()))
		s.must(err)
		file, err := os.OpenFile(p.Path, os.O_RDWR, 0)
		s.must(err)
		_, err = file.WriteAt([]byte("x"), 5<<20)
		s.must(err)
		s.must(file.Close())
		if err := restore(t.Context(), s.world.Site("a"), p, "back", 10, nil); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "digest") {
			t.Errorf("a changed file: %v", err)
		}
		s.must(os.Truncate(p.Path, 4096))
		if err := restore(t.Context(), s.world.Site("a"), p, "again", 10, nil); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "written with") {
			t.Errorf("a short file: %v", err)
		}
	})
}

func TestPreserveEstimate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSplit(t, splitPlan)
		refs := []replay.ImageRef{s.image("vm"), s.image("snap")}
		needed, err := preserveEstimate(t.Context(), s.world.Site("a"), refs)
		if err != nil || needed["rbd"] != 2*4096 {
			t.Errorf("%v %v", needed, err)
		}
		s.world.SetQuota("a", "rbd", 17<<10) // 1 KiB less than the two, with a tenth left free
		if _, err := preserveRoom(t.Context(), s.world.Site("a"), refs, s.order(plans.PreserveClone, "")); !errors.Is(err, ErrRefused) {
			t.Errorf("no room: %v", err)
		}
		if n, err := preserveRoom(t.Context(), s.world.Site("a"), refs, s.order(plans.PreserveExport, filepath.Join(t.TempDir(), "new"))); err != nil || n != 2*4096 {
			t.Errorf("export: %d %v", n, err)
		}
	})
}

func TestPreservedRecords(t *testing.T) {
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	one := Preserved{ID: "b:rbd/vm@x", Site: "b", Image: replay.Pool{Name: "rbd"}.Image("vm"), As: plans.PreserveClone, Name: "vm.preserved-x", At: at, Until: at.Add(time.Hour), Run: "run-x"}
	two := one
	two.ID, two.At, two.Until = "b:rbd/vm@y", at.Add(-time.Minute), at.Add(3*time.Hour)
	gone := one
	gone.Removed = &at
	var entries []Entry
	for _, p := range []Preserved{one, two} {
		e, err := preservedEntry(p)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	entries = append(entries, Entry{Kind: EntryPreserved, Body: []byte(`{"v":2,"id":"later"}`)}, Entry{Kind: "other"})
	all := preservedOf(entries)
	if len(all) != 2 || all[0].ID != two.ID || all[1].ID != one.ID {
		t.Fatalf("%+v", all)
	}
	if old := expired(all, at.Add(2*time.Hour)); len(old) != 1 || old[0].ID != one.ID {
		t.Errorf("%+v", old)
	}
	removed, err := preservedEntry(gone)
	if err != nil {
		t.Fatal(err)
	}
	if old := expired(preservedOf(append(entries, removed)), at.Add(2*time.Hour)); len(old) != 0 {
		t.Errorf("dropped already: %+v", old)
	}
}

func TestPreservedNames(t *testing.T) {
	plan := &plans.Plan{Preserve: plans.Preserve{Suffix: ".preserved"}}
	for name, want := range map[string]bool{
		"vm": false, "vm.preserved": false, "vm.preserved-1": false, ".preserved-20260101T120000Z-ab12": false,
		"vm.preserved-20260101T120000Z-ab12": true, "vm.preserved-20260101T120000Z-ab12.partial": true,
	} {
		if got := isPreserved(plan, name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
	ref := replay.Pool{Name: "..", Namespace: "ns"}.Image("../../x")
	if got, want := exportPath("/keep", "p", "..", ref, testRun), "/keep/p/%2E./%2E..ns/%2E.%2F..%2Fx-20260101T120000Z-ab12.raw"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestHalfMadeCopyIsRemoved: a copy that is not found may still have its name.
func TestHalfMadeCopyIsRemoved(t *testing.T) {
	s := newSplit(t, splitPlan)
	s.world.ForgetCalls()
	s.must(removePartial(t.Context(), s.world.Site("b"), s.image("never.partial"), 0))
	for _, call := range s.world.Calls() {
		if call.Op == "RemoveImage" {
			return
		}
	}
	t.Error("nobody has tried to remove it")
}
