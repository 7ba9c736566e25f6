package orchestrator

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// The kinds of entry of a plan's history.
const (
	EntryTransition EntryKind = "transition"
	EntryVerified   EntryKind = "verified"
	EntrySlot       EntryKind = "slot"
)

// historyLimit is how many transitions are kept, besides each image's last; a tenth
// more may be there until the oldest are removed.
const historyLimit = 10_000

// ProtectionChange is one change of an image's protection state.
type ProtectionChange struct {
	At    time.Time       `json:"at"`
	Image replay.ImageRef `json:"image"`
	// From is "unknown" where the image was not seen before, or could not be.
	From  Protection      `json:"from"`
	To    Protection      `json:"to"`
	Event ProtectionEvent `json:"event"`
	Why   string          `json:"why"` // the observation, in one line
	// Roles by site, as in [ImageStatus].
	Roles map[string]string `json:"roles,omitempty"`
}

// VerifiedCopy is the outcome of the last comparison of one copy.
type VerifiedCopy struct {
	Image     replay.ImageRef `json:"image"`
	Primary   string          `json:"primary,omitempty"`
	Secondary string          `json:"secondary"`
	At        time.Time       `json:"at"` // when its snapshot was taken: what is proven is that moment
	Identical bool            `json:"identical"`
	Differing uint64          `json:"differing,omitempty"` // bytes, in blocks of 4 KiB
	Next      string          `json:"next,omitempty"`
}

// slotRun is the body of the entry that a schedule has been followed.
type slotRun struct {
	What string    `json:"what"`
	At   time.Time `json:"at"`
	// Of a verification: that it has begun and not ended, and what the last one that
	// has ended could not compare.
	Open   bool    `json:"open,omitempty"`
	Unmade *unmade `json:"unmade,omitempty"`
	// Of a drill: when its schedule was first followed. Older entries are not kept.
	Since time.Time `json:"since,omitzero"`
}

// HistoryQuery chooses from a plan's history. The zero value means all of it.
type HistoryQuery struct {
	Image string    // "pool/image", "pool/namespace/image" or the bare name; "": all
	Since time.Time // zero: from the beginning
	Limit int       // the newest of them; 0: all
}

// History is what is remembered of a plan's images.
type History struct {
	// Changes are in the order in which they were recorded.
	Changes []ProtectionChange `json:"changes"`
	// Verified is the last comparison of each copy, by image, then by site.
	Verified []VerifiedCopy `json:"verified,omitempty"`
	// Faults are the sites whose records could not be read, where others' were.
	Faults map[string]error `json:"-"`
}

// ReadHistory reads the history of a plan at all sites that answer. It lies at each
// of them, in the ledger "history.PLAN" of the plan's first pool, and is the union of
// what they hold. ReadHistory fails when it can be read at no site.
func ReadHistory(ctx context.Context, plan *plans.Plan, sites *Sites, q HistoryQuery) (*History, error) {
	book, err := openHistory(ctx, plan, sites)
	if err != nil {
		return nil, err
	}
	h := &History{Changes: []ProtectionChange{}, Faults: book.Faults()}
	latest := map[string]VerifiedCopy{}
	wanted := func(ref replay.ImageRef) bool {
		return q.Image == "" || q.Image == ref.String() || q.Image == ref.Name
	}
	for _, e := range book.Entries() {
		switch e.Kind {
		case EntryTransition:
			var c ProtectionChange
			if json.Unmarshal(e.Body, &c) == nil && wanted(c.Image) && !c.At.Before(q.Since) {
				h.Changes = append(h.Changes, c)
			}
		case EntryVerified:
			var v VerifiedCopy
			if json.Unmarshal(e.Body, &v) == nil && wanted(v.Image) {
				latest[subjectOf(&e)] = v
			}
		}
	}
	if q.Limit > 0 && len(h.Changes) > q.Limit {
		h.Changes = h.Changes[len(h.Changes)-q.Limit:]
	}
	h.Verified = slices.SortedFunc(maps.Values(latest), func(a, b VerifiedCopy) int {
		return cmp.Or(a.Image.Compare(b.Image), cmp.Compare(a.Secondary, b.Secondary))
	})
	return h, nil
}

func openHistory(ctx context.Context, plan *plans.Plan, sites *Sites) (*Book, error) {
	book, err := readLedger(ctx, plan, sites, "history")
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	book.outdated = func(entries []Entry) []string { return outdatedHistory(entries, historyLimit) }
	return book, nil
}

// goneFor is how long the last state of an image is kept that is protected no more.
const goneFor = 30 * 24 * time.Hour

// outdatedHistory are the entries that need not be kept: transitions beyond a
// limit, the oldest first, but for the last of each image; that one too, where the
// image has not been protected for goneFor, so that images that come and go do not
// pile up; and whatever a later entry of its kind replaces. Below a tenth more than the
// limit, none.
func outdatedHistory(entries []Entry, limit int) (keys []string) {
	if !isFull(len(entries), limit) {
		return nil
	}
	newest := entries[len(entries)-1].At
	seen := map[string]bool{}
	kept := 0
	for i := len(entries) - 1; i >= 0; i-- {
		e := &entries[i]
		subject := subjectOf(e)
		last := !seen[subject]
		seen[subject] = true
		if e.Kind == EntryTransition {
			kept++
			last = kept <= limit || last && (newest.Sub(e.At) <= goneFor || !isGone(e))
		}
		if !last && subject != "" {
			keys = append(keys, e.Key)
		}
	}
	return keys
}

// isGone reports whether an image is protected no more since a transition.
func isGone(e *Entry) bool {
	var c ProtectionChange
	return json.Unmarshal(e.Body, &c) == nil && (c.To == replay.Unprotected || c.To == replay.Retired)
}

// isFull reports whether so many entries are more than a limit and its margin.
func isFull(entries, limit int) bool { return entries > limit+limit/10 }

// full reports whether the book holds more entries than a limit and its margin.
func (b *Book) full(limit int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return isFull(len(b.entries), limit)
}

// subjectOf is what an entry of the history is about; "" of one that a later version
// has written.
func subjectOf(e *Entry) string {
	var body struct {
		Image     replay.ImageRef `json:"image"`
		Secondary string          `json:"secondary"`
		What      string          `json:"what"`
	}
	switch e.Kind {
	case EntryTransition, EntryVerified, EntrySlot:
		if json.Unmarshal(e.Body, &body) == nil {
			return string(e.Kind) + " " + body.Image.String() + " " + body.Secondary + " " + body.What
		}
	}
	return ""
}

// bodied is an entry with a body.
func bodied(kind EntryKind, at time.Time, body any) (Entry, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return Entry{}, fmt.Errorf("record a %s: %w", kind, err)
	}
	return Entry{Kind: kind, At: at, Body: raw}, nil
}
