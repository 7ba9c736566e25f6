package orchestrator_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

// returned is a bed after a failover from a, which is back with a client that
// still holds volume-0, primary there.
func returned(t *testing.T, plan string) *bed {
	t.Helper()
	b := moving(t, plan, 2)
	b.world.Vanish("a")
	_, _, err := b.failover(orchestrator.FailoverOptions{To: "b", From: "a", Reason: "fire", Unfenced: true})
	b.must(err)
	b.world.Return("a")
	b.must(b.world.Attach("a", ref("volume-0"), client(7), true))
	time.Sleep(5 * time.Minute)
	return b
}

// nextOf is the next step of a problem that the status of volume-0 has.
func (b *bed) nextOf(code replay.ProblemCode) string {
	b.t.Helper()
	sites := b.sites(b.t.Context())
	defer b.close(sites)
	for _, image := range orchestrator.Status(b.t.Context(), b.plan, sites, orchestrator.StatusOptions{}).Images {
		for _, p := range image.Problems {
			if image.Ref == ref("volume-0") && p.Code == code {
				return p.Next
			}
		}
	}
	b.t.Fatalf("no problem %s", code)
	return ""
}

// fenceRecord is the record of the run's fence.
func fenceRecord(t *testing.T, s *orchestrator.RunStory) *orchestrator.StepStory {
	t.Helper()
	for i := range slices.Backward(s.Steps) {
		if s.Steps[i].Step == "fence" {
			if i > 1 {
				t.Errorf("it is record %d of the run, not of its first step", i)
			}
			return &s.Steps[i]
		}
	}
	t.Fatalf("no fence: %+v", s.Steps)
	return nil
}

// TestFailbackFencesWhatHasReturned shuts out who still writes to copies that a
// failover gave up, where the plan has a fence; without one it names the client
// and refuses.
func TestFailbackFencesWhatHasReturned(t *testing.T) {
	t.Run("blocklist", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := returned(t, fencedTwoWay)
			if next := b.nextOf(orchestrator.ProblemQuarantined); !strings.Contains(next, "drover failback plan.yaml") || !strings.Contains(next, "shuts out the clients that still hold it there (osd blocklist)") {
				t.Errorf("next: %s", next)
			}
			p, r, err := b.failback(orchestrator.FailbackOptions{Reason: "a is back"})
			if err != nil || r.Outcome != orchestrator.RunDone {
				t.Fatalf("%v\n%s", err, story(r))
			}
			if !slices.ContainsFunc(p.Checks, func(c orchestrator.Check) bool {
				return c.Name == "no clients" && strings.Contains(c.What, "rbd/volume-0 by client.7 at 127.0.0.7:0/7 (holds the lock)")
			}) {
				t.Errorf("the checks do not name the client: %+v", p.Checks)
			}
			if shut := b.world.Blocklisted("a"); !slices.ContainsFunc(shut, func(s string) bool { return strings.Contains(s, "127.0.0.7:0/7") }) {
				t.Errorf("shut out: %v", shut)
			}
			runs := b.runs()
			if got := fenceRecord(t, &runs[len(runs)-1]); got.Phase != orchestrator.PhaseDone || !strings.Contains(got.Evidence, "shut out: client.7 at 127.0.0.7:0/7 (holds the lock) of rbd/volume-0") {
				t.Errorf("recorded: %+v", got)
			}
			b.roles(ref("volume-0"), replay.RolePrimary, replay.RoleSecondary)
		})
	})
	t.Run("none", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := returned(t, twoWay)
			if next := b.nextOf(orchestrator.ProblemQuarantined); !strings.Contains(next, "it refuses while clients hold it there, and names them") {
				t.Errorf("next: %s", next)
			}
			b.world.ForgetCalls()
			_, _, err := b.failback(orchestrator.FailbackOptions{Reason: "a is back"})
			if !errors.Is(err, orchestrator.ErrRefused) || !strings.Contains(err.Error(), "client.7 at 127.0.0.7:0/7") {
				t.Errorf("got %v", err)
			}
			if writes := b.world.Writes(); len(writes) > 0 {
				t.Errorf("wrote %v", writes)
			}
		})
	})
	// The plan's own command shuts out the whole site, which shall be primary again.
	t.Run("command", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			ran := filepath.Join(t.TempDir(), "fenced")
			plan := strings.ReplaceAll(fencedTwoWay, "{method: blocklist}", `{method: command, command: [/bin/sh, -c, "echo $DROVER_SITE $DROVER_FROM $DROVER_TO >> `+ran+`"]}`)
			b := returned(t, plan)
			if next := b.nextOf(orchestrator.ProblemQuarantined); !strings.Contains(next, "shuts out the clients that still hold it there (osd blocklist)") {
				t.Errorf("next: %s", next)
			}
			if _, r, err := b.failback(orchestrator.FailbackOptions{Reason: "a is back"}); err != nil || r.Outcome != orchestrator.RunDone {
				t.Fatalf("%v\n%s", err, story(r))
			}
			if text, err := os.ReadFile(ran); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the command ran: %q %v", text, err)
			}
			if shut := b.world.Blocklisted("a"); !slices.ContainsFunc(shut, func(s string) bool { return strings.Contains(s, "127.0.0.7:0/7") }) {
				t.Errorf("shut out: %v", shut)
			}
			b.roles(ref("volume-0"), replay.RolePrimary, replay.RoleSecondary)
		})
	})
}

// TestFailoverTellsItsFenceWhom has the plan's command told the lost site as the
// one that the run goes from.
func TestFailoverTellsItsFenceWhom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ran := filepath.Join(t.TempDir(), "fenced")
		b := moving(t, strings.ReplaceAll(fencedTwoWay, "{method: blocklist}", `{method: command, command: [/bin/sh, -c, "echo $DROVER_SITE $DROVER_FROM $DROVER_TO >> `+ran+`"]}`), 1)
		b.world.Vanish("a")
		_, _, err := b.failover(orchestrator.FailoverOptions{To: "b", From: "a", Reason: "fire"})
		b.must(err)
		if text, err := os.ReadFile(ran); err != nil || string(text) != "a a b\n" {
			t.Errorf("it was told %q %v", text, err)
		}
	})
}

// TestFailbackOfWhatIsWritten binds a script's word to what was shown though a
// client goes on to write to what is given up, where that client will be shut
// out; but not where nobody shuts it out, and not to twice as much.
func TestFailbackOfWhatIsWritten(t *testing.T) {
	for _, fence := range []bool{true, false} {
		t.Run(fmt.Sprint("fence ", fence), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := returned(t, twoWay)
				hash := func(writes int) string {
					for i := range writes {
						b.must(b.world.Write("a", ref("volume-0"), uint64(4096*(i+1)), make([]byte, 512)))
					}
					sites := b.sites(t.Context())
					defer b.close(sites)
					p, err := orchestrator.PrepareFailback(t.Context(), b.plan, sites, orchestrator.FailbackOptions{Fence: fence})
					b.must(err)
					return p.Hash
				}
				first := hash(9)
				if again := hash(1); (again == first) != fence {
					t.Errorf("after one more write the word holds: %t", again == first)
				}
				if again := hash(200); again == first {
					t.Error("after many more it holds")
				}
			})
		})
	}
}

// TestFailbackFencesOnlyOnce leaves the clients of images alone that were handed
// over before the process died.
func TestFailbackFencesOnlyOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := returned(t, fencedTwoWay)
		sites := b.sites(t.Context())
		defer b.close(sites)
		p := b.immortal()
		handed := make(chan struct{}, 1)
		p.between = func(_ int64, c sim.Call) {
			if c.Op == "Promote" && c.Site == "a" {
				select {
				case handed <- struct{}{}:
					b.world.Inject(sim.Fault{Site: "a", Op: "Promote", Object: "rbd/volume-1", Hang: true, Count: 1})
				default:
				}
			}
		}
		_, r, err := p.start(t.Context(), goingBack, orchestrator.RunOptions{Parallel: 1})
		if err == nil {
			t.Fatalf("nothing hung\n%s", story(r))
		}
		b.must(b.world.Attach("a", ref("volume-0"), client(8), true)) // it serves again
		b.finish(b.immortal(), goingBack, nil)
		if shut := b.world.Blocklisted("a"); slices.ContainsFunc(shut, func(s string) bool { return strings.Contains(s, "127.0.0.7:0/8") }) {
			t.Errorf("a client of today was shut out: %v", shut)
		}
	})
}
