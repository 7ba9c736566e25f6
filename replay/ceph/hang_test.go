package ceph_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph"
	"github.com/drover-io/drover/test/lab"
)

// TestAbandonedCalls freezes the OSD: calls are given up when their context
// ends, are counted while they hang, and hold up neither the site's other
// calls nor Close.
func TestAbandonedCalls(t *testing.T) {
	admin := world.Site("site-a")
	config := ceph.Config{Name: "site-a", Conf: admin.Conf(), User: "client.drover", Parallel: 2}
	s, err := ceph.Open(t.Context(), config)
	must(t, err)
	pool := replay.Pool{Name: "rbd"}
	ref := pool.Image("hang")
	must(t, s.CreateImage(t.Context(), ref, replay.ImageSpec{Size: 8 << 20}))
	reader, err := s.OpenSnapshot(t.Context(), ref, "")
	must(t, err)
	const calls = 8 // more than may run at once
	must(t, admin.Freeze(lab.OSD))
	thawed := false
	thaw := func() {
		if !thawed {
			thawed = true
			must(t, admin.Thaw(lab.OSD))
		}
	}
	defer thaw()
	brief := func(does func(context.Context) error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		err := does(ctx)
		if !errors.Is(err, replay.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v to give up", took)
		}
	}
	for range calls - 1 {
		brief(func(ctx context.Context) error { _, err := s.Images(ctx, pool, replay.WithHeader); return err })
	}
	buffer := make([]byte, 4096)
	brief(func(ctx context.Context) error { _, err := reader.ReadAt(ctx, buffer, 0); return err })
	if n := s.Abandoned(); n != calls {
		t.Errorf("%d calls are counted as abandoned, not %d", n, calls)
	}
	// The monitors still answer.
	if _, err := s.Identity(t.Context()); err != nil {
		t.Errorf("a call that hangs holds up another: %v", err)
	}
	began := time.Now()
	must(t, reader.Close())
	must(t, s.Close())
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v to close", took)
	}
	_, err = s.Identity(t.Context())
	refused(t, err, replay.ErrUnreachable, "closed")
	thaw()
	await(t, "all abandoned calls end", func() (bool, error) { return s.Abandoned() == 0, nil })
}

// TestSiteGone takes a whole site away: what was open says so in time, and
// works again when the site is back.
func TestSiteGone(t *testing.T) {
	s := open(t, "site-b")
	other := open(t, "site-a")
	gone := world.Site("site-b")
	must(t, gone.FreezeAll())
	func() {
		defer func() { must(t, gone.ThawAll()) }()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := s.Identity(ctx)
		refused(t, err, replay.ErrTimeout)
		began := time.Now()
		_, err = ceph.Open(t.Context(), ceph.Config{Name: "site-b", Conf: gone.Conf(), User: "client.drover", ConnectTimeout: 3 * time.Second})
		refused(t, err, replay.ErrUnreachable, "do not answer")
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v to notice", took)
		}
		if _, err := other.Identity(t.Context()); err != nil {
			t.Errorf("the other site: %v", err)
		}
	}()
	await(t, "the site answers again", func() (bool, error) {
		_, err := s.Identity(t.Context())
		return err == nil, err
	})
}
