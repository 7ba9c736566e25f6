package ceph_test

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
)

// benchPair makes a pool of n images at site-a, three quarters of them
// mirrored by journal and the rest by snapshots.
func benchPair(b *testing.B, n int) pair {
	b.Helper()
	p := pair{a: open(b, "site-a"), b: open(b, "site-b"), pool: newPool(b)}
	ctx := b.Context()
	must(b, p.a.SetPoolMode(ctx, p.pool, replay.PoolImage))
	numbers := make(chan int)
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for i := range numbers {
				if err := makeImage(ctx, p, i); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range n {
		numbers <- i
	}
	close(numbers)
	workers.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return p
}

func imageName(i int) string { return fmt.Sprintf("image-%04d", i) }

func makeImage(ctx context.Context, p pair, i int) error {
	ref := p.pool.Image(imageName(i))
	mode, features := replay.ModeJournal, replay.FeatureLayering|replay.FeatureExclusiveLock|replay.FeatureJournaling
	if i%4 == 3 {
		mode, features = replay.ModeSnapshot, replay.FeatureLayering|replay.FeatureExclusiveLock
	}
	if err := p.a.CreateImage(ctx, ref, replay.ImageSpec{Size: 16 << 20, Features: features}); err != nil {
		return err
	}
	return p.a.EnableMirroring(ctx, ref, mode)
}

// benchLook looks at images, and tells the processor time of it beside the
// time it takes: the OSD's is not in it.
func benchLook(b *testing.B, p pair, names []string) {
	before := processorTime(b)
	for b.Loop() {
		seen := 0
		must(b, p.a.LookAt(b.Context(), p.pool, names, replay.WithPositions, func(_ string, image replay.Image, err error) {
			must(b, err)
			if image.Role == replay.RolePrimary {
				seen++
			}
		}))
		if seen != len(names) {
			b.Fatalf("%d of %d images are primary", seen, len(names))
		}
	}
	b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkThousandImages measures the bulk calls on a pool of 1,000 mirrored
// images.
func BenchmarkThousandImages(b *testing.B) {
	const images = 1000
	p := benchPair(b, images)
	for _, c := range []struct {
		name   string
		detail replay.Detail
	}{{"roles", 0}, {"headers", replay.WithHeader}, {"positions", replay.WithPositions}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				list, err := p.a.Images(b.Context(), p.pool, c.detail)
				must(b, err)
				if len(list) != images || list[0].Role != replay.RolePrimary {
					b.Fatalf("%d images, the first %+v", len(list), list[0])
				}
			}
		})
	}
	for _, c := range []struct {
		name   string
		images int
	}{{"look-3", 3}, {"look-100", 100}, {"look-all", images}} {
		var names []string
		for i := range c.images {
			names = append(names, imageName(i))
		}
		b.Run(c.name, func(b *testing.B) { benchLook(b, p, names) })
	}
	b.Run("reports", func(b *testing.B) {
		for b.Loop() {
			reports, err := p.a.Reports(b.Context(), p.pool)
			must(b, err)
			if len(reports) < images {
				b.Fatalf("%d reports", len(reports))
			}
		}
	})
}
