package cls

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/drover-io/drover/replay"
)

// Prefixes of a journal's keys (cls/journal/cls_journal.cc).
const (
	ClientKey = "client_"
	TagKey    = "tag_"
)

// JournalHead is a journal as its head object has it, and the pool of its data.
type JournalHead struct {
	replay.Journal
	// PoolID is the pool of the data objects; -1: the image's own.
	PoolID int64
}

// maxJournalOrder bounds the size of journal objects: librbd takes an order of
// 12 to 26, and beyond 63 it cannot be a size at all.
const maxJournalOrder = 63

// DecodeJournal decodes the omap of journal.<image id>. Of the tags it keeps
// those of the image's own class, oldest first.
func DecodeJournal(omap map[string][]byte) (JournalHead, error) {
	h := JournalHead{PoolID: -1}
	for _, field := range []struct {
		key  string
		read func(*cursor)
	}{
		{"order", func(c *cursor) { h.Order = c.u8() }},
		{"splay_width", func(c *cursor) { h.SplayWidth = c.u8() }},
		{"pool_id", func(c *cursor) { h.PoolID = c.i64() }},
		{"minimum_set", func(c *cursor) { h.MinimumSet = c.u64() }},
		{"active_set", func(c *cursor) { h.ActiveSet = c.u64() }},
	} {
		value, ok := omap[field.key]
		if !ok {
			if field.key == "pool_id" {
				continue // older journals have none
			}
			return h, fmt.Errorf("%w: journal without %s", ErrMalformed, field.key)
		}
		c := newCursor(value)
		field.read(c)
		if c.err != nil {
			return h, fmt.Errorf("journal's %s: %w", field.key, c.err)
		}
	}
	if h.Order > maxJournalOrder || h.SplayWidth == 0 {
		return h, fmt.Errorf("%w: journal of order %d and splay width %d", ErrMalformed, h.Order, h.SplayWidth)
	}
	class, known, err := h.decodeClients(omap)
	if err != nil {
		return h, err
	}
	return h, h.decodeTags(omap, class, known)
}

// decodeClients decodes all clients. It returns the class of the image's tags,
// which the local client's data tells.
func (h *JournalHead) decodeClients(omap map[string][]byte) (class uint64, known bool, err error) {
	for key, value := range omap {
		if !strings.HasPrefix(key, ClientKey) {
			continue
		}
		client, data, err := DecodeClient(value)
		if err != nil {
			return 0, false, fmt.Errorf("journal client %q: %w", key[len(ClientKey):], err)
		}
		meta, err := decodeClientData(data)
		if err != nil {
			return 0, false, fmt.Errorf("data of journal client %q: %w", client.ID, err)
		}
		client.Syncing = meta.syncing
		if client.ID == "" && meta.image {
			class, known = meta.tagClass, true
		}
		h.Clients = append(h.Clients, client)
	}
	slices.SortFunc(h.Clients, func(a, b replay.JournalClient) int { return cmp.Compare(a.ID, b.ID) })
	return class, known, nil
}

// DecodeClient decodes one registered client (cls::journal::Client) and
// returns beside it the data that librbd or rbd-mirror keep with it.
func DecodeClient(value []byte) (client replay.JournalClient, data []byte, err error) {
	c := newCursor(value)
	body, _, _ := c.frame("journal client", 1)
	client.ID = body.text()
	data = body.bytes()
	set, _, _ := body.frame("commit position", 1)
	n := set.count(6 + 24)
	for range n {
		p, _, _ := set.frame("object position", 1)
		client.Committed = append(client.Committed, replay.Position{Object: p.u64(), Tag: p.u64(), Entry: p.u64()})
		set.join(p)
	}
	body.join(set)
	client.Disconnected = body.u8() == 1
	c.join(body)
	return client, data, c.err
}

// clientMeta is the part of librbd::journal::ClientData that matters here.
type clientMeta struct {
	image    bool // the local image's own client
	tagClass uint64
	syncing  bool // a peer's copy in its first sync
}

// decodeClientData decodes a librbd::journal::ClientData. No data at all is
// how a client is registered that is neither image nor peer.
func decodeClientData(data []byte) (clientMeta, error) {
	var m clientMeta
	if len(data) == 0 {
		return m, nil
	}
	c := newCursor(data)
	body, _, _ := c.frame("journal client data", 2)
	switch kind := body.u32(); kind {
	case 0: // IMAGE_CLIENT_META_TYPE
		m.image = true
		m.tagClass = body.u64()
	case 1: // MIRROR_PEER_CLIENT_META_TYPE
		body.text() // id of the peer's image
		m.syncing = body.u32() == 0
	}
	c.join(body)
	return m, c.err
}

func (h *JournalHead) decodeTags(omap map[string][]byte, class uint64, known bool) error {
	for key, value := range omap {
		if !strings.HasPrefix(key, TagKey) {
			continue
		}
		tag, of, err := DecodeTag(value)
		if err != nil {
			return fmt.Errorf("journal %s: %w", key, err)
		}
		if known && of != class {
			continue
		}
		h.Tags = append(h.Tags, tag)
	}
	slices.SortFunc(h.Tags, func(a, b replay.JournalTag) int { return cmp.Compare(a.TID, b.TID) })
	return nil
}

// DecodeTag decodes one tag (cls::journal::Tag with librbd::journal::TagData)
// and returns beside it the tag's class.
func DecodeTag(value []byte) (tag replay.JournalTag, class uint64, err error) {
	c := newCursor(value)
	body, _, _ := c.frame("journal tag", 1)
	tag.TID = body.u64()
	class = body.u64()
	data := newCursor(body.bytes())
	if body.err == nil {
		tag.Owner = data.text()
		tag.PredecessorOwner = data.text()
		tag.CommitValid = data.bool()
		tag.PredecessorTag = data.u64()
		tag.PredecessorEntry = data.u64()
		body.join(data)
	}
	c.join(body)
	return tag, class, c.err
}
