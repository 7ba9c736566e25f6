package sim_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

func TestFaults(t *testing.T) {
	image := replay.ImageSpec{Size: 1 << 20}
	for name, c := range map[string]struct {
		fault sim.Fault
		want  []error // of three creations of images at a
	}{
		"errno":        {sim.Fault{Errno: syscall.ENOSPC}, []error{replay.ErrNoSpace, replay.ErrNoSpace, replay.ErrNoSpace}},
		"second call":  {sim.Fault{Skip: 1, Count: 1, Errno: syscall.EBUSY}, []error{nil, replay.ErrBusy, nil}},
		"one image":    {sim.Fault{Object: "rbd/n-1", Errno: syscall.EIO}, []error{nil, syscall.EIO, nil}},
		"some images":  {sim.Fault{Object: "rbd/n-*", Count: 2, Errno: syscall.EPERM}, []error{replay.ErrPermission, replay.ErrPermission, nil}},
		"other site":   {sim.Fault{Site: "b", Errno: syscall.EIO}, []error{nil, nil, nil}},
		"other method": {sim.Fault{Op: "RemoveImage", Errno: syscall.EIO}, []error{nil, nil, nil}},
		"lost answer":  {sim.Fault{Op: "CreateImage", Count: 1, Lost: true}, []error{replay.ErrTimeout, nil, nil}},
	} {
		t.Run(name, func(t *testing.T) {
			w := sim.Pair(sim.Options{}, "a", "b", "rbd")
			if c.fault.Op == "" {
				c.fault.Op = "CreateImage"
			}
			remove := w.Inject(c.fault)
			for k, want := range c.want {
				ref := vm.Image("n-" + string(rune('0'+k)))
				err := w.Site("a").CreateImage(t.Context(), ref, image)
				if !errors.Is(err, want) || want == nil && err != nil {
					t.Errorf("call %d: got %v, want %v", k, err, want)
				}
				_, err = w.Site("a").Image(t.Context(), ref)
				if made := err == nil; made != (want == nil || c.fault.Lost) {
					t.Errorf("call %d: image made: %v (%v)", k, made, err)
				}
			}
			remove()
			must(t, w.Site("a").CreateImage(t.Context(), vm.Image("last"), image))
		})
	}
}

func TestVanishedSite(t *testing.T) {
	w, a, b := pair(t, sim.Options{})
	w.Vanish("a")
	_, err := a.Identity(t.Context())
	var e *replay.Error
	if !errors.Is(err, replay.ErrUnreachable) || !errors.As(err, &e) || !e.Retryable {
		t.Fatal(err)
	}
	_, err = b.Identity(t.Context())
	must(t, err)
	w.Return("a")
	_, err = a.Identity(t.Context())
	must(t, err)
	if _, err := w.Site("nowhere").Identity(t.Context()); !errors.Is(err, replay.ErrUnreachable) {
		t.Fatal(err)
	}
}

func TestHangingCallGoesOnWhenTheFaultIsGone(t *testing.T) {
	w, a, _ := pair(t, sim.Options{})
	remove := w.Inject(sim.Fault{Site: "a", Op: "Identity", Hang: true, Count: 1})
	answered := make(chan error)
	go func() {
		_, err := a.Identity(t.Context())
		answered <- err
	}()
	_, err := a.ListPools(t.Context())
	must(t, err)
	remove()
	must(t, <-answered)
}

func TestFrozenSiteEndsWithContext(t *testing.T) {
	w, a, _ := pair(t, sim.Options{})
	w.Freeze("a")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := a.Identity(ctx); !errors.Is(err, replay.ErrTimeout) {
		t.Fatal(err)
	}
	if a.Abandoned() != 1 {
		t.Fatalf("abandoned: %d", a.Abandoned())
	}
	w.Thaw("a")
	if _, err := a.Identity(t.Context()); err != nil || a.Abandoned() != 0 {
		t.Fatal(err, a.Abandoned())
	}
}

func TestCallLogTellsReadsFromWrites(t *testing.T) {
	w, a, b := pair(t, sim.Options{})
	w.ForgetCalls()
	var seen int
	w.Observe(func(sim.Call) { seen++ })
	_, err := a.Images(t.Context(), vm.Pool, replay.WithPositions)
	must(t, err)
	_, err = b.Reports(t.Context(), vm.Pool)
	must(t, err)
	if n := len(w.Writes()); n != 0 {
		t.Fatalf("%d writes by reading", n)
	}
	if err := b.Promote(t.Context(), vm, false); !errors.Is(err, replay.ErrNotFound) {
		t.Fatal(err)
	}
	writes := w.Writes()
	if len(writes) != 1 || writes[0].Op != "Promote" || writes[0].Site != "b" || writes[0].Object != "rbd/vm-1" || writes[0].Err == nil {
		t.Fatalf("writes %+v", writes)
	}
	if len(w.Calls()) != 3 || seen != 3 {
		t.Fatalf("%d calls, %d seen", len(w.Calls()), seen)
	}
}

func TestQuota(t *testing.T) {
	w, a, _ := pair(t, sim.Options{})
	protect(t, a, vm, replay.ModeJournal)
	w.SetQuota("a", "rbd", 8192)
	must(t, w.Write("a", vm, 0, make([]byte, 4096)))
	if err := w.Write("a", vm, 8192, make([]byte, 8192)); !errors.Is(err, replay.ErrNoSpace) {
		t.Fatal(err)
	}
}

func TestWriterThatKeepsTheLockStopsDemotion(t *testing.T) {
	w, a, _ := pair(t, sim.Options{})
	protect(t, a, vm, replay.ModeJournal)
	must(t, w.Attach("a", vm, replay.ImageUser{Client: "client.9", Locks: true}, true))
	users, err := a.Users(t.Context(), vm)
	must(t, err)
	if len(users) != 1 || !users[0].Locks {
		t.Fatalf("users %+v", users)
	}
	if err := a.Demote(t.Context(), vm); !errors.Is(err, replay.ErrReadOnly) {
		t.Fatal(err)
	}
	must(t, w.Detach("a", vm))
	must(t, a.Demote(t.Context(), vm))
}

// A resync with no primary anywhere waits in 16.2.15, and destroys the only
// copy in releases that do not look.
func TestResyncWithoutPrimary(t *testing.T) {
	for _, blind := range []bool{false, true} {
		w, a, b := pair(t, sim.Options{BlindResync: blind})
		protect(t, a, vm, replay.ModeJournal)
		w.Advance(10 * time.Second)
		must(t, a.Demote(t.Context(), vm))
		must(t, b.Resync(t.Context(), vm))
		w.Advance(2 * time.Minute)
		_, err := b.Image(t.Context(), vm)
		if gone := errors.Is(err, replay.ErrNotFound); gone != blind {
			t.Fatalf("blind %v: %v", blind, err)
		}
	}
}

func TestLostSchedulerModule(t *testing.T) {
	w, a, _ := pair(t, sim.Options{})
	w.LoseModule("a", "rbd_support")
	if _, err := a.MirrorSchedules(t.Context(), vm.Pool); !errors.Is(err, replay.ErrUnsupported) {
		t.Fatal(err)
	}
	w.FindModule("a", "rbd_support")
	_, err := a.MirrorSchedules(t.Context(), vm.Pool)
	must(t, err)
}

// TestLookAtOneSpoiltImage spoils one image of a look in each way: the others
// are seen, at once.
func TestLookAtOneSpoiltImage(t *testing.T) {
	for name, c := range map[string]struct {
		fault sim.Fault
		want  error
	}{
		"errno":            {sim.Fault{Object: "rbd/n-1", Errno: syscall.EIO}, syscall.EIO},
		"lost answer":      {sim.Fault{Object: "rbd/n-1", Lost: true}, replay.ErrTimeout},
		"hangs for ever":   {sim.Fault{Object: "rbd/n-1", Hang: true}, replay.ErrTimeout},
		"another method":   {sim.Fault{Op: "Image", Object: "rbd/n-1", Errno: syscall.EIO}, nil},
		"hangs for a time": {sim.Fault{Object: "rbd/n-1", Hang: true, Count: 1}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := sim.Pair(sim.Options{Clock: time.Now}, "a", "b", "rbd")
				names := []string{"n-0", "n-1", "n-2"}
				for _, n := range names {
					must(t, w.Site("a").CreateImage(t.Context(), vm.Image(n), replay.ImageSpec{Size: 1 << 20}))
				}
				if c.fault.Op == "" {
					c.fault.Op = "LookAt"
				}
				remove := w.Inject(c.fault)
				if c.fault.Count > 0 {
					time.AfterFunc(time.Second, remove)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				told := map[string]error{}
				must(t, w.Site("a").LookAt(ctx, vm.Pool, names, 0, func(n string, image replay.Image, err error) {
					if _, twice := told[n]; twice || err == nil && image.Ref != vm.Image(n) {
						t.Errorf("told of %s: %+v", n, image)
					}
					if n != "n-1" && time.Since(began) > 0 {
						t.Errorf("%s after %v", n, time.Since(began))
					}
					told[n] = err
				}))
				if len(told) != len(names) || told["n-0"] != nil || told["n-2"] != nil || !errors.Is(told["n-1"], c.want) {
					t.Errorf("told %v", told)
				}
				if took := time.Since(began); c.fault.Count > 0 && took != time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}
