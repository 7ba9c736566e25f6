package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// EntryMemory is what a watch's owner must remember; only the newest counts.
const EntryMemory EntryKind = "memory"

// memoriesKept is how many outdated memories may lie in the ledger until they are
// removed.
const memoriesKept = 16

// ErrNotActing is of a watch that does not act: another one does, or none can.
var ErrNotActing = errors.New("the watch does not act")

// MayAct reports whether the watch acts, and the sites confirm that it still does:
// a process that was stopped may have been replaced without having heard of it.
// Where it is alone ([RoleAlone]) nobody else can act either, and it may, unless a
// site that was silent at its last check answers by now.
func (w *Watch) MayAct(ctx context.Context) bool {
	t, standing := w.enter()
	if t == nil {
		return standing.Role == RoleAlone && w.stillAlone(ctx)
	}
	defer t.work.Done()
	var silent []string
	if seen := t.last.Load(); seen != nil {
		silent = seen.Summary.Silent
	}
	return t.lease.confirm(ctx, silent) == nil
}

// Memories are all that was remembered, by this watch or by others, and that lies at
// the sites that answer; the newest is the last. Others than the newest count as well
// where a site was away: who wrote the newest may not have known of them. The error is
// [ErrNotActing], or that nothing could be read.
func (w *Watch) Memories(ctx context.Context) ([]json.RawMessage, error) {
	t, _ := w.enter()
	if t == nil {
		return nil, ErrNotActing
	}
	defer t.work.Done()
	ledger, err := readLedger(ctx, w.plan, t.sites, "watch")
	if err != nil {
		return nil, fmt.Errorf("read what was told: %w", err)
	}
	var memories []json.RawMessage
	for _, e := range ledger.Entries() {
		if e.Kind == EntryMemory {
			memories = append(memories, e.Body)
			t.taken.Store(e.Key, true)
		}
	}
	return memories, ledger.Close(ctx)
}

// Remember stores what is to be remembered, as JSON, at every site that answers.
// Errors: [ErrNotActing], or that no site took it.
func (w *Watch) Remember(ctx context.Context, memory json.RawMessage) error {
	t, _ := w.enter()
	if t == nil {
		return ErrNotActing
	}
	defer t.work.Done()
	if err := t.ledger.Append(ctx, Entry{Kind: EntryMemory, Body: memory}); err != nil {
		return fmt.Errorf("remember what was told: %w", err)
	}
	if t.ledger.full(memoriesKept) {
		return t.ledger.Reconcile(ctx) // removes those that are outdated
	}
	return nil
}

// oldMemories are the keys of memories that are outdated: once this watch has stored
// one, those that it has stored before and those of others that its owner has taken. One
// that a site brings along that was away stays until the owner has taken it, too.
func (t *tenure) oldMemories(entries []Entry) []string {
	mine := "-" + t.ledger.clock.writer + "-"
	var keys []string
	own := -1 // where the newest of this watch is
	for i := range entries {
		if entries[i].Kind != EntryMemory {
			continue
		}
		keys = append(keys, entries[i].Key)
		if strings.Contains(entries[i].Key, mine) {
			own = len(keys) - 1
		}
	}
	if own < 0 {
		return nil
	}
	newest := keys[own]
	return slices.DeleteFunc(keys, func(key string) bool {
		_, taken := t.taken.Load(key)
		return key == newest || !taken && !strings.Contains(key, mine)
	})
}
