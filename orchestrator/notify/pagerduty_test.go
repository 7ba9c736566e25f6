package notify

import (
	"net/http"
	"strings"
	"testing"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
)

func TestPagerDuty(t *testing.T) {
	address, calls := server(t, func(w http.ResponseWriter, _ said) { w.WriteHeader(http.StatusAccepted) })
	links := func(alert.Message) []Link { return []Link{{Text: "Runbook", URL: "https://example.com/r"}} }
	pager := opened(t, plans.Channel{Name: "pager", Type: plans.ChannelPagerDuty, Token: kept(t, "r0uting")},
		Options{PagerDutyURL: address, Links: links})

	receipt := sent(t, pager, splitBrain(), "")
	got := calls()
	if len(got) != 1 || got[0].path != "/v2/enqueue" || got[0].method != http.MethodPost {
		t.Fatalf("calls: %v", got)
	}
	e := decoded[pagerDutyEvent](t, got[0].body)
	p := e.Payload
	if e.RoutingKey != "r0uting" || e.Action != "trigger" || e.DedupKey != "two-way/split-brain/h1" ||
		p.Severity != "critical" || p.Source != "b" || p.Group != "two-way" || p.Class != "split-brain" ||
		p.Timestamp != "2026-11-28T12:01:30Z" ||
		p.Summary != "CRITICAL: plan two-way: split-brain at b, 500 images: vms/db1 is primary at both sites" {
		t.Errorf("sent %s", got[0].body)
	}
	if p.Details["Roles"] != "a primary, b primary" || p.Details["what to do"] != splitBrain().Next ||
		!strings.HasPrefix(p.Details["images"], "500, the worst 10: vms/db0, ") {
		t.Errorf("details: %q", p.Details)
	}
	if len(e.Links) != 1 || e.Links[0].Href != "https://example.com/r" {
		t.Errorf("links: %v", e.Links)
	}

	taken, over, escalated := splitBrain(), splitBrain(), splitBrain()
	taken.Kind, taken.Acknowledged = alert.Changed, "U1"
	over.Kind = alert.Resolved
	escalated.Kind = alert.Escalated
	for _, c := range []struct {
		m    alert.Message
		last alert.Receipt
		want string
	}{
		{taken, receipt, "trigger acknowledge"},
		{taken, "", "trigger acknowledge"},
		{over, receipt, "resolve"},
		{escalated, receipt, "trigger"},
	} {
		sent(t, pager, c.m, c.last)
		var actions []string
		for _, call := range calls() {
			e := decoded[pagerDutyEvent](t, call.body)
			actions = append(actions, e.Action)
			if e.DedupKey != "two-way/split-brain/h1" || (e.Payload == nil) != (e.Action != "trigger") {
				t.Errorf("sent %s", call.body)
			}
		}
		if strings.Join(actions, " ") != c.want {
			t.Errorf("%s: %q, not %q", c.m.Kind, actions, c.want)
		}
	}
}

func TestPagerDutyLimits(t *testing.T) {
	address, calls := server(t, nil)
	pager := opened(t, plans.Channel{Name: "pager", Type: plans.ChannelPagerDuty, Token: kept(t, "r")}, Options{PagerDutyURL: address + "/"})
	m := splitBrain()
	m.ID, m.What = strings.Repeat("i", 300), strings.Repeat("ä\n", 3000)
	m.Details = append(m.Details, alert.Detail{Name: "Evidence", Text: strings.Repeat("x", 1<<20)})
	sent(t, pager, m, "")
	got := calls()[0]
	e := decoded[pagerDutyEvent](t, got.body)
	if len(e.DedupKey) > 255 || len(e.Payload.Summary) > 1024 || strings.Contains(e.Payload.Summary, "\n") || len(got.body) > 512_000 {
		t.Errorf("sent %s", got.body)
	}
	for severity, want := range map[alert.Severity]string{alert.Info: "info", alert.Warning: "warning", alert.Critical: "critical", "": "critical"} {
		if got := pagerDutySeverity(severity); got != want {
			t.Errorf("%q is %q", severity, got)
		}
	}
}
