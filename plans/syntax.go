package plans

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// parseYAML reads the one document of a plan file. A nil document means that
// there is nothing to decode; the mistakes say why.
func parseYAML(text []byte) (*yaml.Node, Errors) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	document, err := nextDocument(decoder)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, Errors{syntaxError(text, err)}
	}
	if document == nil || len(document.Content) == 0 || saysNothing(document.Content[0]) {
		return nil, Errors{{
			Line: 1, Column: 1, Code: CodeEmpty,
			What: "the file says nothing", Instead: "a plan begins with \"version: 1\" and \"name: …\"",
		}}
	}
	second, err := nextDocument(decoder)
	switch {
	case errors.Is(err, io.EOF):
		return document, nil
	case err != nil:
		problem := syntaxError(text, err)
		if strings.Contains(problem.What, "<document start>") { // text after "..."
			problem = secondDocument(Pos{problem.Line, problem.Column})
		}
		return document, Errors{problem}
	}
	at := Pos{second.Line, second.Column}
	if len(second.Content) > 0 {
		at = Pos{second.Content[0].Line, second.Content[0].Column}
	}
	return document, Errors{secondDocument(at)}
}

func secondDocument(at Pos) Diagnostic {
	return Diagnostic{
		Line: max(at.Line, 1), Column: max(at.Column, 1), Code: CodeSecondDocument,
		What: "a second document begins", Instead: "one file holds one plan: remove the line \"---\" or \"...\" before it, or use two files",
	}
}

func saysNothing(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && n.Value == ""
}

// nextDocument reads a document into nodes. yaml.v3 panics on its own
// "internal errors"; a plan file must not be able to end the program, so that
// such a panic is one more syntax error here.
func nextDocument(decoder *yaml.Decoder) (document *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			document, err = nil, fmt.Errorf("yaml: %v", r)
		}
	}()
	var node yaml.Node
	if err := decoder.Decode(&node); err != nil {
		return nil, err
	}
	return &node, nil
}

var (
	yamlLineRE   = regexp.MustCompile(`^line (\d+): `)
	yamlAnchorRE = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntaxError places an error of yaml.v3, which names a line at best and, for
// what it calls parser errors, only that of the mapping around.
func syntaxError(text []byte, err error) Diagnostic {
	what := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if m := yamlLineRE.FindStringSubmatch(what); m != nil {
		if n, convErr := strconv.Atoi(m[1]); convErr == nil {
			line = n
		}
		what = what[len(m[0]):]
	}
	if m := yamlAnchorRE.FindStringSubmatch(what); m != nil {
		at := find(text, "*"+m[1])
		return Diagnostic{
			Line: at.Line, Column: at.Column, Code: CodeSyntax,
			What: fmt.Sprintf("alias *%s stands for nothing", m[1]), Instead: fmt.Sprintf("mark a value above it with &%s", m[1]),
		}
	}
	lines := bytes.Split(text, []byte("\n"))
	if found := firstBadLine(text); found > 0 {
		line = found
	}
	line = min(max(line, 1), len(lines))
	bad := lines[line-1]
	lead := bad[:len(bad)-len(bytes.TrimLeft(bad, " \t"))]
	if tab := bytes.IndexByte(lead, '\t'); tab >= 0 {
		return Diagnostic{
			Line: line, Column: tab + 1, Code: CodeTab,
			What: "the line is indented with a tab", Instead: "YAML indents with spaces",
		}
	}
	column := len(lead) + 1
	if len(lead) == len(bad) {
		column = 1
	}
	return Diagnostic{
		Line: line, Column: column, Code: CodeSyntax,
		What: "not YAML: " + what, Instead: "look for a missing colon, quote or bracket here or in the line above",
	}
}

// maxSearch bounds the files in which firstBadLine searches.
const maxSearch = 256 << 10

// firstBadLine returns the 1-based number of a line that cannot follow the
// lines above it, or 0 when that cannot be told. It looks for the place where
// the text up to a line is YAML and one line more is not.
func firstBadLine(text []byte) int {
	if len(text) > maxSearch {
		return 0
	}
	var ends []int
	for i, c := range text {
		if c == '\n' {
			ends = append(ends, i+1)
		}
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		ends = append(ends, len(text))
	}
	bad := sort.Search(len(ends), func(i int) bool { return !isYAML(text[:ends[i]]) })
	if bad == len(ends) {
		return 0
	}
	return bad + 1
}

func isYAML(text []byte) bool {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		_, err := nextDocument(decoder)
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			return false
		}
	}
}

// find returns the place of the first occurrence of a word.
func find(text []byte, word string) Pos {
	at := max(bytes.Index(text, []byte(word)), 0)
	start := bytes.LastIndexByte(text[:at], '\n') + 1
	return Pos{bytes.Count(text[:at], []byte("\n")) + 1, utf8.RuneCount(text[start:at]) + 1}
}
