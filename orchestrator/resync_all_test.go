package orchestrator_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
)

// givenUpBed is a bed after a failover of volume-0 from a, which is back and still
// primary; and, where split, volume-1 was made primary at b by hand.
func givenUpBed(t *testing.T, split bool) (*bed, string) {
	t.Helper()
	b := moving(t, twoWay, 2)
	b.world.Vanish("a")
	_, r, err := b.failover(orchestrator.FailoverOptions{To: "b", From: "a", Reason: "fire", Scope: orchestrator.Scope{Images: []string{"volume-0"}}})
	b.must(err)
	b.world.Return("a")
	if split {
		b.must(b.world.Site("b").Promote(t.Context(), ref("volume-1"), true))
	}
	b.must(b.world.Write("b", ref("volume-0"), 4096, []byte("since the fire")))
	time.Sleep(5 * time.Minute)
	b.roles(ref("volume-0"), replay.RolePrimary, replay.RolePrimary)
	return b, r.Run.ID
}

// TestResyncAllLeavesWhatWasGivenUp takes the split-brain, and not the image
// that a failover made primary at two sites.
func TestResyncAllLeavesWhatWasGivenUp(t *testing.T) {
	t.Run("beside a split-brain", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b, failover := givenUpBed(t, true)
			p, r, err := b.resync(orchestrator.ResyncOptions{Keep: "a", All: true, Reason: "a serves"})
			if err != nil || r.Outcome != orchestrator.RunDone {
				t.Fatalf("%v\n%s", err, story(r))
			}
			if len(p.Run.Units) != 1 || p.Run.Units[0].Name != "rbd/volume-1" {
				t.Errorf("it took %+v", p.Run.Units)
			}
			if !slices.ContainsFunc(p.Checks, func(c orchestrator.Check) bool {
				return c.Name == "given up" && len(c.Failures) == 1 && c.Failures[0].Warning && strings.Contains(c.Failures[0].What, "rbd/volume-0 (the copy at a was given up by "+failover+")") && strings.Contains(c.Failures[0].Next, "failback")
			}) {
				t.Errorf("nothing tells what was left out: %+v", p.Checks)
			}
			b.roles(ref("volume-1"), replay.RolePrimary, replay.RoleSecondary)
			b.roles(ref("volume-0"), replay.RolePrimary, replay.RolePrimary)
			if got := b.content("b", ref("volume-0")); !strings.Contains(got, "since the fire") {
				t.Errorf("b holds %q", got)
			}
		})
	})
	t.Run("alone", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b, failover := givenUpBed(t, false)
			_, _, err := b.resync(orchestrator.ResyncOptions{Keep: "a", All: true, Reason: "a serves"})
			if !errors.Is(err, orchestrator.ErrRefused) || !strings.Contains(err.Error(), failover) {
				t.Errorf("got %v", err)
			}
		})
	})
}

// TestResyncDoesNotKeepWhatWasGivenUp wants --force of who keeps the copy that a
// failover gave up, and names the failover; the other one may be kept.
func TestResyncDoesNotKeepWhatWasGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, failover := givenUpBed(t, false)
		scope := orchestrator.Scope{Images: []string{"volume-0"}}
		prepared := func(o orchestrator.ResyncOptions) error {
			sites := b.sites(t.Context())
			defer b.close(sites)
			o.Scope = scope
			p, err := orchestrator.PrepareResync(t.Context(), b.plan, sites, o)
			b.must(err)
			return p.Refused
		}
		if err := prepared(orchestrator.ResyncOptions{Keep: "a"}); !errors.Is(err, orchestrator.ErrRefused) || !strings.Contains(err.Error(), failover) {
			t.Errorf("keep a: %v", err)
		}
		for _, o := range []orchestrator.ResyncOptions{{Keep: "a", Force: true}, {Keep: "b"}} {
			if err := prepared(o); err != nil {
				t.Errorf("%+v: %v", o, err)
			}
		}
	})
}

// TestResyncKeepsNoSecondary refuses to discard the only primary for a copy of
// it, with or without force.
func TestResyncKeepsNoSecondary(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, twoWay, 2)
		b.world.ForgetCalls()
		_, _, err := b.resync(orchestrator.ResyncOptions{Keep: "b", Scope: orchestrator.Scope{Images: []string{"volume-1"}}, Force: true})
		if !errors.Is(err, orchestrator.ErrRefused) || !strings.Contains(err.Error(), "it is not primary at b") {
			t.Errorf("got %v", err)
		}
		for _, w := range b.world.Writes() {
			if w.Op == "Demote" || w.Op == "Resync" || w.Op == "Promote" {
				t.Errorf("and did %+v", w)
			}
		}
		b.roles(ref("volume-1"), replay.RolePrimary, replay.RoleSecondary)
	})
}
