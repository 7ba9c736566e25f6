package view

import "io"

// Version is what `drover version` says.
type Version struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Version    string `json:"version"`
	Commit     string `json:"commit,omitempty"`
	Go         string `json:"go"`
	// Clusters is what clusters are reached through: a librbd with its version,
	// or the simulator.
	Clusters string `json:"clusters"`
}

// Table writes one line for each.
func (v Version) Table(w io.Writer) error {
	for _, line := range [][2]string{{"drover", v.Version}, {"commit", v.Commit}, {"go", v.Go}, {"clusters", v.Clusters}} {
		if line[1] == "" {
			continue
		}
		if err := putf(w, "%-9s %s\n", line[0], line[1]); err != nil {
			return err
		}
	}
	return nil
}
