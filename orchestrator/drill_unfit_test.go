package orchestrator_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/report"
)

// TestDrillOfNothingFit: where no copy could serve, the drill has failed, and is told as
// such; no hook of it is carried out.
func TestDrillOfNothingFit(t *testing.T) {
	for name, hook := range map[string]string{
		"by hand":  `manual: "look at it"`,
		"fails":    `on_failure: continue, command: [/bin/sh, -c, "echo ran >> LOG; exit 1"]`,
		"succeeds": `command: [/bin/sh, -c, "echo ran >> LOG"]`,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				log := filepath.Join(t.TempDir(), "log")
				b := moving(t, drilledNightly+logIn(log, "\nhooks: [{name: gateway, when: before-run, runbooks: [drill], "+hook+"}]\n"), 1)
				for _, image := range []string{"vm-1", "volume-0"} {
					b.must(b.world.Site("b").Promote(t.Context(), ref(image), true))
				}
				time.Sleep(time.Minute)
				r, err := b.immortal().drill(t.Context(), orchestrator.DrillOptions{})
				if !errors.Is(err, orchestrator.ErrDrillFailed) || r == nil || r.Verdict != report.Failed || len(r.Images) != 2 || len(r.Steps) > 1 {
					t.Errorf("%v\n%s", err, shown(r))
				}
				if _, err := os.Stat(log); err == nil {
					t.Error("the hook was carried out")
				}
				m := b.watchman(t, b.immortal())
				defer m.stop()
				time.Sleep(15 * time.Minute)
				if told := m.signals(orchestrator.SignalDrillFailed); len(told) != 1 {
					t.Errorf("told: %v", m.drillSignals())
				}
			})
		})
	}
}
