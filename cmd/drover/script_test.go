//go:build sim

package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata/script")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"drover": main, "simctl": simctl})
}

// TestScripts runs each verb as a process of its own against a simulated world
// in a file, and holds stdout, stderr and exit codes against goldens.
func TestScripts(t *testing.T) {
	folder := filepath.Join("testdata", "script")
	testscript.Run(t, testscript.Params{
		Dir:           folder,
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("DROVER_SIM", filepath.Join(env.WorkDir, "world.json"))
			env.Setenv("TERM", "xterm")
			plan, err := os.ReadFile(filepath.Join(folder, "plan.yaml"))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(env.WorkDir, "plan.yaml"), plan, 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "mask": mask, "waitfor": waitFor, "until": until, "capture": capture, "ntfy": ntfy},
	})
}
