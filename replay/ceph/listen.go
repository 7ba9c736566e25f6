package ceph

/*
#cgo LDFLAGS: -lrados
#include <errno.h>
#include <stdlib.h>
#include <rados/librados.h>

extern void droverHeard(uintptr_t, uint64_t, uint64_t, uint64_t, void*, size_t);
extern void droverBroken(uintptr_t, uint64_t, int);

// drover_watch is rados_watch3 with a number in place of its argument's pointer.
static int drover_watch(rados_ioctx_t io, const char *object, uint64_t *cookie, uint32_t seconds, uintptr_t ear) {
	return rados_watch3(io, object, cookie, (rados_watchcb2_t)droverHeard, (rados_watcherrcb_t)droverBroken, seconds, (void*)ear);
}
*/
import "C"

import (
	"context"
	"syscall"
	"time"
	"unsafe"

	"github.com/ceph/go-ceph/rados"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph/cls"
)

const (
	// listenTime bounds how long it takes to begin to listen.
	listenTime = 10 * time.Second
	// watchTime is after how long the OSD drops a watch of a client that does not
	// answer; until then each message to it costs its sender 5 s (librbd
	// MirroringWatcher.cc). librados asks after its watches every 5 s.
	watchTime = 15 * time.Second
	// watchLook is how often a watch is looked at whose OSD may be silent.
	watchLook = 30 * time.Second
)

// Listen calls heard once it listens, and then whenever librbd tells that images of
// a pool were enabled or disabled for mirroring, or that its mode has changed.
//
// go-ceph's Watch is of no use here: it holds a lock over all watches of the
// process while it waits for the OSD, for which librados has no time limit, and
// without that lock no message is delivered or acknowledged, so that one site that
// does not answer would hold up clients of another; and where it cannot end a
// watch in good order, it blocks a thread of librados for ever (v0.41.0,
// rados/watcher.go).
func (s *Site) Listen(ctx context.Context, pool replay.Pool, heard func()) error {
	begin, cancel := context.WithTimeout(ctx, listenTime)
	defer cancel()
	io, err := inPool(begin, s, opListen, pool, pool.String(), func(io *rados.IOContext) (*rados.IOContext, error) {
		_, err := io.Stat(cls.MirroringObject) // a watch would make no such answer within any time
		return io, err
	})
	if err != nil {
		return err
	}
	e, err := call(begin, s, opListen, pool.String(), func() (*ear, error) { return s.openEar(io) })
	if err != nil {
		return err
	}
	defer e.close()
	heard()
	look := time.NewTicker(watchLook)
	defer look.Stop()
	for {
		select {
		case <-e.heard:
			heard()
		case err := <-e.broken:
			return s.failure(opListen, pool.String(), err)
		case <-look.C:
			if err := e.lost(); err != nil {
				return s.failure(opListen, pool.String(), err)
			}
		case <-ctx.Done():
			return s.gaveUp(opListen, pool.String(), context.Cause(ctx))
		}
	}
}

// ear is a watch on the object that tells of mirroring in a pool.
type ear struct {
	site   *Site
	io     *rados.IOContext
	cookie C.uint64_t
	name   uintptr // by which librados knows it
	heard  chan struct{}
	broken chan error
}

// openEar begins to watch, and keeps the connection until the ear is closed.
func (s *Site) openEar(io *rados.IOContext) (*ear, error) {
	e := &ear{site: s, io: io, heard: make(chan struct{}, 1), broken: make(chan error, 1)}
	e.name = nameEar(e)
	object := C.CString(cls.MirroringObject)
	defer C.free(unsafe.Pointer(object))
	r := C.drover_watch(C.rados_ioctx_t(io.Pointer()), object, &e.cookie, C.uint32_t(watchTime/time.Second), C.uintptr_t(e.name))
	if r < 0 {
		ears.Delete(e.name)
		return nil, syscall.Errno(-r)
	}
	s.calls.hold()
	return e, nil
}

// lost is why nothing can be heard any more, as far as librados knows; nil also
// while the OSD is silent: then it says so as soon as that is back.
func (e *ear) lost() error {
	if r := C.rados_watch_check(C.rados_ioctx_t(e.io.Pointer()), e.cookie); r < 0 {
		return syscall.Errno(-r)
	}
	return nil
}

// closeWait is how long it is waited for that the OSD forgets a watch.
const closeWait = time.Second

// close ends the watch, beside the caller where that takes long.
func (e *ear) close() {
	over := make(chan struct{})
	go func() {
		defer close(over)
		e.discard()
	}()
	select {
	case <-over:
	case <-time.After(closeWait):
	}
}

// discard ends the watch. What is under way in librados' threads is let finish
// before its name is given up.
func (e *ear) discard() {
	defer e.site.calls.leave()
	// The error of a watch that is broken, or of an OSD that is silent: librados
	// forgets the watch all the same.
	_ = C.rados_unwatch2(C.rados_ioctx_t(e.io.Pointer()), e.cookie)
	C.rados_watch_flush(C.rados_ioctx_get_cluster(C.rados_ioctx_t(e.io.Pointer())))
	ears.Delete(e.name)
}
