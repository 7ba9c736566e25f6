package cls

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"time"
)

// Entry is one entry of a journal (journal/Entry.cc) as far as it tells how
// far replay is.
type Entry struct {
	Tag, Number uint64
	// Time is when the writing client appended it, by its own clock; zero when
	// the entry carries none (written before Luminous, or not by librbd).
	Time time.Time
	// Size is the length of the entry in the journal, in bytes.
	Size uint64
}

// Before reports whether the entry comes before that of the tag and number.
func (e Entry) Before(tag, number uint64) bool {
	return e.Tag < tag || e.Tag == tag && e.Number < number
}

// The framing of an entry: preamble, version, entry tid, tag tid, data with
// its length, CRC of all that.
var entryPreamble = binary.LittleEndian.AppendUint64(nil, 0x3141592653589793)

const (
	entryHead = 8 + 1 + 8 + 8 + 4 // before the data
	entryTail = 4                 // the CRC
)

// MaxEntry is the most bytes that an entry is taken to have: librbd cuts
// writes into events of rbd_journal_max_payload_bytes (16 KiB by default); the
// bound leaves room for larger settings.
const MaxEntry = 4 << 20

// NextEntry finds the first whole, sound entry in data. skip is where it
// starts and next where the bytes after it start. ok is false when there is
// none: then next is how much of data is of no use to a later search with more
// bytes behind it.
func NextEntry(data []byte) (e Entry, skip, next int, ok bool) {
	from := 0
	for {
		at := bytes.Index(data[from:], entryPreamble)
		if at < 0 {
			// The preamble may have begun in the last bytes.
			return Entry{}, 0, max(from, len(data)-len(entryPreamble)+1), false
		}
		at += from
		e, size, verdict := parseEntry(data[at:])
		switch verdict {
		case entrySound:
			return e, at, at + size, true
		case entryCut:
			return Entry{}, 0, at, false
		case entryBroken:
			from = at + len(entryPreamble)
		}
	}
}

type entryVerdict int

const (
	entryBroken entryVerdict = iota // not an entry, though it begins like one
	entryCut                        // goes on beyond the bytes at hand
	entrySound
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func parseEntry(data []byte) (e Entry, size int, verdict entryVerdict) {
	if len(data) < entryHead {
		return Entry{}, 0, entryCut
	}
	c := newCursor(data[len(entryPreamble):])
	if c.u8() != 1 {
		return Entry{}, 0, entryBroken
	}
	e.Number, e.Tag = c.u64(), c.u64()
	length := c.u32()
	if length > MaxEntry {
		return Entry{}, 0, entryBroken
	}
	size = entryHead + int(length) + entryTail
	if len(data) < size {
		return Entry{}, 0, entryCut
	}
	body := data[:size-entryTail]
	if binary.LittleEndian.Uint32(data[size-entryTail:]) != crc32c(body) {
		return Entry{}, 0, entryBroken
	}
	e.Size = uint64(size)
	e.Time = eventTime(body[entryHead:])
	return e, size, entrySound
}

// crc32c is Ceph's: seed 0 and no inversion, unlike the one of the standard
// library.
func crc32c(b []byte) uint32 { return ^crc32.Update(^uint32(0), castagnoli, b) }

// eventTime reads the time that librbd keeps behind an event
// (librbd/journal/Types.cc, EventEntry::encode_metadata); zero when there is
// none.
func eventTime(event []byte) time.Time {
	c := newCursor(event)
	_, version, _ := c.frame("event", 255)
	if version < 4 {
		return time.Time{}
	}
	meta, _, _ := c.frame("event metadata", 255)
	t := meta.instant()
	if c.err != nil || meta.err != nil {
		return time.Time{}
	}
	return t
}
