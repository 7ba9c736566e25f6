package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var began = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// splitBrain is a message that has everything.
func splitBrain() alert.Message {
	m := alert.Message{
		ID: "two-way/split-brain/h1", Kind: alert.Opened, Plan: "two-way", Code: "split-brain",
		Severity: alert.Critical, Site: "b", What: "vms/db1 is primary at both sites",
		Next: "drover resync plan.yaml vms/db1 --keep SITE", Images: 500,
		Details: []alert.Detail{{Name: "Roles", Text: "a primary, b primary"}, {Name: "Evidence", Text: "a wrote 12:00:01\nb wrote 12:00:02"}},
		Asks: &alert.Question{
			Kind: "resync", Subject: "h1", Evidence: "e5f0", Options: []string{"a", "b"}, Until: began.Add(time.Hour),
		},
		Choices: []alert.Choice{{Who: "U1", Name: "ann", Channel: "chat", Option: "a", At: began.Add(time.Minute)}},
		Since:   began, At: began.Add(90 * time.Second),
	}
	for i := range 12 {
		m.Worst = append(m.Worst, fmt.Sprintf("vms/db%d", i))
	}
	return m
}

// kept is a secret in a file, as plans have it.
func kept(t testing.TB, text string) plans.Secret {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return plans.SecretFromFile(path)
}

func opened(t testing.TB, c plans.Channel, o Options) alert.Channel {
	t.Helper()
	channel, err := Open(c, o)
	if err != nil {
		t.Fatal(err)
	}
	if channel.Name() != c.Name {
		t.Errorf("the channel's name is %q, not %q", channel.Name(), c.Name)
	}
	return channel
}

func sent(t testing.TB, c alert.Channel, m alert.Message, last alert.Receipt) alert.Receipt {
	t.Helper()
	receipt, err := c.Send(t.Context(), m, last)
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

// isPermanent says whether an error is one of [alert.Permanent].
func isPermanent(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if reflect.TypeOf(err) == reflect.TypeOf(alert.Permanent(nil)) {
			return true
		}
	}
	return false
}

// said is one call that a test's server got.
type said struct {
	method, path string
	header       http.Header
	body         []byte
}

// server answers every call with what answer says, and keeps them.
func server(t testing.TB, answer func(w http.ResponseWriter, s said)) (address string, calls func() []said) {
	t.Helper()
	got := make(chan said, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		_, _ = body.ReadFrom(r.Body)
		one := said{method: r.Method, path: r.URL.RequestURI(), header: r.Header, body: body.Bytes()}
		got <- one
		if answer != nil {
			answer(w, one)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, func() []said {
		var all []said
		for {
			select {
			case one := <-got:
				all = append(all, one)
			default:
				return all
			}
		}
	}
}

func decoded[T any](t testing.TB, text []byte) T {
	t.Helper()
	var value T
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return value
}

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		channel plans.Channel
		o       Options
		want    string
	}{
		"type":   {plans.Channel{Name: "x", Type: "pigeon"}, Options{}, `channel x: type "pigeon" is not known`},
		"from":   {plans.Channel{Name: "x", Type: plans.ChannelEmail, From: "nobody", Target: "a@b", SMTP: "h:25"}, Options{}, "channel x: from: "},
		"target": {plans.Channel{Name: "x", Type: plans.ChannelEmail, From: "a@b", Target: "a@b, c", SMTP: "h:25"}, Options{}, "channel x: target: "},
		"smtp":   {plans.Channel{Name: "x", Type: plans.ChannelEmail, From: "a@b", Target: "a@b", SMTP: "h"}, Options{}, "channel x: smtp: "},
		"base":   {plans.Channel{Name: "x", Type: plans.ChannelPagerDuty}, Options{PagerDutyURL: ":"}, "channel x: parse"},
	} {
		_, err := Open(c.channel, c.o)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, not %q", name, err, c.want)
		}
	}
}

// TestBeats says that beats go to heartbeats, and that nothing else goes there but a
// test, which really calls: else nobody would find out that the address is wrong.
func TestBeats(t *testing.T) {
	address, calls := server(t, nil)
	heart := opened(t, plans.Channel{Name: "heart", Type: plans.ChannelHeartbeat, URL: kept(t, address+"/ping/k3y")}, Options{})
	hook := opened(t, plans.Channel{Name: "hook", Type: plans.ChannelWebhook, URL: kept(t, address+"/hook")}, Options{})
	beat := alert.Message{ID: "beat", Kind: alert.Beat, At: began}
	if receipt := sent(t, hook, beat, "kept"); receipt != "kept" {
		t.Errorf("the receipt became %q", receipt)
	}
	if receipt := sent(t, heart, splitBrain(), "kept"); receipt != "kept" {
		t.Errorf("the receipt became %q", receipt)
	}
	if got := calls(); len(got) != 0 {
		t.Errorf("called for nothing: %v", got)
	}
	sent(t, heart, beat, "")
	if got := calls(); len(got) != 1 || got[0].method != http.MethodGet || got[0].path != "/ping/k3y" {
		t.Errorf("the beat: %v", got)
	}
	sent(t, heart, TestMessage("two-way", "heart", began), "")
	if got := calls(); len(got) != 1 || got[0].method != http.MethodGet || got[0].path != "/ping/k3y" {
		t.Errorf("the test: %v", got)
	}
	away, _ := server(t, func(w http.ResponseWriter, _ said) { w.WriteHeader(http.StatusNotFound) })
	heart = opened(t, plans.Channel{Name: "heart", Type: plans.ChannelHeartbeat, URL: kept(t, away)}, Options{})
	if _, err := heart.Send(t.Context(), TestMessage("two-way", "heart", began), ""); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("the test of an address that is not there: %v", err)
	}
}

func TestJudgement(t *testing.T) {
	var status int
	header := http.Header{}
	address, _ := server(t, func(w http.ResponseWriter, _ said) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte("because\x1b[31m\nso"))
	})
	hook := opened(t, plans.Channel{Name: "hook", Type: plans.ChannelWebhook, URL: kept(t, address)}, Options{})
	for _, c := range []struct {
		status  int
		lasting bool
		want    string
	}{
		{400, true, "webhook channel hook: answered 400 Bad Request: because[31m so"},
		{401, true, "check the key"},
		{403, true, "check the key"},
		{404, true, "check the address"},
		{410, true, "check the address"},
		{302, true, "redirects to another place are not followed"},
		{408, false, "answered 408"},
		{429, false, "takes no more for 7s"},
		{500, false, "answered 500 Internal Server Error: because[31m so"},
		{503, false, "answered 503"},
	} {
		status = c.status
		header.Set("Retry-After", "7")
		header.Set("Location", "http://127.0.0.2:1/")
		_, err := hook.Send(t.Context(), splitBrain(), "")
		if err == nil || isPermanent(err) != c.lasting || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d: %v (lasting: %v), not %q (%v)", c.status, err, isPermanent(err), c.want, c.lasting)
		}
		var failure *Failure
		if !errors.As(err, &failure) || (failure.RetryAfter() == 7*time.Second) != (c.status == 429) {
			t.Errorf("%d: asks to wait %v", c.status, failure.RetryAfter())
		}
	}
}

// TestRedirects follows those that stay on the host and what they were.
func TestRedirects(t *testing.T) {
	elsewhere, others := server(t, nil)
	address, calls := server(t, func(w http.ResponseWriter, s said) {
		switch s.path {
		case "/same":
			http.Redirect(w, httptest.NewRequest(s.method, "/", nil), "/there", http.StatusTemporaryRedirect)
		case "/get":
			http.Redirect(w, httptest.NewRequest(s.method, "/", nil), "/there", http.StatusFound)
		case "/away":
			http.Redirect(w, httptest.NewRequest(s.method, "/", nil), elsewhere, http.StatusTemporaryRedirect)
		case "/round":
			http.Redirect(w, httptest.NewRequest(s.method, "/", nil), "/round", http.StatusTemporaryRedirect)
		}
	})
	for path, want := range map[string]int{"/same": 2, "/get": 1, "/away": 1, "/round": maxRedirects + 1} {
		hook := opened(t, plans.Channel{Name: "hook", Type: plans.ChannelWebhook, URL: kept(t, address+path)}, Options{})
		_, err := hook.Send(t.Context(), splitBrain(), "")
		if (err == nil) != (path == "/same") {
			t.Errorf("%s: %v", path, err)
		}
		if got := calls(); len(got) != want {
			t.Errorf("%s: called %d times, not %d", path, len(got), want)
		}
	}
	if got := others(); len(got) != 0 {
		t.Errorf("another host was called: %v", got)
	}
}

func TestSlowAndEnded(t *testing.T) {
	release := make(chan struct{})
	address, _ := server(t, func(http.ResponseWriter, said) { <-release })
	t.Cleanup(func() { close(release) }) // before the server is closed
	before := sendTimeout
	sendTimeout = 50 * time.Millisecond
	t.Cleanup(func() { sendTimeout = before })
	hook := opened(t, plans.Channel{Name: "hook", Type: plans.ChannelWebhook, URL: kept(t, address)}, Options{})
	_, err := hook.Send(t.Context(), splitBrain(), "")
	if err == nil || isPermanent(err) {
		t.Errorf("a call that is not answered: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := hook.Send(ctx, splitBrain(), ""); !errors.Is(err, context.Canceled) || isPermanent(err) {
		t.Errorf("a call that was ended: %v", err)
	}
}
