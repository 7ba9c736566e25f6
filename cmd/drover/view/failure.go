package view

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// Failure prints an error the way all verbs do: what was done and what came in
// the way on one line, what to do next on another.
//
//	drover: plan apply: site site-b: enable mirroring rbd/vm-1: permission denied
//	next: give client.drover the capability mgr 'profile rbd' at site-b
//
// Mistakes in a plan file come as `file:line:column: what; what would be
// right`, one a line, so that editors can jump to them.
func Failure(w io.Writer, p Palette, err error) {
	var mistakes plans.Errors
	if errors.As(err, &mistakes) {
		for _, line := range strings.Split(strings.TrimRight(mistakes.Error(), "\n"), "\n") {
			fmt.Fprintln(w, line)
		}
		fmt.Fprintf(w, "%s %s\n", p.Bad("drover:"), "the plan has "+Count(len(mistakes), "mistake"))
		fmt.Fprintf(w, "%s correct the file, then: drover plan validate %s\n", p.Strong("next:"), mistakes[0].File)
		return
	}
	// Errors in a row that have the same next step share it.
	last := ""
	advise := func() {
		if last != "" {
			fmt.Fprintf(w, "%s %s\n", p.Strong("next:"), indent(last))
		}
	}
	for _, one := range Split(err) {
		text, next := hint(one)
		if next != last {
			advise()
		}
		fmt.Fprintf(w, "%s %s\n", p.Bad("drover:"), indent(text))
		last = next
	}
	advise()
}

// Next gives an error a next step. A nil error stays nil.
func Next(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &advised{err: err, next: fmt.Sprintf(format, args...)}
}

// planFile is where a next step names a plan file without knowing it.
var planFile = regexp.MustCompile(`\bFILE\b`)

// NameFile puts the name of the plan file into the next steps of an error, so
// that they can be typed as they are.
func NameFile(err error, file string) error {
	if err == nil || file == "" {
		return err
	}
	var all []error
	for _, one := range Split(err) {
		if text, next := hint(one); planFile.MatchString(next) {
			one = &advised{err: one, next: FillIn(next, file), text: text}
		}
		all = append(all, one)
	}
	return errors.Join(all...)
}

// FillIn puts the name of the plan file where a text leaves it open.
func FillIn(text, file string) string {
	if file == "" {
		return text
	}
	return planFile.ReplaceAllLiteralString(text, file)
}

type advised struct {
	err  error
	next string
	text string // without the step that next stands for; "": as the error says
}

func (a *advised) Error() string { return cmp.Or(a.text, a.err.Error()) }

func (a *advised) Unwrap() error { return a.err }

// hint parts an error into its text and its next step. The advice nearest to
// the person (the outermost) wins.
func hint(err error) (text, next string) {
	text = err.Error()
	var cause *replay.Error
	if errors.As(err, &cause) && cause.Hint != "" {
		text = strings.Replace(text, "; "+cause.Hint, "", 1)
		next = cause.Hint
	}
	var refused *orchestrator.Hinted
	if errors.As(err, &refused) && refused.Hint != "" {
		text = strings.Replace(text, "; "+refused.Hint, "", 1)
		next = refused.Hint
	}
	var a *advised
	if errors.As(err, &a) {
		next = a.next
	}
	return text, next
}

// Split takes apart what errors.Join put together; an error with several
// causes and a text of its own stays whole.
func Split(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	parts := joined.Unwrap()
	texts := make([]string, len(parts))
	for i, part := range parts {
		texts[i] = part.Error()
	}
	if len(parts) == 0 || strings.Join(texts, "\n") != err.Error() {
		return []error{err}
	}
	var all []error
	for _, part := range parts {
		all = append(all, Split(part)...)
	}
	return all
}

// indent keeps a text of several lines recognisable as one message.
func indent(s string) string {
	return strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n  ")
}

// oneLine is a text without line breaks, for a cell of a table.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
