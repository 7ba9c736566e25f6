package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-io/drover/orchestrator/report"
)

func TestJSONComesBack(t *testing.T) {
	for _, s := range scenarios {
		r := s.of()
		for form, data := range map[string][]byte{"file": []byte(rendered(t, report.FormatJSON, r, nil)), "record": encoded(t, r)} {
			got, err := report.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(encoded(t, r)), string(encoded(t, got))); diff != "" {
				t.Errorf("%s, as a %s: %s", s.name, form, diff)
			}
		}
	}
}

func encoded(t *testing.T, r *report.Report) []byte {
	t.Helper()
	data, err := report.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestEncodeWithin: another JSON that takes a record in does not make it longer.
func TestEncodeWithin(t *testing.T) {
	data := encoded(t, hostile())
	within, err := json.Marshal(map[string]json.RawMessage{"x": data})
	if err != nil {
		t.Fatal(err)
	}
	if len(within) != len(data)+len(`{"x":}`) {
		t.Errorf("%d bytes became %d", len(data), len(within))
	}
}

func TestEmptyListsAreNotNull(t *testing.T) {
	text := rendered(t, report.FormatJSON, &report.Report{ID: "x", Verdict: report.Skipped}, nil)
	if strings.Contains(text, "null") || !strings.Contains(text, `"version": 1`) {
		t.Errorf("got %s", text)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ data, want string }{
		{``, "unexpected end"},
		{`[]`, "cannot unmarshal"},
		{`{"id":"x","verdict":"passed"}`, "it has no version"},
		{`{"version":2,"id":"x","verdict":"passed"}`, "of version 2, and the newest known here is 1; use a newer drover"},
		{`{"version":0,"id":"x","verdict":"passed"}`, "there is no version 0"},
		{`{"version":"1","id":"x","verdict":"passed"}`, "cannot unmarshal"},
		{`{"version":1,"verdict":"passed"}`, "it has no id"},
		{`{"version":1,"id":"x","verdict":"splendid"}`, `there is no verdict "splendid"`},
		{`{"version":1,"id":"x"}`, `there is no verdict ""`},
		{`{"version":1,"id":"x","verdict":"passed"} {}`, "after top-level value"},
		{`{"version":1,"id":"x","verdict":"passed","began":"yesterday"}`, "yesterday"},
	} {
		_, err := report.Parse([]byte(c.data))
		if !errors.Is(err, report.ErrForm) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.data, err, c.want)
		}
	}
}

// TestParsePassesOverNewFields: a newer drover of the same version adds some anywhere.
func TestParsePassesOverNewFields(t *testing.T) {
	r, err := report.Parse([]byte(`{"version":1,"id":"x","verdict":"failed","mood":{"deep":[1]},"checks":[{"name":"a","colour":"red","verdict":"failed"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != report.Failed || len(r.Checks) != 1 || r.Checks[0].Name != "a" {
		t.Errorf("got %+v", r)
	}
}

func TestJSONRefusesWhatIsNoNumber(t *testing.T) {
	r := drill()
	r.Checks[0].Seconds = math.NaN()
	if err := report.JSON(&bytes.Buffer{}, r); err == nil || !strings.Contains(err.Error(), r.ID) {
		t.Errorf("got %v", err)
	}
}

// FuzzParse: what was read can be rendered and bounded, whatever it is.
func FuzzParse(f *testing.F) {
	for _, s := range scenarios {
		data, err := report.Encode(s.of())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"version":1,"id":"x","verdict":"passed","began":"0001-01-01T00:00:00Z","steps":[{"began":"9999-12-31T23:59:59Z","seconds":1e300,"count":-4}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := report.Parse(data)
		if err != nil {
			if !errors.Is(err, report.ErrForm) {
				t.Fatal(err)
			}
			return
		}
		past := []report.Summary{report.Summarize(r), {}}
		checkJUnit(t, rendered(t, report.FormatJUnit, r, past))
		checkPage(t, rendered(t, report.FormatHTML, r, past))
		rendered(t, report.FormatMarkdown, r, past)
		if again, err := report.Parse(encoded(t, r)); err != nil || !bytes.Equal(encoded(t, again), encoded(t, r)) {
			t.Errorf("does not come back: %v", err)
		}
		checkBound(t, r, len(data)/2)
	})
}
