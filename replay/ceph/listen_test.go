package ceph_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ceph/go-ceph/rados"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph"
	"github.com/drover-io/drover/test/lab"
)

// hearing is a pool that is listened to, in a lab of one site of its own.
type hearing struct {
	t     *testing.T
	lab   *lab.Site
	site  *ceph.Site
	calls atomic.Int64
	ended chan error
	stop  context.CancelFunc
	made  int
}

// eventPool is the pool of such a lab.
var eventPool = replay.Pool{Name: "rbd"}

func hear(t *testing.T, l *lab.Lab) *hearing {
	h := &hearing{t: t, lab: l.Site("ear")}
	var err error
	h.site, err = ceph.Open(t.Context(), ceph.Config{Name: "ear", Conf: h.lab.Conf(), User: "client.drover"})
	must(t, err)
	t.Cleanup(func() { _ = h.site.Close() })
	must(t, h.site.SetPoolMode(t.Context(), eventPool, replay.PoolImage))
	h.listen()
	return h
}

func earLab(t *testing.T) *lab.Lab {
	t.Helper()
	l, err := lab.Start(t.Context(), lab.Options{Sites: []string{"ear"}})
	must(t, err)
	t.Cleanup(func() { must(t, l.Stop()) })
	return l
}

func (h *hearing) listen() {
	h.t.Helper()
	ctx, stop := context.WithCancel(h.t.Context())
	h.t.Cleanup(stop)
	h.stop, h.ended = stop, make(chan error, 1)
	ended := h.ended
	before := h.calls.Load()
	go func() { ended <- h.site.Listen(ctx, eventPool, func() { h.calls.Add(1) }) }()
	await(h.t, "it listens", func() (bool, error) { return h.calls.Load() > before, nil })
}

// enable has a client of its own enable one more image.
func (h *hearing) enable() time.Duration {
	h.t.Helper()
	h.made++
	name := fmt.Sprintf("rbd/heard-%d", h.made)
	h.rbd("create", "--size", "1M", name)
	began := time.Now()
	h.rbd("mirror", "image", "enable", name, "snapshot")
	return time.Since(began)
}

func (h *hearing) rbd(args ...string) {
	h.t.Helper()
	if _, err := h.lab.Rbd(h.t.Context(), args...); err != nil {
		h.t.Fatal(err)
	}
}

// hears enables one more image, and waits until that is heard.
func (h *hearing) hears() {
	h.t.Helper()
	before := h.calls.Load()
	h.enable()
	await(h.t, "it is heard of", func() (bool, error) { return h.calls.Load() > before, nil })
}

// ends stops to listen.
func (h *hearing) ends() {
	h.t.Helper()
	h.stop()
	if err := <-h.ended; !errors.Is(err, context.Canceled) {
		h.t.Errorf("it ended with %v", err)
	}
}

// breaks waits until the listener ends by itself, and begins anew.
func (h *hearing) breaks(want error) {
	h.t.Helper()
	select {
	case err := <-h.ended:
		if !errors.Is(err, want) {
			h.t.Errorf("it ended with %v, want %v", err, want)
		}
	case <-time.After(2 * time.Minute):
		h.t.Fatal("it still listens")
	}
}

// watchers are the clients that watch the object of the pool.
func (h *hearing) watchers() int {
	h.t.Helper()
	out, err := h.lab.Rados(h.t.Context(), "-p", eventPool.Name, "listwatchers", "rbd_mirroring")
	must(h.t, err)
	n := 0
	for _, c := range out {
		if c == '\n' {
			n++
		}
	}
	return n
}

// TestListenFaults takes a listener through what can happen to its site.
func TestListenFaults(t *testing.T) {
	t.Parallel()
	h := hear(t, earLab(t))
	h.hears()

	// An OSD that is restarted forgets nobody.
	must(t, h.lab.Restart(t.Context(), lab.OSD))
	before := h.calls.Load()
	await(t, "it hears after a restart of the OSD, or says that it does not", func() (bool, error) {
		select {
		case err := <-h.ended:
			t.Logf("the restart has ended it: %v", err)
			h.listen()
		default:
		}
		h.enable()
		return h.calls.Load() > before, nil
	})

	// An OSD that has not answered for longer than it keeps watches.
	must(t, h.lab.Freeze(lab.OSD))
	began := time.Now()
	h.ends()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v to stop to listen to an OSD that does not answer", took)
	}
	must(t, h.lab.Thaw(lab.OSD))
	await(t, "the OSD has forgotten it", func() (bool, error) { return h.watchers() == 0, nil })
	h.listen()
	h.hears()

	// The object is gone, as when a pool is removed.
	_, err := h.lab.Rados(t.Context(), "-p", eventPool.Name, "rm", "rbd_mirroring")
	must(t, err)
	h.breaks(replay.ErrUnreachable)
	if err := h.site.Listen(t.Context(), eventPool, func() {}); !errors.Is(err, replay.ErrNotFound) {
		t.Errorf("without the object: %v", err)
	}
	must(t, h.site.SetPoolMode(t.Context(), eventPool, replay.PoolImage))
	h.listen()
	h.hears()

	// The client is shut out.
	addresses, err := h.site.OwnAddresses(t.Context())
	must(t, err)
	other, err := ceph.Open(t.Context(), ceph.Config{Name: "ear", Conf: h.lab.Conf(), User: "client.drover"})
	must(t, err)
	defer func() { _ = other.Close() }()
	for _, a := range addresses {
		must(t, other.Blocklist(t.Context(), a, time.Hour))
	}
	select {
	case err := <-h.ended:
		t.Logf("shut out, it ended with %v", err)
	case <-time.After(2 * time.Minute):
		t.Error("it listens though it was shut out")
	}
}

// TestListenSilentSite: a site that does not answer holds up neither the closing of
// its own listener, nor the messages of another site, nor who sends them.
func TestListenSilentSite(t *testing.T) {
	t.Parallel()
	silent, h := hear(t, earLab(t)), hear(t, earLab(t))
	must(t, silent.lab.FreezeAll())
	defer func() { must(t, silent.lab.ThawAll()) }()
	await(t, "the OSD has stopped to answer", func() (bool, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := silent.site.PoolMirroring(ctx, eventPool)
		return errors.Is(err, replay.ErrTimeout), nil
	})
	var tries []chan error
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- silent.site.Listen(ctx, eventPool, func() { t.Error("heard of a frozen site") }) }()
		tries = append(tries, ended)
	}
	h.hears()
	for _, ended := range tries {
		if err := <-ended; !errors.Is(err, replay.ErrTimeout) {
			t.Errorf("a frozen site: %v", err)
		}
	}
	began := time.Now()
	silent.ends()
	must(t, silent.site.Close())
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v to let go of a frozen site", took)
	}
	h.hears()
}

// TestListenStorm: a thousand messages are each acknowledged; what is heard may be
// fewer.
func TestListenStorm(t *testing.T) {
	t.Parallel()
	h := hear(t, earLab(t))
	before := h.calls.Load()
	must(t, inLab(h.lab, func(io *rados.IOContext) error {
		for range 1000 {
			acks, timeouts, err := io.Notify("rbd_mirroring", nil)
			if err != nil {
				return err
			}
			if len(acks) != 1 || len(timeouts) != 0 {
				return fmt.Errorf("%d have acknowledged it, %d have not", len(acks), len(timeouts))
			}
		}
		return nil
	}))
	if n := h.calls.Load() - before; n == 0 || n > 1000 {
		t.Errorf("of 1000 messages it has heard %d", n)
	}
	h.hears()
}

// inLab connects as client.admin while fn runs.
func inLab(site *lab.Site, fn func(*rados.IOContext) error) error {
	conn, err := rados.NewConnWithClusterAndUser("ceph", "client.admin")
	if err != nil {
		return err
	}
	if err := errors.Join(conn.ReadConfigFile(site.Conf()), conn.Connect()); err != nil {
		return err
	}
	defer conn.Shutdown()
	io, err := conn.OpenIOContext(eventPool.Name)
	if err != nil {
		return err
	}
	defer io.Destroy()
	return fn(io)
}

// TestRoleChangesAreSilent: librbd tells nobody of promotions and demotions; that is
// why checks go by a schedule.
func TestRoleChangesAreSilent(t *testing.T) {
	t.Parallel()
	h := hear(t, earLab(t))
	ref := eventPool.Image("role")
	for _, mode := range []replay.MirrorMode{replay.ModeJournal, replay.ModeSnapshot} {
		ref.Name = "role-" + string(mode)
		must(t, h.site.CreateImage(t.Context(), ref, replay.ImageSpec{Size: 1 << 20, Features: replay.FeatureLayering | replay.FeatureExclusiveLock}))
		must(t, h.site.EnableMirroring(t.Context(), ref, mode))
		h.hears() // all that came before
		before := h.calls.Load()
		must(t, h.site.Demote(t.Context(), ref))
		must(t, h.site.Promote(t.Context(), ref, true))
		h.hears() // messages come in order
		if n := h.calls.Load() - before; n != 1 {
			t.Errorf("%s: %d messages of a promotion, a demotion and an image that was enabled: what rests on the silence of the former may be better now", mode, n)
		}
	}
}
