package ceph_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph"
	"github.com/drover-io/drover/test/lab"
)

// world is the lab that all tests of this package share: two sites, each with
// its own rbd-mirror.
var world *lab.Lab

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	world, err = lab.Start(ctx, lab.Options{Sites: []string{"site-a", "site-b"}, Mirrors: []string{"site-a", "site-b"}})
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot start the lab:", err)
		return 1
	}
	defer func() {
		if err := world.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the lab:", err)
		}
	}()
	if err := hasten(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "cannot set up the lab:", err)
		return 1
	}
	return m.Run()
}

// hasten lets rbd-mirror look every second for what it looks for every half
// minute by default: new pools, images whose state changed.
func hasten(ctx context.Context) error {
	for _, site := range world.Sites() {
		for _, option := range []string{"rbd_mirror_pool_replayers_refresh_interval", "rbd_mirror_image_state_check_interval"} {
			if _, err := site.Ceph(ctx, "config", "set", "client", option, "1"); err != nil {
				return err
			}
		}
		// The first wait has begun with the default.
		if err := site.StopMirror(); err != nil {
			return err
		}
		if err := site.StartMirror(ctx); err != nil {
			return err
		}
	}
	return nil
}

// open connects to a site as client.drover.
func open(tb testing.TB, site string) *ceph.Site {
	tb.Helper()
	return openAs(tb, site, ceph.Config{})
}

func openAs(tb testing.TB, site string, config ceph.Config) *ceph.Site {
	tb.Helper()
	config.Name, config.Conf = site, world.Site(site).Conf()
	if config.User == "" {
		config.User = "client.drover"
	}
	s, err := ceph.Open(tb.Context(), config)
	if err != nil {
		tb.Fatalf("open %s: %v", site, err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close %s: %v", site, err)
		}
	})
	return s
}

var poolNumber atomic.Int64

// newPool makes a pool of the test's own at both sites.
func newPool(tb testing.TB) replay.Pool {
	tb.Helper()
	name := fmt.Sprintf("pool-%d", poolNumber.Add(1))
	for _, site := range world.Sites() {
		if err := site.CreatePool(tb.Context(), name); err != nil {
			tb.Fatal(err)
		}
	}
	return replay.Pool{Name: name}
}

// pair is two sites with one pool, mirrored both ways in image mode.
type pair struct {
	a, b *ceph.Site
	pool replay.Pool
}

func newPair(tb testing.TB) pair {
	tb.Helper()
	p := pair{a: open(tb, "site-a"), b: open(tb, "site-b"), pool: newPool(tb)}
	p.join(tb, p.pool)
	return p
}

// join lets both sites mirror a pool to each other.
func (p pair) join(tb testing.TB, pool replay.Pool) {
	tb.Helper()
	ctx := tb.Context()
	for _, s := range []*ceph.Site{p.a, p.b} {
		must(tb, s.SetSiteName(ctx, s.Name()))
		must(tb, s.SetPoolMode(ctx, pool, replay.PoolImage))
	}
	if pool.Namespace != "" {
		return // peers are the pool's
	}
	token, err := p.a.CreateBootstrapToken(ctx, pool)
	must(tb, err)
	must(tb, p.b.ImportBootstrapToken(ctx, pool, replay.RxTx, token))
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// await asks until the answer is yes, or gives up after a minute.
func await(tb testing.TB, what string, ask func() (bool, error)) {
	tb.Helper()
	deadline := time.Now().Add(time.Minute)
	var last error
	for time.Now().Before(deadline) {
		ok, err := ask()
		if ok && err == nil {
			return
		}
		last = err
		select {
		case <-time.After(100 * time.Millisecond):
		case <-tb.Context().Done():
			tb.Fatalf("%s: %v", what, tb.Context().Err())
		}
	}
	tb.Fatalf("%s: not within a minute; last error: %v", what, last)
}

// rbd runs the plain command at a site as client.admin.
func rbd(tb testing.TB, site, command string) []byte {
	tb.Helper()
	out, err := world.Site(site).Rbd(tb.Context(), strings.Fields(command)...)
	if err != nil {
		tb.Fatalf("%s: rbd %s: %v", site, command, err)
	}
	return out
}
