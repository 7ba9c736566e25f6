package view

import (
	"io"

	"github.com/drover-io/drover/orchestrator/alert"
)

// Silences is what `drover silence list` says.
type Silences struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"` // Silences
	Plan       string          `json:"plan"`
	Silences   []alert.Silence `json:"silences"`
}

// NewSilences makes a list of silences ready to be shown.
func NewSilences(plan string, silences []alert.Silence) *Silences {
	return &Silences{APIVersion: "drover/v1", Kind: "Silences", Plan: plan, Silences: append([]alert.Silence{}, silences...)}
}

// Table writes a line for each silence.
func (v *Silences) Table(w io.Writer, p Palette) error {
	if len(v.Silences) == 0 {
		return put(w, "Nothing is silenced.\n")
	}
	g := grid{header: []string{"silence", "from", "until", "by", "site", "problem", "images", "reason"}}
	for _, s := range v.Silences {
		g.rows = append(g.rows, []string{s.ID, stamp(s.From), stamp(s.Until), s.By, all(s.Match.Site), all(s.Match.Code), all(s.Match.Image), oneLine(s.Reason)})
	}
	return g.write(w, p)
}

// all is what a silence covers where it names nothing.
func all(text string) string {
	if text == "" {
		return "all"
	}
	return text
}
