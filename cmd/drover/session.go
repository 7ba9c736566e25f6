package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/drover-io/drover/cmd/drover/view"
)

// session is one call of drover: its streams and what the global flags say.
type session struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
	answers  *bufio.Reader // of in, once something was asked
	file     string        // the plan file of the verb

	output, color, logLevel, logFormat string // flags

	format view.Format
	when   view.When
	log    *slog.Logger
}

// prepare reads the global flags; it runs before every verb.
func (s *session) prepare(c *cobra.Command, args []string) error {
	var err error
	if len(args) > 0 && strings.Contains(c.Use, " FILE") {
		s.file = args[0]
	}
	if s.format, err = view.ParseFormat(s.output); err != nil {
		return err
	}
	if s.format == view.Markdown && c.Annotations[writesMarkdown] == "" {
		return view.Next(fmt.Errorf("%s does not write Markdown", c.CommandPath()), "-o table, json or yaml; Markdown is for drover runs show, drover report, and for runbooks with --dry-run")
	}
	if s.format == view.Mermaid && c.Annotations[writesMermaid] == "" {
		return view.Next(fmt.Errorf("%s draws nothing", c.CommandPath()), "-o table, json or yaml; Mermaid is for drover plan states")
	}
	if (s.format == view.JUnit || s.format == view.HTML) && c.Annotations[writesReports] == "" {
		return view.Next(fmt.Errorf("%s writes no %s", c.CommandPath(), s.format), "-o table, json or yaml; %s is for drover report", s.format)
	}
	if s.when, err = view.ParseWhen(s.color); err != nil {
		return err
	}
	s.log, err = newLog(s.err, s.logLevel, s.logFormat)
	return err
}

// writesMarkdown annotates the verbs that know the format [view.Markdown].
const writesMarkdown = "markdown"

// writesMermaid annotates those that know the format [view.Mermaid].
const writesMermaid = "mermaid"

// writesReports annotates those that know the formats of reports.
const writesReports = "reports"

func newLog(w io.Writer, level, format string) (*slog.Logger, error) {
	var threshold slog.Level
	if err := threshold.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: it is one of debug, info, warn, error", level)
	}
	options := &slog.HandlerOptions{Level: threshold}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, fmt.Errorf("log format %q: it is one of text, json", format)
}

func (s *session) outPalette() view.Palette {
	return view.NewPalette(s.when, isTerminal(s.out), s.getenv)
}

func (s *session) errPalette() view.Palette {
	return view.NewPalette(s.when, isTerminal(s.err), s.getenv)
}

// progress shows how far the verb is, on stderr.
func (s *session) progress() *view.Progress {
	drawn := isTerminal(s.err) && s.getenv("TERM") != "dumb"
	return view.NewProgress(s.err, drawn, s.errPalette())
}

// show writes a result: as a table by the function given, or as data.
func (s *session) show(result any, table func(io.Writer, view.Palette) error) error {
	if s.format == view.Table {
		return table(s.out, s.outPalette())
	}
	return view.Encode(s.out, s.format, result)
}

func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// operation puts the verb before an error, and before each of several that were
// joined: "plan apply: …".
func operation(called *cobra.Command, err error) error {
	if err == nil || called == nil || !called.HasParent() {
		return err
	}
	verb := strings.TrimPrefix(called.CommandPath(), called.Root().Name()+" ")
	var each []error
	for _, one := range view.Split(err) {
		each = append(each, &operationError{verb: verb, err: one})
	}
	return errors.Join(each...)
}

type operationError struct {
	verb string
	err  error
}

func (e *operationError) Error() string { return e.verb + ": " + e.err.Error() }

func (e *operationError) Unwrap() error { return e.err }

// interrupted reports whether a signal has ended the context.
func interrupted(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }
