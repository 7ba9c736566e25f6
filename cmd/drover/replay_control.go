//go:build !sim

package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/rbdmirror"
)

// replayControl steers replay through the admin socket of a daemon on this host.
type replayControl struct {
	folder string // where its admin sockets are

	mu    sync.Mutex
	found *rbdmirror.AdminSocket // the one that answered last
	// fault is why none was found, at the time of the look.
	fault  error
	looked time.Time
}

// faultHolds is how long a folder without a socket that answers is not looked into
// again: hundreds of images must not wait for it one after another.
const faultHolds = 10 * time.Second

// StopReplay stops the replay of one image, until StartReplay or a restart.
func (c *replayControl) StopReplay(ctx context.Context, ref replay.ImageRef) error {
	return c.order(ctx, ref, rbdmirror.AdminSocket.Stop)
}

// StartReplay starts it again.
func (c *replayControl) StartReplay(ctx context.Context, ref replay.ImageRef) error {
	return c.order(ctx, ref, rbdmirror.AdminSocket.Start)
}

func (c *replayControl) order(ctx context.Context, ref replay.ImageRef, give func(rbdmirror.AdminSocket, context.Context, rbdmirror.Target) error) error {
	socket, err := c.socket(ctx)
	if err != nil {
		return err
	}
	err = give(socket, ctx, rbdmirror.ImageTarget(ref.String()))
	if err != nil && !errors.Is(err, rbdmirror.ErrRefused) {
		c.forget() // the daemon may have been started anew
	}
	return err
}

// socket looks for the socket once: for each of hundreds of images would be slow.
func (c *replayControl) socket(ctx context.Context) (rbdmirror.AdminSocket, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.found != nil:
		return *c.found, nil
	case c.fault != nil && time.Since(c.looked) < faultHolds:
		return rbdmirror.AdminSocket{}, c.fault
	}
	found, err := rbdmirror.FindAdminSocket(ctx, c.folder)
	c.fault, c.looked = err, time.Now()
	if err != nil {
		return rbdmirror.AdminSocket{}, err
	}
	c.found = &found
	return found, nil
}

func (c *replayControl) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found = nil
}
