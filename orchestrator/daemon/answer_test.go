package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/notify"
)

// chatty is the shop with a chat where several may press, and with a manual step.
func chatty(approvals int, more string) string {
	chat := fmt.Sprintf(`{name: oncall, type: slack, target: "#dr", token: {env: T}, app_token: {env: A}, approvers: [U1, U2, U3], approvals: %d}`, approvals)
	return strings.Replace(shop, "{name: oncall, type: slack-webhook, url: {env: ONCALL}}", chat, 1) + more
}

const withStep = `hooks:
  - {name: users, when: before-run, manual: tell the users, timeout: 30m}
`

// opened are the sites, for a test of its own.
func (s *stage) opened() *orchestrator.Sites {
	o := s.options()
	return orchestrator.OpenSites(s.t.Context(), s.plan, o.Open, o.Hands)
}

// switchover begins one to b, in the background; done waits for its end.
func (s *stage) switchover() (run string, done func() *orchestrator.RunReport) {
	s.t.Helper()
	sites := s.opened()
	p, err := orchestrator.PrepareSwitchover(s.t.Context(), s.plan, sites, orchestrator.SwitchoverOptions{To: "b", NoWayBack: true})
	s.must(err)
	s.must(p.Refused)
	var report *orchestrator.RunReport // its error is that of its outcome
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		report, err = orchestrator.Start(context.WithoutCancel(s.t.Context()), s.plan, sites, p, orchestrator.RunOptions{})
	}()
	return p.Run.ID, func() *orchestrator.RunReport {
		<-ended
		s.must(sites.Close())
		if report == nil {
			s.t.Fatal(err)
		}
		return report
	}
}

// pressed is what somebody presses of what a message asks.
func pressed(m alert.Message, user, option string) notify.Press {
	return notify.Press{
		Plan: "shop", Channel: "oncall", IncidentID: m.ID, User: user, Name: strings.ToLower(user) + "-name", Action: notify.Choose,
		Kind: m.Asks.Kind, Subject: m.Asks.Subject, Option: option, Evidence: m.Asks.Evidence, At: time.Now(),
	}
}

// asks waits for a message, and wants it to be the only one and to ask something.
func (s *stage) asks(after time.Duration, want string) alert.Message {
	s.t.Helper()
	time.Sleep(after)
	all, short := s.take()
	if short != want || all[len(all)-1].Asks == nil {
		s.t.Fatalf("told: %s, not %s: %+v", short, want, all)
	}
	return all[len(all)-1]
}

// refused presses, and wants it refused as stale for a reason.
func (s *stage) refused(d *Daemon, p notify.Press, why string) {
	s.t.Helper()
	if reply, err := d.press(p); !errors.Is(err, orchestrator.ErrStale) || !strings.Contains(err.Error(), why) {
		s.t.Errorf("pressed by %s: %q, %v; not %q", p.User, reply, err, why)
	}
}

// TestManualStep has a person approve a run's manual step by a button.
func TestManualStep(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStageOf(t, chatty(1, withStep), 3)
		d, end := s.begin()
		defer end()
		time.Sleep(time.Minute)
		run, done := s.switchover()
		m := s.asks(15*time.Second, "opened manual-step")
		if m.What != "the switchover waits for a person: tell the users" || m.Next != "drover runs approve plan.yaml "+run+" hook/before-run/users" || m.Severity != alert.Warning {
			t.Errorf("%+v", m)
		}
		p := pressed(m, "U1", alert.Approve)
		other := p
		other.Evidence = "e0"
		s.refused(d, other, "the message shows newer evidence by now")
		other = p
		other.Subject = run + " hook/before-run/bank"
		s.refused(d, other, "the run has not come to that step")
		other.Subject = "switchover-1 hook/before-run/users"
		s.refused(d, other, `no run "switchover-1" is recorded`)
		if reply, err := d.press(p); err != nil || reply != "Approved by Slack user u1-name (U1): hook/before-run/users. The run goes on: drover runs show plan.yaml "+run {
			t.Fatalf("%q, %v", reply, err)
		}
		s.refused(d, p, "it was approved by Slack user u1-name (U1) at ")
		if report := done(); report.Outcome != orchestrator.RunDone {
			t.Errorf("%+v", report)
		}
		time.Sleep(15 * time.Second)
		if _, short := s.take(); short != "resolved manual-step" {
			t.Errorf("told then: %s", short)
		}
		time.Sleep(20 * time.Minute) // the approval is over
		s.refused(d, p, "the run is over: done")

		sites := s.opened()
		book, err := orchestrator.ReadBook(t.Context(), s.plan, sites)
		s.must(err)
		a, _ := book.Approved(run, "hook/before-run/users", "", time.Now())
		if a == nil || a.By != "Slack user u1-name (U1)" || a.Evidence != "" || a.Until.Sub(a.At) != 15*time.Minute || a.Reason != "by a button of the channel oncall" {
			t.Errorf("recorded: %+v", a)
		}
		s.must(book.Close(t.Context()))
		s.must(sites.Close())
	})
}

// TestManualStepWhileASiteIsGone wants the step's message to come, and to be over,
// though one site is silent: so it is in a failover.
func TestManualStepWhileASiteIsGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStageOf(t, chatty(1, withStep), 3)
		d, end := s.begin()
		defer end()
		s.world.Vanish("a")
		time.Sleep(5 * time.Minute)
		if _, short := s.take(); short != "opened site-unknown" {
			t.Fatalf("told: %s", short)
		}
		sites := s.opened()
		p, err := orchestrator.PrepareFailover(t.Context(), s.plan, sites, orchestrator.FailoverOptions{From: "a", To: "b", LeaveDaemon: true, Reason: "gone"})
		s.must(err)
		s.must(p.Refused)
		ended := make(chan error, 1)
		go func() {
			_, err := orchestrator.Start(t.Context(), s.plan, sites, p, orchestrator.RunOptions{Word: true})
			ended <- err
		}()
		m := s.asks(30*time.Second, "opened manual-step")
		if _, err := d.press(pressed(m, "U1", alert.Approve)); err != nil {
			t.Error(err)
		}
		s.must(<-ended)
		s.must(sites.Close())
		time.Sleep(30 * time.Second)
		all, short := s.take()
		if !strings.Contains(short, "resolved manual-step") {
			t.Errorf("told then: %s %+v", short, all)
		}
	})
}

// TestManualStepTakesTwo has the approval of a step need two people, and the daemon
// started anew between them.
func TestManualStepTakesTwo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStageOf(t, chatty(2, withStep), 1)
		d, end := s.begin()
		time.Sleep(time.Minute)
		run, done := s.switchover()
		m := s.asks(15*time.Second, "opened manual-step")
		reply, err := d.press(pressed(m, "U1", alert.Approve))
		if err != nil || reply != "Slack user u1-name (U1) has chosen approve. Nothing is done before 2 approvers have chosen the same: 1 more." {
			t.Fatalf("%q, %v", reply, err)
		}
		m = s.asks(2*time.Second, "changed manual-step")
		if len(m.Choices) != 1 || m.Choices[0].Who != "U1" {
			t.Errorf("shown: %+v", m.Choices)
		}
		if _, err := d.press(pressed(m, "U1", alert.Approve)); err != nil {
			t.Error(err)
		}
		end()
		d, end = s.begin()
		defer end()
		time.Sleep(time.Minute)
		if reply, err := d.press(pressed(m, "U2", alert.Approve)); err != nil || !strings.HasPrefix(reply, "Approved by Slack user u1-name (U1) and Slack user u2-name (U2)") {
			t.Fatalf("run %s: %q, %v", run, reply, err)
		}
		if report := done(); report.Outcome != orchestrator.RunDone {
			t.Errorf("%+v", report)
		}
	})
}

// TestManualStepTooLate wants no question where nobody approved in time.
func TestManualStepTooLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStageOf(t, chatty(1, withStep), 1)
		d, end := s.begin()
		defer end()
		time.Sleep(time.Minute)
		_, done := s.switchover()
		m := s.asks(15*time.Second, "opened manual-step")
		if report := done(); report.Outcome == orchestrator.RunDone {
			t.Errorf("%+v", report)
		}
		time.Sleep(15 * time.Second)
		if _, short := s.take(); !strings.Contains(short, "resolved manual-step") || strings.Contains(short, "opened manual-step") {
			t.Errorf("told then: %s", short)
		}
		s.refused(d, pressed(m, "U1", alert.Approve), "does not wait for this step any more: the run is over: aborted")
	})
}

// split makes an image primary at both sites.
func (s *stage) split(i int) {
	s.t.Helper()
	s.must(s.world.Site("b").Promote(s.t.Context(), s.refs[i], true))
	s.must(s.world.Write("a", s.refs[i], 4096, []byte("written at a")))
	s.must(s.world.Write("b", s.refs[i], 4096, []byte("written at b")))
}

// TestResyncTakesTwo has two people choose which copy stays: first of two minds, then
// of one, with a start of the daemon between, and after the evidence has changed.
func TestResyncTakesTwo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStageOf(t, chatty(2, ""), 2)
		d, end := s.begin()
		time.Sleep(time.Minute)
		s.split(1)
		m := s.asks(time.Minute, "opened split-brain")
		s.must(s.world.Write("b", s.refs[1], 8192, []byte("more at b"))) // which would be lost
		time.Sleep(10 * time.Second)
		s.refused(d, pressed(m, "U1", "a"), "what would be lost is not what the message says")
		old := m
		m = s.asks(20*time.Second, "changed split-brain")
		s.refused(d, pressed(old, "U1", "a"), "the message shows newer evidence by now")
		if reply, err := d.press(pressed(m, "U1", "a")); err != nil || !strings.Contains(reply, "1 more") {
			t.Fatalf("%q, %v", reply, err)
		}
		if reply, err := d.press(pressed(m, "U2", "b")); err != nil || !strings.HasPrefix(reply, "Nothing is done: ") {
			t.Fatalf("%q, %v", reply, err)
		}
		time.Sleep(time.Minute)
		if all, _ := s.take(); len(all) != 2 || len(all[1].Choices) != 2 {
			t.Errorf("shown: %+v", all)
		}
		if at := s.world.Primaries(s.refs[1]); len(at) != 2 {
			t.Errorf("of two minds: primary at %v", at)
		}
		end()
		d, end = s.begin()
		defer end()
		time.Sleep(time.Minute)
		if _, short := s.take(); short != "" {
			t.Errorf("told after a start: %s", short)
		}
		if reply, err := d.press(pressed(m, "U2", "a")); err != nil || !strings.Contains(reply, "begins: the copy at a stays, the one at b is kept aside and discarded. Chosen by Slack user u1-name (U1) and Slack user u2-name (U2).") {
			t.Fatalf("%q, %v", reply, err)
		}
		time.Sleep(10 * time.Minute)
		if at := s.world.Primaries(s.refs[1]); len(at) != 1 || at[0] != "a" {
			t.Errorf("in the end: primary at %v", at)
		}
	})
}

// TestQuestionsExpire wants a press that comes too late to be refused, and the message
// to ask anew: on the same evidence where nothing has changed, on newer where it has.
func TestQuestionsExpire(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStageOf(t, strings.Replace(chatty(1, ""), "notifications:\n", "notifications:\n  answer_within: 20m\n", 1), 2)
		d, end := s.begin()
		defer end()
		time.Sleep(time.Minute)
		s.split(1)
		m := s.asks(time.Minute, "opened split-brain")
		if got := m.Asks.Until.Sub(m.At); got != 20*time.Minute {
			t.Errorf("good for %s", got)
		}
		time.Sleep(20 * time.Minute)
		s.refused(d, pressed(m, "U1", "a"), "the question was asked too long ago for an answer to count")
		again := s.asks(2*time.Second, "changed split-brain")
		if again.Asks.Evidence != m.Asks.Evidence || !again.Asks.Until.After(time.Now().Add(19*time.Minute)) {
			t.Errorf("asked again: %+v", again.Asks)
		}
		s.must(s.world.Write("b", s.refs[1], 8192, []byte("more at b")))
		time.Sleep(20 * time.Minute)
		s.refused(d, pressed(again, "U1", "a"), "the question was asked too long ago for an answer to count")
		m = s.asks(20*time.Second, "changed split-brain")
		if m.Asks.Evidence == again.Asks.Evidence {
			t.Errorf("asked on the old evidence: %+v", m.Asks)
		}
		if at := s.world.Primaries(s.refs[1]); len(at) != 2 {
			t.Errorf("too late: primary at %v", at)
		}
		if reply, err := d.press(pressed(m, "U1", "a")); err != nil || !strings.Contains(reply, "the copy at a stays") {
			t.Errorf("%q, %v", reply, err)
		}
		time.Sleep(10 * time.Minute)
	})
}

// TestManySplitBrains wants one message of many images that turn split-brain at once,
// with the command for all of them, and a thread for each of a few.
func TestManySplitBrains(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStageOf(t, chatty(1, ""), 60)
		_, end := s.begin()
		defer end()
		time.Sleep(time.Minute)
		for i := range 50 {
			s.must(s.world.Site("b").Promote(t.Context(), s.refs[i], true))
		}
		time.Sleep(3 * time.Minute)
		all, short := s.take()
		if short != "opened split-brain" || all[0].Images != 50 || len(all[0].Worst) != 10 || all[0].Asks != nil ||
			all[0].Next != "drover resync plan.yaml --all --keep a --dry-run\ndrover resync plan.yaml --all --keep b --dry-run" || !strings.Contains(all[0].What, "50 images") {
			t.Fatalf("told: %s %+v", short, all)
		}
		if d := all[0].Details; d[0].Name != "no buttons" || !strings.Contains(d[1].Text, "a: primary; b: primary") {
			t.Errorf("details: %+v", d)
		}
		s.must(s.world.Site("b").Promote(t.Context(), s.refs[55], true))
		time.Sleep(20 * time.Second)
		if all, short := s.take(); short != "changed split-brain" || all[0].Images != 51 ||
			all[0].Details[len(all[0].Details)-1].Text != s.refs[55].String() {
			t.Errorf("told of one more: %s %+v", short, all)
		}
		time.Sleep(time.Hour)
		if _, short := s.take(); short != "" {
			t.Errorf("told again: %s", short)
		}
	})
}

// TestAcknowledgedByRecord: an incident is taken on from the command line, once: what
// happens to it later is nobody's again.
func TestAcknowledgedByRecord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStageOf(t, chatty(1, ""), 6)
		_, end := s.begin()
		defer end()
		hears := func(within time.Duration, want string) alert.Message {
			t.Helper()
			time.Sleep(within)
			all, short := s.take()
			if short != want {
				t.Fatalf("told: %s, not %s", short, want)
			}
			return all[0]
		}
		time.Sleep(time.Minute)
		for i := range 4 { // one message for all
			s.must(s.world.Site("b").Promote(t.Context(), s.refs[i], true))
		}
		m := hears(time.Minute, "opened split-brain")
		sites := s.opened()
		book, err := orchestrator.ReadBook(t.Context(), s.plan, sites)
		s.must(err)
		for range 2 {
			s.must(book.Acknowledge(t.Context(), m.ID))
		}
		s.must(book.Acknowledge(t.Context(), "0123456789ab")) // nobody knows it
		s.must(book.Close(t.Context()))
		s.must(sites.Close())
		if m = hears(30*time.Second, "changed split-brain"); m.Acknowledged == "" {
			t.Errorf("told: %+v", m)
		}
		s.must(s.world.Site("b").Promote(t.Context(), s.refs[5], true))
		if m = hears(30*time.Second, "changed split-brain"); m.Acknowledged != "" || m.Images != 5 {
			t.Errorf("told of one more: %+v", m)
		}
		time.Sleep(time.Hour)
		if _, short := s.take(); short != "" {
			t.Errorf("told again: %s", short)
		}
	})
}
