package plans

import (
	"testing"

	"gopkg.in/yaml.v3"
	"pgregory.net/rapid"
)

// TestWordsAreWhatTheEncoderMakes holds the short way of encoding a text
// against the long one.
func TestWordsAreWhatTheEncoderMakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.StringMatching(`[A-Za-z/][A-Za-z0-9_/.-]{0,8}`),
			rapid.StringMatching(`[nNyYoOtTfF][a-zA-Z]{0,4}`),
			rapid.SampledFrom([]string{"yes", "No", "ON", "Off", "true", "False", "null", "NULL", "Null", "y", "N", "nan", "inf", "e1", "a-b"}),
		).Draw(t, "text")
		got, err := textNode(text)
		if err != nil {
			t.Fatal(err)
		}
		var want yaml.Node
		if err := want.Encode(text); err != nil {
			t.Fatal(err)
		}
		if got.Kind != want.Kind || got.Tag != want.Tag || got.Value != want.Value || got.Style != want.Style {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	})
}
