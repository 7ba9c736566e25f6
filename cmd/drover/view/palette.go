package view

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
)

// Palette colours text, or leaves it alone where colour is off. The zero value
// is off.
type Palette struct{ On bool }

// When is the argument of `--color`.
type When string

// The words of `--color`.
const (
	Auto   When = "auto"
	Always When = "always"
	Never  When = "never"
)

// ParseWhen reads the argument of `--color`.
func ParseWhen(s string) (When, error) {
	switch w := When(s); w {
	case Auto, Always, Never:
		return w, nil
	}
	return "", fmt.Errorf("colour %q: it is one of %s", s, strings.Join([]string{string(Auto), string(Always), string(Never)}, ", "))
}

// NewPalette decides on colour: as asked; with auto, only on a terminal and
// where NO_COLOR (https://no-color.org) is empty and TERM is not dumb.
func NewPalette(when When, terminal bool, getenv func(string) string) Palette {
	switch when {
	case Always:
		return Palette{On: true}
	case Never:
		return Palette{}
	}
	return Palette{On: terminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"}
}

// Bad is for what needs a person now.
func (p Palette) Bad(s string) string { return p.paint(s, text.Bold, text.FgRed) }

// Warn is for what needs a person soon.
func (p Palette) Warn(s string) string { return p.paint(s, text.FgYellow) }

// Good is for what is as it should be.
func (p Palette) Good(s string) string { return p.paint(s, text.FgGreen) }

// Strong is for headings.
func (p Palette) Strong(s string) string { return p.paint(s, text.Bold) }

// Faint is for what can be skipped.
func (p Palette) Faint(s string) string { return p.paint(s, text.Faint) }

func (p Palette) paint(s string, colors ...text.Color) string {
	if !p.On || s == "" {
		return s
	}
	return text.Escape(s, text.Colors(colors).EscapeSeq())
}
