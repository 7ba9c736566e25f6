package sim

import (
	"context"
	"slices"
	"time"

	"github.com/drover-io/drover/replay"
)

// journal is an image's journal at one site. Its epochs are the image's
// history: two copies agree as long as the epochs of one are a beginning of
// the other's.
type journal struct {
	Epochs  []epoch   `json:"epochs"`
	Log     []entry   `json:"log,omitempty"` // what is not trimmed, in order
	Readers []*reader `json:"readers,omitempty"`
	Bytes   uint64    `json:"bytes,omitempty"`   // appended so far
	Trimmed uint64    `json:"trimmed,omitempty"` // of these
}

// epoch is one tag: what one writer appended before the next one took over.
type epoch struct {
	ID      uint64 `json:"id"`              // the same at every site
	Owner   string `json:"owner,omitempty"` // as in replay.JournalTag
	Entries uint64 `json:"entries,omitempty"`
}

// entry is one event.
type entry struct {
	Epoch  uint64    `json:"epoch"`
	TID    uint64    `json:"tid"`
	At     time.Time `json:"at"`
	Kind   kind      `json:"kind,omitempty"`
	Offset uint64    `json:"offset,omitempty"`
	Data   []byte    `json:"data,omitempty"`
	Snap   *snapshot `json:"snap,omitempty"`
}

type kind string

const (
	kindRole       kind = "" // the begin of an epoch: promotion or demotion
	kindWrite      kind = "write"
	kindSnapCreate kind = "snap-create"
	kindSnapRemove kind = "snap-remove"
)

// entryOverhead is what an event costs beside its data.
const entryOverhead = 100

func (e entry) bytes() int64 { return int64(len(e.Data)) + entryOverhead }

// reader is a peer that replays the journal.
type reader struct {
	ID      string `json:"id"`      // mirror uuid
	Epoch   int    `json:"epoch"`   // index into Epochs
	Entries uint64 `json:"entries"` // committed of that epoch
	Syncing bool   `json:"syncing,omitempty"`
	// Late: it registered only after the promotion that it would have to follow.
	Late bool `json:"late,omitempty"`
}

const (
	journalOrder = 24
	journalSplay = 4
	setBytes     = journalSplay << journalOrder
	// unread is what a journal keeps when nobody reads it: librbd trims whole
	// object sets only.
	unread = setBytes
)

func (j *journal) last() *epoch { return &j.Epochs[len(j.Epochs)-1] }

func (j *journal) owner() string { return j.last().Owner }

// begin starts a new epoch with the event that tells of it.
func (j *journal) begin(id uint64, owner string, now time.Time) {
	j.Epochs = append(j.Epochs, epoch{ID: id, Owner: owner})
	j.append(entry{At: now, Kind: kindRole})
}

func (j *journal) append(e entry) {
	last := j.last()
	e.Epoch, e.TID = last.ID, last.Entries
	last.Entries++
	j.Bytes += uint64(e.bytes())
	j.Log = append(j.Log, e)
	j.trim()
}

// takeBack takes back the event of the newest epoch, if it is the only one.
func (j *journal) takeBack() {
	last := j.last()
	if last.Entries != 1 || len(j.Log) == 0 || j.Log[len(j.Log)-1].Epoch != last.ID {
		return
	}
	j.Bytes -= uint64(j.Log[len(j.Log)-1].bytes())
	last.Entries, j.Log = 0, j.Log[:len(j.Log)-1]
}

// trim drops what every reader has committed.
func (j *journal) trim() {
	drop := 0
	for _, e := range j.Log {
		if len(j.Readers) == 0 {
			if j.Bytes-j.Trimmed <= unread {
				break
			}
		} else if slices.ContainsFunc(j.Readers, func(r *reader) bool { return !j.passed(r, e) }) {
			break
		}
		j.Trimmed += uint64(e.bytes())
		drop++
	}
	if drop > 0 {
		j.Log = slices.Clone(j.Log[drop:])
	}
}

func (j *journal) passed(r *reader, e entry) bool {
	i := j.index(e.Epoch)
	return r.Epoch > i || r.Epoch == i && r.Entries > e.TID
}

func (j *journal) index(id uint64) int {
	return slices.IndexFunc(j.Epochs, func(e epoch) bool { return e.ID == id })
}

func (j *journal) reader(id string) *reader {
	for _, r := range j.Readers {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// register makes a reader at the position of the copy that it replays into.
func (j *journal) register(id string, copied *journal) *reader {
	r := j.reader(id)
	if r == nil {
		r = &reader{ID: id}
		j.Readers = append(j.Readers, r)
	}
	r.Epoch, r.Entries, r.Late = len(copied.Epochs)-1, copied.last().Entries, false
	return r
}

// follows reports whether the copy's history is a beginning of j's.
func (j *journal) follows(copied *journal) bool {
	if len(copied.Epochs) > len(j.Epochs) {
		return false
	}
	for k, e := range copied.Epochs {
		o := j.Epochs[k]
		newest := k == len(copied.Epochs)-1
		if o.ID != e.ID || e.Entries > o.Entries || e.Entries < o.Entries && !newest {
			return false
		}
	}
	_, pending, held := j.after(copied)
	return !pending || held
}

// estranged reports whether a peer's copy can never follow: the peer was not
// registered here when this site was promoted. Its rbd-mirror registers with
// its next check and reports a split-brain for ever, though the histories agree
// (seen on 16.2.15).
func (j *journal) estranged(peer string, copied *journal) bool {
	r := j.reader(peer)
	if r == nil && slices.ContainsFunc(j.Epochs[len(copied.Epochs):], func(e epoch) bool { return e.Owner == "" }) {
		r = &reader{ID: peer, Epoch: len(j.Epochs) - 1, Entries: j.last().Entries, Late: true}
		j.Readers = append(j.Readers, r)
	}
	return r != nil && r.Late
}

// after finds the first entry that a copy lacks; pending tells that there is
// one, held that it has not been trimmed.
func (j *journal) after(copied *journal) (at int, pending, held bool) {
	k := len(copied.Epochs) - 1
	return j.seek(k, copied.last().Entries)
}

// seek finds the entry number tid of epoch number k or the first after it.
func (j *journal) seek(k int, tid uint64) (at int, pending, held bool) {
	for k < len(j.Epochs) && tid >= j.Epochs[k].Entries {
		k, tid = k+1, 0
	}
	if k >= len(j.Epochs) {
		return 0, false, false
	}
	at = slices.IndexFunc(j.Log, func(e entry) bool { return e.Epoch == j.Epochs[k].ID && e.TID == tid })
	return max(at, 0), true, at >= 0
}

// behind counts the entries that a copy lacks.
func (j *journal) behind(copied *journal) int64 {
	var n int64
	k := len(copied.Epochs) - 1
	for i := k; i < len(j.Epochs); i++ {
		n += int64(j.Epochs[i].Entries)
	}
	return n - int64(copied.last().Entries)
}

// position is that of the newest entry before number entries of epoch k.
func (j *journal) position(k int, entries uint64) (replay.Position, bool) {
	for ; k >= 0; k-- {
		if entries > 0 {
			return replay.Position{Object: (entries - 1) % journalSplay, Tag: uint64(k + 1), Entry: entries - 1}, true
		}
		if k > 0 {
			entries = j.Epochs[k-1].Entries
		}
	}
	return replay.Position{}, false
}

// authored is the newest epoch that this site itself wrote: a primary's, or the
// demotion that ended it. What is replayed from a peer is not written into the
// own journal again.
func (j *journal) authored() int {
	for k := len(j.Epochs) - 1; k >= 0; k-- {
		if j.Epochs[k].Owner != "" {
			continue
		}
		if k+1 < len(j.Epochs) && j.Epochs[k+1].Owner == replay.OwnerOrphan {
			k++
		}
		return k
	}
	return -1
}

// newest is where the writer stands.
func (j *journal) newest() (replay.Position, bool) {
	return j.position(len(j.Epochs)-1, j.last().Entries)
}

// shown is the journal as read from its header.
func (j *journal) shown() *replay.Journal {
	out := &replay.Journal{
		Order: journalOrder, SplayWidth: journalSplay,
		ActiveSet: j.Bytes / setBytes, MinimumSet: j.Trimmed / setBytes,
	}
	local := replay.JournalClient{}
	if k := j.authored(); k >= 0 {
		if p, ok := j.position(k, j.Epochs[k].Entries); ok {
			local.Committed = []replay.Position{p}
		}
	}
	out.Clients = append(out.Clients, local)
	for _, r := range j.Readers {
		c := replay.JournalClient{ID: r.ID, Syncing: r.Syncing}
		if p, ok := j.position(r.Epoch, r.Entries); ok {
			c.Committed = []replay.Position{p}
		}
		out.Clients = append(out.Clients, c)
	}
	for k, e := range j.Epochs {
		t := replay.JournalTag{TID: uint64(k + 1), Owner: e.Owner}
		if k > 0 {
			t.PredecessorOwner = j.Epochs[k-1].Owner
			if p, ok := j.position(k-1, j.Epochs[k-1].Entries); ok {
				t.PredecessorTag, t.PredecessorEntry, t.CommitValid = p.Tag, p.Entry, true
			}
		}
		out.Tags = append(out.Tags, t)
	}
	return out
}

// translate gives the owner of a peer's epoch as it is called here: near and
// far are the mirror uuids of here and there.
func translate(owner, near, far string) string {
	switch owner {
	case "":
		return far
	case near:
		return ""
	}
	return owner
}

// AppendTime tells when the first entry after the position was appended.
func (s *Site) AppendTime(ctx context.Context, ref replay.ImageRef, after replay.Position) (at time.Time, ok bool, err error) {
	err = s.lacking(ctx, "AppendTime", ref, after, func(entries []entry, held bool) {
		if ok = held && len(entries) > 0; ok {
			at = entries[0].At
		}
	})
	return at, ok, err
}

// BytesAfter counts the bytes of the entries after the position.
func (s *Site) BytesAfter(ctx context.Context, ref replay.ImageRef, after replay.Position) (bytes uint64, ok bool, err error) {
	err = s.lacking(ctx, "BytesAfter", ref, after, func(entries []entry, held bool) {
		ok = held
		for _, e := range entries {
			bytes += uint64(e.bytes())
		}
	})
	return bytes, ok, err
}

// lacking shows the entries after the position; held is false when the first
// of them has been trimmed.
func (s *Site) lacking(ctx context.Context, op string, ref replay.ImageRef, after replay.Position, show func(entries []entry, held bool)) error {
	return s.image(ctx, op, ref, func(_ *cluster, _ *namespace, i *image) error {
		if i.Journal == nil {
			return fail(enoent, "image has no journal")
		}
		epoch, number := int(after.Tag)-1, after.Entry+1
		if after.Tag == 0 { // before the first entry: nothing is committed yet
			epoch, number = 0, 0
		}
		switch k, pending, held := i.Journal.seek(epoch, number); {
		case !pending:
			show(nil, true)
		case !held:
			show(nil, false)
		default:
			show(i.Journal.Log[k:], true)
		}
		return nil
	})
}
