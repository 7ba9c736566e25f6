package ceph

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ceph/go-ceph/rados"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph/cls"
)

// journalRead bounds what finding one place in a journal may cost.
const (
	journalChunk   = 128 << 10 // bytes read at a time
	journalMaxSets = 16        // object sets looked through for the next entry
	journalMaxRead = 64 << 20  // bytes read for one question
)

// AppendTime tells when the primary appended the first journal entry after the
// position, by reading the journal. ok is false when there is none yet, when
// it has been trimmed, or when finding it would mean to read too much of the
// journal. The time is the writing client's clock.
func (s *Site) AppendTime(ctx context.Context, ref replay.ImageRef, after replay.Position) (time.Time, bool, error) {
	found, err := inPool(ctx, s, opJournal, ref.Pool, ref.String(), func(io *rados.IOContext) (sought, error) {
		j, err := s.openJournal(io, ref)
		if err != nil {
			return sought{}, err
		}
		return j.next(after)
	})
	return found.entry.Time, found.ok && !found.entry.Time.IsZero(), err
}

// BytesAfter tells how many bytes of journal the primary has appended after the
// position: the data written and some 70 bytes for each event. ok is false when
// the position has been trimmed or cannot be found.
func (s *Site) BytesAfter(ctx context.Context, ref replay.ImageRef, after replay.Position) (bytes uint64, ok bool, err error) {
	type answer struct {
		bytes uint64
		ok    bool
	}
	a, err := inPool(ctx, s, opJournal, ref.Pool, ref.String(), func(io *rados.IOContext) (answer, error) {
		j, err := s.openJournal(io, ref)
		if err != nil {
			return answer{}, err
		}
		n, ok, err := j.bytesAfter(after)
		return answer{n, ok}, err
	})
	return a.bytes, a.ok, err
}

// journal is an image's journal, open for reading.
type journal struct {
	head    cls.JournalHead
	data    *rados.IOContext // of the pool of its data objects
	poolID  int64            // of the image
	imageID string
	tags    map[uint64]bool
	read    int // bytes so far
}

// sought is an entry, if there is one.
type sought struct {
	entry  cls.Entry
	offset uint64 // where it starts in its object
	ok     bool
}

func (s *Site) openJournal(io *rados.IOContext, ref replay.ImageRef) (*journal, error) {
	id, err := imageID(io, ref.Name)
	if err != nil {
		return nil, err
	}
	omap, err := readOmap(io, cls.JournalObject(id), "")
	if err != nil {
		if isErrno(err, enoent) {
			err = &explained{say: "it has no journal", hint: "it is not mirrored in journal mode", err: err}
		}
		return nil, err
	}
	head, err := cls.DecodeJournal(omap)
	if err != nil {
		return nil, err
	}
	j := &journal{head: head, data: io, poolID: io.GetPoolID(), imageID: id, tags: make(map[uint64]bool)}
	for _, tag := range head.Tags {
		j.tags[tag.TID] = true
	}
	if head.PoolID >= 0 && head.PoolID != j.poolID {
		name, err := s.conn.GetPoolByID(head.PoolID)
		if err != nil {
			return nil, fmt.Errorf("pool %d of the journal: %w", head.PoolID, err)
		}
		j.data, err = s.ioctx(replay.Pool{Name: strings.TrimRight(name, "\x00"), Namespace: ref.Namespace})
		if err != nil {
			return nil, err
		}
	}
	return j, nil
}

// next finds the first entry after the position. Entries are dealt out to the
// objects of a set in turn, each tag beginning with the first object
// (journal/JournalRecorder.cc), so it lies in one of two objects, or else in a
// later set.
func (j *journal) next(after replay.Position) (sought, error) {
	width := uint64(j.head.SplayWidth)
	set := max(after.Object/width, j.head.MinimumSet)
	trimmed := after.Object/width < j.head.MinimumSet
	offsets := []uint64{(after.Entry + 1) % width}
	if offsets[0] != 0 {
		offsets = append(offsets, 0)
	}
	for sets := 0; set <= j.head.ActiveSet && sets < journalMaxSets; set, sets = set+1, sets+1 {
		var best sought
		for _, offset := range offsets {
			at, err := j.firstAfter(set*width+offset, after)
			if err != nil {
				return sought{}, err
			}
			if at.ok && (!best.ok || at.entry.Before(best.entry.Tag, best.entry.Number)) {
				best = at
			}
		}
		if best.ok {
			follows := best.entry.Tag == after.Tag && best.entry.Number == after.Entry+1
			best.ok = follows || !trimmed
			return best, nil
		}
	}
	return sought{}, nil
}

func (j *journal) bytesAfter(after replay.Position) (bytes uint64, ok bool, err error) {
	width := uint64(j.head.SplayWidth)
	first := after.Object / width
	if first < j.head.MinimumSet {
		return 0, false, nil
	}
	for object := first * width; object < (j.head.ActiveSet+1)*width; object++ {
		size, err := j.size(object)
		if err != nil {
			return 0, false, err
		}
		if object/width == first && size > 0 {
			at, err := j.firstAfter(object, after)
			if err != nil {
				return 0, false, err
			}
			if !at.ok {
				continue
			}
			size -= at.offset
		}
		bytes += size
	}
	return bytes, j.read < journalMaxRead, nil
}

// size is that of a data object; one that is missing is empty.
func (j *journal) size(object uint64) (uint64, error) {
	stat, err := j.data.Stat(j.object(object))
	if isErrno(err, enoent) {
		return 0, nil
	}
	return stat.Size, err
}

func (j *journal) object(number uint64) string {
	return cls.JournalDataObject(j.poolID, j.imageID, number)
}

// firstAfter finds the first entry of an object that comes after the position:
// by halves until little is left, then one after the other.
func (j *journal) firstAfter(object uint64, after replay.Position) (sought, error) {
	size, err := j.size(object)
	if err != nil || size == 0 {
		return sought{}, err
	}
	low, high := uint64(0), size
	for high-low > 2*journalChunk {
		middle := low + (high-low)/2
		at, err := j.firstFrom(object, middle, high)
		if err != nil {
			return sought{}, err
		}
		if at.ok && j.isNotAfter(at.entry, after) {
			low = at.offset + at.entry.Size
			continue
		}
		high = middle
	}
	for low < size {
		at, err := j.firstFrom(object, low, size)
		if err != nil || !at.ok {
			return sought{}, err
		}
		if !j.isNotAfter(at.entry, after) {
			return at, nil
		}
		low = at.offset + at.entry.Size
	}
	return sought{}, nil
}

func (j *journal) isNotAfter(e cls.Entry, p replay.Position) bool {
	return e.Before(p.Tag, p.Entry) || e.Tag == p.Tag && e.Number == p.Entry
}

// firstFrom finds the first entry that starts at or behind an offset and
// before the end. What only looks like an entry, because an image's content
// holds a journal, is told by its tag and its turn.
func (j *journal) firstFrom(object, from, end uint64) (sought, error) {
	var data []byte
	start := from // of data
	for {
		if j.read >= journalMaxRead {
			return sought{}, nil
		}
		chunk, err := readObject(j.data, j.object(object), make([]byte, journalChunk), start+uint64(len(data)))
		if err != nil {
			if isErrno(err, enoent) {
				return sought{}, nil // trimmed while it was read
			}
			return sought{}, err
		}
		j.read += len(chunk)
		data = append(data, chunk...)
		for {
			e, skip, next, ok := cls.NextEntry(data)
			if ok && start+uint64(skip) >= end {
				return sought{}, nil
			}
			if ok && j.tags[e.Tag] && e.Number%uint64(j.head.SplayWidth) == object%uint64(j.head.SplayWidth) {
				return sought{entry: e, offset: start + uint64(skip), ok: true}, nil
			}
			data, start = data[next:], start+uint64(next)
			if !ok {
				break
			}
		}
		if len(chunk) < journalChunk || start >= end {
			return sought{}, nil
		}
	}
}
