package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"gopkg.in/yaml.v3"
)

// Format is how a result is written.
type Format string

// The formats of `--output`.
const (
	Table Format = "table"
	JSON  Format = "json"
	YAML  Format = "yaml"
	// Markdown is for runbooks, runs and reports only.
	Markdown Format = "markdown"
	// Mermaid is for drawings only.
	Mermaid Format = "mermaid"
	// JUnit and HTML are for reports only.
	JUnit Format = "junit"
	HTML  Format = "html"
)

// Formats are all formats, in the order in which help lists them.
var Formats = []string{string(Table), string(JSON), string(YAML), string(Markdown), string(Mermaid), string(JUnit), string(HTML)}

// ParseFormat reads the argument of `--output`.
func ParseFormat(s string) (Format, error) {
	for _, f := range Formats {
		if s == f {
			return Format(f), nil
		}
	}
	return "", fmt.Errorf("output format %q: it is one of %s", s, strings.Join(Formats, ", "))
}

// Encode writes v as JSON or YAML. Both come from v's JSON form, so that the
// two have the same keys in the same order and one schema describes both.
func Encode(w io.Writer, f Format, v any) error {
	text, err := marshal(v)
	if err != nil {
		return err
	}
	if f == YAML {
		if text, err = toYAML(text); err != nil {
			return err
		}
	}
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// EncodeLine writes v as one line of JSON, or as one YAML document of a
// stream: for results that come one after another.
func EncodeLine(w io.Writer, f Format, v any) error {
	if f == YAML {
		if _, err := io.WriteString(w, "---\n"); err != nil {
			return fmt.Errorf("write result: %w", err)
		}
		return Encode(w, f, v)
	}
	text, err := marshal(v)
	if err != nil {
		return err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return fmt.Errorf("encode result: %w", err)
	}
	line.WriteByte('\n')
	if _, err := w.Write(line.Bytes()); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	return b.Bytes(), nil
}

func toYAML(text []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	blockStyle(&doc)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	if err := e.Close(); err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	return b.Bytes(), nil
}

// blockStyle drops the flow style that a node read from JSON has. Strings lose
// their quotes too; the encoder puts them back where YAML needs them.
func blockStyle(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		blockStyle(c)
	}
}
