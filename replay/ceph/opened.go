package ceph

import (
	"context"
	"sync"
	"time"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/drover-io/drover/replay"
)

// opened is an image that stays open between calls. Calls that were given up
// may still run when it is closed; the last one to end closes the image.
type opened struct {
	site   *Site
	op     operation // what it was opened for
	image  *rbd.Image
	object string // for errors

	mu     sync.Mutex
	active int
	closed bool
}

// openImage opens an image or snapshot by open, and keeps the connection while
// what make makes of it is open.
func openImage[T any](
	ctx context.Context, s *Site, op operation, pool replay.Pool, object string,
	open func(*rados.IOContext) (*rbd.Image, error), make func(*opened) (T, error),
) (T, error) {
	return inPool(ctx, s, op, pool, object, func(io *rados.IOContext) (T, error) {
		var zero T
		image, err := open(io)
		if err != nil {
			return zero, err
		}
		made, err := make(&opened{site: s, op: op, image: image, object: object})
		if err != nil {
			_ = image.Close() // the first error is the one to tell
			return zero, err
		}
		s.calls.hold() // until it ends
		return made, nil
	})
}

// during is call on an image that must stay open until the call ends.
func during[T any](ctx context.Context, o *opened, fn func() (T, error)) (T, error) {
	return call(ctx, o.site, o.op, o.object, func() (T, error) {
		if !o.begin() {
			var zero T
			return zero, &explained{is: replay.ErrInvalid, say: "it has been closed", err: einval}
		}
		value, err := fn()
		if closing := o.finish(); err == nil {
			err = closing
		}
		return value, err
	})
}

func (o *opened) begin() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	o.active++
	return true
}

func (o *opened) finish() error {
	o.mu.Lock()
	o.active--
	last := o.closed && o.active == 0
	o.mu.Unlock()
	if last {
		return o.end()
	}
	return nil
}

// Close closes the image, or leaves that to the last call that still runs. It
// never takes longer than a few seconds.
func (o *opened) Close() error {
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return nil
	}
	o.closed = true
	busy := o.active > 0
	o.mu.Unlock()
	if busy {
		return nil
	}
	ended := make(chan error, 1)
	go func() { ended <- o.end() }()
	select {
	case err := <-ended:
		return o.site.failure(o.op, o.object, err)
	case <-time.After(closeGrace):
		return o.site.gaveUp(o.op, o.object, context.DeadlineExceeded)
	}
}

// discard gives up an image that nobody waits for any more.
func (o *opened) discard() {
	// There is nobody left to tell.
	_ = o.end()
}

// end closes the image and lets go of the connection.
func (o *opened) end() error {
	defer o.site.calls.leave()
	return o.image.Close()
}
