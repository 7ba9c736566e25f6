package daemon

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/notify"
	"github.com/drover-io/drover/orchestrator/serve"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// secretNames are all secrets of leakyPlan, and the service that may hear of each.
var secretNames = map[string]string{
	"bot": "slack.test", "app": "slack.test", "hook": "hook.test", "sign": "", "incoming": "incoming.test",
	"pager": "pager.test", "mailword": "127.0.0.1", "pulse": "pulse.test", "topic": "ntfy.test", "room": "matrix.test", "badservice": "", "badaddress": "", "header": "", "fencer": "",
}

// secretOf is one that can be told wherever it shows, and however it is written.
func secretOf(name string) string { return "S3CR3T-" + name + "-x/y+z%41" }

const leakyPlan = `version: 1
name: shop
direction: two-way
primary: a
sites:
  - {name: a, conf: /etc/ceph/a.conf}
  - {name: b, conf: /etc/ceph/b.conf}
checks: {schedule: "@every 10s"}
pools:
  - name: rbd
    images: [{glob: "volume-*"}]
hooks:
  - name: dns
    when: before-run
    http: {url: HOOKSERVER, method: PUT, headers: {Authorization: {env: HEADER}}}
    on_failure: continue
http: {listen: "127.0.0.1:9823", token: {env: FENCER}}
notifications:
  dashboard: https://grafana.example.org/d/drover
  channels:
    - {name: chat, type: slack, target: "#dr", token: {credential: bot}, app_token: {file: APPFILE}, approvers: [U1]}
    - {name: incoming, type: slack-webhook, url: {env: INCOMING}}
    - {name: hook, type: webhook, url: {env: HOOK}, signing_key: {env: SIGN}}
    - {name: pager, type: pagerduty, token: {env: PAGER}}
    - {name: mail, type: email, target: duty@example.org, smtp: "127.0.0.1:25", from: drover@example.org, login: drover, password: {env: MAILWORD}}
    - {name: pulse, type: heartbeat, url: {env: PULSE}}
    - {name: push, type: shoutrrr, url: {env: TOPIC}}
    - {name: room, type: shoutrrr, url: {env: ROOM}}
    - {name: badpush, type: shoutrrr, url: {env: BADSERVICE}}
    - {name: bad, type: webhook, url: {env: BADADDRESS}}
    - {name: gone, type: webhook, url: {file: /nonexistent/gone}}
`

// leaky keeps leakyPlan's secrets where it looks for them, and is the plan.
func leaky(t *testing.T, hookServer string) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	for name, text := range map[string]string{"bot": secretOf("bot"), "app": secretOf("app")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, at := range map[string]string{"incoming": "incoming.test", "hook": "hook.test", "pulse": "pulse.test"} {
		t.Setenv(strings.ToUpper(name), "http://"+at+"/in/"+url.PathEscape(secretOf(name))+"?key="+url.QueryEscape(secretOf(name)))
	}
	for _, name := range []string{"sign", "pager", "mailword", "header", "fencer"} {
		t.Setenv(strings.ToUpper(name), secretOf(name))
	}
	t.Setenv("TOPIC", "ntfy://duty:"+url.PathEscape(secretOf("topic"))+"@ntfy.test/"+url.PathEscape(secretOf("topic"))+"?scheme=http")
	t.Setenv("ROOM", "matrix://duty:"+url.PathEscape(secretOf("room"))+"@matrix.test/?disableTLS=yes&rooms=!room:matrix.test")
	t.Setenv("BADSERVICE", secretOf("badservice")[:len("S3CR3T-badservice-x")]+"://host/"+url.PathEscape(secretOf("badservice")))
	t.Setenv("BADADDRESS", "http://bad.test:port/%zz"+secretOf("badaddress"))
	return strings.NewReplacer("HOOKSERVER", hookServer, "APPFILE", filepath.Join(dir, "app")).Replace(leakyPlan)
}

// forms are the ways in which a secret may be written, each long enough to be no
// accident.
func forms(name string) []string {
	mark := "S3CR3T-" + name + "-"
	all := []string{mark, hex.EncodeToString([]byte(mark)), strings.ToLower(mark)}
	for skip := range 3 { // base64 looks different by where it begins
		text := base64.StdEncoding.EncodeToString([]byte("___"[:skip] + mark))
		all = append(all, text[(skip*8+5)/6:(skip+len(mark))*8/6])
	}
	return all
}

// clean fails where a text holds a secret, but for those that it may hold.
func clean(t *testing.T, what, text string, but ...string) {
	t.Helper()
	for name := range secretNames {
		for _, form := range forms(name) {
			if at := strings.Index(text, form); at >= 0 && !slices.Contains(but, name) {
				t.Errorf("%s shows the secret %q: …%s…", what, name, text[max(0, at-200):min(len(text), at+60)])
				break
			}
		}
	}
}

// panicky is a schedule that panics once it is told to.
type panicky struct {
	cron.Schedule
	now *atomic.Bool
}

func (p panicky) Next(t time.Time) time.Time {
	if p.now.CompareAndSwap(true, false) {
		panic("a fault of the program")
	}
	return p.Schedule.Next(t)
}

// evilName is an image that would ping everybody and write to somebody else.
const evilName = "volume-<!channel> <@U1> \r\nBcc: evil@example.org\r\n.\r\n\u202e*x*"

// TestNoSecretLeaks has everything fail that a daemon does with secrets, and looks at
// all that it then shows: its log, errors, metrics, health, the records at both sites,
// and what each service was told. It does so with an image of an evil name.
func TestNoSecretLeaks(t *testing.T) {
	hookServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, fmt.Sprintf("%v %s", r.Header, secretOf("header")), http.StatusInternalServerError)
	}))
	defer hookServer.Close()
	text := leaky(t, hookServer.URL)
	var lines lockedLines
	var v *village
	bubble(t, func(t *testing.T) {
		s := newStageOf(t, text, 3)
		v = newVillage(t)
		evil := pool.Image(evilName)
		s.must(s.world.Site("a").CreateImage(t.Context(), evil, replay.ImageSpec{Size: 1 << 20, Features: replay.FeatureLayering | replay.FeatureExclusiveLock | replay.FeatureJournaling}))
		s.must(s.world.Site("a").EnableMirroring(t.Context(), evil, replay.ModeJournal))
		s.refs = append(s.refs, evil)
		time.Sleep(2 * time.Minute)

		var crash atomic.Bool
		o := s.options()
		o.Channel = nil
		o.Metrics = serve.NewMetrics(serve.Build{})
		o.Log = slog.New(slog.NewJSONHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o.Notify = notify.Options{SlackURL: "http://slack.test/api", PagerDutyURL: "http://pager.test", Dial: v.net.Dial}
		var shown strings.Builder
		show := func(what string, value any) {
			encoded, _ := json.Marshal(value)
			fmt.Fprintf(&shown, "%s: %v %+v %#v %s\n", what, value, value, value, encoded)
		}
		page := func(d *Daemon) {
			answer := httptest.NewRecorder()
			o.Metrics.Handler(o.Log).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
			if !strings.Contains(answer.Body.String(), "drover_") {
				t.Errorf("no metrics: %s", answer.Body)
			}
			shown.WriteString(answer.Body.String())
			show("health", d.Ready())
			show("state", d.Summary())
		}
		begin := func() (*Daemon, func()) {
			d, err := New([]*plans.Plan{s.plan}, o)
			s.must(err)
			d.guards["shop"].times = panicky{d.guards["shop"].times, &crash}
			return d, s.running(d)
		}
		d, end := begin()
		time.Sleep(time.Minute)
		s.split(3)
		time.Sleep(time.Minute)
		for i, fashion := range fashions {
			v.follow(fashion)
			if i%2 == 0 {
				s.world.Vanish("b")
			} else {
				s.world.Return("b")
			}
			time.Sleep(4 * time.Minute)
			_, err := d.press(notify.Press{Plan: "shop", Channel: "chat", IncidentID: "i", User: "U1", Action: notify.Choose, Kind: "resync", Subject: "h", Option: "a", Evidence: "e"})
			show("press", err)
			page(d)
			if i == len(fashions)/2 { // with letters under way
				end()
				d, end = begin()
			}
		}
		crash.Store(true)
		time.Sleep(time.Minute)
		v.follow("")
		s.world.Return("b")
		time.Sleep(20 * time.Minute)
		sites := s.opened()
		p, err := orchestrator.PrepareSwitchover(t.Context(), s.plan, sites, orchestrator.SwitchoverOptions{To: "b", NoWayBack: true, Scope: orchestrator.Scope{Images: []string{s.refs[0].String()}}})
		s.must(err)
		s.must(p.Refused)
		report, err := orchestrator.Start(t.Context(), s.plan, sites, p, orchestrator.RunOptions{Progress: func(e orchestrator.RunEvent) { show("event", e) }})
		show("report", report)
		show("error", err)
		if !strings.Contains(shown.String(), "500") {
			t.Error("the hook has not failed")
		}
		s.must(sites.Close())
		time.Sleep(5 * time.Minute)
		page(d)
		show("plan", s.plan)
		end()
		for _, site := range []string{"a", "b"} {
			ledgers := s.world.Ledgers(site, pool.Name)
			if len(ledgers) < 3 {
				t.Errorf("%s has the ledgers %v", site, ledgers)
			}
			for _, name := range ledgers {
				for _, r := range s.world.Ledger(site, replay.LedgerRef{Pool: pool.Name, Object: name}) {
					fmt.Fprintf(&shown, "%s %s: %s %s\n", site, name, r.Key, r.Value)
				}
			}
		}
		clean(t, "what is shown or recorded", shown.String())
	})
	said := lines.String()
	clean(t, "the log", said)
	for _, want := range []string{"message not taken", "a fault of the program", "too many messages", "redirects to another place", "url in env BADADDRESS", "does not begin with a service", "no such file", "not you", "it is tried again"} {
		if !strings.Contains(said, want) {
			t.Errorf("the log has nothing of %q", want)
		}
	}
	v.told(t)
}

// told looks at what each service was told.
func (v *village) told(t *testing.T) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	hosts := slices.Sorted(maps.Keys(v.heard))
	if len(hosts) != 8 {
		t.Fatalf("only %v were called", hosts)
	}
	for _, host := range hosts {
		var own []string
		for name, at := range secretNames {
			if at == host {
				own = append(own, name)
			}
		}
		clean(t, "what "+host+" was told", strings.Join(v.heard[host], "\n"), own...)
	}
	for _, host := range []string{"hook.test", "incoming.test", "pulse.test", "ntfy.test"} { // whose secret is the address
		clean(t, "a message to "+host, strings.Join(v.bodies[host], "\n"))
	}
	if len(v.mails) == 0 {
		t.Fatal("no mail")
	}
	evil := 0
	for _, text := range v.mails {
		clean(t, "a mail", text)
		m, err := mail.ReadMessage(strings.NewReader(text))
		if err != nil || m.Header.Get("Bcc") != "" || !strings.HasPrefix(m.Header.Get("Subject"), "[drover] plan shop") && !strings.HasPrefix(m.Header.Get("Subject"), "Re: [drover] plan shop") {
			t.Errorf("a mail of %v: %v", m, err)
		}
		if strings.Contains(text, "channel>") {
			evil++
		}
	}
	if evil == 0 {
		t.Error("no mail names the evil image")
	}
	v.evil(t)
}

// evil wants the evil image's name to be text in all that was said, and nothing else.
func (v *village) evil(t *testing.T) {
	t.Helper()
	seen := map[string]int{}
	for _, body := range v.bodies["slack.test"] {
		values, err := url.ParseQuery(body)
		if err != nil {
			t.Fatal(err)
		}
		if values.Get("blocks") == "" && values.Get("text") == "" {
			continue
		}
		if strings.ContainsAny(values.Get("text"), "<>") || strings.Contains(values.Get("blocks"), "mrkdwn") {
			t.Errorf("Slack is told %v", values)
		}
		if strings.Contains(values.Get("blocks"), "channel") {
			seen["slack"]++
		}
	}
	for _, body := range v.bodies["incoming.test"] {
		var m struct{ Text string }
		if err := json.Unmarshal([]byte(body), &m); err != nil || strings.ContainsAny(m.Text, "<>") || strings.Contains(body, "mrkdwn") {
			t.Errorf("the incoming webhook is told %s (%v)", body, err)
		}
		seen["incoming"]++
	}
	for _, body := range v.bodies["pager.test"] {
		var e struct{ Payload struct{ Summary string } }
		if err := json.Unmarshal([]byte(body), &e); err != nil || strings.ContainsAny(e.Payload.Summary, "\r\n\u202e") {
			t.Errorf("PagerDuty is told %s (%v)", body, err)
		}
		seen["pager"]++
	}
	for _, host := range []string{"ntfy.test", "matrix.test"} {
		for _, body := range v.bodies[host] {
			if strings.Contains(body, "<!channel") || strings.Contains(body, "<@U1") || strings.Contains(body, "*x*") {
				t.Errorf("%s is told %s", host, body)
			}
			if strings.Contains(body, "channel>") || strings.Contains(body, `channel\u003e`) {
				seen[host]++
			}
		}
	}
	if len(seen) != 5 {
		t.Errorf("told: %v", seen)
	}
}

// lockedLines is a log for several writers.
type lockedLines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLines) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(text)
}

func (l *lockedLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
