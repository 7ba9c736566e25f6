package cls_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/drover-io/drover/replay/ceph/cls"
)

// decoders are all decoders of a single value.
var decoders = map[string]func([]byte) error{
	"string":       func(b []byte) error { _, err := cls.DecodeString(b); return err },
	"mirror image": func(b []byte) error { _, err := cls.DecodeMirrorImage(b); return err },
	"parent":       func(b []byte) error { _, err := cls.DecodeParent(b); return err },
	"snapshot":     func(b []byte) error { _, err := cls.DecodeSnapshot(b); return err },
	"client":       func(b []byte) error { _, _, err := cls.DecodeClient(b); return err },
	"tag":          func(b []byte) error { _, _, err := cls.DecodeTag(b); return err },
	"lock info":    func(b []byte) error { _, err := cls.DecodeLockInfo(b); return err },
}

var captured = []string{
	"directory", "mirroring", "header-primary", "header-secondary", "header-clone",
	"journal-primary", "journal-secondary", "journal-demoted",
}

// FuzzValues feeds any bytes to all decoders of single values: they fail
// cleanly or succeed.
func FuzzValues(f *testing.F) {
	for _, name := range captured {
		for _, value := range omap(f, name) {
			f.Add(value)
		}
	}
	for _, c := range lockInfos {
		f.Add(bytesOf(f, c.answer))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, decode := range decoders {
			if err := decode(data); err != nil && !errors.Is(err, cls.ErrMalformed) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// FuzzOmaps replaces one value of a captured object and decodes the whole.
func FuzzOmaps(f *testing.F) {
	for i := range captured {
		f.Add(uint(i), "order", []byte{255})
		f.Add(uint(i), "tag_0000000000000009", []byte{1, 1, 0, 0, 0, 0})
	}
	f.Fuzz(func(t *testing.T, which uint, key string, value []byte) {
		values := omap(t, captured[which%uint(len(captured))])
		values[key] = value
		_, err1 := cls.DecodeNames(values)
		_, err2 := cls.DecodeMirrorImage(value)
		_, err3 := cls.DecodeHeader(values)
		head, err4 := cls.DecodeJournal(values)
		for _, err := range []error{err1, err2, err3, err4} {
			if err != nil && !errors.Is(err, cls.ErrMalformed) {
				t.Error(err)
			}
		}
		if err4 == nil && head.SplayWidth == 0 {
			t.Error("a journal of no width")
		}
	})
}

// FuzzEntries looks for entries in any bytes: the search always moves on, and
// never beyond the bytes.
func FuzzEntries(f *testing.F) {
	f.Add(entries(f)[:200])
	f.Add(entries(f)[20:17000])
	f.Add(binary.LittleEndian.AppendUint64(nil, 0x3141592653589793))
	f.Fuzz(func(t *testing.T, data []byte) {
		for {
			_, skip, next, ok := cls.NextEntry(data)
			if skip < 0 || next < skip || next > len(data) || ok && next == skip {
				t.Fatalf("skip %d, next %d of %d, %v", skip, next, len(data), ok)
			}
			if !ok {
				return
			}
			data = data[next:]
		}
	})
}

// TestNewerVersions reads structures to which a newer release appended
// something, and refuses those that say that this reader is too old.
func TestNewerVersions(t *testing.T) {
	values := map[string][]byte{}
	for _, name := range captured {
		for key, value := range omap(t, name) {
			values[name+"/"+key] = value
		}
	}
	for name, key := range map[string]string{
		"mirror image": "mirroring/image_1027bbbe9ed1", "parent": "header-clone/parent",
		"snapshot": "header-primary/snapshot_0000000000000008", "client": "journal-primary/client_", "tag": "journal-secondary/tag_0000000000000001",
	} {
		value, ok := values[key]
		if !ok {
			t.Fatalf("nothing captured as %s", key)
		}
		newer := append([]byte{value[0] + 1}, value[1:]...)
		newer = append(newer, "appended"...)
		binary.LittleEndian.PutUint32(newer[2:], binary.LittleEndian.Uint32(value[2:])+uint32(len("appended")))
		if err := decoders[name](newer); err != nil {
			t.Errorf("a newer %s: %v", name, err)
		}
		newer[1] = 200
		if err := decoders[name](newer); !errors.Is(err, cls.ErrMalformed) {
			t.Errorf("a %s of a version that is not to be read: %v", name, err)
		}
		for n := range value {
			if err := decoders[name](value[:n]); err == nil {
				t.Errorf("%d of %d bytes of a %s decode", n, len(value), name)
			}
		}
	}
}
