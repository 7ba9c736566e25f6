package ceph

/*
#include <stdlib.h>
#include <rados/librados.h>
*/
import "C"

import (
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/drover-io/drover/replay/ceph/cls"
)

// ears are those that librados may call, by the number that it knows each by. A call
// for one that is gone by now is no fault.
var (
	ears    sync.Map // uintptr -> *ear
	earLast atomic.Uintptr
)

// nameEar gives an ear its number.
func nameEar(e *ear) uintptr {
	name := earLast.Add(1)
	ears.Store(name, e)
	return name
}

func earOf(name C.uintptr_t) *ear {
	if e, ok := ears.Load(uintptr(name)); ok {
		return e.(*ear)
	}
	return nil
}

// droverHeard is what librados calls for each message. It runs in a thread of
// librados, blocks on nothing, and acknowledges each message at once: who has sent
// it waits for that.
//
//export droverHeard
func droverHeard(name C.uintptr_t, message, cookie, sender C.uint64_t, data unsafe.Pointer, size C.size_t) {
	e := earOf(name)
	if e == nil {
		return // the watch has ended, and nobody waits for its answer
	}
	object := C.CString(cls.MirroringObject)
	defer C.free(unsafe.Pointer(object))
	// What cannot be acknowledged costs its sender 5 s, and nobody else anything.
	_ = C.rados_notify_ack(C.rados_ioctx_t(e.io.Pointer()), object, message, cookie, nil, 0)
	select {
	case e.heard <- struct{}{}:
	default: // one is waiting
	}
}

// droverBroken is what librados calls when a watch is no more.
//
//export droverBroken
func droverBroken(name C.uintptr_t, cookie C.uint64_t, errno C.int) {
	e := earOf(name)
	if e == nil {
		return
	}
	if errno < 0 {
		errno = -errno
	}
	select {
	case e.broken <- syscall.Errno(errno):
	default:
	}
}
