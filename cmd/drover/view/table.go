package view

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// grid writes rows below a header, in columns apart by two blanks. The look is
// that of ls and kubectl: it can be read, cut and grepped.
type grid struct {
	header []string
	rows   [][]string
	right  map[int]bool // columns of numbers
}

func (g grid) write(w io.Writer, p Palette) error {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Box = table.BoxStyle{PaddingLeft: "", PaddingRight: "  ", MiddleVertical: ""}
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = text.FormatUpper
	t.SetStyle(style)
	configs := make([]table.ColumnConfig, len(g.header))
	for i := range g.header {
		configs[i].Number = i + 1
		if g.right[i] {
			configs[i].Align, configs[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	t.SetColumnConfigs(configs)
	t.AppendHeader(row(g.header))
	for _, r := range g.rows {
		t.AppendRow(row(r))
	}
	for i, line := range strings.Split(t.Render(), "\n") {
		line = strings.TrimRight(line, " ")
		if i == 0 {
			line = p.Strong(line)
		}
		if err := put(w, line+"\n"); err != nil {
			return err
		}
	}
	return nil
}

func row(cells []string) table.Row {
	r := make(table.Row, len(cells))
	for i, c := range cells {
		r[i] = c
	}
	return r
}

// put writes text, with an error that says what could not be written.
func put(w io.Writer, text string) error {
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// putf is put with a format.
func putf(w io.Writer, format string, args ...any) error {
	return put(w, fmt.Sprintf(format, args...))
}
