package orchestrator

import (
	"testing"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// TestDrillMark: what a drill makes tells whose it is.
func TestDrillMark(t *testing.T) {
	at := time.Date(2026, 11, 29, 2, 0, 0, 0, time.UTC)
	m := newDrillMark(&plans.Plan{Name: "shop"}, newRunID(Drill, at), at.Add(2*time.Hour))
	inner := replay.Pool{Name: "tenants", Namespace: "blue"}.Image("vm-until-1.disk")
	for _, name := range []string{m.snapshot(), m.clone(inner), m.clone(replay.Pool{Name: "rbd"}.Image("a-b.c"))} {
		if got, ok := parseDrillMark(name); !ok || got != m {
			t.Errorf("%s: %+v, %v; want %+v", name, got, ok, m)
		}
	}
	if m.clone(inner) == m.clone(inner.Image("vm")) {
		t.Error("two images have one clone")
	}
	for _, name := range []string{"", "vm", drillPrefix, drillPrefix + "ab-cd", drillPrefix + "x-until-y", "drover-verify-1-2", drillPrefix + "a-b-until-2026"} {
		if got, ok := parseDrillMark(name); ok {
			t.Errorf("%q was taken for a drill's: %+v", name, got)
		}
	}
}
