package cls

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// ErrMalformed is in the chain of every error of this package: the bytes are
// not what Ceph would have written.
var ErrMalformed = errors.New("malformed Ceph encoding")

// cursor reads little-endian values off the front of some bytes. The first
// read beyond the end sets err; all reads after it return zeros, so that a
// decoder checks once, at its end.
type cursor struct {
	rest []byte
	err  error
}

func newCursor(b []byte) *cursor { return &cursor{rest: b} }

func (c *cursor) failf(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
	c.rest = nil
}

// take gives the next n bytes without copying them.
func (c *cursor) take(n uint64) []byte {
	if c.err != nil {
		return nil
	}
	if n > uint64(len(c.rest)) {
		c.failf("%d bytes wanted, %d left", n, len(c.rest))
		return nil
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) u8() uint8 {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) bool() bool { return c.u8() != 0 }

func (c *cursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if b := c.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// i64 reads a signed number in two's complement.
func (c *cursor) i64() int64 {
	return int64(c.u64())
}

// bytes reads a bufferlist: its length, then the bytes.
func (c *cursor) bytes() []byte { return c.take(uint64(c.u32())) }

// text reads a std::string, which is encoded as a bufferlist is.
func (c *cursor) text() string { return string(c.bytes()) }

// instant reads a utime_t; zero seconds are the zero time.
func (c *cursor) instant() time.Time {
	sec, nsec := c.u32(), c.u32()
	if sec == 0 && nsec == 0 {
		return time.Time{}
	}
	return time.Unix(int64(sec), int64(nsec)).UTC()
}

// count reads the length of a container whose elements take at least size
// bytes each, and refuses one that the rest cannot hold.
func (c *cursor) count(size int) int {
	n := c.u32()
	if uint64(n)*uint64(size) > uint64(len(c.rest)) {
		c.failf("%d elements of %d bytes or more, %d bytes left", n, size, len(c.rest))
		return 0
	}
	return int(n)
}

// frame reads the head of a versioned structure (ENCODE_START) that readers of
// the version known understand. It returns a cursor over exactly the
// structure's bytes and moves on behind it, whatever of it is then read.
func (c *cursor) frame(what string, known uint8) (body *cursor, version, compat uint8) {
	version, compat = c.u8(), c.u8()
	raw := c.bytes()
	if c.err != nil {
		return &cursor{err: c.err}, 0, 0
	}
	if compat > known {
		c.failf("%s needs a reader of version %d, this one is of version %d", what, compat, known)
		return &cursor{err: c.err}, 0, 0
	}
	return newCursor(raw), version, compat
}

// join hands the error of a structure's own cursor to the outer one.
func (c *cursor) join(body *cursor) {
	if c.err == nil && body.err != nil {
		c.err = body.err
		c.rest = nil
	}
}
