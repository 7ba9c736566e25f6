//go:build !sim

package main

import (
	"context"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay/ceph"
)

// clusters says what clusters are reached through.
func clusters() string { return librbd() }

// newBackend reaches clusters through librbd; lasting: for a process that outlives
// their outages.
func newBackend(lasting bool) (*backend, error) {
	return &backend{
		open: func(ctx context.Context, site plans.Site) (orchestrator.Site, error) {
			opened, err := ceph.Open(ctx, ceph.Config{
				Name: site.Name, Conf: site.Conf, Cluster: site.Cluster, User: site.User, Keyring: site.Keyring, Lasting: lasting,
			})
			if err != nil {
				return nil, err // not opened as it is: a nil *ceph.Site in an interface is not nil
			}
			return opened, nil
		},
		hands: handsOn,
		close: func() error { return nil },
	}, nil
}
