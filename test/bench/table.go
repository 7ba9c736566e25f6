package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
)

// Row is one line of the result: what was done, how long Drover, the peer and
// the floor took for it in this same run, and what must be reached.
type Row struct {
	Work    string  `json:"work"`
	Drover  float64 `json:"drover"`          // in Unit
	Peer    float64 `json:"peer,omitempty"`  // in Unit; 0: no peer
	Floor   float64 `json:"floor,omitempty"` // in Unit; 0: no floor
	Unit    string  `json:"unit"`            // "s", "MB" or "writes"
	Ratio   float64 `json:"ratio"`           // Drover by Against; Drover itself against "none"
	Against string  `json:"against"`         // what Ratio is taken against; "none": there must be none
	Target  float64 `json:"target"`          // Ratio must not exceed it; 0: no target, but for "none"
	OK      bool    `json:"ok"`
	Note    string  `json:"note,omitempty"`
}

// ratio makes a row that compares Drover with a peer or floor; without a target
// it only tells.
func ratio(work, against string, drover, other time.Duration, target float64, note string) Row {
	r := Row{Work: work, Drover: drover.Seconds(), Unit: "s", Against: against, Target: target, Note: note}
	if against == "floor" {
		r.Floor = other.Seconds()
	} else {
		r.Peer = other.Seconds()
	}
	r.Ratio = r.Drover / other.Seconds()
	r.OK = target == 0 || r.Ratio <= target
	return r
}

// limit makes a row that compares Drover with a fixed number.
func limit(work, unit string, drover, most float64, note string) Row {
	return Row{
		Work: work, Drover: drover, Unit: unit, Against: "limit",
		Target: 1, Ratio: drover / most, OK: drover <= most, Note: fmt.Sprintf("limit %g %s; %s", most, unit, note),
	}
}

// againstNone is what a row is taken against of which there must be none.
const againstNone = "none"

// none makes a row of which there must be none.
func none(work, unit string, drover int64, note string) Row {
	return Row{
		Work: work, Drover: float64(drover), Unit: unit, Against: againstNone,
		Ratio: float64(drover), OK: drover == 0, Note: note,
	}
}

// report prints the rows as a table and, with a path, as JSON.
func report(out io.Writer, rows []Row, path string) error {
	t := table.NewWriter()
	t.SetOutputMirror(out)
	t.AppendHeader(table.Row{"work", "drover", "peer", "floor", "ratio", "must be", "", "note"})
	for _, r := range rows {
		t.AppendRow(table.Row{
			r.Work, fmt.Sprintf("%.3g %s", r.Drover, r.Unit), number(r.Peer, r.Unit), number(r.Floor, r.Unit),
			fmt.Sprintf("%.3f", r.Ratio), r.must(), r.verdict(), r.Note,
		})
	}
	t.Render()
	if path == "" {
		return nil
	}
	text, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o600)
}

// line is the row for somebody who waits for the table.
func (r Row) line() string {
	return fmt.Sprintf("%s: %.3g %s, ratio %.3f, must be %s: %s", r.Work, r.Drover, r.Unit, r.Ratio, r.must(), r.verdict())
}

func (r Row) verdict() string {
	if r.OK {
		return "ok"
	}
	return "MISSED"
}

// must is the target in words.
func (r Row) must() string {
	if r.Against == againstNone {
		return "0 " + r.Unit
	}
	if r.Target == 0 {
		return "-"
	}
	return fmt.Sprintf("<= %.3g x %s", r.Target, r.Against)
}

func number(v float64, unit string) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3g %s", v, unit)
}
