package orchestrator

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxOutput is how much of a hook's output is kept, in bytes.
const maxOutput = 8 << 10

// tail keeps the end of what is written to it.
type tail struct {
	limit  int
	hidden secrets // of what was written
	kept   []byte
	cut    bool
}

// Write never fails.
func (t *tail) Write(data []byte) (int, error) {
	t.kept = append(t.kept, data...)
	if len(t.kept) > 4*t.limit { // not at each write: it copies
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-2*t.limit:]...)
		t.cut = true
	}
	return len(data), nil
}

// text is the end of what was written, cleaned and without secrets: these are hidden
// before anything is cut off, which could leave half of one.
func (t *tail) text() string {
	kept := t.kept
	for t.cut && len(kept) > 0 && !utf8.RuneStart(kept[0]) {
		kept = kept[1:]
	}
	text := string(kept)
	if t.cut {
		text = t.hidden.withoutEnded(text)
	}
	return lastBytes(t.hidden.from(cleaned(t.hidden.from(text))), t.limit)
}

// escapeRE are the sequences by which programs colour and move on a terminal
// (ECMA-48, 5.4), and those that set its title.
var escapeRE = regexp.MustCompile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)|[@-Z\\\\^_])")

// cleaned is a text that a terminal, a record and a message can show as it is:
// valid UTF-8, lines ended by \n, no control or invisible characters.
func cleaned(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = escapeRE.ReplaceAllString(text, "")
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsGraphic(r) {
			return r
		}
		return -1
	}, text)
}

// lastBytes is the end of a text, at most so many bytes, in whole characters.
func lastBytes(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	text = text[len(text)-limit:]
	for len(text) > 0 && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	return text
}
