package orchestrator_test

import (
	"context"
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

type (
	simCall  = sim.Call
	simFault = sim.Fault
)

const (
	ebusy = syscall.EBUSY
	erofs = syscall.EROFS
	eperm = syscall.EPERM
)

func contextFor(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// runShape is a plan and how its world is made.
type runShape struct {
	name   string
	plan   *plans.Plan
	modes  []replay.MirrorMode // of the images volume-0, volume-1, …
	twoWay bool
	sites  []string
}

// runShapes are all plans that histories are of.
var runShapes = sync.OnceValue(func() []runShape {
	var shapes []runShape
	j, s := replay.ModeJournal, replay.ModeSnapshot
	for _, modes := range [][]replay.MirrorMode{{j}, {s}, {j, j}, {s, s}, {j, s}, {j, s, j, s}, {j, j, s}} {
		for _, direction := range []string{"one-way", "two-way"} {
			for _, extra := range []string{"", "group", "waves"} {
				for _, sites := range [][]string{{"a", "b"}, {"a", "b", "c"}} {
					if len(modes) < 2 && extra != "" || len(sites) == 3 && (direction == "two-way" || extra != "") {
						continue
					}
					shapes = append(shapes, newRunShape(modes, direction, extra, sites))
				}
			}
		}
	}
	return shapes
})

func newRunShape(modes []replay.MirrorMode, direction, extra string, sites []string) runShape {
	var text strings.Builder
	fmt.Fprintf(&text, "version: 1\nname: shop\ndirection: %s\nprimary: a\nsites:\n", direction)
	for _, site := range sites {
		fmt.Fprintf(&text, "  - {name: %s, conf: /etc/ceph/%s.conf, daemon: {run: process}}\n", site, site)
	}
	text.WriteString("pools:\n  - name: rbd\n    images:\n")
	for i, mode := range modes {
		fmt.Fprintf(&text, "      - {name: volume-%d, mode: %s}\n", i, mode)
	}
	switch extra {
	case "group":
		text.WriteString("groups:\n  - {name: db, images: [{pool: rbd, name: volume-0}, {pool: rbd, name: volume-1}]}\n")
	case "waves":
		text.WriteString("waves:\n  - {name: first, priority: 1, images: [{pool: rbd, name: volume-0}]}\n  - {name: second, priority: 2, images: [{pool: rbd, name: volume-1}]}\n")
	}
	plan, err := plans.Parse("plan.yaml", []byte(text.String()))
	if err != nil {
		panic(err) // the text above is wrong
	}
	return runShape{
		name: fmt.Sprint(modes, " ", direction, " ", extra, " ", len(sites), " sites"),
		plan: plan, modes: modes, twoWay: direction == "two-way", sites: sites,
	}
}

// receives reports whether a site's daemon has something to do.
func (s *runShape) receives(site string) bool { return site != "a" || s.twoWay }

// build makes the world of a shape, all images replayed. real: at the pace of
// real daemons.
func (s *runShape) build(t testing.TB, seed uint64, real bool) (*bed, []replay.ImageRef) {
	t.Helper()
	b := &bed{t: t, plan: s.plan}
	pace := sim.Instant
	if real {
		pace = sim.Pace{}
	}
	b.world = sim.New(sim.Options{Seed: seed, Clock: time.Now, Pace: pace})
	b.open = func(_ context.Context, site plans.Site) (orchestrator.Site, error) {
		return b.world.Site(site.Name), nil
	}
	ctx := t.Context()
	pool := replay.Pool{Name: "rbd"}
	for _, name := range s.sites {
		b.world.AddSite(name)
		b.world.AddPool(name, pool.Name)
		b.must(b.world.Site(name).SetSiteName(ctx, name))
		b.must(b.world.Site(name).SetPoolMode(ctx, pool, replay.PoolImage))
	}
	direction := replay.RxOnly
	if s.twoWay {
		direction = replay.RxTx
	}
	for _, name := range s.sites {
		if name == "a" {
			continue
		}
		token, err := b.world.Site("a").CreateBootstrapToken(ctx, pool)
		b.must(err)
		b.must(b.world.Site(name).ImportBootstrapToken(ctx, pool, direction, token))
		if s.twoWay {
			back, err := b.world.Site(name).CreateBootstrapToken(ctx, pool)
			b.must(err)
			if err := b.world.Site("a").ImportBootstrapToken(ctx, pool, direction, back); err != nil && !strings.Contains(err.Error(), "exists") {
				b.must(err)
			}
		}
	}
	for _, name := range s.sites {
		if s.receives(name) {
			b.world.StartDaemon(name)
		}
	}
	time.Sleep(time.Second)
	var refs []replay.ImageRef
	for i, mode := range s.modes {
		image := pool.Image(fmt.Sprint("volume-", i))
		b.must(b.world.Site("a").CreateImage(ctx, image, replay.ImageSpec{Size: 1 << 20, Features: plain}))
		b.must(b.world.Site("a").EnableMirroring(ctx, image, mode))
		refs = append(refs, image)
	}
	time.Sleep(70 * time.Second)
	return b, refs
}
