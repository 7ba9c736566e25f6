package cls_test

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/drover-io/drover/replay/ceph/cls"
)

// entries is the beginning of a journal object of splay width 4, as captured.
func entries(tb testing.TB) []byte {
	tb.Helper()
	data, err := os.ReadFile("testdata/journal-entries.bin")
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func all(data []byte) (found []cls.Entry, rest int) {
	for {
		e, skip, next, ok := cls.NextEntry(data[rest:])
		if !ok {
			return found, rest + next
		}
		if uint64(next-skip) != e.Size {
			return nil, -1
		}
		found = append(found, e)
		rest += next
	}
}

func TestEntries(t *testing.T) {
	data := entries(t)
	found, rest := all(data)
	want := []struct{ number, size uint64 }{{0, 57}, {4, 16417}, {8, 16417}, {12, 253}}
	if len(found) != len(want) {
		t.Fatalf("%d entries: %+v", len(found), found)
	}
	for i, e := range found {
		if e.Tag != 1 || e.Number != want[i].number || e.Size != want[i].size {
			t.Errorf("entry %d is %+v", i, e)
		}
		if e.Time.Before(at(16, 19, 57, 0)) || e.Time.After(at(16, 20, 0, 0)) {
			t.Errorf("entry %d was appended at %v", i, e.Time)
		}
	}
	if rest >= len(data) || rest < len(data)-16384-100 {
		t.Errorf("%d of %d bytes are done with", rest, len(data))
	}
}

// TestEntriesFromAnywhere begins in the middle of an entry, as a search by
// halves does.
func TestEntriesFromAnywhere(t *testing.T) {
	data := entries(t)
	whole, _ := all(data)
	for _, from := range []int{1, 8, 56, int(whole[0].Size), int(whole[0].Size) + 1} {
		e, _, _, ok := cls.NextEntry(data[from:])
		if !ok || e.Number == 0 {
			t.Errorf("from %d: %+v, %v", from, e, ok)
		}
	}
}

func TestEntryDamaged(t *testing.T) {
	data := bytes.Clone(entries(t))
	whole, _ := all(data)
	data[40] ^= 1 // in the first entry: its checksum is wrong now
	found, _ := all(data)
	if len(found) != len(whole)-1 || found[0] != whole[1] {
		t.Errorf("found %+v of %+v", found, whole)
	}
}

func TestEntryBefore(t *testing.T) {
	e := cls.Entry{Tag: 2, Number: 5, Time: time.Now()}
	for _, c := range []struct {
		tag, number uint64
		want        bool
	}{{2, 5, false}, {2, 6, true}, {2, 4, false}, {3, 0, true}, {1, 9, false}} {
		if e.Before(c.tag, c.number) != c.want {
			t.Errorf("before %d/%d is not %v", c.tag, c.number, c.want)
		}
	}
}
