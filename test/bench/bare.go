package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph"
)

// bareCalls makes, as often as the daemon looks, the calls to two sites that a look at
// a pool is made of, and does nothing with what they answer. It ends with ctx.
func bareCalls(ctx context.Context, pool string, confs []string) error {
	var sites []*ceph.Site
	for i := 0; i+1 < len(confs); i += 2 {
		s, err := ceph.Open(ctx, ceph.Config{Name: fmt.Sprint("site-", i), Conf: confs[i], User: "client.drover", Keyring: confs[i+1]})
		if err != nil {
			return err
		}
		sites = append(sites, s)
	}
	tick := time.NewTicker(daemonPeriod)
	for {
		var work sync.WaitGroup
		for _, s := range sites {
			work.Go(func() { bareLook(ctx, s, replay.Pool{Name: pool}) })
		}
		work.Wait()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// bareLook makes the calls of one look at one site; what fails shows in the daemon.
func bareLook(ctx context.Context, s *ceph.Site, pool replay.Pool) {
	var work sync.WaitGroup
	for _, call := range []func(){
		func() { _, _ = s.Identity(ctx) },
		func() { _, _ = s.SiteName(ctx) },
		func() { _, _ = s.MirrorDaemons(ctx) },
		func() { _, _ = s.ListPools(ctx) },
		func() { _, _ = s.PoolMirroring(ctx, pool) },
		func() { _, _ = s.Images(ctx, pool, replay.WithHeader|replay.WithPositions) },
		func() { _, _ = s.MirrorSchedules(ctx, pool) },
		func() { _, _ = s.Reports(ctx, pool) },
	} {
		work.Go(call)
	}
	work.Wait()
}
