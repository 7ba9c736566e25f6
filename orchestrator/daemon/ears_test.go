package daemon

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/notify"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/test/slackfake"
)

// place is a channel of a plan that has an app of its own.
func place(t *testing.T, plan, approver string) notify.Place {
	t.Helper()
	kept := func(name, text string) plans.Secret {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return plans.SecretFromFile(path)
	}
	return notify.Place{Plan: plan, Channel: plans.Channel{
		Name: "chat", Type: plans.ChannelSlack, Target: "#dr", Approve: []string{approver},
		Token: kept("token", slackfake.Token), App: kept("app", slackfake.AppToken),
	}}
}

// until waits for something that comes by itself.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// TestEars: what is listened to is interrupted only where it changes; and an app that
// cannot be listened to is told of, by readiness and by a signal, until it can.
func TestEars(t *testing.T) {
	slack := slackfake.New(t)
	d, err := New(nil, Options{Notify: notify.Options{SlackURL: slack.URL}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	d.running = ctx
	defer d.work.Wait()
	defer cancel()
	calls := func() (n int) { // since the last time
		for _, c := range slack.Calls() {
			if c.Method == "apps.connections.open" {
				n++
			}
		}
		return n
	}

	one, two := place(t, "one", "U1"), place(t, "two", "U1")
	d.hear([]notify.Place{one})
	slack.Connected()
	d.hear([]notify.Place{one, two})
	slack.Connected()
	if n := calls(); n != 2 {
		t.Errorf("Slack was called %d times for two apps: one was interrupted by the other", n)
	}
	two.Channel.Approve = []string{"U2"}
	d.hear([]notify.Place{one, two})
	slack.Connected()
	if n := calls(); n != 1 {
		t.Errorf("Slack was called %d times when one of two had changed", n)
	}
	if len(d.deaf("one"))+len(d.deaf("two")) > 0 {
		t.Errorf("heard, and told not to be: %+v", d.heard())
	}

	slack.Fail("apps.connections.open", "invalid_auth")
	two.Channel.Approve = []string{"U3"}
	d.hear([]notify.Place{one, two})
	until(t, "the signal", func() bool { return len(d.deaf("two")) == 1 })
	if s := d.deaf("two")[0]; s.Code != ButtonsUnheard || s.Key != "chat" || !strings.Contains(s.What, "invalid_auth") || len(d.deaf("one")) > 0 {
		t.Errorf("signals: %+v, %+v", s, d.deaf("one"))
	}
	ready := map[string]bool{}
	for _, c := range d.Ready() {
		ready[c.Kind+" "+c.Plan+" "+c.Name] = c.OK
	}
	if len(ready) != 2 || !ready["buttons one chat"] || ready["buttons two chat"] {
		t.Errorf("conditions: %v", ready)
	}

	slack.Fail("apps.connections.open", "")
	if err := d.Reload(nil); err != nil { // as SIGHUP does once the token was replaced
		t.Fatal(err)
	}
	slack.Connected()
	until(t, "the end of the signal", func() bool { return len(d.deaf("two")) == 0 })

	d.hear(nil)
	if n := len(d.heard()); n > 0 {
		t.Errorf("%d places are heard in the end", n)
	}
}

// TestButtonsUnheardAreTold: people are told that their buttons are dead, and that they
// are not any more.
func TestButtonsUnheardAreTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 1)
		s.unheard = true
		d, err := New([]*plans.Plan{s.plan}, s.options())
		s.must(err)
		dead := time.Now().Add(10 * time.Minute)
		d.guards["shop"].deaf = func(plan string) []alert.Signal {
			if plan != "shop" || time.Now().After(dead) {
				return nil
			}
			return []alert.Signal{{Code: ButtonsUnheard, Key: "oncall", Severity: alert.Warning, What: "dead"}}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			d.Run(ctx)
		}()
		defer func() {
			cancel()
			<-done
		}()
		time.Sleep(9 * time.Minute)
		if _, short := s.take(); short != "opened "+ButtonsUnheard {
			t.Errorf("told: %q", short)
		}
		time.Sleep(5 * time.Minute)
		if _, short := s.take(); short != "resolved "+ButtonsUnheard {
			t.Errorf("told: %q", short)
		}
	})
}
