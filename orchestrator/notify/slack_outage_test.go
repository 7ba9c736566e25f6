package notify

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-io/drover/test/slackfake"
)

// listening has the channel's buttons heard; hold is what a press waits for.
func (l *lossy) listening(hold <-chan struct{}) (heard chan Press) {
	heard = make(chan Press, 10)
	o := Options{SlackURL: l.URL, Dial: l.net.Dial}
	listening(l.t, Listeners([]Place{{"two-way", slackChannel(l.t)}}, o)[0], func(p Press) (string, error) {
		heard <- p
		if hold != nil {
			<-hold
		}
		return "", nil
	})
	return heard
}

// calls is how often somebody wanted to listen since it was last asked.
func (l *lossy) calls() (n int) {
	for _, c := range l.Calls() {
		if c.Method == "apps.connections.open" {
			n++
		}
	}
	return n
}

const acknowledging = `{"p":"two-way","c":"chat","i":"i","a":"acknowledge"}`

// TestSlackHeardSoon: however Slack was away, and for however long, it hears a button
// about a minute after it is back, and is called seldom meanwhile.
func TestSlackHeardSoon(t *testing.T) {
	const refused = -99
	for name, status := range map[string]int{
		"broken": http.StatusBadGateway, "busy": http.StatusTooManyRequests, "silent": slackfake.Silent, "refused": refused,
	} {
		for _, long := range []time.Duration{20 * time.Second, 5 * time.Minute, 7 * time.Minute, 13 * time.Minute, 2 * time.Hour} {
			t.Run(fmt.Sprintf("%s for %s", name, long), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLossy(t, byID)
					heard := l.listening(nil)
					time.Sleep(time.Second)
					one := l.Latest()
					l.calls()
					if status == refused {
						_ = l.door.Close()
					} else {
						l.Outage(status)
					}
					_ = one.Conn.Close()
					time.Sleep(long)
					if n, most := l.calls(), 8+int(long/(30*time.Second)); n > most {
						t.Errorf("called %d times, more than %d", n, most)
					}
					if status == refused {
						l.Serve(l.net.Listen("slack.test:80"))
					}
					l.Outage(0)
					time.Sleep(75 * time.Second)
					one = l.Latest()
					if one == nil {
						t.Fatal("nobody listens")
					}
					l.Press(one, "U1", acknowledging, "1.0")
					<-heard
				})
			})
		}
	}
}

// TestSlackFleetingConnections: Slack takes connections and ends them at once, which
// is no reason to call it without end.
func TestSlackFleetingConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLossy(t, byID)
		l.listening(nil)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for began := time.Now(); time.Since(began) < 30*time.Minute; time.Sleep(10 * time.Millisecond) {
				if one := l.Latest(); one != nil {
					_ = one.Conn.Close()
				}
			}
		}()
		<-ended
		if n := l.calls(); n > 70 || n < 25 {
			t.Errorf("called %d times in half an hour", n)
		}
	})
}

// TestSlackHeardWhileAnswering: an answer that takes long keeps nobody from listening.
func TestSlackHeardWhileAnswering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLossy(t, byID)
		hold := make(chan struct{})
		heard := l.listening(hold)
		time.Sleep(time.Second)
		one := l.Latest()
		l.Press(one, "U1", acknowledging, "1.0")
		<-heard
		l.Outage(http.StatusBadGateway)
		_ = one.Conn.Close()
		time.Sleep(time.Minute)
		l.Outage(0)
		time.Sleep(75 * time.Second)
		if one = l.Latest(); one == nil {
			t.Fatal("nobody listens while a press is answered")
		}
		l.Press(one, "U2", acknowledging, "1.0")
		close(hold)
		if p := <-heard; p.User != "U2" {
			t.Errorf("heard %+v", p)
		}
	})
}
