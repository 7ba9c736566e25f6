package notify

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-io/drover/orchestrator/alert"
)

func TestDescribe(t *testing.T) {
	m := splitBrain()
	want := `CRITICAL: plan two-way: split-brain at b, 500 images

vms/db1 is primary at both sites

Site: b
Images: 500, the worst 10:
  vms/db0
  vms/db1
  vms/db2
  vms/db3
  vms/db4
  vms/db5
  vms/db6
  vms/db7
  vms/db8
  vms/db9
Roles: a primary, b primary
Evidence: a wrote 12:00:01
  b wrote 12:00:02

What to do:

  drover resync plan.yaml vms/db1 --keep SITE

To decide: which copy stays, a or b. A button counts until 2026-11-28 13:00:00 UTC on this evidence: e5f0.
Chosen so far: a, by ann (U1), 2026-11-28 12:01:00 UTC

Since 2026-11-28 12:00:00 UTC, as of 2026-11-28 12:01:30 UTC (after 1m30s)
Incident two-way/split-brain/h1
`
	if diff := cmp.Diff(want, Describe(m)); diff != "" {
		t.Errorf("opened (-want +got):\n%s", diff)
	}
	m.Kind, m.Worst, m.Images, m.Details, m.Acknowledged = alert.Resolved, nil, 1, nil, "U1"
	want = `RESOLVED: plan two-way: split-brain at b, 1 image

It is over, after 1m30s. It was: vms/db1 is primary at both sites

Site: b
Images: 1

Since 2026-11-28 12:00:00 UTC, as of 2026-11-28 12:01:30 UTC (after 1m30s)
Acknowledged by U1
Incident two-way/split-brain/h1
`
	if diff := cmp.Diff(want, Describe(m)); diff != "" {
		t.Errorf("resolved (-want +got):\n%s", diff)
	}
	m.Kind = alert.Changed
	if got := Describe(m); !strings.HasPrefix(got, "CRITICAL, acknowledged: plan two-way") {
		t.Errorf("acknowledged: %s", got)
	}
	m.Worst = []string{"vms/<!channel>"}
	if got := Describe(m); !strings.HasPrefix(got, "CRITICAL, acknowledged: plan two-way: split-brain at b, vms/<!channel>\n") {
		t.Errorf("of one image: %s", got)
	}
	m.Kind = alert.Escalated
	if got := Describe(m); !strings.HasPrefix(got, "CRITICAL, not acknowledged: plan two-way") {
		t.Errorf("escalated: %s", got)
	}
}

func TestTestMessage(t *testing.T) {
	m := TestMessage("two-way", "chat", began.In(time.FixedZone("x", 3600)))
	other := TestMessage("two-way", "chat", began.Add(time.Second))
	if m.Kind != alert.Test || m.ID == other.ID || !m.At.Equal(began) || m.Severity != alert.Info {
		t.Errorf("%+v", m)
	}
	if got := Describe(m); !strings.HasPrefix(got, "TEST: plan two-way") || !strings.Contains(got, "This is a test of the channel chat. Nothing has happened") {
		t.Errorf("%s", got)
	}
}

func TestCut(t *testing.T) {
	for text, want := range map[string]string{"short": "short", "1234567890": "1234567890", "12345678901": "1234567…", "äääääääääääää": "äää…"} {
		if got := cut(text, 10); got != want {
			t.Errorf("%q is cut to %q, not %q", text, got, want)
		}
	}
}

func FuzzDescribe(f *testing.F) {
	f.Add("a\r\nb\x00\x1b[0m\u202e\xff", 7)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		m := splitBrain()
		m.What, m.Site, m.Details[0].Text = text, text, text
		got := Describe(m)
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\r\x00\x1b\u202e") {
			t.Errorf("%q", got)
		}
		if strings.Count(title(cleaned(m)), "\n") != 0 {
			t.Errorf("a title of several lines: %q", title(cleaned(m)))
		}
		if limit = max(limit%100, 10); len(cut(text, limit)) > limit && len(text) > limit {
			t.Errorf("%q is cut to %q", text, cut(text, limit))
		}
	})
}
