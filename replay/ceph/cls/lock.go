package cls

import (
	"encoding/binary"
	"fmt"
	"time"
)

// The class and method that tell who holds a lock on an object
// (cls/lock/cls_lock.cc). Holders whose time is up are left out, by the clock
// of the OSD's host.
const (
	LockClass      = "lock"
	LockInfoMethod = "get_info"
)

// Locker is one holder of a lock.
type Locker struct {
	Client      string // such as client.4151
	Cookie      string
	Description string
	Expires     time.Time // zero: it does not end by itself
}

// EncodeLockInfo is the request of [LockInfoMethod] (cls_lock_get_info_op).
func EncodeLockInfo(lock string) []byte {
	body := binary.LittleEndian.AppendUint32(nil, uint32(len(lock)))
	body = append(body, lock...)
	request := binary.LittleEndian.AppendUint32([]byte{1, 1}, uint32(len(body)))
	return append(request, body...)
}

// entityTypes are the kinds of entity that can hold a lock, by the number in
// their name (msg/msg_types.h).
var entityTypes = map[uint8]string{1: "mon", 2: "mds", 4: "osd", 8: "client", 16: "mgr"}

// DecodeLockInfo decodes the answer of [LockInfoMethod]
// (cls_lock_get_info_reply).
func DecodeLockInfo(answer []byte) ([]Locker, error) {
	c := newCursor(answer)
	body, _, _ := c.frame("lock info", 1)
	var lockers []Locker
	for range body.count(minLocker) {
		lockers = append(lockers, decodeLocker(body))
	}
	c.join(body)
	return lockers, c.err
}

// minLocker is the least that a locker takes: two frames, a name, two strings,
// a time and an address.
const minLocker = 6 + 9 + 4 + 6 + 8 + 1 + 4

func decodeLocker(c *cursor) Locker {
	id, _, _ := c.frame("locker id", 1)
	kind, number := id.u8(), id.i64()
	name, known := entityTypes[kind]
	if !known && id.err == nil {
		id.failf("entity of type %d", kind)
	}
	l := Locker{Client: fmt.Sprintf("%s.%d", name, number), Cookie: id.text()}
	c.join(id)
	info, _, _ := c.frame("locker info", 1)
	l.Expires = info.instant()
	skipAddress(info)
	l.Description = info.text()
	c.join(info)
	return l
}

// skipAddress passes over an entity_addr_t in the encoding since Nautilus, or
// in that of before (msg/msg_types.h).
func skipAddress(c *cursor) {
	switch marker := c.u8(); marker {
	case 0:
		const rest, nonce, sockaddr = 3, 4, 128
		c.take(rest + nonce + sockaddr)
	case 1:
		address, _, _ := c.frame("address", 1)
		c.join(address)
	default:
		c.failf("address of kind %d", marker)
	}
}
