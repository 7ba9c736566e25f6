package orchestrator_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
)

// TestDaemonRestart: a daemon that runs otherwise than the plan says is restarted,
// once, and only where a restart makes it as the plan says is that done.
func TestDaemonRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, oneWay)
		b.applied()
		b.outdated["b"] = true
		if got := problems(b.status(orchestrator.StatusOptions{})); !strings.Contains(got, "daemon-outdated@b×0") {
			t.Errorf("status: %s", got)
		}
		saved := orchestrator.NewSavedDiff(b.plan, b.drift(orchestrator.DiffOptions{}))
		result, err := b.apply(orchestrator.Options{})
		if err != nil || outcomeOf(result, orchestrator.KindDaemonRestart, "") != orchestrator.OutcomeDone || len(result.Changes) != 1 {
			t.Fatalf("%v\n%s", err, outcomes(result))
		}
		if b.restarts != 1 || !b.world.DaemonRuns("b") {
			t.Errorf("restarted %d times, runs %t", b.restarts, b.world.DaemonRuns("b"))
		}
		if _, err := b.apply(orchestrator.Options{Approved: saved}); !errors.Is(err, orchestrator.ErrStale) {
			t.Errorf("a restart that was made is approved still: %v", err)
		}
		time.Sleep(time.Minute)
		b.settled()

		b.outdated["b"], b.stuck = true, true
		result, err = b.apply(orchestrator.Options{})
		if !errors.Is(err, orchestrator.ErrIncomplete) || outcomeOf(result, orchestrator.KindDaemonRestart, "") != orchestrator.OutcomeUnproven {
			t.Errorf("a restart without effect: %v\n%s", err, outcomes(result))
		}
	})
}

// TestStatusOfStoppedDaemon: a daemon of Drover's that has died is a problem at
// once, while the service map still lists it; so is one of which nothing is known.
func TestStatusOfStoppedDaemon(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, statusPlan)
		b.applied()
		time.Sleep(time.Minute)
		if r := b.status(orchestrator.StatusOptions{}); len(r.Problems) > 0 {
			t.Fatalf("problems: %s", problems(r))
		}
		b.elsewhere.Store(true)
		if r := b.status(orchestrator.StatusOptions{}); len(r.Problems) > 0 {
			t.Fatalf("one that runs on another host: %s", problems(r))
		}
		b.elsewhere.Store(false)
		b.killed["site-b"] = true
		r := b.status(orchestrator.StatusOptions{})
		if len(r.Problems) != 1 || r.Problems[0].Code != orchestrator.ProblemDaemonStopped || r.Problems[0].Severity != "critical" {
			t.Fatalf("problems: %s", problems(r))
		}
		if p := r.Problems[0]; p.What != "rbd-mirror at site-b, which Drover runs, does not run: simulated" || p.Next != "drover plan apply plan.yaml starts it" {
			t.Errorf("%q, next %q", p.What, p.Next)
		}
		b.runnerErr = errors.New("no systemd here")
		r = b.status(orchestrator.StatusOptions{})
		if len(r.Problems) != 1 || r.Problems[0].Code != orchestrator.ProblemDaemonUnknown || !strings.Contains(r.Problems[0].What, "no systemd here") {
			t.Errorf("problems: %s", problems(r))
		}
	})
}
