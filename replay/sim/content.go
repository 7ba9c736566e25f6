package sim

import (
	"maps"
	"slices"

	"github.com/drover-io/drover/replay"
)

// blockSize is the grain of allocation.
const blockSize = 4096

// block is never changed once it is part of a content.
type block []byte

// content is what an image or a snapshot holds: its allocated blocks by
// number. Contents are shared between head, snapshots and copies at other
// sites, and cloned by the next write.
type content struct {
	blocks map[uint64]block
	shared bool
	number int // while it is saved or loaded
}

func (c *content) bytes() int64 {
	if c == nil {
		return 0
	}
	return int64(len(c.blocks)) * blockSize
}

// share gives the content to another holder too.
func (c *content) share() *content {
	if c != nil {
		c.shared = true
	}
	return c
}

// write gives the content with data at offset; c itself is used when nobody
// else holds it.
func (c *content) write(offset uint64, data []byte) *content {
	switch {
	case c == nil:
		c = &content{blocks: map[uint64]block{}}
	case c.shared:
		c = &content{blocks: maps.Clone(c.blocks)}
	}
	for len(data) > 0 {
		n, in := offset/blockSize, offset%blockSize
		fresh := make(block, blockSize)
		copy(fresh, c.blocks[n])
		wrote := copy(fresh[in:], data)
		c.blocks[n] = fresh
		data, offset = data[wrote:], offset+uint64(wrote)
	}
	return c
}

// read fills p from offset on; holes are zeros.
func (c *content) read(p []byte, offset uint64) {
	for len(p) > 0 {
		n, in := offset/blockSize, offset%blockSize
		span := min(uint64(len(p)), blockSize-in)
		var b block
		if c != nil {
			b = c.blocks[n]
		}
		if b == nil {
			clear(p[:span])
		} else {
			copy(p[:span], b[in:])
		}
		p, offset = p[span:], offset+span
	}
}

// extents are the allocated ranges within size bytes, in order and joined.
func (c *content) extents(size uint64) []replay.Extent {
	if c == nil {
		return nil
	}
	var out []replay.Extent
	for _, n := range slices.Sorted(maps.Keys(c.blocks)) {
		from := n * blockSize
		if from >= size {
			break
		}
		length := min(blockSize, size-from)
		if l := len(out) - 1; l >= 0 && out[l].Offset+out[l].Length == from {
			out[l].Length += length
			continue
		}
		out = append(out, replay.Extent{Offset: from, Length: length})
	}
	return out
}

// apart is the bytes of blocks in which a copy must be changed to become c.
func (c *content) apart(from *content) int64 {
	if c == from || c == nil {
		return 0
	}
	if from == nil {
		return c.bytes()
	}
	var blocks int64
	for n, b := range c.blocks {
		if o := from.blocks[n]; o == nil || &o[0] != &b[0] {
			blocks++
		}
	}
	return blocks * blockSize
}
