package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/notify"
	"github.com/drover-io/drover/plans"
)

// TestPages wants each page that a message may link to among those that are shipped.
func TestPages(t *testing.T) {
	all := map[string]string{"anything else": otherPage}
	for code, page := range pages {
		all[code] = page
	}
	for code, page := range all {
		if _, err := os.Stat(filepath.Join("..", "..", "examples", "runbooks", page)); err != nil {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func TestLinks(t *testing.T) {
	page := func(base, code string) []notify.Link {
		return []notify.Link{{Text: "What to do", URL: base + "/" + code}}
	}
	for name, c := range map[string]struct {
		n    plans.Notifications
		code string
		want []notify.Link
	}{
		"nothing said":    {plans.Notifications{}, orchestrator.SignalSplitBrain, page(Runbooks, "split-brain.md")},
		"no page":         {plans.Notifications{}, "something-new", page(Runbooks, "problem.md")},
		"pages elsewhere": {plans.Notifications{Runbooks: "https://wiki.example.org/drover/"}, orchestrator.SignalManualStep, page("https://wiki.example.org/drover", "open-run.md")},
		"dashboard": {
			plans.Notifications{Dashboard: "https://grafana.example.org/d/drover?orgId=1"},
			alert.ChannelFailing,
			append(page(Runbooks, "notifications.md"), notify.Link{Text: "Dashboard", URL: "https://grafana.example.org/d/drover?orgId=1&var-plan=shop"}),
		},
		"dashboard of its own": {
			plans.Notifications{Dashboard: "https://grafana.example.org/d/drover?var-plan=all"},
			alert.ChannelFailing,
			append(page(Runbooks, "notifications.md"), notify.Link{Text: "Dashboard", URL: "https://grafana.example.org/d/drover?var-plan=all"}),
		},
	} {
		got := Links(&plans.Plan{Name: "shop", Notifications: c.n})(alert.Message{Code: c.code})
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
