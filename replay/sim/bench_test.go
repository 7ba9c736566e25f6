package sim_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// BenchmarkManyImages is what the reading of 10,000 protected images costs, and
// the passing of time over them.
func BenchmarkManyImages(b *testing.B) {
	w := sim.Pair(sim.Options{Pace: sim.Instant}, "a", "b", "rbd")
	ctx := b.Context()
	check := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	for _, name := range w.Sites() {
		check(w.Site(name).SetSiteName(ctx, name))
		check(w.Site(name).SetPoolMode(ctx, vm.Pool, replay.PoolImage))
		w.StartDaemon(name)
	}
	token, err := w.Site("a").CreateBootstrapToken(ctx, vm.Pool)
	check(err)
	check(w.Site("b").ImportBootstrapToken(ctx, vm.Pool, replay.RxTx, token))
	for k := range 10000 {
		ref := vm.Image(fmt.Sprintf("vm-%05d", k))
		check(w.Site("a").CreateImage(ctx, ref, replay.ImageSpec{Size: 1 << 30, Features: replay.FeatureExclusiveLock}))
		check(w.Site("a").EnableMirroring(ctx, ref, replay.ModeJournal))
	}
	w.Advance(time.Minute)
	images, err := w.Site("b").Images(ctx, vm.Pool, 0)
	check(err)
	if len(images) != 10000 {
		b.Fatalf("%d copies", len(images))
	}
	b.Run("Images", func(b *testing.B) {
		for b.Loop() {
			_, err := w.Site("b").Images(ctx, vm.Pool, replay.WithPositions)
			check(err)
		}
	})
	b.Run("Reports", func(b *testing.B) {
		for b.Loop() {
			_, err := w.Site("b").Reports(ctx, vm.Pool)
			check(err)
		}
	})
	b.Run("WriteAndReplay", func(b *testing.B) {
		for b.Loop() {
			check(w.Write("a", vm.Image("vm-00042"), 0, []byte("x")))
			w.Advance(time.Second)
		}
	})
}
