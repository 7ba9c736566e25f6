package daemon

import (
	"maps"
	"slices"
	"testing"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
)

// TestCodes: the codes by which incidents are treated are such as there are. A word
// that nobody says would be a rule that never holds.
func TestCodes(t *testing.T) {
	known := map[string]bool{}
	for _, s := range orchestrator.WatchSignals {
		known[s.Code] = true
	}
	for _, p := range []replay.ProblemCode{orchestrator.ProblemDaemonStopped, orchestrator.ProblemDaemonUnknown, orchestrator.ProblemRecordsUnreadable} {
		known[string(p)] = true
	}
	for _, k := range replay.ProblemKinds() {
		known[string(k.Code)] = true
	}
	all := slices.Concat(across, cannotReach, slices.Collect(maps.Keys(slow)), slices.Collect(maps.Keys(effects)), slices.Concat(slices.Collect(maps.Values(effects))...))
	for _, code := range all {
		if !known[code] {
			t.Errorf("there is no %s", code)
		}
	}
}
