package view

import (
	"io"

	"github.com/drover-io/drover/orchestrator"
)

// History is what `drover history` says.
type History struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // History
	Plan       string `json:"plan"`
	*orchestrator.History
}

// NewHistory makes a history ready to be shown.
func NewHistory(plan string, h *orchestrator.History) *History {
	return &History{APIVersion: "drover/v1", Kind: "History", Plan: plan, History: h}
}

// Table writes a line for each change.
func (v *History) Table(w io.Writer, p Palette) error {
	if len(v.Changes) == 0 {
		return put(w, "No changes are recorded. The daemon records them: drover daemon.\n")
	}
	g := grid{header: []string{"time", "image", "from", "to", "why"}}
	for i := range v.Changes {
		c := &v.Changes[i]
		g.rows = append(g.rows, []string{stamp(c.At), c.Image.String(), string(c.From), string(c.To), oneLine(c.Why)})
	}
	return g.write(w, p)
}
