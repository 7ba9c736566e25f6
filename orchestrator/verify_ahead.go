package orchestrator

import (
	"context"
	"fmt"
	"sync"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/compare"
	"github.com/drover-io/drover/replay/parallel"
)

// readAhead hashes the snapshot at the primary while it is awaited at the
// secondaries. The function that it returns ends that, waits until it has
// ended, and answers with what was found so far; it may be called often.
func (v *verification) readAhead(ctx context.Context, t *verifyTarget, snapshot string) func() *compare.Ahead {
	var (
		group parallel.Group
		ahead *compare.Ahead
	)
	enough := make(chan struct{})
	group.Go(func() {
		reader, err := v.open(ctx, t.ref, t.primary, snapshot)
		if err != nil {
			return // the comparison meets it again, and tells
		}
		ahead = compare.ReadAhead(ctx, enough, reader, compare.Options{Workers: v.options.Workers, NameA: t.primary})
		_ = reader.Close() // nothing was written to it; what hangs ends by itself
	})
	return sync.OnceValue(func() *compare.Ahead {
		close(enough)
		group.Wait()
		return ahead
	})
}

// open opens a snapshot at a site for reading within the site's bandwidth.
func (v *verification) open(ctx context.Context, ref replay.ImageRef, site, snapshot string) (replay.Reader, error) {
	reader, err := v.sites[site].OpenSnapshot(ctx, ref, snapshot)
	if err != nil {
		return nil, fmt.Errorf("open snapshot at %s: %w", site, err)
	}
	return v.limited(reader, site), nil
}

// limited holds what is read at a site back to its bandwidth.
func (v *verification) limited(reader replay.Reader, site string) replay.Reader {
	if limit := v.limits[site]; limit != nil {
		return &limitedReader{Reader: reader, limit: limit}
	}
	return reader
}
