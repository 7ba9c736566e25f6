package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/test/slackfake"
)

// knownSecrets is in every secret of TestNoSecretShows, and in what its servers
// send back.
const (
	knownSecret  = "hunter2-k3y/with+odd%chars"
	secretInPath = "T0P-S3CRET"
)

// secretChannels are one of each type, at an address.
func secretChannels(t *testing.T, address string) []plans.Channel {
	host := strings.TrimPrefix(strings.TrimPrefix(address, "http://"), "https://")
	if host == "" {
		host = "127.0.0.1:1"
	}
	full := kept(t, address+"/services/"+secretInPath+"?key="+url.QueryEscape(knownSecret))
	token := kept(t, knownSecret)
	return []plans.Channel{
		{Name: "x", Type: plans.ChannelSlack, Target: "#x", Token: token, App: token, Approve: []string{"U1"}},
		{Name: "x", Type: plans.ChannelSlackWebhook, URL: full},
		{Name: "x", Type: plans.ChannelWebhook, URL: full, Signing: token},
		{Name: "x", Type: plans.ChannelPagerDuty, Token: token},
		{Name: "x", Type: plans.ChannelEmail, Target: "a@example.com", From: "a@example.com", SMTP: host, Login: "drover", Secret: token},
		{Name: "x", Type: plans.ChannelHeartbeat, URL: full},
		{Name: "x", Type: plans.ChannelShoutrrr, URL: kept(t, "generic+http://"+host+"/services/"+secretInPath+"?@Authorization="+url.QueryEscape("Bearer "+knownSecret))},
		{Name: "x", Type: plans.ChannelShoutrrr, URL: kept(t, "ntfy://duty:"+url.QueryEscape(knownSecret)+"@"+host+"/"+secretInPath+"?scheme=http")},
		{Name: "x", Type: plans.ChannelShoutrrr, URL: kept(t, "matrix://duty:"+url.QueryEscape(knownSecret)+"@"+host+"/?disableTLS=yes&rooms=!"+secretInPath+":matrix.test")},
		{Name: "x", Type: plans.ChannelShoutrrr, URL: kept(t, "mattermost://drover@"+host+"/"+secretInPath+url.PathEscape(strings.ReplaceAll(knownSecret, "/", ""))+"?disabletls=yes")},
	}
}

// checkHidden fails where a text holds a secret, however it is written.
func checkHidden(t *testing.T, what, text string) {
	t.Helper()
	for _, secret := range []string{"hunter2", "odd%chars", "odd%25chars", "aHVudGVyMi", "odW50ZXIyL"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s shows %s: %s", what, secret, text)
		}
	}
}

// checkPathHidden does so for what only channels with a secret address have.
func checkPathHidden(t *testing.T, what, text string) {
	t.Helper()
	checkHidden(t, what, text)
	if strings.Contains(text, secretInPath) {
		t.Errorf("%s shows %s: %s", what, secretInPath, text)
	}
}

// shown is all that can be seen of a value.
func shown(t *testing.T, value any) string {
	t.Helper()
	encoded, err := json.Marshal(value)
	if err != nil {
		encoded = []byte(err.Error())
	}
	text := fmt.Sprintf("%v %+v %#v %s %q %x %d ", value, value, value, value, value, value, value) + string(encoded)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "value", value)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "value", value)
	text += log.String()
	// A cause may be taken out and shown.
	if err, ok := value.(error); ok {
		for ; err != nil; err = errors.Unwrap(err) {
			text += fmt.Sprintf("\n%v %+v %#v", err, err, err)
		}
	}
	return text
}

// TestNoSecretShows goes through all that can fail, and looks at all that is then
// shown.
func TestNoSecretShows(t *testing.T) {
	before := sendTimeout
	sendTimeout = 300 * time.Millisecond
	t.Cleanup(func() { sendTimeout = before })

	echo := func(r *http.Request) string {
		_ = r.ParseForm()
		return fmt.Sprintf("%s %s %v key %s path %s", r.URL, r.Form, r.Header, knownSecret, secretInPath)
	}
	servers := map[string]http.HandlerFunc{
		"location": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.2:1/"+secretInPath+"?key="+knownSecret, http.StatusTemporaryRedirect)
		},
		"bad location": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://[::"+secretInPath+"/%zz"+knownSecret)
			w.WriteHeader(http.StatusFound)
		},
		"round": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.String(), http.StatusTemporaryRedirect)
		},
		"hang up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"slow": func(_ http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm() // a server that has not read all does not see its caller go
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		},
		"no json": func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("<" + echo(r))) },
		"refusing": func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, `{"ok":false,"error":%q,"response_metadata":{"messages":[%q]}}`, "invalid_auth", echo(r))
		},
		"unknown": func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, `{"ok":false,"error":%q}`, echo(r))
		},
		"status line": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 400 %s %s\r\n\r\n", knownSecret, secretInPath)
				_ = conn.Close()
			}
		},
		"no http": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = fmt.Fprintf(conn, "%s %s\r\n", knownSecret, secretInPath)
				_ = conn.Close()
			}
		},
	}
	for _, status := range []int{400, 401, 403, 404, 408, 413, 429, 500, 503} {
		servers[fmt.Sprint(status)] = func(w http.ResponseWriter, r *http.Request) { http.Error(w, echo(r), status) }
	}
	for n := 0; n < 60; n += 9 { // where an answer is cut
		servers[fmt.Sprint("cut at ", n)] = func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(strings.Repeat("x", maxShown-n) + knownSecret + secretInPath))
		}
	}
	failed := 0
	try := func(name, address string) {
		var log lockedBuffer
		o := Options{SlackURL: address, PagerDutyURL: address, Log: slog.New(slog.NewJSONHandler(&log, nil))}
		for _, c := range secretChannels(t, address) {
			if servers[name] != nil && name != "slow" && c.Type == plans.ChannelEmail {
				continue // it would wait for a greeting; what mail servers say has a test of its own
			}
			what := name + ", " + c.Type
			channel := opened(t, c, o)
			checkHidden(t, what+": the channel", shown(t, channel))
			m := splitBrain()
			if c.Type == plans.ChannelHeartbeat {
				m.Kind = alert.Beat
			}
			receipt, err := channel.Send(t.Context(), m, "C0/1.0")
			checkHidden(t, what+": the receipt", string(receipt))
			if err != nil {
				failed++
				if checkHidden(t, what+": the error", shown(t, err)); c.URL.IsSet() {
					checkPathHidden(t, what+": the error", shown(t, err))
				}
			}
			checkHidden(t, what+": the channel, later", shown(t, channel))
			for _, l := range Listeners([]Place{{"p", c}}, o) {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				l.Listen(ctx, func(Press) (string, error) { return "", nil })
				cancel()
				checkHidden(t, what+": the listener", l.String()+shown(t, l.Fault()))
			}
		}
		checkHidden(t, name+": the log", log.String())
	}
	for name, handler := range servers {
		s := httptest.NewServer(handler)
		try(name, s.URL)
		s.Close()
	}
	untrusted := httptest.NewUnstartedServer(nil)
	untrusted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	untrusted.StartTLS()
	try("untrusted", untrusted.URL)
	untrusted.Close()
	try("closed", untrusted.URL)
	try("no such host", "http://drover-test.invalid:80")
	try("no host", "http://")
	try("bad port", "http://127.0.0.1:99999")
	if failed < 200 {
		t.Errorf("only %d calls have failed", failed)
	}
}

// TestNoSecretShowsOfAddresses gives secrets that are no addresses, or not there.
func TestNoSecretShowsOfAddresses(t *testing.T) {
	gone := plans.SecretFromFile(t.TempDir() + "/gone")
	for name, secret := range map[string]plans.Secret{
		"control": kept(t, "http://h/\x7f"+knownSecret), "escape": kept(t, "http://h/%zz"+knownSecret),
		"scheme": kept(t, knownSecret+"://h/"+secretInPath), "plain": kept(t, knownSecret),
		"password": kept(t, "http://drover:"+url.QueryEscape(knownSecret)+"@127.0.0.1:1/"), "port": kept(t, "http://h:"+knownSecret),
		"gone": gone, "empty": kept(t, ""),
	} {
		for _, kind := range []string{plans.ChannelSlackWebhook, plans.ChannelWebhook, plans.ChannelHeartbeat, plans.ChannelShoutrrr} {
			m := splitBrain()
			if kind == plans.ChannelHeartbeat {
				m.Kind = alert.Beat
			}
			_, err := opened(t, plans.Channel{Name: "x", Type: kind, URL: secret}, Options{}).Send(t.Context(), m, "")
			if err == nil {
				t.Errorf("%s, %s: sent", name, kind)
				continue
			}
			checkPathHidden(t, name+", "+kind, shown(t, err))
			if name == "gone" && (!strings.Contains(err.Error(), "url: secret in file ") || isPermanent(err)) {
				t.Errorf("a secret that is not there: %v", err)
			}
		}
	}
}

// TestNoSecretShowsOfMail lets a mail server say again all that it hears.
func TestNoSecretShowsOfMail(t *testing.T) {
	for _, begin := range []string{"EHLO", "AUTH", "MAIL", "RCPT", "DATA"} {
		for _, code := range []string{"450", "550"} {
			for _, auth := range []string{"PLAIN", "LOGIN"} {
				s := newMailServer(t)
				s.auth, s.password = auth, knownSecret
				s.refuse[begin] = code + " SAID " + knownSecret
				if begin == "EHLO" {
					s.refuse["HELO"] = s.refuse[begin]
				}
				_, port, err := net.SplitHostPort(s.address)
				if err != nil {
					t.Fatal(err)
				}
				c := secretChannels(t, "http://127.0.0.1:"+port)[4]
				_, err = opened(t, c, Options{}).Send(t.Context(), splitBrain(), "")
				if err == nil {
					t.Errorf("%s %s: sent", begin, code)
					continue
				}
				checkHidden(t, begin+" "+code+" "+auth, shown(t, err))
			}
		}
	}
}

// TestNoSecretShowsOfPresses fails while a press is answered.
func TestNoSecretShowsOfPresses(t *testing.T) {
	s := slackfake.New(t)
	var log lockedBuffer
	o := Options{SlackURL: s.URL, Log: slog.New(slog.NewJSONHandler(&log, nil))}
	end := listening(t, Listeners([]Place{{"two-way", slackChannel(t)}}, o)[0], func(Press) (string, error) {
		return "", errors.New("it failed with xoxb-t0ken and xapp-t0ken")
	})
	one := s.Connected()
	value := `{"p":"two-way","c":"chat","i":"i","a":"acknowledge"}`
	s.Press(one, "U1", value, "1.0")
	if reply := s.WaitFor("chat.postMessage").Get("text"); reply != "Not done: it failed with &lt;secret&gt; and &lt;secret&gt;" {
		t.Errorf("replied %q", reply)
	}
	s.Fail("chat.postMessage", "invalid_auth")
	s.Press(one, "U1", value, "1.0")
	s.WaitFor("chat.postMessage")
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(log.String(), "not answered"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log: %s", &log)
		}
	}
	end()
	if strings.Contains(log.String(), "t0ken") || strings.Contains(log.String(), "t1cket") {
		t.Errorf("the log: %s", &log)
	}
}
