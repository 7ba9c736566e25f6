package daemon

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/notify"
	"github.com/drover-io/drover/test/memnet"
	"github.com/drover-io/drover/test/slackfake"
)

// street is a stage whose daemon reaches Slack and a webhook by a network in memory.
type street struct {
	*stage
	net   memnet.Network
	slack *slackfake.Server
	door  net.Listener // of Slack

	mu   sync.Mutex
	said []alert.Message // to the webhook, which always takes them
}

const slackAt, hookAt = "slack.test:80", "hook.test:80"

// streetPlan tells everything to both.
func streetPlan() string {
	text := chatty(1, "")
	text = strings.Replace(text, "{env: T}", "{env: SLACK_TOKEN}", 1)
	text = strings.Replace(text, "{env: A}", "{env: SLACK_APP}", 1)
	text = strings.Replace(text, "{name: pulse, type: heartbeat, url: {env: PULSE}}", "{name: log, type: webhook, url: {env: HOOK}}", 1)
	return strings.Replace(text, "channels: [oncall]", "channels: [oncall, log]", 1)
}

func newStreet(t *testing.T, images int) *street {
	t.Helper()
	s := &street{stage: newStageOf(t, streetPlan(), images)}
	s.door = s.net.Listen(slackAt)
	s.slack = slackfake.NewOn(t, s.door)
	hook := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var e notify.Envelope
		text, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(text, &e)
		}
		if err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.said = append(s.said, e.Message)
	})}
	listener := s.net.Listen(hookAt)
	go func() { _ = hook.Serve(listener) }()
	t.Cleanup(func() { _ = hook.Close() })
	return s
}

func (s *street) options() Options {
	o := s.stage.options()
	o.Channel = nil
	o.Notify = notify.Options{SlackURL: s.slack.URL, Dial: s.net.Dial}
	return o
}

func (s *street) begin() (*Daemon, func()) { return s.beginWith(s.options()) }

// incidents are the ids that the webhook was told of, in order, and the last of what
// it was told of each.
func (s *street) incidents() (ids []string, last map[string]alert.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last = map[string]alert.Message{}
	for _, m := range s.said {
		if !slices.Contains(ids, m.ID) {
			ids = append(ids, m.ID)
		}
		last[m.ID] = m
	}
	return ids, last
}

var incidentRE = regexp.MustCompile(`Incident ([0-9a-f]{12})`)

// idOf is the incident of a message in Slack.
func idOf(t *testing.T, message url.Values) string {
	t.Helper()
	_, plain := slackfake.Blocks(t, message.Get("blocks"))
	found := incidentRE.FindStringSubmatch(plain)
	if found == nil {
		t.Fatalf("no incident in %s", plain)
	}
	return found[1]
}

// TestSlackOutage has Slack fail in every way for many minutes, while incidents come
// and go and the daemon is started anew: each incident that was told in the end has
// one thread, which says how it is, and nothing is said twice.
func TestSlackOutage(t *testing.T) {
	t.Setenv("SLACK_TOKEN", slackfake.Token)
	t.Setenv("SLACK_APP", slackfake.AppToken)
	t.Setenv("HOOK", "http://"+hookAt+"/in")
	bubble(t, func(t *testing.T) {
		s := newStreet(t, 6)
		d, end := s.begin()
		time.Sleep(time.Minute)
		ear := s.slack.Connected()
		s.split(0) // told while all is well
		time.Sleep(2 * time.Minute)
		if got := s.slack.Threads(); len(got) != 1 || len(got[0].Replies) != 0 {
			t.Fatalf("threads: %+v", got)
		}

		// Its message can be changed, and its thread not be written to.
		first := s.slack.Threads()[0]
		s.slack.Fail("chat.postMessage", "internal_error")
		_, err := d.press(notify.Press{Plan: "shop", Channel: "oncall", IncidentID: idOf(t, first.Root), User: "U1", Action: notify.Acknowledge})
		s.must(err)
		time.Sleep(time.Minute)
		s.slack.Outage(http.StatusInternalServerError)
		s.slack.Fail("chat.postMessage", "")
		s.split(1)
		s.world.Vanish("b")
		time.Sleep(4 * time.Minute)
		s.slack.Outage(http.StatusTooManyRequests)
		time.Sleep(3 * time.Minute)
		end()
		_ = ear.Conn.Close()
		_, end = s.begin()
		time.Sleep(2 * time.Minute)
		s.slack.Outage(slackfake.Silent)
		s.world.Return("b")
		time.Sleep(5 * time.Minute)
		s.split(2)
		time.Sleep(2 * time.Minute)
		end()
		time.Sleep(time.Minute)
		d, end = s.begin()
		defer func() { end() }()
		s.slack.Outage(http.StatusBadGateway)
		time.Sleep(3 * time.Minute)
		if failing := !ready(d, "oncall"); !failing {
			t.Error("ready, though Slack takes nothing")
		}
		s.must(s.door.Close()) // the connection is refused
		time.Sleep(3 * time.Minute)
		s.slack.Latest()
		waiting, _ := s.incidents()
		s.slack.Serve(s.net.Listen(slackAt))
		s.slack.Outage(0)
		time.Sleep(65 * time.Second) // the longest pause, and a moment
		s.caughtUp(waiting)
		ear = s.slack.Latest()
		if ear == nil {
			t.Fatal("nobody hears buttons a minute after Slack is back")
		}
		time.Sleep(14 * time.Minute)
		if !ready(d, "oncall") {
			t.Errorf("not ready: %+v", d.Ready())
		}

		ids, last := s.incidents()
		if len(ids) < 4 {
			t.Fatalf("%d incidents", len(ids))
		}
		threads := map[string]slackfake.Thread{}
		for _, thread := range s.slack.Threads() {
			id := idOf(t, thread.Root)
			if _, twice := threads[id]; twice {
				t.Errorf("incident %s (%s) has two threads", id, last[id].Code)
			}
			threads[id] = thread
			var said []string
			for _, reply := range thread.Replies {
				said = append(said, reply.Get("text"))
			}
			if unique := slices.Compact(slices.Sorted(slices.Values(said))); len(unique) != len(said) {
				t.Errorf("incident %s (%s) was told twice of: %q", id, last[id].Code, said)
			}
		}
		for _, id := range ids {
			m := last[id]
			if m.Code == alert.ChannelFailing {
				continue // Slack itself is not told that it fails
			}
			thread, ok := threads[id]
			if !ok {
				t.Errorf("Slack was never told of %s (%s)", id, m.Code)
				continue
			}
			_, plain := slackfake.Blocks(t, thread.Root.Get("blocks"))
			if over := strings.Contains(plain, "✅ RESOLVED"); over != (m.Kind == alert.Resolved) {
				t.Errorf("%s is %s, and Slack shows: %s", m.Code, m.Kind, plain)
			}
		}
		if got := threads[idOf(t, first.Root)]; len(got.Replies) != 1 || !strings.Contains(got.Replies[0].Get("text"), "CRITICAL, acknowledged") {
			t.Errorf("what had been told when Slack failed: %+v", got)
		}
		if len(threads) > len(ids) {
			t.Errorf("%d threads of %d incidents", len(threads), len(ids))
		}

		// Buttons are heard again.
		var open slackfake.Thread
		for id, thread := range threads {
			if last[id].Code == "split-brain" && last[id].Kind != alert.Resolved && thread.TS != first.TS {
				open = thread
			}
		}

		s.slack.Press(ear, "U2", slackfake.Buttons(t, open.Root.Get("blocks"))["drover-acknowledge"], open.TS)
		time.Sleep(10 * time.Second)
		for _, thread := range s.slack.Threads() {
			replied := slices.ContainsFunc(thread.Replies, func(v url.Values) bool { return v.Get("text") == "Taken on by Slack user U2." })
			if replied != (thread.TS == open.TS) {
				t.Errorf("replied: %v in the thread %s", thread.Replies, thread.TS)
			}
			if _, plain := slackfake.Blocks(t, thread.Root.Get("blocks")); thread.TS == open.TS && !strings.Contains(plain, "Acknowledged by Slack user U2") {
				t.Errorf("Slack shows: %s", plain)
			}
		}
	})
}

// TestSlackAnswersLost has Slack take what it is told, and its answers be lost, while
// the daemon is started anew: nothing is there twice.
func TestSlackAnswersLost(t *testing.T) {
	t.Setenv("SLACK_TOKEN", slackfake.Token)
	t.Setenv("SLACK_APP", slackfake.AppToken)
	t.Setenv("HOOK", "http://"+hookAt+"/in")
	for name, status := range map[string]int{
		"cut": slackfake.Cut, "silent": slackfake.Silent, "gateway": http.StatusGatewayTimeout,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := newStreet(t, 6)
				_, end := s.begin()
				time.Sleep(time.Minute)
				s.split(0) // from its answer, which comes, the channel's id is known
				time.Sleep(time.Minute)
				s.slack.Lose("chat.postMessage", status, 1)
				s.split(1)
				s.lost(status)
				end()
				d, end := s.begin()
				defer func() { end() }()
				time.Sleep(time.Minute)
				if got := s.slack.Threads(); len(got) != 2 || len(got[1].Replies) != 0 {
					t.Fatalf("threads: %+v", got)
				}

				second := s.slack.Threads()[1]
				s.slack.Lose("chat.postMessage", status, 1)
				_, err := d.press(notify.Press{Plan: "shop", Channel: "oncall", IncidentID: idOf(t, second.Root), User: "U1", Action: notify.Acknowledge})
				s.must(err)
				s.lost(status)
				end()
				_, end = s.begin()
				time.Sleep(2 * time.Minute)
				got := s.slack.Threads()
				if len(got) != 2 || len(got[0].Replies) != 0 || len(got[1].Replies) != 1 {
					t.Errorf("threads: %+v", got)
				}
			})
		})
	}
}

// lost waits until an answer of Slack's is lost, and the daemon has noted it.
func (s *street) lost(status int) {
	s.t.Helper()
	for began := time.Now(); s.slack.Losing("chat.postMessage"); time.Sleep(100 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			s.t.Fatal("nothing was posted")
		}
	}
	if status == slackfake.Silent {
		time.Sleep(10 * time.Second)
	}
	time.Sleep(100 * time.Millisecond)
}

// caughtUp fails unless Slack was told of each of these incidents, but of that it fails.
func (s *street) caughtUp(ids []string) {
	s.t.Helper()
	told := map[string]bool{}
	for _, thread := range s.slack.Threads() {
		told[idOf(s.t, thread.Root)] = true
	}
	_, last := s.incidents()
	for _, id := range ids {
		if !told[id] && last[id].Code != alert.ChannelFailing {
			s.t.Errorf("Slack is not told of %s (%s) a minute after it is back", id, last[id].Code)
		}
	}
}

func ready(d *Daemon, channel string) bool {
	for _, c := range d.Ready() {
		if c.Kind == "channel" && c.Name == channel {
			return c.OK
		}
	}
	return false
}
