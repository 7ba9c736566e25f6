package orchestrator

import (
	"strings"
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
	of := map[string]replay.ImageRef{}
	long := strings.Repeat("x", 400)
	pool := func(name, space string) replay.Pool { return replay.Pool{Name: name, Namespace: space} }
	for _, ref := range []replay.ImageRef{
		inner, inner.Image("vm"), pool("rbd", "").Image("vm"), pool("ssd", "").Image("vm"), pool("rbd", "blue").Image("vm"), pool("rbd", "").Image("blue.vm"),
		pool("rbd.blue", "").Image("vm"), pool("rbd", "a b").Image("vm"), pool("rbd", "a_b").Image("vm"), pool("rbd", "ä/b").Image("vm"), pool("rbd", "").Image(long), pool("ssd", "").Image(long),
		pool("rbd", "").Image(long + "y"),
	} {
		name := m.clone(ref)
		if other, twice := of[name]; twice {
			t.Errorf("%v and %v have one clone", ref, other)
		}
		of[name] = ref
		if tie, ok := drillClone(&plans.Plan{Name: "shop"}, "rbd/drover-drill/"+name); !ok || tie.Name != name || len(name) > maxCloneName {
			t.Errorf("%q (%d bytes) is known as %v, %v", name, len(name), tie, ok)
		}
	}
	if name := m.clone(pool("rbd", "blue").Image("vm-1")); name != m.snapshot()+".rbd.blue.vm-1" {
		t.Errorf("nobody sees which image %s is of", name)
	}
	for _, name := range []string{"", "vm", drillPrefix, drillPrefix + "ab-cd", drillPrefix + "x-until-y", "drover-verify-1-2", drillPrefix + "a-b-until-2026"} {
		if got, ok := parseDrillMark(name); ok {
			t.Errorf("%q was taken for a drill's: %+v", name, got)
		}
	}
}
