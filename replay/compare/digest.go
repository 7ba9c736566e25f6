package compare

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

var zeroBlock [blockSize]byte

// chunkDigest stands for the content of one chunk; empty tells that it is all
// zeros, whether allocated or not.
type chunkDigest struct {
	sum   [sha256.Size]byte
	empty bool
}

// digestChunk hashes the blocks that are not zero, each behind its number.
// Blocks outside the set are not looked at: they are known to be zero.
func digestChunk(content []byte, set blocks) chunkDigest {
	var h hash.Hash
	var number [4]byte
	for n, r := range set.each(len(content)) {
		block := content[r[0]:r[1]]
		if bytes.Equal(block, zeroBlock[:len(block)]) {
			continue
		}
		if h == nil {
			h = sha256.New()
		}
		binary.BigEndian.PutUint32(number[:], uint32(n))
		h.Write(number[:])
		h.Write(block)
	}
	if h == nil {
		return chunkDigest{empty: true}
	}
	var d chunkDigest
	h.Sum(d.sum[:0])
	return d
}

// fold joins the digests of chunks, in order, to the digest of an image. Empty
// chunks leave no trace: the size at the beginning accounts for them.
type fold struct{ h hash.Hash }

// formatName begins every digest, so that another format cannot be taken for
// this one.
const formatName = "drover image digest 1\n"

func (f *fold) start(size uint64) {
	f.h = sha256.New()
	f.h.Write([]byte(formatName))
	f.writeNumber(size)
}

func (f *fold) add(chunk uint64, d chunkDigest) {
	if d.empty {
		return
	}
	f.writeNumber(chunk)
	f.h.Write(d.sum[:])
}

func (f *fold) writeNumber(n uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	f.h.Write(b[:])
}

func (f *fold) digest() Digest {
	var d Digest
	f.h.Sum(d[:0])
	return d
}
