package compare

import (
	"iter"
	"math/bits"

	"github.com/drover-io/drover/replay"
)

// blockSize is the grain at which zeros are left out of a chunk's digest, so
// that a mostly empty chunk costs what it holds. It is part of the format. A
// chunk has 64 blocks: one bit each.
const blockSize = ChunkSize / 64

// blocks is a set of blocks of one chunk.
type blocks uint64

// touched is the blocks of the chunk at start that the ranges lie in. All
// others are zeros.
func touched(start uint64, ranges []replay.Extent) blocks {
	var set blocks
	for _, r := range ranges {
		first := (r.Offset - start) / blockSize
		last := (r.Offset + r.Length - 1 - start) / blockSize
		set |= ^blocks(0) << first & (^blocks(0) >> (63 - last))
	}
	return set
}

// runs yields the set's contiguous ranges of bytes below limit.
func (set blocks) runs(limit int) iter.Seq2[int, int] {
	return func(yield func(from, to int) bool) {
		for set != 0 {
			first := bits.TrailingZeros64(uint64(set))
			length := bits.TrailingZeros64(^(uint64(set) >> first))
			from := first * blockSize
			if from >= limit || !yield(from, min(from+length*blockSize, limit)) {
				return
			}
			if first+length >= 64 {
				return
			}
			set &= ^blocks(0) << (first + length)
		}
	}
}

// each yields every block's number and range of bytes below limit.
func (set blocks) each(limit int) iter.Seq2[int, [2]int] {
	return func(yield func(int, [2]int) bool) {
		for ; set != 0; set &= set - 1 {
			number := bits.TrailingZeros64(uint64(set))
			from := number * blockSize
			if from >= limit || !yield(number, [2]int{from, min(from+blockSize, limit)}) {
				return
			}
		}
	}
}

// clearBetween zeros buf[from:to] as far as it lies in the set.
func (set blocks) clearBetween(buf []byte, from, to int) {
	for a, b := range set.runs(to) {
		if a = max(a, from); a < b {
			clear(buf[a:b])
		}
	}
}
