package compare

import (
	"context"
	"sync/atomic"

	"github.com/drover-io/drover/replay"
)

// memory is a reader over bytes, with faults on demand.
type memory struct {
	content []byte
	extents []replay.Extent // what is allocated; content elsewhere must be zero

	failAt   int64 // offset within which a read fails; negative: never
	failWith error
	listFail error
	block    chan struct{} // reads wait for it (or ctx) when not nil
	short    bool          // reads answer with half of what was asked
	reads    atomic.Int64
	bytes    atomic.Int64
}

func newMemory(size uint64) *memory { return &memory{content: make([]byte, size), failAt: -1} }

// whole allocates everything.
func (m *memory) whole() *memory {
	m.extents = []replay.Extent{{Offset: 0, Length: uint64(len(m.content))}}
	return m
}

func (m *memory) Size() uint64       { return uint64(len(m.content)) }
func (m *memory) ObjectSize() uint64 { return 4 << 20 }
func (m *memory) Close() error       { return nil }

func (m *memory) Extents(_ context.Context, fn func(replay.Extent) error) error {
	for _, e := range m.extents {
		if err := fn(e); err != nil {
			return err
		}
	}
	return m.listFail
}

func (m *memory) ReadAt(ctx context.Context, p []byte, offset uint64) (int, error) {
	if m.block != nil {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-m.block:
		}
	}
	if m.failAt >= 0 && int64(offset) <= m.failAt && m.failAt < int64(offset)+int64(len(p)) {
		return copy(p, m.content[offset:m.failAt]), m.failWith
	}
	if m.short && len(p) > 1 {
		p = p[:len(p)/2]
	}
	m.reads.Add(1)
	n := copy(p, m.content[offset:])
	m.bytes.Add(int64(n))
	return n, nil
}
