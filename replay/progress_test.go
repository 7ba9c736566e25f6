package replay

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files")

// described is one description, and what it means. Its name says where it comes
// from: seen on a real daemon, published by somebody, or composed from the
// source of the daemon or against it.
type described struct {
	Name        string      `json:"name"`
	Description string      `json:"description"`
	Progress    *Progress   `json:"progress"`
	Conditions  []Condition `json:"conditions,omitempty"`
}

func descriptions(t testing.TB) []described {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "descriptions.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []described
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDescriptions(t *testing.T) {
	all := descriptions(t)
	for i, want := range all {
		got := described{want.Name, want.Description, DecodeProgress(want.Description), Conditions(want.Description)}
		if *update {
			all[i] = got
			continue
		}
		if diff := cmp.Diff(want, got, cmp.Transformer("raw", func(r json.RawMessage) string { return string(compact(t, r)) })); diff != "" {
			t.Errorf("%s: %q (-want +got):\n%s", want.Name, want.Description, diff)
		}
	}
	if *update {
		data, err := json.MarshalIndent(all, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("testdata", "descriptions.json"), append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func compact(t testing.TB, raw json.RawMessage) []byte {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func FuzzDecodeProgress(f *testing.F) {
	for _, d := range descriptions(f) {
		f.Add(d.Description)
	}
	f.Fuzz(func(t *testing.T, description string) {
		Conditions(description)
		p := DecodeProgress(description)
		if p == nil {
			return
		}
		if _, err := json.Marshal(p); err != nil {
			t.Fatalf("%q: decoded progress cannot be written: %v", description, err)
		}
		if p.SyncPercent != nil && (*p.SyncPercent < 0 || *p.SyncPercent > 100) {
			t.Fatalf("%q: %v percent", description, *p.SyncPercent)
		}
	})
}
