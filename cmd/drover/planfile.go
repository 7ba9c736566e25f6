package main

import (
	"errors"
	"os"

	"github.com/drover-io/drover/cmd/drover/view"
	"github.com/drover-io/drover/plans"
)

// loadPlan reads a plan file, with a next step where it cannot be read.
func loadPlan(path string) (*plans.Plan, error) {
	plan, err := plans.Load(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, view.Next(err, "name a plan file; examples/ has some to begin with")
	}
	return plan, err
}
