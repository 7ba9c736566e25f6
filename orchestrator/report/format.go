package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Format is a rendering that a person can ask for.
type Format string

// The formats.
const (
	FormatJSON     Format = "json"
	FormatMarkdown Format = "markdown"
	FormatJUnit    Format = "junit"
	FormatHTML     Format = "html"
)

// formats is the one table of them: what help, completion and [Write] go by.
var formats = []struct {
	format    Format
	extension string
	write     func(io.Writer, *Report, []Summary) error
}{
	{FormatJSON, ".json", func(w io.Writer, r *Report, _ []Summary) error { return JSON(w, r) }},
	{FormatMarkdown, ".md", func(w io.Writer, r *Report, _ []Summary) error { return Markdown(w, r) }},
	{FormatJUnit, ".xml", func(w io.Writer, r *Report, _ []Summary) error { return JUnit(w, r) }},
	{FormatHTML, ".html", HTML},
}

// Formats are the names of all formats.
func Formats() []string {
	var names []string
	for _, f := range formats {
		names = append(names, string(f.format))
	}
	return names
}

// FormatOf is the format of a file by the end of its name, such as report.html.
func FormatOf(file string) (Format, bool) {
	for _, f := range formats {
		if strings.HasSuffix(strings.ToLower(file), f.extension) {
			return f.format, true
		}
	}
	return "", false
}

// Extension is how the name of a file in this format ends, with its dot.
func (f Format) Extension() string {
	for _, known := range formats {
		if known.format == f {
			return known.extension
		}
	}
	return ""
}

// Write renders a report. past are earlier ones for the trend; only [HTML] draws it.
func Write(w io.Writer, f Format, r *Report, past []Summary) error {
	for _, known := range formats {
		if known.format == f {
			return known.write(w, r, past)
		}
	}
	return fmt.Errorf("there is no report format %q; there are %s", f, strings.Join(slices.Sorted(slices.Values(Formats())), ", "))
}
