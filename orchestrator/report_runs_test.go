package orchestrator_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/plans"
)

// reports are those of all drills and runs.
func (b *bed) reports() []report.Report {
	b.t.Helper()
	sites := b.immortal().sites(b.t.Context())
	defer b.close(sites)
	all, faults, err := orchestrator.Reports(b.t.Context(), b.plan, sites)
	if err != nil || len(faults) > 0 {
		b.t.Fatal(err, faults)
	}
	return all
}

// asking is a plan with objectives.
const asking = "rpo: 10m\nrunbooks: {rto: 1h}\n" + twoWay

// TestReportOfRun: the report of a run tells the versions and objectives that held when
// it began, whatever the plan says by now.
func TestReportOfRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, asking, 2)
		if _, err := b.switchover(orchestrator.SwitchoverOptions{To: "b", Reason: "disks"}, orchestrator.RunOptions{Version: "1.2"}); err != nil {
			t.Fatal(err)
		}
		b.plan = parsePlan(t, twoWay)
		all := b.reports()
		if len(all) != 1 {
			t.Fatalf("%d reports", len(all))
		}
		r := &all[0]
		if r.Verdict != report.Passed || r.Reason != "disks" || len(r.Images) != 3 || len(r.Checks) == 0 || len(r.Steps) == 0 {
			t.Error(shown(r))
		}
		if r.Versions["drover"] != "1.2" || r.Versions["ceph at a"] == "" || r.Versions["ceph at b"] == "" {
			t.Errorf("versions %v", r.Versions)
		}
		if want := (report.Objectives{RPOSeconds: 600, RTOSeconds: 3600}); r.Objectives != want {
			t.Errorf("objectives %+v", r.Objectives)
		}
		for _, m := range r.Measures() {
			if m.Outcome != report.Met {
				t.Errorf("%s: %s", m.Name, m.Outcome)
			}
		}
	})
}

// TestReportOfRunByTwo: whoever takes a run up is in its report with their version; a
// site that did not answer is without one, and that is said.
func TestReportOfRunByTwo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, asking, 1)
		b.world.Vanish("a")
		time.Sleep(time.Minute)
		p := b.immortal()
		p.op, p.death = "Promote", diesAfter
		_, _, _ = p.start(t.Context(), failingOver(orchestrator.FailoverOptions{To: "b"}), orchestrator.RunOptions{Version: "1.2"})
		if !p.dead.Load() {
			t.Fatal("it has not died")
		}
		sites := b.immortal().sites(t.Context())
		open, _, err := orchestrator.Reports(t.Context(), b.plan, sites)
		b.close(sites)
		if err != nil || len(open) != 1 || open[0].Verdict != report.Aborted || !strings.Contains(open[0].Why, "it is not over") {
			t.Fatalf("%v: %+v", err, open)
		}
		time.Sleep(orchestrator.LeaseTTL + 5*time.Second)
		if _, err := b.immortal().resume(t.Context(), orchestrator.RunOptions{Version: "1.3"}); err != nil {
			t.Fatal(err)
		}
		sites = b.immortal().sites(t.Context())
		defer b.close(sites)
		all, _, err := orchestrator.Reports(t.Context(), b.plan, sites)
		if err != nil || len(all) != 1 {
			t.Fatal(err, len(all))
		}
		r := &all[0]
		if r.Versions["drover"] != "1.2, then 1.3" || r.Versions["ceph at a"] != "" || r.Versions["ceph at b"] == "" ||
			!strings.Contains(strings.Join(r.Notes, "\n"), "a did not answer when it was prepared") {
			t.Errorf("versions %v\n%s", r.Versions, shown(r))
		}
	})
}

// TestReportOfRefused: what was refused was no run, and leaves no report.
func TestReportOfRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := moving(t, asking, 1)
		b.world.StopDaemon("b")
		time.Sleep(5 * time.Minute)
		if _, err := b.switchover(orchestrator.SwitchoverOptions{To: "b"}, orchestrator.RunOptions{}); !errors.Is(err, orchestrator.ErrRefused) {
			t.Fatal(err)
		}
		if all := b.reports(); len(all) > 0 {
			t.Error(shown(&all[0]))
		}
	})
}

// TestReportsOverTime: what a disaster and the way back leave, one report each.
func TestReportsOverTime(t *testing.T) {
	for name, plan := range map[string]string{"journal": twoWay, "snapshot": snapshotsTwoWay} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := moving(t, "rpo: 48h\nrunbooks: {rto: 10h}\n"+plan, 2)
				b.world.Vanish("a")
				time.Sleep(10 * time.Minute)
				if _, _, err := b.immortal().start(t.Context(), failingOver(orchestrator.FailoverOptions{To: "b", Reason: "flood"}), orchestrator.RunOptions{Version: "1"}); err != nil {
					t.Fatal(err)
				}
				b.must(b.world.Write("b", ref("volume-0"), 4096, []byte("later")))
				b.world.Return("a")
				time.Sleep(10 * time.Minute)
				if _, r, err := b.failback(orchestrator.FailbackOptions{Reason: "a is back"}); err != nil {
					t.Fatal(err, story(r))
				}
				time.Sleep(10 * time.Minute)
				if _, _, err := b.immortal().start(t.Context(), func(ctx context.Context, plan *plans.Plan, sites *orchestrator.Sites) (*orchestrator.Prepared, error) {
					return orchestrator.PrepareResync(ctx, plan, sites, orchestrator.ResyncOptions{Keep: "a", Scope: orchestrator.Scope{Images: []string{"volume-0"}}, Reason: "doubt", Force: true})
				}, orchestrator.RunOptions{}); err != nil {
					t.Fatal(err)
				}
				all := b.reports()
				if len(all) != 3 {
					t.Fatalf("%d reports", len(all))
				}
				for i, want := range []struct {
					kind        string
					images      int
					least, most time.Duration
				}{
					// Nobody knows since when the lost site had been written to. The way back
					// discards what it held.
					{"failover", 3, 10 * time.Minute, time.Hour},
					{"failback", 3, 0, time.Hour},
					{"resync", 1, 0, 0},
				} {
					r := &all[i]
					rpo := r.Achieved.RPOSeconds
					if r.Kind != want.kind || r.Verdict != report.Passed || len(r.Images) != want.images || r.Outcomes.RPO != report.Met || len(r.Checks) < want.images ||
						rpo == nil || *rpo < want.least.Seconds() || *rpo > want.most.Seconds() || (r.Outcomes.RTO == report.Met) != (want.kind != "resync") {
						t.Errorf("%s: %+v\n%s", r.Kind, r.Outcomes, shown(r))
					}
					for _, image := range r.Images {
						// A failover leaves what it gives up where it is; the others keep it aside.
						if kept := strings.Contains(image.Lost, "it is kept: "+image.Image+".preserved-"); image.Lost == "" || kept == (want.kind == "failover") {
							t.Errorf("%s: said of what was given up of %s: %q", r.Kind, image.Image, image.Lost)
						}
					}
				}
			})
		})
	}
}
