package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// estimateAtOnce is how many images are estimated at a time.
const estimateAtOnce = 4

// preserveEstimate tells how much copies of the images would take at a site, by
// pool: the bytes of their allocated extents.
func preserveEstimate(ctx context.Context, site Preserver, refs []replay.ImageRef) (map[string]uint64, error) {
	var (
		mu     sync.Mutex
		needed = make(map[string]uint64)
		failed []error
	)
	forEach(ctx, len(refs), estimateAtOnce, func(i int) {
		bytes, err := estimateImage(ctx, site, refs[i])
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed = append(failed, err)
			return
		}
		needed[refs[i].Pool.Name] += bytes
	})
	if err := ctx.Err(); err != nil {
		failed = append(failed, err)
	}
	if len(failed) > 0 {
		return nil, fmt.Errorf("estimate what copies would take: %w", replay.OneLine(failed...))
	}
	return needed, nil
}

func estimateImage(ctx context.Context, site Preserver, ref replay.ImageRef) (bytes uint64, err error) {
	ctx, done := whileAnswering(ctx, site, ref)
	defer done(&err)
	head, err := site.OpenSnapshot(ctx, ref, "")
	if err != nil {
		return 0, err
	}
	bytes, err = allocated(ctx, head)
	return bytes, replay.OneLine(err, head.Close())
}

// whileAnswering is a context for work on an image that takes as long as it
// takes: it ends when the site, asked for the image every now and then, gives no
// answer within lookTime. done ends the asking, and says so in the work's error.
func whileAnswering(ctx context.Context, site Preserver, ref replay.ImageRef) (working context.Context, done func(*error)) {
	working, cancel := context.WithCancelCause(ctx)
	var asking parallel.Group
	asking.Go(func() {
		for tick := time.NewTimer(lookTime); ; tick.Reset(lookTime) {
			select {
			case <-tick.C:
			case <-working.Done():
				tick.Stop()
				return
			}
			ask, stop := context.WithTimeout(working, lookTime)
			_, err := site.Image(ask, ref)
			silent := ask.Err() != nil && err != nil
			stop()
			if silent {
				cancel(fmt.Errorf("%s gives no answer any more: %w", site.Name(), replay.ErrTimeout))
				return
			}
		}
	})
	return working, func(err *error) {
		why := context.Cause(working)
		cancel(nil)
		asking.Wait()
		if *err != nil && why != nil && ctx.Err() == nil {
			*err = why
		}
	}
}

// preserveRoom estimates the copies of images and refuses (ErrRefused) when
// there is no room for all of them together.
func preserveRoom(ctx context.Context, site Preserver, refs []replay.ImageRef, o preserveOrder) (bytes uint64, err error) {
	needed, err := preserveEstimate(ctx, site, refs)
	if err != nil {
		return 0, err
	}
	var short []error
	for pool, n := range needed {
		bytes += n
		if o.how.As != plans.PreserveExport {
			short = append(short, roomInPool(ctx, site, pool, n, o.minFree))
		}
	}
	if o.how.As == plans.PreserveExport {
		short = append(short, roomInFolder(o.how.Path, bytes, o.minFree))
	}
	return bytes, replay.OneLine(short...)
}

// roomInPool refuses what would leave less than the share of the pool free.
func roomInPool(ctx context.Context, site Preserver, pool string, needed uint64, minFree int) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	space, err := site.PoolSpace(ctx, pool)
	if err != nil {
		return err
	}
	return enoughRoom(fmt.Sprintf("pool %s at %s", pool, site.Name()), needed, space.Available, space.Used+space.Available, minFree)
}

// roomInFolder does so for the file system of a folder, which may not exist
// yet.
func roomInFolder(folder string, needed uint64, minFree int) error {
	var stat unix.Statfs_t
	for {
		err := unix.Statfs(folder, &stat)
		if err == nil {
			break
		}
		above := filepath.Dir(folder)
		if !errors.Is(err, fs.ErrNotExist) || above == folder {
			return fmt.Errorf("free space of %s: %w", folder, err)
		}
		folder = above
	}
	unit := uint64(stat.Bsize)
	return enoughRoom("the file system of "+folder, needed, stat.Bavail*unit, stat.Blocks*unit, minFree)
}

func enoughRoom(where string, needed, available, whole uint64, minFree int) error {
	spare := uint64(float64(whole) * float64(minFree) / 100)
	if needed <= available && available-needed >= spare {
		return nil
	}
	if needed == 0 {
		return refusal("make room there", "%s is nearly full: %s of %s are free, and %d %% must stay so", where, sizeText(available), sizeText(whole), minFree)
	}
	return refusal("make room there, or keep copies elsewhere (preserve.as and preserve.path)",
		"copies of %s do not fit into %s: %s are free, of which %s (%d %%) must stay so",
		sizeText(needed), where, sizeText(available), sizeText(spare), minFree)
}

// sizeText is a number of bytes for people.
func sizeText(n uint64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d bytes", n)
	}
	value, unit := float64(n), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"} {
		if value /= 1 << 10; value < 1<<10 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}
