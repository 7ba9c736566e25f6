package view

import (
	"errors"
	"io"

	"github.com/drover-io/drover/plans"
)

// Validation is what `drover plan validate` says.
type Validation struct {
	APIVersion string             `json:"apiVersion"`
	Kind       string             `json:"kind"`
	File       string             `json:"file"`
	Valid      bool               `json:"valid"`
	Plan       string             `json:"plan,omitempty"`
	Sites      int                `json:"sites,omitempty"`
	Pools      int                `json:"pools,omitempty"`
	Mistakes   []plans.Diagnostic `json:"mistakes"`
}

// NewValidation is the outcome of loading a plan file; nil when the file could
// not be read.
func NewValidation(file string, plan *plans.Plan, err error) *Validation {
	v := &Validation{APIVersion: "drover/v1", Kind: "Validation", File: file, Mistakes: []plans.Diagnostic{}}
	var mistakes plans.Errors
	switch {
	case err == nil:
		v.Valid, v.Plan, v.Sites, v.Pools = true, plan.Name, len(plan.Sites), len(plan.Pools)
	case errors.As(err, &mistakes):
		v.Mistakes = mistakes
	default:
		return nil
	}
	return v
}

// Table writes one line for a valid plan, and nothing for one with mistakes:
// those are errors and go to stderr.
func (v *Validation) Table(w io.Writer, p Palette) error {
	if !v.Valid {
		return nil
	}
	return putf(w, "%s: plan %s is %s: %s, %s\n", v.File, v.Plan, p.Good("valid"), Count(v.Sites, "site"), Count(v.Pools, "pool"))
}
