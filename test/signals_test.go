package test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
)

// TestSignalRules: each signal that only the watch gives, and that a person must see to,
// has an alert of its severity, and its page says what to do. A split-brain has alerts
// of its own.
func TestSignalRules(t *testing.T) {
	page := document(t, "examples/runbooks/signals.md")
	by := map[string]string{}
	for _, rule := range alertRules(t) {
		if strings.Contains(rule.Expr, "drover_signals{") {
			by[rule.Labels["severity"]] += rule.Expr
		}
	}
	for _, s := range orchestrator.WatchSignals {
		if s.Code == orchestrator.SignalSplitBrain || s.Severity == alert.Info {
			continue
		}
		if !regexp.MustCompile(`["|]` + s.Code + `["|]`).MatchString(by[string(s.Severity)]) {
			t.Errorf("no %s alert is of %s", s.Severity, s.Code)
		}
		if !strings.Contains(page, "`"+s.Code+"`") {
			t.Errorf("the page does not name %s", s.Code)
		}
	}
}
