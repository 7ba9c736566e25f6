package plans

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Diagnostic is one mistake in a plan file.
type Diagnostic struct {
	File    string `json:"file"`              // as it was given to [Load] or [Parse]
	Line    int    `json:"line"`              // 1-based
	Column  int    `json:"column"`            // 1-based, in characters
	Code    Code   `json:"code"`              // stable name of the kind of mistake
	Path    string `json:"path,omitempty"`    // such as "sites[1].conf"; empty when the file as a whole is meant
	What    string `json:"what"`              // what is wrong
	Instead string `json:"instead,omitempty"` // what would be right
}

// String returns "file:line:column: what; what would be right".
func (d Diagnostic) String() string {
	text := fmt.Sprintf("%s:%d:%d: %s", d.File, d.Line, d.Column, d.What)
	if d.Instead != "" {
		text += "; " + d.Instead
	}
	return text
}

// Errors are all the mistakes of a plan file, in the order of their places. It
// is the error that [Load] and [Parse] return for a file that could be read
// but is no valid plan.
type Errors []Diagnostic

// Error returns one line for each mistake.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, d := range e {
		lines[i] = d.String()
	}
	return strings.Join(lines, "\n")
}

// maxDiagnostics bounds what is reported of one file: nobody reads more, and
// a file that is no plan at all could have a million.
const maxDiagnostics = 200

// finish sorts the mistakes by place, drops repetitions (a value reached by
// several aliases is wrong only once) and bounds their number.
func (e Errors) finish() Errors {
	slices.SortStableFunc(e, func(a, b Diagnostic) int {
		return cmp.Or(
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Code, b.Code), cmp.Compare(a.Path, b.Path), cmp.Compare(a.What, b.What),
		)
	})
	e = slices.CompactFunc(e, func(a, b Diagnostic) bool {
		return a.Line == b.Line && a.Column == b.Column && a.Code == b.Code && a.What == b.What
	})
	if len(e) > maxDiagnostics {
		last := e[maxDiagnostics-1]
		e = append(e[:maxDiagnostics:maxDiagnostics], Diagnostic{
			File: last.File, Line: last.Line, Column: last.Column, Code: CodeTooMany,
			What:    fmt.Sprintf("more than %d mistakes", maxDiagnostics),
			Instead: "correct those above, then look again",
		})
	}
	return e
}

// orNil returns the mistakes as an error, or nil when there are none.
func (e Errors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}
