package view

import (
	"io"
	"time"

	"github.com/drover-io/drover/orchestrator"
)

// PreservedCopies is what `drover preserved list` says.
type PreservedCopies struct {
	APIVersion string                   `json:"apiVersion"`
	Kind       string                   `json:"kind"` // PreservedCopies
	Plan       string                   `json:"plan"`
	Copies     []orchestrator.Preserved `json:"copies"`

	now time.Time
}

// NewPreserved makes a list of kept copies ready to be shown.
func NewPreserved(plan string, copies []orchestrator.Preserved, now time.Time) *PreservedCopies {
	if copies == nil {
		copies = []orchestrator.Preserved{}
	}
	return &PreservedCopies{APIVersion: "drover/v1", Kind: "PreservedCopies", Plan: plan, Copies: copies, now: now}
}

// Table writes a line for each copy.
func (v *PreservedCopies) Table(w io.Writer, p Palette) error {
	if len(v.Copies) == 0 {
		return put(w, "No copy is kept.\n")
	}
	g := grid{header: []string{"id", "kept in", "data", "since", "until"}}
	for i := range v.Copies {
		c := &v.Copies[i]
		until := stamp(c.Until)
		if v.now.After(c.Until) {
			until = p.Warn(until + " (over)")
		}
		g.rows = append(g.rows, []string{c.ID, c.Place(), Bytes(c.Bytes), stamp(c.At), until})
	}
	return g.write(w, p)
}
