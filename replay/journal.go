package replay

// Position is a place in an image's journal. Entries of one tag count up from
// zero; a new tag begins whenever the writing client or the primary changes.
type Position struct {
	Object uint64 `json:"object_number"`
	Tag    uint64 `json:"tag_tid"`
	Entry  uint64 `json:"entry_tid"`
}

// Journal is the state of an image's journal at one site, read from the omap
// of journal.<image id> (cls/journal/cls_journal_types.h).
type Journal struct {
	// Clients are the registered readers. Client "" is the local librbd; each
	// other is the mirror uuid of a peer that replays this journal.
	Clients []JournalClient `json:"clients"`
	// Tags are the newest tags, in order; the last one tells who is primary.
	Tags []JournalTag `json:"tags"`
	// MinimumSet and ActiveSet bound the object sets in use: their distance is
	// what the journal holds back for its slowest client.
	MinimumSet uint64 `json:"minimum_set"`
	ActiveSet  uint64 `json:"active_set"`
	Order      uint8  `json:"order"` // objects are 1<<Order bytes
	SplayWidth uint8  `json:"splay_width"`
}

// JournalClient is one reader of a journal.
type JournalClient struct {
	ID           string `json:"id"`
	Disconnected bool   `json:"disconnected,omitempty"`
	// Committed are the newest positions that the client has made durable, one
	// for each journal object in flight, newest first; empty before the first.
	Committed []Position `json:"commit_position"`
	// Syncing: the client's copy is still in its first sync
	// (journal::MirrorPeerState).
	Syncing bool `json:"syncing,omitempty"`
}

// JournalTag is one epoch of a journal.
type JournalTag struct {
	TID uint64 `json:"tid"`
	// Owner is the mirror uuid of the primary in this epoch: "" is this site,
	// "<orphan>" nobody (a demotion).
	Owner string `json:"owner"`
	// PredecessorOwner, PredecessorTag and PredecessorEntry say what this epoch
	// follows on: histories with a common predecessor have not diverged.
	PredecessorOwner string `json:"predecessor_owner"`
	PredecessorTag   uint64 `json:"predecessor_tag"`
	PredecessorEntry uint64 `json:"predecessor_entry"`
	// CommitValid: PredecessorTag and PredecessorEntry are meaningful.
	CommitValid bool `json:"commit_valid"`
}

// OwnerOrphan is the owner of a journal that nobody may write
// (librbd::Journal<>::ORPHAN_MIRROR_UUID).
const OwnerOrphan = "<orphan>"

// Client finds a reader by its id.
func (j *Journal) Client(id string) (JournalClient, bool) {
	for _, c := range j.Clients {
		if c.ID == id {
			return c, true
		}
	}
	return JournalClient{}, false
}

// Newest is the client's newest commit position; ok is false before the first.
func (c JournalClient) Newest() (p Position, ok bool) {
	for _, q := range c.Committed {
		if !ok || q.Tag > p.Tag || q.Tag == p.Tag && q.Entry > p.Entry {
			p, ok = q, true
		}
	}
	return p, ok
}
