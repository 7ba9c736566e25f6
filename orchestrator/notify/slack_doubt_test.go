package notify

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/test/memnet"
	"github.com/drover-io/drover/test/slackfake"
)

// lossy is a Slack, in synctest's time, whose answers may be lost.
type lossy struct {
	*slackfake.Server
	t    *testing.T
	net  memnet.Network
	door net.Listener
	log  lockedBuffer
	to   string // target
}

func newLossy(t *testing.T, to string) *lossy {
	l := &lossy{t: t, to: to}
	l.door = l.net.Listen("slack.test:80")
	l.Server = slackfake.NewOn(t, l.door)
	return l
}

// open is a channel as after a restart: it knows nothing of what was posted.
func (l *lossy) open() alert.Channel {
	c := slackChannel(l.t)
	c.Target = l.to
	return opened(l.t, c, Options{SlackURL: l.URL, Dial: l.net.Dial, Log: slog.New(slog.NewTextHandler(&l.log, nil))})
}

// failed sends in vain, and returns what the next try is given.
func (l *lossy) failed(c alert.Channel, m alert.Message, last alert.Receipt) alert.Receipt {
	l.t.Helper()
	_, err := c.Send(l.t.Context(), m, last)
	var f *Failure
	if !errors.As(err, &f) {
		l.t.Fatalf("the message was sent: %v", err)
	}
	time.Sleep(time.Second)
	if f.Receipt() == "" {
		return last
	}
	return f.Receipt()
}

// shows wants threads with so many updates and replies each, as "UPDATES/REPLIES".
func (l *lossy) shows(want ...string) {
	l.t.Helper()
	var got []string
	for _, thread := range l.Threads() {
		got = append(got, fmt.Sprintf("%d/%d", thread.Updates, len(thread.Replies)))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		l.t.Errorf("threads %v, want %v\n%s", got, want, &l.log)
	}
}

const (
	byName = "#dr"
	byID   = "C0123ABCD"
)

// later is what is told of an incident next.
func later(m alert.Message) alert.Message {
	m.Kind, m.What, m.At = alert.Changed, "it is worse", m.At.Add(time.Minute)
	return m
}

// TestSlackAnswerLost: what Slack has is not posted again, however its answer was lost,
// and whoever tries again.
func TestSlackAnswerLost(t *testing.T) {
	for name, status := range map[string]int{
		"cut": slackfake.Cut, "silent": slackfake.Silent, "gateway": http.StatusGatewayTimeout,
	} {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restarted %v", name, restarted), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLossy(t, byID)
					c, m := l.open(), splitBrain()
					again := func() {
						if restarted {
							c = l.open()
						}
					}
					l.Lose("chat.postMessage", status, 1)
					doubt := l.failed(c, m, "")
					l.shows("0/0")
					again()
					receipt := sent(t, c, m, doubt)
					l.shows("0/0")
					if want := alert.Receipt(byID + "/" + l.LastTS()); receipt != want {
						t.Errorf("the receipt is %s, not %s", receipt, want)
					}
					// And in its thread.
					m = later(m)
					l.Lose("chat.postMessage", status, 1)
					doubt = l.failed(c, m, receipt)
					l.shows("1/1")
					again()
					if got := sent(t, c, m, doubt); got != receipt {
						t.Errorf("the receipt becomes %s, not %s", got, receipt)
					}
					l.shows("2/1")
					sent(t, c, later(m), receipt)
					l.shows("3/2")
					if l.log.String() != "" {
						t.Errorf("the log: %s", &l.log)
					}
				})
			})
		}
	}
}

// TestSlackDoubt is what else becomes of a message in doubt.
func TestSlackDoubt(t *testing.T) {
	for name, c := range map[string]struct {
		to   string
		does func(l *lossy, c alert.Channel, m alert.Message)
		want []string
		log  string
	}{
		"it was not posted": {byID, func(l *lossy, c alert.Channel, m alert.Message) {
			l.Fail("chat.postMessage", "internal_error")
			doubt := l.failed(c, m, "")
			l.Fail("chat.postMessage", "")
			m2 := later(m)
			receipt := sent(l.t, c, m, doubt)
			l.Fail("chat.postMessage", "fatal_error")
			doubt = l.failed(c, m2, receipt)
			l.Fail("chat.postMessage", "")
			sent(l.t, c, m2, doubt)
		}, []string{"2/1"}, ""},
		"lost again and again": {byID, func(l *lossy, c alert.Channel, m alert.Message) {
			l.Lose("chat.postMessage", slackfake.Cut, 1)
			doubt := l.failed(c, m, "")
			l.Outage(http.StatusBadGateway)
			for range 200 {
				doubt = l.failed(c, m, doubt)
				time.Sleep(time.Minute)
			}
			l.Outage(0)
			sent(l.t, c, m, doubt)
		}, []string{"0/0"}, ""},
		"something else is to be said by then": {byID, func(l *lossy, c alert.Channel, m alert.Message) {
			l.Lose("chat.postMessage", slackfake.Cut, 1)
			doubt := l.failed(c, m, "")
			m.Kind, m.What = alert.Resolved, "over"
			sent(l.t, c, m, doubt)
		}, []string{"1/1"}, ""},
		"much was posted since": {byID, func(l *lossy, c alert.Channel, m alert.Message) {
			l.Lose("chat.postMessage", slackfake.Cut, 1)
			doubt := l.failed(c, m, "")
			for i := range 2*lookAt + 1 {
				other := m
				other.ID = fmt.Sprint("other", i)
				sent(l.t, c, other, "")
			}
			sent(l.t, c, m, doubt)
		}, strings.Fields(strings.Repeat("0/0 ", 2*lookAt+2)), ""},
		"another channel tells there too": {byID, func(l *lossy, c alert.Channel, m alert.Message) {
			other := slackChannel(l.t)
			other.Name, other.Target = "other", l.to
			sent(l.t, opened(l.t, other, Options{SlackURL: l.URL, Dial: l.net.Dial}), m, "")
			l.Fail("chat.postMessage", "internal_error")
			doubt := l.failed(c, m, "")
			l.Fail("chat.postMessage", "")
			sent(l.t, c, m, doubt)
		}, []string{"0/0", "0/0"}, ""},
		"the thread is gone": {byID, func(l *lossy, c alert.Channel, m alert.Message) {
			sent(l.t, c, m, alert.Receipt(byID+"/1.000001?"+fmt.Sprint(time.Now().Unix())))
		}, []string{"0/0"}, ""},
		"told to a thread that escalates": {byID, func(l *lossy, c alert.Channel, m alert.Message) {
			receipt := sent(l.t, c, m, "")
			m = later(m)
			m.Kind = alert.Escalated
			l.Lose("chat.postMessage", slackfake.Cut, 1)
			sent(l.t, c, m, l.failed(c, m, receipt))
		}, []string{"2/1"}, ""},
		"a name, and nothing was posted there": {byName, func(l *lossy, c alert.Channel, m alert.Message) {
			l.Lose("chat.postMessage", slackfake.Cut, 1)
			sent(l.t, c, m, l.failed(c, m, ""))
		}, []string{"0/0", "0/0"}, "the channel's id is not known"},
		"a name, and something was": {byName, func(l *lossy, c alert.Channel, m alert.Message) {
			other := m
			other.ID = "other"
			sent(l.t, c, other, "")
			l.Lose("chat.postMessage", slackfake.Cut, 1)
			doubt := l.failed(c, m, "")
			sent(l.t, l.open(), m, doubt)
		}, []string{"0/0", "0/0"}, ""},
		"no scope": {byID, func(l *lossy, c alert.Channel, m alert.Message) {
			l.Fail("conversations.history", "missing_scope")
			l.Lose("chat.postMessage", slackfake.Cut, 1)
			sent(l.t, c, m, l.failed(c, m, ""))
		}, []string{"0/0", "0/0"}, "channels:history"},
		"no scope for the thread": {byID, func(l *lossy, c alert.Channel, m alert.Message) {
			receipt := sent(l.t, c, m, "")
			l.Fail("conversations.replies", "missing_scope")
			l.Lose("chat.postMessage", slackfake.Cut, 1)
			sent(l.t, c, later(m), l.failed(c, later(m), receipt))
		}, []string{"2/2"}, "channels:history"},
		"Slack cannot be asked for a moment": {byID, func(l *lossy, c alert.Channel, m alert.Message) {
			l.Lose("chat.postMessage", slackfake.Cut, 1)
			doubt := l.failed(c, m, "")
			l.Lose("conversations.history", slackfake.Silent, 1)
			doubt = l.failed(c, m, doubt)
			sent(l.t, c, m, doubt)
		}, []string{"0/0"}, ""},
		"Slack cannot be asked for long": {byID, func(l *lossy, c alert.Channel, m alert.Message) {
			l.Lose("chat.postMessage", slackfake.Cut, 1)
			l.Lose("conversations.history", slackfake.Silent, 100)
			doubt := l.failed(c, m, "")
			time.Sleep(doubtFor)
			sent(l.t, c, m, doubt)
		}, []string{"0/0", "0/0"}, "posted again"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLossy(t, c.to)
				c.does(l, l.open(), splitBrain())
				l.shows(c.want...)
				if got := l.log.String(); !strings.Contains(got, c.log) || c.log == "" && got != "" {
					t.Errorf("the log says %q, not %q", got, c.log)
				}
			})
		})
	}
}

// TestSlackNoDoubt: what Slack certainly has not is not looked for.
func TestSlackNoDoubt(t *testing.T) {
	for name, does := range map[string]func(l *lossy){
		"the connection is refused": func(l *lossy) { _ = l.door.Close() },
		"too many calls":            func(l *lossy) { l.Limit() },
		"a limit, said by Slack":    func(l *lossy) { l.Fail("chat.postMessage", "ratelimited") },
		"refused":                   func(l *lossy) { l.Fail("chat.postMessage", "invalid_auth") },
		"no such place":             func(l *lossy) { l.Outage(http.StatusNotFound) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLossy(t, byID)
				does(l)
				if got := l.failed(l.open(), splitBrain(), ""); got != "" {
					t.Errorf("in doubt: %s", got)
				}
			})
		})
	}
}

// TestSlackReceipts are read as they were written, also before there was any doubt.
func TestSlackReceipts(t *testing.T) {
	for _, text := range []alert.Receipt{"C0/1.000002", "C0/1.000002?1700000000", "/?1700000000", "C0/?1700000000"} {
		if got := threadOf(text).receipt(); got != text {
			t.Errorf("%s becomes %s", text, got)
		}
	}
	if at := threadOf(""); at.ts != "" || !at.doubt.IsZero() {
		t.Errorf("none is %+v", at)
	}
}
