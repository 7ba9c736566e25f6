package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// ErrForm is in the chain of what [Parse] returns: what was read is not a report that
// this version of Drover knows.
var ErrForm = errors.New("not a report")

// JSON writes a report as a file for people and their tools: indented, ended by a line
// end, characters such as < as they are. A signature is of exactly these bytes.
func JSON(w io.Writer, r *Report) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(complete(r)); err != nil {
		return fmt.Errorf("write report %s as JSON: %w", r.ID, err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Encode is a report as a record holds it: the same JSON on one line. Its length is
// what [Bound] bounds, also where another JSON takes it in.
func Encode(r *Report) ([]byte, error) {
	data, err := json.Marshal(complete(r))
	if err != nil {
		return nil, fmt.Errorf("encode report %s: %w", r.ID, err)
	}
	return data, nil
}

// complete is a copy with the version, and with lists that are empty where there are
// none: a reader in another language need not tell null from [].
func complete(r *Report) *Report {
	c := *r
	c.Version = Version
	c.Images, c.Checks, c.Steps = some(r.Images), some(r.Checks), some(r.Steps)
	if c.Versions == nil {
		c.Versions = map[string]string{}
	}
	c.Compare()
	return &c
}

func some[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}

// Parse reads what [JSON] or [Encode] wrote. Fields that it does not know are of a
// newer Drover, which only ever adds some, and are passed over; so whoever hands a
// report on hands on its bytes. Another version, a verdict that there is not, or
// anything but one report is an [ErrForm].
func Parse(data []byte) (*Report, error) {
	var head struct {
		Version *int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForm, err)
	}
	switch {
	case head.Version == nil:
		return nil, fmt.Errorf("%w: it has no version", ErrForm)
	case *head.Version > Version:
		return nil, fmt.Errorf("%w that this drover can read: it is of version %d, and the newest known here is %d; use a newer drover",
			ErrForm, *head.Version, Version)
	case *head.Version < Version:
		return nil, fmt.Errorf("%w: there is no version %d of reports", ErrForm, *head.Version)
	}
	r := &Report{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForm, err)
	}
	switch {
	case r.ID == "":
		return nil, fmt.Errorf("%w: it has no id", ErrForm)
	case !slices.Contains([]Verdict{Passed, Failed, Skipped, Aborted}, r.Verdict):
		return nil, fmt.Errorf("%w: there is no verdict %q", ErrForm, r.Verdict)
	}
	return complete(r), nil
}
