package notify

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
)

// shoutCalls are, for services of each kind, an address and the call that it makes.
var shoutCalls = map[string]struct {
	address, method, host, path string
	answer                      string // of success; the empty object if not given
	login                       int    // calls before the one that carries the message
}{
	"ntfy":       {address: "ntfy://duty:pa55word@ntfy.test/alerts?scheme=http", method: "POST", host: "ntfy.test", path: "/alerts"},
	"gotify":     {address: "gotify://gotify.test/Aabcdefghijklmn?disabletls=yes", method: "POST", host: "gotify.test", path: "/message?token=Aabcdefghijklmn"},
	"mattermost": {address: "mattermost://drover@chat.test/t0kent0ken/storage?disabletls=yes", method: "POST", host: "chat.test", path: "/hooks/t0kent0ken"},
	"generic":    {address: "generic+http://any.test/in?template=json&@Authorization=Bearer+s3cret-t0ken", method: "POST", host: "any.test", path: "/in"},
	"bark":       {address: "bark://:dev1cekey@bark.test/?scheme=http", method: "POST", host: "bark.test", path: "/push", answer: `{"code":200}`},
	"rocketchat": {address: "rocketchat://rocket.test/t0kenAAA/t0kenBBB/storage", method: "POST", host: "rocket.test", path: "/hooks/t0kenAAA/t0kenBBB"},
	"matrix":     {address: "matrix://duty:pa55word@matrix.test/?disableTLS=yes&rooms=!room:matrix.test", method: "POST", host: "matrix.test", path: "/_matrix/client/r0/rooms/%21room:matrix.test/send/m.room.message?access_token=g1ven-token", login: 3},
	"discord":    {address: "discord://t0ken-t0ken@123456789", method: "POST", host: "discord.com", path: "/api/webhooks/123456789/t0ken-t0ken"},
	"telegram":   {address: "telegram://110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw@telegram?chats=@storage", method: "POST", host: "api.telegram.org", path: "/bot110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/sendMessage", answer: `{"ok":true,"result":{}}`},
	"teams":      {address: "teams://11111111-4444-4444-8444-cccccccccccc@22222222-4444-4444-8444-cccccccccccc/33333333012222222222333333333344/44444444-4444-4444-8444-cccccccccccc/V2ESyij_gAljSoUQHvZoZYzlpAoAXExyOl26dlf1xHEx05?host=org.webhook.office.com", method: "POST", host: "org.webhook.office.com", path: "/webhookb2/11111111-4444-4444-8444-cccccccccccc@22222222-4444-4444-8444-cccccccccccc/IncomingWebhook/33333333012222222222333333333344/44444444-4444-4444-8444-cccccccccccc/V2ESyij_gAljSoUQHvZoZYzlpAoAXExyOl26dlf1xHEx05"},
	"googlechat": {address: "googlechat://chat.googleapis.com/v1/spaces/X/messages?key=k3yk3y&token=t0kent0ken", method: "POST", host: "chat.googleapis.com", path: "/v1/spaces/X/messages?key=k3yk3y&token=t0kent0ken"},
	"opsgenie":   {address: "opsgenie://api.opsgenie.com/k3yk3yk3y", method: "POST", host: "api.opsgenie.com", path: "/v2/alerts"},
	"pushover":   {address: "pushover://duty:t0kent0ken@us3rkey", method: "POST", host: "api.pushover.net", path: "/1/messages.json"},
	"zulip":      {address: "zulip://bot%40zulip.test:k3yk3yk3y@zulip.test/?stream=storage&topic=drover", method: "POST", host: "zulip.test", path: "/api/v1/messages"},
	"signal":     {address: "signal://signal.test:8080/+15550001/+15550002?disabletls=yes", method: "POST", host: "signal.test:8080", path: "/v2/send", answer: `{"timestamp":"1"}`},
	"lark":       {address: "lark://open.larksuite.com/t0kent0ken", method: "POST", host: "open.larksuite.com", path: "/open-apis/bot/v2/hook/t0kent0ken", answer: `{"code":0}`},
	"wecom":      {address: "wecom://k3yk3yk3y", method: "POST", host: "qyapi.weixin.qq.com", path: "/cgi-bin/webhook/send?key=k3yk3yk3y", answer: `{"errcode":0}`},
	"notifiarr":  {address: "notifiarr://k3yk3yk3y?channel=123456", method: "POST", host: "notifiarr.com", path: "/api/v1/notification/passthrough/k3yk3yk3y"},
	"pushbullet": {address: "pushbullet://o.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/device", method: "POST", host: "api.pushbullet.com", path: "/v2/pushes"},
	"join":       {address: "join://duty:k3yk3yk3y@join/?devices=d3v1ce", method: "POST", host: "joinjoaomgcd.appspot.com", path: "/_ah/api/messaging/v1/sendPush"},
	"ifttt":      {address: "ifttt://k3yk3yk3y/?events=mirror", method: "POST", host: "maker.ifttt.com", path: "/trigger/mirror/with/key/k3yk3yk3y"},
}

// internet answers for every host there is, over real connections, in TLS by a
// certificate of its own where it is called so.
type internet struct {
	options Options
	mu      sync.Mutex
	got     []heard
	answer  func(w http.ResponseWriter, r *http.Request, body string) bool // false: not answered here
	cut     bool                                                           // nobody can be reached
}

type heard struct{ method, host, path, body string }

func newInternet(t *testing.T) *internet {
	t.Helper()
	n := &internet{}
	plain := httptest.NewServer(http.HandlerFunc(n.serve))
	t.Cleanup(plain.Close)
	secure := httptest.NewUnstartedServer(http.HandlerFunc(n.serve))
	certificate, roots := certificateOf(t)
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	n.options = Options{Roots: roots, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		n.mu.Lock()
		cut := n.cut
		n.mu.Unlock()
		if cut {
			return nil, errors.New("connection refused")
		}
		to := plain.Listener.Addr().String()
		if strings.HasSuffix(address, ":443") {
			to = secure.Listener.Addr().String()
		}
		return (&net.Dialer{}).DialContext(ctx, network, to)
	}}
	return n
}

// certificateOf is good for the hosts of shoutCalls.
func certificateOf(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	for _, c := range shoutCalls {
		template.DNSNames = append(template.DNSNames, c.host)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func (n *internet) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	n.mu.Lock()
	n.got = append(n.got, heard{r.Method, strings.TrimSuffix(r.Host, ":443"), r.URL.RequestURI(), string(body)})
	answer := n.answer
	n.mu.Unlock()
	if answer != nil && answer(w, r, string(body)) {
		return
	}
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/login") && r.Method == http.MethodGet:
		_, _ = io.WriteString(w, `{"flows":[{"type":"m.login.password"}]}`)
	case strings.HasSuffix(path, "/login"):
		_, _ = io.WriteString(w, `{"access_token":"g1ven-token"}`)
	case strings.Contains(path, "/join/"):
		_, _ = io.WriteString(w, `{"room_id":"!room:matrix.test"}`)
	case r.Host == "api.pushbullet.com":
		_, _ = io.WriteString(w, strings.Replace(string(body), "{", `{"active":true,`, 1))
	default:
		for _, c := range shoutCalls {
			if c.host == r.Host && c.answer != "" {
				_, _ = io.WriteString(w, c.answer)
				return
			}
		}
		_, _ = io.WriteString(w, "{}")
	}
}

// set says how calls are answered from now on, and forgets those of before.
func (n *internet) set(answer func(w http.ResponseWriter, r *http.Request, body string) bool, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answer, n.cut, n.got = answer, cut, nil
}

func (n *internet) calls() []heard {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.got
}

func (n *internet) channel(t testing.TB, address string) alert.Channel {
	t.Helper()
	return opened(t, plans.Channel{Name: "x", Type: plans.ChannelShoutrrr, URL: kept(t, address)}, n.options)
}

// refuse answers with a status, and says again what it was told.
func refuse(status int) func(http.ResponseWriter, *http.Request, string) bool {
	return func(w http.ResponseWriter, r *http.Request, body string) bool {
		w.Header().Set("Retry-After", "7")
		w.Header().Set("Location", "http://elsewhere.test"+r.URL.RequestURI())
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "because of "+r.URL.String()+" "+r.Header.Get("Authorization")+" "+body[:min(len(body), 20)])
		return true
	}
}

// TestShoutrrr sends to each service, and has it fail in all ways that a message is
// treated differently for.
func TestShoutrrr(t *testing.T) {
	n := newInternet(t)
	for name := range services {
		if _, ok := shoutCalls[name]; !ok && name != "hangouts" { // another name of googlechat
			t.Errorf("%s is not tried", name)
		}
	}
	for name, c := range shoutCalls {
		t.Run(name, func(t *testing.T) {
			channel := n.channel(t, c.address)
			n.set(nil, false)
			sent(t, channel, splitBrain(), "")
			got := n.calls()
			if len(got) != c.login+1 {
				t.Fatalf("called: %v", got)
			}
			if last := got[c.login]; last.method != c.method || last.host != c.host || !strings.HasPrefix(last.path, c.path) {
				t.Errorf("called %s %s%s, not %s %s%s", last.method, last.host, last.path, c.method, c.host, c.path)
			}
			if said := got[c.login].body + got[c.login].path; !strings.Contains(said, "primary at both") && !strings.Contains(said, "primary+at+both") {
				t.Errorf("the message: %s", said)
			}
			for _, fails := range []struct {
				status int
				lasts  bool
				want   string
			}{
				{400, true, "answered 400"},
				{401, true, "check the key"},
				{404, true, "check the address"},
				{307, true, "redirects"},
				{429, false, "no more for 7s"},
				{500, false, "answered 500"},
				{503, false, "answered 503"},
			} {
				n.set(refuse(fails.status), false)
				_, err := channel.Send(t.Context(), splitBrain(), "")
				if err == nil || isPermanent(err) != fails.lasts || !strings.Contains(err.Error(), fails.want) {
					t.Errorf("%d: %v (lasting: %v), not %q (%v)", fails.status, err, isPermanent(err), fails.want, fails.lasts)
					continue
				}
				if got := n.calls(); len(got) != 1 {
					t.Errorf("%d: called %d times: trying again is not the library's", fails.status, len(got))
				}
				hiddenOf(t, c.address, err)
				var failure *Failure
				if !errors.As(err, &failure) || (failure.RetryAfter() == 7*time.Second) != (fails.status == 429) {
					t.Errorf("%d: asks to wait %v", fails.status, failure.RetryAfter())
				}
			}
			n.set(nil, false) // and once it is well again
			sent(t, channel, splitBrain(), "")
			n.set(nil, true)
			if _, err := channel.Send(t.Context(), splitBrain(), ""); err == nil || isPermanent(err) || !strings.Contains(err.Error(), "connection refused") {
				t.Errorf("where nobody is reached: %v", err)
			} else {
				hiddenOf(t, c.address, err)
			}
		})
	}
}

// hiddenOf fails where an error shows any part of a secret address that might be a key.
func hiddenOf(t *testing.T, address string, err error) {
	t.Helper()
	text := shown(t, err)
	u, e := url.Parse(address)
	if e != nil {
		t.Fatal(e)
	}
	parts := append(strings.Split(u.Path, "/"), u.String(), "g1ven-token")
	if u.User != nil {
		password, _ := u.User.Password()
		parts = append(parts, u.User.String(), u.User.Username(), password)
	}
	for _, values := range u.Query() {
		parts = append(parts, strings.Fields(values[0])...)
	}
	if services[u.Scheme].keyHost {
		parts = append(parts, u.Host)
	}
	for _, part := range parts {
		if len(part) >= minPart && strings.Contains(text, part) {
			t.Errorf("%q is shown: %s", part, text)
		}
	}
}

// TestShoutrrrSlow has each service hang: the message ends in time, and what the
// library has begun ends too (TestMain looks for what is left).
func TestShoutrrrSlow(t *testing.T) {
	before := sendTimeout
	t.Cleanup(func() { sendTimeout = before })
	n := newInternet(t)
	for name, c := range shoutCalls {
		n.set(func(w http.ResponseWriter, r *http.Request, _ string) bool {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return true
		}, false)
		for _, headed := range []bool{true, false} {
			if !headed {
				n.set(func(_ http.ResponseWriter, r *http.Request, _ string) bool { <-r.Context().Done(); return true }, false)
			}
			sendTimeout = 100 * time.Millisecond
			began := time.Now()
			_, err := n.channel(t, c.address).Send(t.Context(), splitBrain(), "")
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%s has taken %s", name, took)
			}
			if headed && err == nil {
				continue // some do not read what is answered
			}
			if err == nil || isPermanent(err) || !strings.Contains(err.Error(), "no answer in time") {
				t.Errorf("%s: %v", name, err)
			}
		}
		sendTimeout = before
		n.set(nil, false)
		sent(t, n.channel(t, c.address), splitBrain(), "")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.channel(t, shoutCalls["ntfy"].address).Send(ctx, splitBrain(), ""); !errors.Is(err, context.Canceled) || isPermanent(err) {
		t.Errorf("a call that was ended: %v", err)
	}
}

// TestShoutrrrLeftBehind has the library hang where no call can be ended: no more is
// begun until it has come to an end.
func TestShoutrrrLeftBehind(t *testing.T) {
	before := sendTimeout
	sendTimeout = 50 * time.Millisecond
	t.Cleanup(func() { sendTimeout = before })
	s := newShoutrrrSender(Options{})
	s.sending <- struct{}{}
	c := channel{plans.Channel{Name: "x", Type: plans.ChannelShoutrrr, URL: kept(t, shoutCalls["ntfy"].address)}, s}
	if _, err := c.Send(t.Context(), splitBrain(), ""); err == nil || isPermanent(err) || !strings.Contains(err.Error(), "has not come to an end") {
		t.Errorf("while another hangs: %v", err)
	}
}

// TestShoutrrrTogether sends many messages at once: each goes its own way, and calls
// that are none of the library's go as ever.
func TestShoutrrrTogether(t *testing.T) {
	n := newInternet(t)
	n.set(func(w http.ResponseWriter, r *http.Request, _ string) bool {
		if r.Host == "discord.com" {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	}, false)
	other, calls := server(t, func(w http.ResponseWriter, _ said) { w.WriteHeader(http.StatusTeapot) })
	var wait sync.WaitGroup
	for range 5 {
		for name, c := range shoutCalls {
			channel := n.channel(t, c.address)
			wait.Go(func() {
				if _, err := channel.Send(context.Background(), splitBrain(), ""); (err == nil) == (name == "discord") {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		wait.Go(func() {
			answer, err := http.Get(other)
			if err != nil || answer.StatusCode != http.StatusTeapot {
				t.Errorf("a call of another's: %v, %v", answer, err)
				return
			}
			_ = answer.Body.Close()
		})
	}
	wait.Wait()
	if got := calls(); len(got) != 5 {
		t.Errorf("the others called %d times", len(got))
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestShoutrrrText has an image of evil names: no service pings anybody for it, or
// makes a link of it. The plan's own links stay whole.
func TestShoutrrrText(t *testing.T) {
	n := newInternet(t)
	n.options.Links = func(alert.Message) []Link { return []Link{{Text: "Runbook", URL: "https://wiki.test/a_b"}} }
	m := splitBrain()
	m.Worst = []string{"vms/@everyone", "vms/<!channel>", "vms/[x](http://evil.test)", "vms/*b*", "vms/<@123>", "vms/__init__", "vms/my_image", "vms/@**all**", "vms/`c`", "vms/~town-square", "vms/#town"}
	m.What = strings.Join(m.Worst, " ") + " is primary at both sites"
	m.Images = len(m.Worst)
	for name, c := range shoutCalls {
		n.set(nil, false)
		sent(t, n.channel(t, c.address), m, "")
		call := n.calls()[c.login]
		said := call.body
		if name == "join" {
			said = call.path
		}
		if text, err := url.QueryUnescape(said); err == nil && (name == "zulip" || name == "pushover" || name == "join") {
			said = text
		}
		for _, plain := range []string{`\u003c`, `\u003e`, `\u0026`} {
			said = strings.ReplaceAll(said, plain, map[string]string{`\u003c`: "<", `\u003e`: ">", `\u0026`: "&"}[plain])
		}
		for _, evil := range []string{"@everyone", "<!channel", "](", "://evil", "*b*", "<@", "__", "@**", "`c`", "~town", "#town"} {
			if strings.Contains(said, evil) {
				t.Errorf("%s is told %q: %s", name, evil, said)
			}
		}
		if !strings.Contains(said, "everyone") || !strings.Contains(said, "https://wiki.test/a_b") {
			t.Errorf("%s is told %s", name, said)
		}
		if strings.Contains(said, "HTML") || strings.Contains(said, "Markdown") {
			t.Errorf("%s is told a parse mode: %s", name, said)
		}
	}
}

// TestShoutrrrLimits has a message that is longer than any service takes.
func TestShoutrrrLimits(t *testing.T) {
	m := splitBrain()
	m.Details = []alert.Detail{{Name: "Much", Text: strings.Repeat("ä_", 40000)}}
	for name, kind := range services {
		k, err := reveal(plans.Channel{Type: plans.ChannelShoutrrr, URL: kept(t, name+"://host.test")})
		if err != nil {
			t.Fatal(err)
		}
		text, params := shoutrrrText(m, []Link{{Text: "Runbook", URL: "https://wiki.test/a"}}, kind, k)
		if len(text) > kind.limit || len(params["title"]) > maxTitle || (params["title"] != "") != kind.titled {
			t.Errorf("%s: %d bytes, %q", name, len(text), params["title"])
		}
		if !strings.HasSuffix(text, "\nRunbook: https://wiki.test/a") || !strings.Contains(text, "primary at both sites") {
			t.Errorf("%s: %s", name, text)
		}
	}
	c := shoutCalls["opsgenie"]
	n := newInternet(t)
	sent(t, n.channel(t, c.address), splitBrain(), "")
	if body := n.calls()[0].body; !strings.Contains(body, `"alias":"two-way/split-brain/h1"`) {
		t.Errorf("Opsgenie is told %s", body)
	}
}

// TestCheck refuses addresses that no service takes, and shows nothing of them.
func TestCheck(t *testing.T) {
	for address, want := range map[string]string{
		"hunter2-k3y://host/S3CRET":                        "does not begin with a service that is known: write SERVICE://…, of bark, discord",
		"hunter2k3yS3CRET":                                 "does not begin with a service",
		"https://host.test/S3CRET":                         "does not begin with a service",
		"ntfy://[::S3CRET/%zz":                             "it is no address",
		"logger://":                                        "the service logger is refused: it tells nobody",
		"slack://xoxb:1-2-S3CRET@C001":                     "channel of type slack or slack-webhook",
		"smtp://u:S3CRET@mail.test/?from=a@b&to=c@d":       "channel of type email",
		"pagerduty://events.pagerduty.com/S3CRET":          "channel of type pagerduty",
		"ntfy://duty:S3CRET@ntfy.test/":                    "ntfy: topic is required",
		"ntfy://ntfy.test/S3CRET?colour=S3CRET":            "ntfy: setting query parameter",
		"ntfy://ntfy.test/S3CRET?DisableTLSVerification=y": "ntfy: the option disabletlsverification is refused",
		"telegram://S3CRET:x@telegram?chats=1":             "telegram: invalid telegram token",
		"telegram://110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw@telegram?chats=1&parsemode=HTML": "the option parsemode is refused",
		"discord://S3CRET@1234567/raw":         "without a path",
		"discord://S3CRET@1234567?json=yes":    "the option json is refused",
		"teams+https://host.test/S3CRET":       "teams: ",
		"gotify+https://host.test/S3CRET":      "gotify: write the address as gotify://",
		"pushbullet://S3CRET":                  "token has incorrect size",
		"wecom://S3CRET.x":                     "wecom: invalid",
		"matrix://duty:S3CRET@h?disableTLS=S3": "matrix: ",
	} {
		err := Check(plans.Channel{Name: "x", Type: plans.ChannelShoutrrr, URL: kept(t, address)})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "url in file ") {
			t.Errorf("%s: %v, not %q", address, err, want)
			continue
		}
		if text := shown(t, err); strings.Contains(text, "S3CRET") || strings.Contains(text, "hunter2") {
			t.Errorf("%s: %s", address, text)
		}
		_, sending := opened(t, plans.Channel{Name: "x", Type: plans.ChannelShoutrrr, URL: kept(t, address)}, Options{}).Send(t.Context(), splitBrain(), "")
		if sending == nil || !isPermanent(sending) || strings.Contains(shown(t, sending), "S3CRET") {
			t.Errorf("%s: sending: %v", address, sending)
		}
	}
	for name, c := range shoutCalls { // none of these is there
		if err := Check(plans.Channel{Name: "x", Type: plans.ChannelShoutrrr, URL: kept(t, c.address)}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, secret := range map[string]plans.Secret{"not there": plans.SecretFromFile(t.TempDir() + "/gone"), "not set": plans.SecretFromEnv("DROVER_NOT_SET")} {
		if err := Check(plans.Channel{Name: "x", Type: plans.ChannelShoutrrr, URL: secret}); err != nil {
			t.Errorf("a secret that is %s: %v", name, err)
		}
	}
	if err := Check(plans.Channel{Name: "x", Type: plans.ChannelWebhook, URL: kept(t, "ntfy://x")}); err != nil {
		t.Errorf("another type: %v", err)
	}
}

// TestServices knows each service of the library, so that a new one is looked at.
func TestServices(t *testing.T) {
	for _, name := range (&router.ServiceRouter{}).ListServices() {
		if _, ok := services[name]; ok == (refusedServices[name] != "") {
			t.Errorf("%s is neither taken nor refused, or both", name)
		}
	}
}

func TestInert(t *testing.T) {
	for text, want := range map[string]string{
		"vms/my_image_1": "vms/my_image_1", "_x_": "‸_‸x‸_‸", "a@b": "a@‸b", "[x](http://e)": "[x]‸(http:‸//e)",
		"*b*": "∗b∗", "||s||": "|‸|s|‸|", "www.e.test": "www‸.e.test", "": "", "drover resync p.yaml --keep a": "drover resync p.yaml --keep a",
	} {
		if got := strings.ReplaceAll(inert(text), gap, "‸"); got != want {
			t.Errorf("%q becomes %q, not %q", text, got, want)
		}
	}
}
