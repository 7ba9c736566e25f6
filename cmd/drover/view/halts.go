package view

import (
	"fmt"
	"io"

	"github.com/drover-io/drover/orchestrator"
)

// Halts is what `drover halt list` says.
type Halts struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // Halts
	Plan       string `json:"plan"`
	Halts      []Halt `json:"halts"`

	file string
}

// Halt is a halt with what is kept of its images.
type Halt struct {
	orchestrator.Halt
	Copies []orchestrator.Preserved `json:"copies,omitempty"`
}

// NewHalts makes a list of halts ready to be shown. copies tells what is kept of
// the images of one; file is the plan's.
func NewHalts(plan, file string, halts []orchestrator.Halt, copies func(*orchestrator.Halt) []orchestrator.Preserved) *Halts {
	v := &Halts{APIVersion: "drover/v1", Kind: "Halts", Plan: plan, Halts: []Halt{}, file: file}
	for i := range halts {
		v.Halts = append(v.Halts, Halt{halts[i], copies(&halts[i])})
	}
	return v
}

// Table writes a line for each halt.
func (v *Halts) Table(w io.Writer, p Palette) error {
	if len(v.Halts) == 0 {
		return put(w, "Nothing is halted.\n")
	}
	g := grid{header: []string{"halt", "since", "by", "images", "reason"}}
	for i := range v.Halts {
		h := &v.Halts[i]
		names := make([]string, len(h.Images))
		for j, ref := range h.Images {
			names[j] = ref.String()
		}
		covers := some(names)
		if h.Group != "" {
			covers = fmt.Sprintf("group %s: %s", h.Group, covers)
		}
		g.rows = append(g.rows, []string{h.ID, stamp(h.At), h.By, dash(covers), oneLine(h.Reason)})
	}
	if err := g.write(w, p); err != nil {
		return err
	}
	for i := range v.Halts {
		h := &v.Halts[i]
		for _, s := range h.Paused {
			if err := putf(w, "%s: paused: the schedule %s\n", h.ID, s); err != nil {
				return err
			}
		}
		for _, s := range h.GoesOn {
			if err := putf(w, "%s: goes on: the schedule %s\n", h.ID, s); err != nil {
				return err
			}
		}
	}
	for i := range v.Halts {
		h := &v.Halts[i]
		if err := kept(w, p, "Kept copies of the images of "+h.ID, h.Copies, v.file); err != nil {
			return err
		}
	}
	return nil
}
