// Package exit is the contract of drover's exit codes: one table, from which
// come the codes themselves, their documentation and the mapping of errors.
//
// It knows what kinds of outcome there are. It must never print or decide what
// is done about one.
package exit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/plans"
)

// Code is an exit status of drover. The numbers are a public contract.
type Code int

// The exit codes.
const (
	OK          Code = 0
	Failed      Code = 1
	Changes     Code = 2
	InvalidPlan Code = 3
	LeaseHeld   Code = 10
	Halted      Code = 11
	Stale       Code = 12
	Refused     Code = 13
	Interrupted Code = 130
)

// The outcomes that no other package has an error for.
var (
	// ErrChanges: a diff found changes and was asked to tell by its exit code.
	ErrChanges = errors.New("changes are pending")
	// ErrInterrupted is the cause of the context that a signal has ended.
	ErrInterrupted = errors.New("interrupted by a signal")
)

// Meaning is one row of the table.
type Meaning struct {
	Code Code
	Name string // one or two words
	What string // when it comes, and what a script should make of it

	matches func(error) bool
}

// table is all exit codes, in the order in which an error is looked up: one
// that matches several rows gets the first.
var table = []Meaning{
	{
		Interrupted, "interrupted", "A signal ended the command. What was in the air was finished; the same command takes up the rest, or drover runs resume where a runbook had begun.",
		is(ErrInterrupted, orchestrator.ErrInterrupted),
	},
	{
		InvalidPlan, "plan invalid", "The plan file has mistakes; each is on stderr as file:line:column. No site was asked anything.",
		func(err error) bool { return errors.As(err, new(plans.Errors)) },
	},
	{
		LeaseHeld, "lease held", "Another drover works on the same plan, or took its lease away. Try again, or resume the run, when it is done.",
		is(orchestrator.ErrLeased, orchestrator.ErrLeaseLost),
	},
	{
		Stale, "stale", "What was approved (a saved diff, the hash of a dry run, a run of another plan) no longer describes the plan and the sites. Nothing was changed.",
		is(orchestrator.ErrStale),
	},
	{
		Halted, "halted", "Split-brain, or a halt that nobody has cleared: a person has to judge which copy is the newest. Nothing was done to the images concerned.",
		is(orchestrator.ErrHalted),
	},
	{
		Refused, "refused", "A precondition does not hold, or a confirmation was not given. Nothing was done that depends on it.",
		is(orchestrator.ErrRefused),
	},
	{
		Changes, "changes pending", "Only of plan diff --detailed-exitcode: the sites differ from the plan.",
		is(ErrChanges),
	},
	{
		Failed, "error", "Something failed, or only a part was done; stderr says what and what to do next.",
		func(err error) bool { return err != nil },
	},
	{
		OK, "ok", "Done, or nothing to do.",
		func(err error) bool { return err == nil },
	},
}

func is(targets ...error) func(error) bool {
	return func(err error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
}

// Of is the exit code for the outcome of a command.
func Of(err error) Code {
	for _, m := range table {
		if m.matches(err) {
			return m.Code
		}
	}
	return Failed
}

// OfContext is Of, but a command that failed after a signal counts as
// interrupted, whatever its error says.
func OfContext(ctx context.Context, err error) Code {
	if err != nil && errors.Is(context.Cause(ctx), ErrInterrupted) {
		return Interrupted
	}
	return Of(err)
}

// Meanings are the rows of the table, ordered by code.
func Meanings() []Meaning {
	rows := make([]Meaning, 0, len(table))
	for _, code := range []Code{OK, Failed, Changes, InvalidPlan, LeaseHeld, Halted, Stale, Refused, Interrupted} {
		for _, m := range table {
			if m.Code == code {
				rows = append(rows, m)
			}
		}
	}
	return rows
}

// Documentation is the table as the text of `drover help exit-codes`.
func Documentation() string {
	var b strings.Builder
	b.WriteString("Exit codes of drover. They are the same for every command, and they do not\nchange between releases.\n\n")
	for _, m := range Meanings() {
		lines := wrap(m.What, 56)
		fmt.Fprintf(&b, "%4d  %-15s  %s\n", m.Code, m.Name, lines[0])
		for _, line := range lines[1:] {
			fmt.Fprintf(&b, "%23s%s\n", "", line)
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
