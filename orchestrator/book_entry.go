package orchestrator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/drover-io/drover/replay"
)

// EntryKind says what an [Entry] of the book records.
type EntryKind string

// The kinds of entry. A book may hold others, of a later version; they are kept
// and merged like these.
const (
	EntryRun       EntryKind = "run"
	EntryStep      EntryKind = "step"
	EntryEnd       EntryKind = "end"
	EntryHook      EntryKind = "hook"
	EntryApproval  EntryKind = "approval"
	EntryHalt      EntryKind = "halt"
	EntryClear     EntryKind = "clear"
	EntryTombstone EntryKind = "tombstone"
	EntryPreserved EntryKind = "preserved"
	EntryRemoval   EntryKind = "removal"

	EntrySession    EntryKind = "session"
	EntrySessionEnd EntryKind = "session-end"
	EntryShutOut    EntryKind = "shut-out"

	EntrySilence EntryKind = "silence"
	EntryExpire  EntryKind = "expire" // of a silence

	EntryAcknowledge EntryKind = "acknowledge"
)

// Entry is one record of a plan's book. It is written once and never changed.
type Entry struct {
	// Key orders the entries of a book: time, writer, sequence.
	Key  string          `json:"-"`
	Kind EntryKind       `json:"kind"`
	At   time.Time       `json:"at"`            // by the writer's clock
	By   string          `json:"by,omitempty"`  // user@host
	Run  string          `json:"run,omitempty"` // the run that it belongs to
	Body json.RawMessage `json:"body,omitempty"`
}

// entryVersion is the version of how entries are stored.
const entryVersion = 1

// storedEntry is how an entry is stored.
type storedEntry struct {
	Version int `json:"v"`
	Entry
}

// encode is the record of an entry.
func (e Entry) encode() (replay.Record, error) {
	value, err := json.Marshal(storedEntry{Version: entryVersion, Entry: e})
	if err != nil {
		return replay.Record{}, fmt.Errorf("a %s entry cannot be stored: %w", e.Kind, err)
	}
	return replay.Record{Key: e.Key, Value: value}, nil
}

// decodeEntry reads a record. What it does not know, it passes over: a record
// is only ever copied as it is. The entry shares the record's memory.
func decodeEntry(r replay.Record) (Entry, error) {
	var stored storedEntry
	if err := json.Unmarshal(r.Value, &stored); err != nil {
		return Entry{}, fmt.Errorf("record %q is no entry: %w", r.Key, err)
	}
	e := stored.Entry
	e.Key = r.Key
	// The record is kept anyhow; a second copy of every body would double what
	// a long book takes.
	if i := bytes.Index(r.Value, e.Body); len(e.Body) > 0 && i >= 0 {
		e.Body = r.Value[i : i+len(e.Body) : i+len(e.Body)]
	}
	return e, nil
}

// keyClock makes the keys of one writer: the time in microseconds since 1970 as
// 14 hex digits, the writer, and a sequence number. They rise even when the
// clock is set back, and are greater than any key that was seen before, so that
// an answer to an entry sorts behind it whoever's clock is wrong.
type keyClock struct {
	writer   string // 8 hex digits, at random
	last     int64  // microseconds
	sequence uint32
}

// clockTrust is how far ahead a key may be for its time to be followed.
const clockTrust = 366 * 24 * time.Hour

func (c *keyClock) next(now time.Time) string {
	c.last = max(now.UnixMicro(), c.last)
	c.sequence++
	return fmt.Sprintf("%s-%s-%08x", keyTime(c.last), c.writer, c.sequence)
}

// saw follows a key of another writer.
func (c *keyClock) saw(key string, now time.Time) {
	if at, ok := timeOfKey(key); ok && at.Before(now.Add(clockTrust)) {
		c.last = max(c.last, at.UnixMicro()+1)
	}
}

// keyTime is how a time in microseconds begins a key.
func keyTime(micros int64) string { return fmt.Sprintf("%014x", max(micros, 0)) }

// timeOfKey is the time that a key begins with.
func timeOfKey(key string) (at time.Time, ok bool) {
	text, _, found := strings.Cut(key, "-")
	if !found || len(text) != 14 {
		return at, false
	}
	micros, err := strconv.ParseInt(text, 16, 64)
	return time.UnixMicro(micros), err == nil
}
