package notify

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
)

// What PagerDuty's Events API v2 takes.
const (
	pagerDutyURL = "https://events.pagerduty.com"
	maxDedupKey  = 255
	maxSummary   = 1024
	// maxDetail is of one fact, in bytes: an event may have 512 KB.
	maxDetail = 8 << 10
)

// pagerDutySender makes one alert of an incident: its id is the alert's key.
type pagerDutySender struct {
	o      Options
	client *http.Client
}

type pagerDutyEvent struct {
	RoutingKey string            `json:"routing_key"`
	Action     string            `json:"event_action"`
	DedupKey   string            `json:"dedup_key"`
	Client     string            `json:"client,omitempty"`
	Payload    *pagerDutyPayload `json:"payload,omitempty"`
	Links      []pagerDutyLink   `json:"links,omitempty"`
}

type pagerDutyPayload struct {
	Summary   string            `json:"summary"`
	Source    string            `json:"source"`
	Severity  string            `json:"severity"`
	Timestamp string            `json:"timestamp"`
	Component string            `json:"component,omitempty"`
	Group     string            `json:"group,omitempty"`
	Class     string            `json:"class,omitempty"`
	Details   map[string]string `json:"custom_details,omitempty"`
}

type pagerDutyLink struct {
	Href string `json:"href"`
	Text string `json:"text,omitempty"`
}

func (s *pagerDutySender) send(ctx context.Context, k *keys, m alert.Message, last alert.Receipt) (alert.Receipt, error) {
	key := dedupKey(m.ID)
	m = cleaned(m)
	var actions []string
	switch {
	case m.Kind == alert.Resolved:
		actions = []string{"resolve"}
	case m.Acknowledged != "" && m.Kind == alert.Changed:
		// An alert that is not there cannot be taken on, and only a trigger brings what has
		// changed; one that is taken on stays so.
		actions = []string{"trigger", "acknowledge"}
	default:
		actions = []string{"trigger"}
	}
	for _, action := range actions {
		event := pagerDutyEvent{RoutingKey: k.token, Action: action, DedupKey: key}
		if action == "trigger" {
			event.Client, event.Payload = "drover", payload(m)
			for _, l := range s.o.links(m) {
				event.Links = append(event.Links, pagerDutyLink{Href: l.URL, Text: l.Text})
			}
		}
		base := strings.TrimSuffix(cmp.Or(s.o.PagerDutyURL, pagerDutyURL), "/")
		if err := do(ctx, s.client, k, call{method: http.MethodPost, url: base + "/v2/enqueue", body: event}); err != nil {
			return "", err
		}
	}
	return alert.Receipt(key), nil
}

// dedupKey is the incident's id, or where that is no key a hash of it.
func dedupKey(id string) string {
	if id != "" && len(id) <= maxDedupKey && line(id) == id {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}

func payload(m alert.Message) *pagerDutyPayload {
	details := map[string]string{"incident": m.ID}
	for _, d := range m.Details {
		details[d.Name] = cut(strings.TrimPrefix(details[d.Name]+"\n"+d.Text, "\n"), maxDetail)
	}
	if m.Images > 0 {
		details["images"] = strings.TrimSpace(imageCount(m) + " " + strings.Join(m.Worst, ", "))
	}
	if m.Next != "" && !over(m) {
		details["what to do"] = cut(m.Next, maxDetail)
	}
	return &pagerDutyPayload{
		Summary:   cut(line(title(m)+": "+what(m)), maxSummary),
		Source:    cmp.Or(m.Site, m.Plan, "drover"),
		Severity:  pagerDutySeverity(m.Severity),
		Timestamp: m.At.UTC().Format(time.RFC3339),
		Component: "rbd mirroring", Group: m.Plan, Class: m.Code,
		Details: details,
	}
}

// pagerDutySeverity is PagerDuty's word; what is not known is not made little of.
func pagerDutySeverity(s alert.Severity) string {
	switch s {
	case alert.Info, alert.Warning:
		return string(s)
	}
	return "critical"
}
