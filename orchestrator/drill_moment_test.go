package orchestrator_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/replay/sim"
)

// TestDrillMoment: the report says of a group of several images whether they are of one
// moment: that hooks have held its writers back, or how far apart its snapshots are.
func TestDrillMoment(t *testing.T) {
	for name, c := range map[string]struct {
		hooks  func(log string) string
		lost   bool
		moment report.Moment
		words  string
	}{
		"held":     {hooks: func(log string) string { return frozenPlan(log, "true") }, moment: report.OneMoment, words: "taken within 2 s, between hook freeze and hook thaw, which the plan says hold the writers back (not proven by Drover)"},
		"not held": {hooks: func(string) string { return groupedInWaves }, moment: report.Apart, words: "within 2 s, not one moment"},
		"held by hand": {hooks: func(log string) string {
			return strings.Replace(frozenPlan(log, "true"), "hooks:", "hooks:\n  - {name: ask, when: before-group, of: db, runbooks: [drill], manual: stop it}", 1)
		}, moment: report.Apart, words: "within 2 s, not one moment"},
		"announced only": {hooks: func(log string) string {
			return groupedInWaves + logIn(log, "\nhooks: [{name: announce, when: before-group, of: db, runbooks: [drill], command: [/bin/sh, -c, \"echo announced >> LOG\"]}]\n")
		}, moment: report.Apart, words: "within 2 s, not one moment"},
		"hook has failed": {hooks: func(log string) string {
			return strings.Replace(frozenPlan(log, "true"), `"echo frozen >> `+log+`"]`, `"exit 1"], on_failure: continue`, 1)
		}, moment: report.Apart, words: "within 2 s, not one moment"},
		"primary lost": {hooks: func(log string) string { return frozenPlan(log, "true") }, lost: true, moment: report.Apart, words: "not one moment"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				log := filepath.Join(t.TempDir(), "log")
				b := moving(t, twoWay+c.hooks(log), 3)
				if c.lost {
					b.world.Vanish("a")
				}
				p := b.immortal()
				p.meanwhile(func(_ int64, call sim.Call) {
					if call.Op == "CreateSnapshot" && strings.Contains(call.Object, "volume-0") {
						time.Sleep(2 * time.Second)
					}
				})
				r, err := p.drill(t.Context(), orchestrator.DrillOptions{})
				if err != nil {
					t.Fatalf("%v\n%s", err, shown(r))
				}
				at := slices.IndexFunc(r.Groups, func(g report.Group) bool { return g.Group == "db" })
				if at < 0 || len(r.Groups) != 1 {
					t.Fatalf("%+v\n%s", r.Groups, shown(r))
				}
				if g := r.Groups[at]; g.Moment != c.moment || !strings.Contains(g.Words(), c.words) || g.Images < 2 {
					t.Errorf("%+v: %s", g, g.Words())
				}
			})
		})
	}
}

// TestDrillExposure: what a drill has brought over is newer than what there was: the
// report says how old that had been.
func TestDrillExposure(t *testing.T) {
	drilled := func(t *testing.T, plan string, set func(b *bed)) *report.Report {
		b := moving(t, plan, 1)
		set(b)
		r, err := b.immortal().drill(t.Context(), orchestrator.DrillOptions{Scope: orchestrator.Scope{Images: []string{"volume-0"}}})
		if r == nil || len(r.Images) != 1 {
			t.Fatalf("%v\n%s", err, shown(r))
		}
		return r
	}
	snapshotted := func(b *bed) {
		_, err := b.world.Site("a").CreateMirrorSnapshot(b.t.Context(), ref("volume-0"))
		b.must(err)
		time.Sleep(40 * time.Minute)
	}
	const soon = 60.0
	t.Run("snapshot", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := drilled(t, "rpo: 30m\n"+snapshotsTwoWay, snapshotted)
			age, rpo := r.Achieved.ExposureSeconds, r.Achieved.RPOSeconds
			if r.Verdict != report.Passed || age == nil || *age < (40*time.Minute).Seconds() || *age > (40*time.Minute).Seconds()+soon || rpo == nil || *rpo > soon ||
				!strings.Contains(strings.Join(r.Notes, "\n"), "had a been lost when the drill began, 240") {
				t.Errorf("exposure %v, RPO %v\n%s", age, rpo, shown(r))
			}
		})
	})
	t.Run("primary lost", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := drilled(t, snapshotsTwoWay, func(b *bed) {
				b.world.Vanish("a")
				time.Sleep(time.Hour)
			})
			age, rpo := r.Achieved.ExposureSeconds, r.Achieved.RPOSeconds
			if age == nil || rpo == nil || *age < time.Hour.Seconds() || *rpo < *age || *rpo > *age+soon {
				t.Errorf("exposure %v, RPO %v\n%s", age, rpo, shown(r))
			}
		})
	})
	t.Run("journal", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := drilled(t, twoWay, func(*bed) {})
			if age := r.Achieved.ExposureSeconds; age == nil || *age != 0 {
				t.Errorf("exposure %v\n%s", age, shown(r))
			}
		})
	})
	t.Run("not known", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := drilled(t, twoWay, func(b *bed) {
				b.world.Vanish("a")
				b.world.StopDaemon("b")
				time.Sleep(time.Hour)
			})
			if age := r.Achieved.ExposureSeconds; age != nil || !strings.Contains(strings.Join(r.Notes, "\n"), "exposure: how old the data were that b held when the drill began is not known") {
				t.Errorf("exposure %v\n%s", age, shown(r))
			}
		})
	})
}
