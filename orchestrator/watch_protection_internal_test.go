package orchestrator

import (
	"strings"
	"testing"

	"github.com/drover-io/drover/replay"
)

// TestMoveOutsideTheTable: a state that cannot follow from the one before was seen all
// the same; that checks have missed what was between is recorded with it.
func TestMoveOutsideTheTable(t *testing.T) {
	ref := replay.Pool{Name: "rbd"}.Image("vm-1")
	for _, c := range []struct {
		from, to Protection
		missed   bool
	}{
		{replay.Replaying, replay.SplitBrain, false},
		{replay.SplitBrain, replay.Replaying, true},
		{replay.Unknown, replay.Replaying, false},
		{replay.Replaying, replay.Unknown, false},
	} {
		g := &guard{machines: map[replay.ImageRef]*Machine{ref: NewMachine(c.from)}}
		var changes []ProtectionChange
		g.step(&ImageStatus{Ref: ref}, c.to, "roles agree", &changes)
		if len(changes) != 1 || changes[0].To != c.to || strings.Contains(changes[0].Why, "not seen") != c.missed || g.machines[ref].State() != c.to {
			t.Errorf("%s to %s: %+v, the machine is %s", c.from, c.to, changes, g.machines[ref].State())
		}
	}
}
