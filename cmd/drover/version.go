package main

import (
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/drover-io/drover/cmd/drover/view"
)

// version is set by the linker.
var version = "unknown"

func newVersion(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, and what clusters are reached through",
		Example: `  drover version
  drover version -o json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := view.Version{
				APIVersion: "drover/v1", Kind: "Version",
				Version: version, Commit: commit(), Go: runtime.Version(), Clusters: clusters(),
			}
			return s.show(v, func(w io.Writer, _ view.Palette) error { return v.Table(w) })
		},
	}
}

// commit is the revision that the binary was built from, as the Go toolchain
// has noted it.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	revision, dirty := "", ""
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			revision = setting.Value
		case setting.Key == "vcs.modified" && setting.Value == "true":
			dirty = " (modified)"
		}
	}
	if revision == "" {
		return ""
	}
	return revision + dirty
}
