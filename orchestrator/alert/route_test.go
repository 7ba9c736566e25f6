package alert_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
)

// withBoss adds a route for what nobody has acknowledged for 15 minutes.
func withBoss(o *alert.Options) {
	o.Routes = append(o.Routes, alert.Route{
		Severities: []alert.Severity{alert.Critical}, Channels: []string{"boss", "chat"}, EscalateAfter: 15 * time.Minute,
	})
}

// acknowledge acknowledges the incident of the last message.
func (o *office) acknowledge(who string) {
	o.t.Helper()
	d := o.desk()
	if err := d.Acknowledge(o.now, o.last().ID, who); err != nil {
		o.t.Fatal(err)
	}
	o.store(d)
}

func TestEscalation(t *testing.T) {
	o := newOffice(t, withBoss)
	o.signals = signal("lag", alert.Critical, "b")
	o.pass(30 * time.Second)
	o.told("chat opened lag critical 0", "pager opened lag critical 0")
	o.pass(15*time.Minute - step)
	o.told()
	o.pass(step)
	o.told("chat escalated lag critical 0", "boss escalated lag critical 0")
	o.pass(time.Hour)
	o.told()
	o.signals[0].Asks = &alert.Question{Evidence: "e"}
	o.pass(step)
	o.told("chat changed lag critical 0", "pager changed lag critical 0", "boss changed lag critical 0")
	o.signals = nil
	o.pass(time.Minute)
	o.told("chat resolved lag critical 0", "pager resolved lag critical 0", "boss resolved lag critical 0")
}

func TestEscalationDoesNotWaitForAnotherCheck(t *testing.T) {
	o := newOffice(t, withBoss)
	o.signals = signal("lag", alert.Critical, "b")
	o.pass(time.Minute)
	o.log = nil
	o.now = o.now.Add(time.Hour)
	o.deliver()
	o.told("chat escalated lag critical 0", "boss escalated lag critical 0")
}

func TestWhatIsGoneIsNotEscalated(t *testing.T) {
	o := newOffice(t, withBoss, func(o *alert.Options) { o.Settle[alert.Critical] = 2 * time.Minute })
	o.signals = signal("lag", alert.Critical, "b")
	o.pass(15 * time.Minute)
	o.log = nil
	o.signals = nil
	o.pass(3 * time.Minute)
	o.told("chat resolved lag critical 0", "pager resolved lag critical 0")
}

func TestAcknowledged(t *testing.T) {
	o := newOffice(t, withBoss)
	o.signals = signal("lag", alert.Warning, "b")
	o.pass(time.Minute)
	o.told("chat opened lag warning 0")
	o.acknowledge("ann")
	o.acknowledge("ann")
	o.pass(time.Hour)
	o.told("chat changed lag warning 0")
	if got := o.last().Acknowledged; got != "ann" {
		t.Errorf("acknowledged by %q", got)
	}
	o.signals[0].Severity = alert.Critical
	o.pass(step)
	o.told("chat changed lag critical 0", "pager opened lag critical 0")
	if got := o.last().Acknowledged; got != "" {
		t.Errorf("what has become worse is still acknowledged by %q", got)
	}
	o.pass(14 * time.Minute)
	o.acknowledge("bob")
	o.pass(time.Hour)
	o.told("chat changed lag critical 0", "pager changed lag critical 0")
	if err := o.desk().Acknowledge(o.now, "none", "ann"); !errors.Is(err, alert.ErrNoIncident) {
		t.Errorf("of no incident: %v", err)
	}
	id := o.last().ID
	o.signals = nil
	o.pass(time.Minute)
	if err := o.desk().Acknowledge(o.now, id, "ann"); !errors.Is(err, alert.ErrNoIncident) {
		t.Errorf("of one that is over: %v", err)
	}
}

func TestARiseAfterAFallIsNobodys(t *testing.T) {
	o := newOffice(t, withBoss)
	become := func(severity alert.Severity) {
		o.signals = signal("lag", severity, "b")
		o.signals[0].Asks = &alert.Question{Evidence: string(severity)}
		o.pass(time.Minute)
	}
	become(alert.Critical)
	o.acknowledge("ann")
	become(alert.Warning)
	if got := o.last().Acknowledged; got != "ann" {
		t.Fatalf("acknowledged by %q", got)
	}
	become(alert.Critical)
	if got := o.last().Acknowledged; got != "" {
		t.Errorf("what has become worse again is still acknowledged by %q", got)
	}
	o.log = nil
	o.pass(15 * time.Minute)
	o.told("chat escalated lag critical 0", "boss escalated lag critical 0")
}

func TestAChannelIsNotToldThatItFails(t *testing.T) {
	o := newOffice(t, withBoss)
	o.broken["boss"] = errRefused
	o.signals = signal("lag", alert.Critical, "b")
	o.pass(time.Hour)
	if !slices.Contains(o.tried, "pager channel-failing") || slices.Contains(o.tried, "boss channel-failing") {
		t.Errorf("handed out %q", o.tried)
	}
}

func TestUpAndDownIsEscalatedAllTheSame(t *testing.T) {
	o := newOffice(t, withBoss)
	for i := range 120 {
		severity := []alert.Severity{alert.Critical, alert.Warning}[i%2]
		o.signals = signal("lag", severity, "b")
		// Each change of severity is told because the evidence is new.
		o.signals[0].Asks = &alert.Question{Evidence: string(severity)}
		o.pass(step)
	}
	for _, m := range o.sent {
		if m.Kind == alert.Escalated {
			return
		}
	}
	t.Error("never escalated")
}

func TestARouteThatIsNew(t *testing.T) {
	o := newOffice(t)
	o.signals = signal("lag", alert.Warning, "b")
	o.pass(time.Minute)
	o.told("chat opened lag warning 0")
	o.options.Routes = []alert.Route{{Severities: []alert.Severity{alert.Warning}, Channels: []string{"mail"}}}
	o.pass(time.Minute)
	o.told("mail opened lag warning 0")
	o.signals = nil
	o.pass(2 * time.Minute)
	o.told("mail resolved lag warning 0")
}
