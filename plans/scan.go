package plans

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The bounds of a plan file. They are checked on the bare text, before the
// YAML parser builds anything of it.
const (
	maxFile   = 4 << 20
	maxValues = 200_000 // lines, commas and brackets: what values are made of
	maxDepth  = 64      // levels of nesting; the plan language has nine
)

// scan checks the bounds of a plan file and that it is plain text, without
// allocating in proportion to it, and returns it without a byte order mark.
func scan(data []byte) ([]byte, *Diagnostic) {
	if len(data) > maxFile {
		return nil, &Diagnostic{
			Line: 1, Column: 1, Code: CodeTooLarge,
			What:    fmt.Sprintf("the file is larger than %s", Size(maxFile)),
			Instead: "give the path of a plan; use globs where it lists thousands of images",
		}
	}
	text := bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if problem := scanText(text); problem != nil {
		return nil, problem
	}
	if problem := scanNesting(text); problem != nil {
		return nil, problem
	}
	return text, nil
}

// scanText refuses what is not UTF-8 or not text. YAML would refuse most of it
// too, but without saying where.
func scanText(text []byte) *Diagnostic {
	line, column := 1, 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		column++
		if r == utf8.RuneError && size == 1 {
			return &Diagnostic{
				Line: line, Column: column, Code: CodeNotUTF8,
				What: fmt.Sprintf("byte 0x%02x is not UTF-8", text[i]), Instead: "save the file as UTF-8 text",
			}
		}
		if isControl(r) {
			return &Diagnostic{
				Line: line, Column: column, Code: CodeControl,
				What: fmt.Sprintf("control character U+%04X", r), Instead: "remove it; in a text in double quotes write \\x and two digits",
			}
		}
		if r == '\n' {
			line, column = line+1, 0
		}
		i += size
	}
	return nil
}

// isControl names what a plan file never needs. The line ends that YAML 1.1
// knows besides \n and \r\n are among it: editors do not count them, so that
// every position after one would be wrong. A lone \r is found by scanNesting.
func isControl(r rune) bool {
	switch r {
	case '\n', '\r', '\t':
		return false
	case 0x85, 0x2028, 0x2029, 0xfeff, 0xfffe, 0xffff:
		return true
	}
	return r < 0x20 || (r >= 0x7f && r < 0xa0)
}

// nesting follows how deep a text nests, roughly: it may count too much in
// texts that look like YAML, and a text made to mislead it is stopped by the
// YAML parser's own bound later.
type nesting struct {
	values  int
	indents []int // columns of the block levels that are open
	flow    int   // brackets that are open
	quote   byte  // the quote that is open, or 0
	block   int   // indentation of the line that opened a block text, or -1
}

// scanNesting refuses a text that nests too deep or holds too many values.
func scanNesting(text []byte) *Diagnostic {
	n := nesting{block: -1}
	for number := 1; len(text) > 0; number++ {
		line := text
		if end := bytes.IndexByte(text, '\n'); end >= 0 {
			line, text = text[:end], text[end+1:]
		} else {
			text = nil
		}
		line = bytes.TrimSuffix(line, []byte("\r"))
		if at := bytes.IndexByte(line, '\r'); at >= 0 {
			return &Diagnostic{
				Line: number, Column: utf8.RuneCount(line[:at]) + 1, Code: CodeControl,
				What: "a carriage return inside a line", Instead: "end lines with a line feed",
			}
		}
		n.line(line)
		if len(n.indents)+n.flow > maxDepth {
			return &Diagnostic{
				Line: number, Column: 1, Code: CodeTooDeep,
				What:    fmt.Sprintf("values are nested more than %d levels deep", maxDepth),
				Instead: "a plan needs nine levels at most",
			}
		}
		if n.values > maxValues {
			return &Diagnostic{
				Line: number, Column: 1, Code: CodeTooLarge,
				What:    fmt.Sprintf("the file holds more than %d values", maxValues),
				Instead: "use globs where it lists thousands of images",
			}
		}
	}
	return nil
}

func (n *nesting) line(line []byte) {
	n.values++
	column := 0
	for column < len(line) && line[column] == ' ' {
		column++
	}
	rest := line[column:]
	if len(rest) == 0 {
		return
	}
	if n.block >= 0 {
		if column > n.block {
			return // still inside the block text
		}
		n.block = -1
	}
	if n.flow == 0 && n.quote == 0 {
		if rest[0] == '#' {
			return
		}
		rest = n.open(column, rest)
	}
	n.characters(rest)
	if n.flow == 0 && n.quote == 0 && opensBlockText(rest) {
		n.block = column
	}
}

// open counts the block levels at the start of a line: its indentation, and
// each "- ", "? " or ": " before the value.
func (n *nesting) open(column int, rest []byte) []byte {
	for len(n.indents) > 0 && n.indents[len(n.indents)-1] >= column {
		n.indents = n.indents[:len(n.indents)-1]
	}
	n.indents = append(n.indents, column)
	for len(rest) > 1 && strings.IndexByte("-?:", rest[0]) >= 0 && (rest[1] == ' ' || rest[1] == '\t') {
		start := len(rest)
		rest = bytes.TrimLeft(rest[1:], " \t")
		column += start - len(rest)
		n.values++
		if len(n.indents) <= maxDepth {
			n.indents = append(n.indents, column)
		}
	}
	return rest
}

// characters counts brackets and commas outside of quotes, comments and plain
// texts: a bracket opens a list only where a value may begin.
func (n *nesting) characters(rest []byte) {
	begins := true
	for i := 0; i < len(rest) && n.flow <= maxDepth && n.values <= maxValues; i++ {
		c := rest[i]
		blank := i+1 == len(rest) || rest[i+1] == ' ' || rest[i+1] == '\t'
		switch {
		case n.quote != 0:
			switch {
			case c == '\\' && n.quote == '"':
				i++
			case c == n.quote:
				n.quote = 0
			}
			begins = false
		case c == ' ' || c == '\t':
		case c == '#' && (i == 0 || rest[i-1] == ' ' || rest[i-1] == '\t'):
			return
		case begins && (c == '"' || c == '\''):
			n.quote = c
		case begins && (c == '&' || c == '!'):
			// An anchor or tag: the value begins after it.
			for i+1 < len(rest) && rest[i+1] != ' ' && rest[i+1] != '\t' {
				i++
			}
		case begins && (c == '[' || c == '{'):
			n.flow++
			n.values++
		case n.flow > 0 && (c == ']' || c == '}'):
			n.flow--
			begins = false
		case n.flow > 0 && c == ',':
			n.values++
			begins = true
		case c == ':' && (blank || n.flow > 0):
			begins = true
		default:
			begins = false
		}
	}
}

// opensBlockText says whether the lines below, if indented, are one text:
// "key: |", "- >-" and the like.
func opensBlockText(rest []byte) bool {
	for _, comment := range []string{" #", "\t#"} {
		if at := bytes.Index(rest, []byte(comment)); at >= 0 {
			rest = rest[:at]
		}
	}
	rest = bytes.TrimRight(rest, " \t")
	rest = bytes.TrimRight(rest, "+-123456789")
	if len(rest) == 0 {
		return false
	}
	last := rest[len(rest)-1]
	if last != '|' && last != '>' {
		return false
	}
	return len(rest) == 1 || rest[len(rest)-2] == ' '
}
