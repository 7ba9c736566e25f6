package notify

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/test/slackfake"
)

// listening starts a listener, and returns what ends it.
func listening(t testing.TB, l *Listener, press func(Press) (string, error)) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Listen(ctx, press)
	}()
	end = sync.OnceFunc(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Error("listening does not end")
		}
	})
	t.Cleanup(end)
	return end
}

func TestSlackPresses(t *testing.T) {
	s := slackfake.New(t)
	place := Place{"two-way", slackChannel(t)}
	o := Options{SlackURL: s.URL, Now: func() time.Time { return began }}
	receipt := sent(t, opened(t, place.Channel, o), splitBrain(), "")
	buttons := slackfake.Buttons(t, s.Calls()[0].Values.Get("blocks"))
	_, ts, _ := strings.Cut(string(receipt), "/")

	presses := make(chan Press, 10)
	answer := map[string]error{Choose: errors.New("the evidence has changed: <e5f1>")}
	all := Listeners([]Place{place}, o)
	if len(all) != 1 {
		t.Fatalf("%d listeners", len(all))
	}
	end := listening(t, all[0], func(p Press) (string, error) {
		presses <- p
		return "Taken on by <@" + p.User + ">.", answer[p.Action]
	})
	one := s.Connected()

	s.Press(one, "U1", buttons["drover-acknowledge"], ts)
	reply := s.WaitFor("chat.postMessage")
	if reply.Get("thread_ts") != ts || reply.Get("channel") != "C0#dr" || reply.Get("text") != "Taken on by &lt;@U1&gt;." {
		t.Errorf("replied %v", reply)
	}
	want := Press{
		Plan: "two-way", Channel: "chat", IncidentID: "two-way/split-brain/h1", User: "U1", Action: Acknowledge, At: began,
	}
	if diff := cmp.Diff(want, <-presses); diff != "" {
		t.Errorf("the press (-want +got):\n%s", diff)
	}

	s.Press(one, "U2", buttons["drover-choose-1"], ts)
	if reply := s.WaitFor("chat.postMessage"); reply.Get("thread_ts") != ts ||
		reply.Get("text") != "Not done: the evidence has changed: &lt;e5f1&gt;" {
		t.Errorf("replied %v", reply)
	}
	want = Press{
		Plan: "two-way", Channel: "chat", IncidentID: "two-way/split-brain/h1", User: "U2", Action: Choose,
		Kind: "resync", Subject: "h1", Option: "b", Evidence: "e5f0", At: began,
	}
	if diff := cmp.Diff(want, <-presses); diff != "" {
		t.Errorf("the press (-want +got):\n%s", diff)
	}

	// Nobody else may, and no other channel's button counts.
	for _, c := range []struct{ user, value, want string }{
		{"U3", buttons["drover-choose-1"], "You may not press this button: U3 is not among the approvers of channel chat in plan two-way."},
		{"", buttons["drover-choose-1"], "You may not press this button"},
		{"U1", strings.Replace(buttons["drover-choose-1"], `"p":"two-way"`, `"p":"other"`, 1), "no drover that hears it watches channel chat of plan other"},
		{"U1", strings.Replace(buttons["drover-choose-1"], `"c":"chat"`, `"c":"other"`, 1), "no drover that hears it watches channel other"},
	} {
		s.Press(one, c.user, c.value, ts)
		told := s.WaitFor("chat.postEphemeral")
		if told.Get("user") != c.user || told.Get("channel") != "C0#dr" || !strings.Contains(told.Get("text"), c.want) {
			t.Errorf("told %v, not %q", told, c.want)
		}
	}
	for _, other := range []string{"", "{}", `{"a":"destroy"}`, `[1]`} {
		s.Press(one, "U1", other, ts)
	}
	end()
	select {
	case p := <-presses:
		t.Errorf("pressed: %+v", p)
	default:
	}
	if said := s.Calls(); len(said) != 0 {
		t.Errorf("said %v", said)
	}
}

// TestSlackReconnects breaks the connection, in two ways, and refuses the next.
func TestSlackReconnects(t *testing.T) {
	s := slackfake.New(t)
	heard := make(chan Press, 10)
	var log lockedBuffer
	o := Options{SlackURL: s.URL, Log: slog.New(slog.NewTextHandler(&log, nil))}
	end := listening(t, Listeners([]Place{{"two-way", slackChannel(t)}}, o)[0], func(p Press) (string, error) {
		heard <- p
		return "", nil
	})
	value := `{"p":"two-way","c":"chat","i":"i","a":"acknowledge"}`
	one := s.Connected()
	s.Press(one, "U1", value, "1.0")
	<-heard
	s.Fail("apps.connections.open", "internal_error")
	_ = one.Conn.Close()
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(log.String(), "internal_error"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log: %s", &log)
		}
	}
	s.Fail("apps.connections.open", "")
	one = s.Connected()
	if err := one.Conn.WriteJSON(map[string]string{"type": "disconnect", "reason": "refresh_requested"}); err != nil {
		t.Fatal(err)
	}
	one = s.Connected()
	s.Press(one, "U1", value, "1.0")
	<-heard
	end()
}

// TestSlackManyPresses acknowledges in time however long one takes.
func TestSlackManyPresses(t *testing.T) {
	s := slackfake.New(t)
	release := make(chan struct{})
	heard := make(chan Press, 10)
	end := listening(t, Listeners([]Place{{"two-way", slackChannel(t)}}, Options{SlackURL: s.URL})[0], func(p Press) (string, error) {
		<-release
		heard <- p
		return "", nil
	})
	one := s.Connected()
	for range 3 {
		s.Press(one, "U1", `{"p":"two-way","c":"chat","i":"i","a":"acknowledge"}`, "1.0")
	}
	close(release)
	for range 3 {
		<-heard
	}
	end()
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

// TestSlackListenRefused: who is refused says so, and tries again: after a while, and
// when told that the token was replaced.
func TestSlackListenRefused(t *testing.T) {
	usual := refusedPause
	defer func() { refusedPause = usual }()
	for _, c := range []struct {
		code  string
		pause time.Duration
		retry bool
	}{
		{"invalid_auth", time.Hour, true},
		{"missing_scope", time.Millisecond, false},
		{"not_allowed_token_type", time.Hour, true},
	} {
		refusedPause = c.pause
		s := slackfake.New(t)
		s.Fail("apps.connections.open", c.code)
		l := Listeners([]Place{{"two-way", slackChannel(t)}}, Options{SlackURL: s.URL})[0]
		heard := make(chan Press, 1)
		end := listening(t, l, func(p Press) (string, error) {
			heard <- p
			return "", nil
		})
		until(t, c.code+" is told", func() bool { return l.Fault() != nil })
		if err := l.Fault(); !isPermanent(err) || !strings.Contains(err.Error(), "slack channel chat: listening for buttons: Slack answers "+c.code) {
			t.Errorf("%s: %v", c.code, err)
		}
		s.Fail("apps.connections.open", "")
		if c.retry {
			l.Retry()
		}
		s.Press(s.Connected(), "U1", `{"p":"two-way","c":"chat","i":"i","a":"acknowledge"}`, "1.0")
		<-heard
		if err := l.Fault(); err != nil {
			t.Errorf("it hears, and says: %v", err)
		}
		end()
	}
}

// TestSlackPressesAreDrained: what Slack was told is heard is heard, also where
// listening ends before its turn.
func TestSlackPressesAreDrained(t *testing.T) {
	s := slackfake.New(t)
	release := make(chan struct{})
	heard := make(chan Press, 10)
	end := listening(t, Listeners([]Place{{"two-way", slackChannel(t)}}, Options{SlackURL: s.URL})[0], func(p Press) (string, error) {
		heard <- p
		<-release
		return "done", nil
	})
	one := s.Connected()
	for range 3 { // Press waits until Slack is told that it is heard
		s.Press(one, "U1", `{"p":"two-way","c":"chat","i":"i","a":"acknowledge"}`, "1.0")
	}
	<-heard
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		end()
	}()
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	<-ended
	if n := len(heard); n != 2 {
		t.Errorf("%d presses of 2 that waited were heard", n)
	}
	replies := 0
	for _, c := range s.Calls() {
		if c.Method == "chat.postMessage" && c.Values.Get("text") == "done" {
			replies++
		}
	}
	if replies != 3 {
		t.Errorf("%d of 3 presses were answered: %v", replies, s.Calls())
	}
}

// TestListeners has one listener for each app.
func TestListeners(t *testing.T) {
	a, b, deaf, nobody := slackChannel(t), slackChannel(t), slackChannel(t), slackChannel(t)
	b.Name, deaf.App, nobody.Approve = "b", plans.Secret{}, nil
	same := b
	same.App = a.App
	all := Listeners([]Place{{"p", a}, {"p", b}, {"q", same}, {"q", deaf}, {"q", nobody}, {"q", plans.Channel{Type: plans.ChannelEmail}}}, Options{})
	var got []string
	for _, l := range all {
		got = append(got, l.String())
	}
	if diff := cmp.Diff([]string{"Slack buttons of p/chat q/b", "Slack buttons of p/b"}, got); diff != "" {
		t.Errorf("listeners (-want +got):\n%s", diff)
	}
}

// lockedBuffer is a buffer for several writers.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(text)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
