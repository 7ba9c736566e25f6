package view

import (
	"io"

	"github.com/drover-io/drover/orchestrator"
)

// States is what `drover plan states` says.
type States struct {
	APIVersion  string                    `json:"apiVersion"`
	Kind        string                    `json:"kind"` // States
	States      []orchestrator.Protection `json:"states"`
	Transitions []transition              `json:"transitions"`
}

type transition struct {
	From  orchestrator.Protection      `json:"from"`
	Event orchestrator.ProtectionEvent `json:"event"`
	To    orchestrator.Protection      `json:"to"`
}

// NewStates makes the table of protection states ready to be shown.
func NewStates() *States {
	v := &States{APIVersion: "drover/v1", Kind: "States", States: orchestrator.ProtectionStates()}
	for _, t := range orchestrator.Transitions() {
		v.Transitions = append(v.Transitions, transition(t))
	}
	return v
}

// Table writes a line for each transition.
func (v *States) Table(w io.Writer, p Palette) error {
	g := grid{header: []string{"from", "event", "to"}}
	for _, t := range v.Transitions {
		g.rows = append(g.rows, []string{string(t.From), string(t.Event), string(t.To)})
	}
	return g.write(w, p)
}
