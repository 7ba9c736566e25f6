package orchestrator

import (
	"slices"
	"testing"
	"time"

	"github.com/drover-io/drover/replay"
)

func TestKeysRise(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := keyClock{writer: "0000000a"}
	var keys []string
	for _, d := range []time.Duration{0, 0, time.Microsecond, time.Second, -time.Hour, -time.Hour, 0, 2 * time.Second} {
		keys = append(keys, c.next(now.Add(d)))
	}
	if !slices.IsSorted(keys) || len(slices.Compact(slices.Clone(keys))) != len(keys) {
		t.Errorf("keys do not rise: %q", keys)
	}
	for _, key := range keys {
		if len(key) != len("00000000000000-0000000a-00000001") {
			t.Errorf("width of %q", key)
		}
	}
	if at, ok := timeOfKey(keys[0]); !ok || !at.Equal(now) {
		t.Errorf("time of %q: %v", keys[0], at)
	}
	other := keyClock{writer: "00000001"}
	ahead := other.next(now.Add(24 * time.Hour))
	c.saw(ahead, now)
	if key := c.next(now); key <= ahead {
		t.Errorf("%q does not follow %q", key, ahead)
	}
	// A key that is no time, or one of a clock gone mad, is not followed.
	for _, odd := range []string{"", "zz", "ffffffffffffff-x-1", "7fffffffffffff-00000001-00000001"} {
		before := c.last
		c.saw(odd, now)
		if c.last != before {
			t.Errorf("%q was followed", odd)
		}
	}
}

func TestEntryKeepsToItsRecord(t *testing.T) {
	e := Entry{Key: "k", Kind: EntryHook, At: time.Unix(1, 0).UTC(), By: "me@here", Run: "r", Body: []byte(`{"a": [1, 2]}`)}
	record, err := e.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeEntry(record)
	if err != nil || got.Key != "k" || got.Kind != EntryHook || !got.At.Equal(e.At) || got.By != e.By || got.Run != "r" || string(got.Body) != `{"a":[1,2]}` {
		t.Errorf("%+v, %v", got, err)
	}
	// It shares the record's memory, and appending to it leaves the record be.
	before := string(record.Value)
	_ = append(got.Body, "xxxx"...)
	got.Body[0] = '['
	if string(record.Value) == before {
		t.Error("the body is a copy")
	}
	got.Body[0] = '{'
	if string(record.Value) != before {
		t.Error("appending to the body wrote into the record")
	}
	if _, err := decodeEntry(replay.Record{Key: "k", Value: []byte("[]")}); err == nil {
		t.Error("a list is an entry")
	}
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add([]byte(`{"v":1,"kind":"halt","at":"2026-01-01T00:00:00Z","body":{"id":"x"}}`))
	f.Add([]byte(`{"v":7,"body":null}`))
	f.Add([]byte(`{"body":"}","by":3}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		e, err := decodeEntry(replay.Record{Key: "k", Value: value})
		if err != nil {
			return
		}
		record, err := e.encode()
		if err != nil {
			return // a time that JSON reads but does not write
		}
		again, err := decodeEntry(record)
		if err != nil || again.Kind != e.Kind || !again.At.Equal(e.At) {
			t.Errorf("%q: %+v, then %+v, %v", value, e, again, err)
		}
	})
}
