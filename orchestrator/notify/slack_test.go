package notify

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/test/slackfake"
)

func slackChannel(t testing.TB) plans.Channel {
	return plans.Channel{
		Name: "chat", Type: plans.ChannelSlack, Target: "#dr", Token: kept(t, "xoxb-t0ken"),
		App: kept(t, "xapp-t0ken"), Approve: []string{"U1", "U2"},
	}
}

// TestSlackThread keeps an incident in one message, and tells in its thread what
// happens.
func TestSlackThread(t *testing.T) {
	s := slackfake.New(t)
	links := func(alert.Message) []Link { return []Link{{"Runbook", "https://example.com/r"}} }
	c := opened(t, slackChannel(t), Options{SlackURL: s.URL, Links: links})
	m := splitBrain()
	receipt := sent(t, c, m, "")
	said := s.Calls()
	if len(said) != 1 || said[0].Method != "chat.postMessage" || said[0].Values.Get("channel") != "#dr" || receipt != alert.Receipt("C0#dr/"+s.LastTS()) {
		t.Fatalf("%v, receipt %s", said, receipt)
	}
	first := s.LastTS()
	_, plain := slackfake.Blocks(t, said[0].Values.Get("blocks"))
	want := strings.Join([]string{
		"header/plain_text: 🔴 CRITICAL: plan two-way: split-brain at b, 500 images",
		"section/plain_text: vms/db1 is primary at both sites",
		"section/plain_text: Images: 500, the worst 10:\n• vms/db0\n• vms/db1\n• vms/db2\n• vms/db3\n• vms/db4\n• vms/db5\n• vms/db6\n• vms/db7\n• vms/db8\n• vms/db9",
		"rich_text/rich_text_section/text: Roles: ",
		"rich_text/rich_text_section/text: a primary, b primary",
		"rich_text/rich_text_section/text: Evidence: ",
		"rich_text/rich_text_section/text: a wrote 12:00:01\nb wrote 12:00:02",
		"rich_text/rich_text_preformatted/text: drover resync plan.yaml vms/db1 --keep SITE",
		"section/plain_text: To decide: which copy stays, a or b. A button counts until 2026-11-28 13:00:00 UTC on this evidence: e5f0.\nChosen so far: a, by ann (U1), 2026-11-28 12:01:00 UTC",
		"actions/button/plain_text: Acknowledge",
		"actions/button/plain_text: Keep the copy of a",
		"actions/button/plain_text: Keep the copy of b",
		"rich_text/rich_text_section/link: Runbook",
		"context/plain_text: Since 2026-11-28 12:00:00 UTC, as of 2026-11-28 12:01:30 UTC (after 1m30s)  ·  Incident two-way/split-brain/h1",
	}, "\n")
	if diff := cmp.Diff(want, plain); diff != "" {
		t.Errorf("the blocks (-want +got):\n%s", diff)
	}

	for kind, label := range map[alert.Kind]string{
		alert.Changed: "CRITICAL", alert.Escalated: "CRITICAL, not acknowledged", alert.Resolved: "RESOLVED",
	} {
		m.Kind, m.What = kind, "now "+string(kind)
		if got := sent(t, c, m, receipt); got != receipt {
			t.Errorf("%s: the receipt became %s", kind, got)
		}
		said := s.Calls()
		if len(said) != 2 || said[0].Method != "chat.update" || said[1].Method != "chat.postMessage" {
			t.Fatalf("%s: %v", kind, said)
		}
		rest := "now " + string(kind) + "\nChosen so far: a, by ann (U1), 2026-11-28 12:01:00 UTC"
		if kind == alert.Resolved {
			rest = "It is over, after 1m30s. It was: now resolved"
		}
		update, reply := said[0].Values, said[1].Values
		if _, plain := slackfake.Blocks(t, update.Get("blocks")); update.Get("ts") != first || update.Get("channel") != "C0#dr" ||
			!strings.Contains(plain, "now "+string(kind)) || !strings.Contains(plain, label+": plan") {
			t.Errorf("%s: updated with %v", kind, update)
		}
		if reply.Get("thread_ts") != first || reply.Get("channel") != "C0#dr" || reply.Get("blocks") != "" ||
			reply.Get("text") != label+": plan two-way: split-brain at b, 500 images\n"+rest ||
			(reply.Get("reply_broadcast") == "true") != (kind == alert.Escalated) {
			t.Errorf("%s: replied %v", kind, reply)
		}
		if over := kind == alert.Resolved; (len(slackfake.Buttons(t, update.Get("blocks"))) == 0) != over ||
			strings.Contains(update.Get("blocks"), "drover resync") == over {
			t.Errorf("%s: what is left to do: %s", kind, update.Get("blocks"))
		}
	}

	// Somebody has deleted it.
	if got := sent(t, c, m, "C0#dr/1.0"); got == receipt || !strings.HasPrefix(string(got), "C0#dr/") {
		t.Errorf("the new receipt is %q", got)
	}
	// It is too old to be changed.
	s.Fail("chat.update", "cant_update_message")
	s.Calls()
	sent(t, c, m, receipt)
	if said := s.Calls(); len(said) != 2 || said[1].Values.Get("thread_ts") == "" {
		t.Errorf("the thread is not told: %v", said)
	}
}

func TestSlackButtons(t *testing.T) {
	s := slackfake.New(t)
	post := func(channel plans.Channel, m alert.Message) map[string]string {
		t.Helper()
		sent(t, opened(t, channel, Options{SlackURL: s.URL}), m, "")
		return slackfake.Buttons(t, s.Calls()[0].Values.Get("blocks"))
	}
	got := post(slackChannel(t), splitBrain())
	want := map[string]string{
		"drover-acknowledge": `{"p":"two-way","c":"chat","i":"two-way/split-brain/h1","a":"acknowledge"}`,
		"drover-choose-0":    `{"p":"two-way","c":"chat","i":"two-way/split-brain/h1","a":"choose","k":"resync","s":"h1","o":"a","e":"e5f0"}`,
		"drover-choose-1":    `{"p":"two-way","c":"chat","i":"two-way/split-brain/h1","a":"choose","k":"resync","s":"h1","o":"b","e":"e5f0"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("buttons (-want +got):\n%s", diff)
	}
	taken, late, plain, long := splitBrain(), splitBrain(), splitBrain(), splitBrain()
	taken.Acknowledged = "U1"
	late.At = late.Asks.Until
	plain.Asks = nil
	long.Asks.Evidence = strings.Repeat("e", maxButtonValue)
	for name, c := range map[string]struct {
		m    alert.Message
		want int
	}{
		"taken on": {taken, 2}, "too late": {late, 3}, "no question": {plain, 1}, "no room": {long, 1},
		"test": {TestMessage("two-way", "chat", began), 0},
	} {
		if got := post(slackChannel(t), c.m); len(got) != c.want {
			t.Errorf("%s: buttons %v", name, got)
		}
	}
	deaf, nobody := slackChannel(t), slackChannel(t)
	deaf.App, nobody.Approve = plans.Secret{}, nil
	for _, channel := range []plans.Channel{deaf, nobody} {
		if got := post(channel, splitBrain()); len(got) != 0 {
			t.Errorf("buttons that nobody may press or hears: %v", got)
		}
	}
}

// TestSlackMarkup gives names that Slack would read as something else.
func TestSlackMarkup(t *testing.T) {
	s := slackfake.New(t)
	var hook string
	address, calls := server(t, func(_ http.ResponseWriter, c said) { hook = string(c.body) })
	evil := "<!channel> <@U123> & ``` `x` *b* <https://evil.example|x> @here\u202e\x1b[31m"
	m := splitBrain()
	m.Plan, m.Code, m.Site, m.What, m.Next = evil, evil, evil, evil, evil
	m.Worst, m.Details = []string{evil}, []alert.Detail{{Name: evil, Text: evil}}
	m.Asks.Options = []string{evil}
	c := opened(t, slackChannel(t), Options{SlackURL: s.URL})
	receipt := sent(t, c, m, "")
	sent(t, c, m, receipt)
	for _, call := range s.Calls() {
		text := call.Values.Get("text")
		if strings.ContainsAny(text, "<>\u202e\x1b") || !strings.Contains(text, "&lt;!channel&gt; &lt;@U123&gt; &amp; ```") {
			t.Errorf("%s: text %q", call.Method, text)
		}
		if call.Values.Get("parse") != "none" || call.Values.Get("mrkdwn") != "false" || call.Values.Get("link_names") != "" {
			t.Errorf("%s: %v", call.Method, call.Values)
		}
		if blocks := call.Values.Get("blocks"); blocks != "" {
			checkInert(t, blocks)
		}
	}
	sent(t, opened(t, plans.Channel{Name: "hook", Type: plans.ChannelSlackWebhook, URL: kept(t, address)}, Options{}), m, "")
	calls()
	posted := decoded[map[string]any](t, []byte(hook))
	if text := fmt.Sprint(posted["text"]); strings.ContainsAny(text, "<>") || posted["parse"] != "none" {
		t.Errorf("webhook: %s", hook)
	}
	checkInert(t, hook[strings.Index(hook, `"blocks":`)+len(`"blocks":`):strings.LastIndex(hook, "]")+1])
}

// checkInert fails where a text is read as markup, or an element is a mention.
func checkInert(t *testing.T, blocks string) {
	t.Helper()
	if strings.Contains(blocks, "mrkdwn") {
		t.Errorf("markup in %s", blocks)
	}
	all, plain := slackfake.Blocks(t, blocks)
	if !strings.Contains(plain, "rich_text_preformatted/text: <!channel> <@U123> & ``` `x`") {
		t.Errorf("the command is not as it was: %s", plain)
	}
	var visit func([]slackfake.Block)
	visit = func(all []slackfake.Block) {
		for _, b := range all {
			switch b.Type {
			case "header", "section", "context", "actions", "button", "rich_text", "rich_text_section", "rich_text_preformatted", "text", "plain_text":
			default:
				t.Errorf("an element of type %s", b.Type)
			}
			visit(b.Elements)
		}
	}
	visit(all)
}

// TestSlackLimits gives more than Slack takes.
func TestSlackLimits(t *testing.T) {
	s := slackfake.New(t)
	m := splitBrain()
	long := strings.Repeat("ä<&", 5000)
	m.Plan, m.What, m.Next, m.Site = long, long, long, long
	m.Worst, m.Details, m.Asks.Options = nil, nil, nil
	for range 100 {
		m.Worst = append(m.Worst, long)
		m.Details = append(m.Details, alert.Detail{Name: long, Text: long})
		m.Asks.Options = append(m.Asks.Options, "site")
	}
	m.ID, m.Plan = "i", "p"
	sent(t, opened(t, slackChannel(t), Options{SlackURL: s.URL}), m, "")
	values := s.Calls()[0].Values
	all, _ := slackfake.Blocks(t, values.Get("blocks"))
	if len(all) > 50 || all[len(all)-1].Type != "context" || len(slackfake.Buttons(t, values.Get("blocks"))) != 25 {
		t.Errorf("%d blocks, %d buttons", len(all), len(slackfake.Buttons(t, values.Get("blocks"))))
	}
	limits := map[string]int{"header": 150, "section": 3000, "context": 3000, "button": 75, "text": 3000}
	var visit func([]slackfake.Block)
	visit = func(all []slackfake.Block) {
		for _, b := range all {
			for _, text := range b.Plain() {
				_, text, _ = strings.Cut(text, ": ")
				if limit, ok := limits[b.Type]; ok && len(text) > limit {
					t.Errorf("a %s of %d bytes", b.Type, len(text))
				}
			}
			visit(b.Elements)
		}
	}
	visit(all)
	empty := alert.Message{ID: "i", Kind: alert.Opened}
	sent(t, opened(t, slackChannel(t), Options{SlackURL: s.URL}), empty, "")
	_, plain := slackfake.Blocks(t, s.Calls()[0].Values.Get("blocks"))
	if !strings.Contains(plain, "section/plain_text: -") {
		t.Errorf("an empty section: %s", plain)
	}
}

func TestSlackErrors(t *testing.T) {
	s := slackfake.New(t)
	c := opened(t, slackChannel(t), Options{SlackURL: s.URL})
	for code, want := range map[string]string{
		"invalid_auth":      "slack channel chat: posting the message: Slack answers invalid_auth; [ERROR] <secret>: check the token",
		"channel_not_found": "(#dr): check target",
		"not_in_channel":    "(#dr): invite the app",
		"missing_scope":     "chat:write",
		"invalid_blocks":    "report this as a fault of drover",
		"internal_error":    "Slack answers internal_error",
		"ratelimited":       "too many messages",
	} {
		s.Fail("chat.postMessage", code)
		_, err := c.Send(t.Context(), splitBrain(), "")
		passing := code == "internal_error" || code == "ratelimited"
		if err == nil || !strings.Contains(err.Error(), want) || isPermanent(err) == passing {
			t.Errorf("%s: %v (lasting: %v), not %q", code, err, isPermanent(err), want)
		}
	}
	s.Limit()
	_, err := c.Send(t.Context(), splitBrain(), "")
	var failure *Failure
	if !errors.As(err, &failure) || failure.RetryAfter() != 30*time.Second || isPermanent(err) || !strings.Contains(err.Error(), "30s") {
		t.Errorf("a limit of rate: %v", err)
	}
	address, _ := server(t, func(w http.ResponseWriter, c said) {
		if strings.HasPrefix(c.path, "/gone") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(http.StatusBadGateway)
	})
	for path, lasts := range map[string]bool{"/gone": true, "/broken": false} {
		hook := opened(t, plans.Channel{Name: "hook", Type: plans.ChannelSlackWebhook, URL: kept(t, address+path)}, Options{})
		if _, err := hook.Send(t.Context(), splitBrain(), ""); err == nil || isPermanent(err) != lasts {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestSlackChoices shows who has chosen what, and how many have to.
func TestSlackChoices(t *testing.T) {
	s := slackfake.New(t)
	channel := slackChannel(t)
	channel.Approvals = 2
	m := splitBrain()
	shown := func() string {
		t.Helper()
		sent(t, opened(t, channel, Options{SlackURL: s.URL}), m, "")
		_, plain := slackfake.Blocks(t, s.Calls()[0].Values.Get("blocks"))
		return plain
	}
	if got := shown(); !strings.Contains(got, "e5f0.\n2 approvers have to choose the same.\nChosen so far: a, by ann (U1)") || strings.Contains(got, "do not agree") {
		t.Errorf("one has chosen: %s", got)
	}
	m.Choices = append(m.Choices, alert.Choice{Who: "U2", Name: "<!channel>", Channel: "chat", Option: "b", At: began})
	if got := shown(); !strings.Contains(got, "section/plain_text: To decide") || !strings.Contains(got, "Chosen so far: b, by <!channel> (U2), 2026-11-28 12:00:00 UTC\nThey do not agree: nothing is done until they choose the same.") {
		t.Errorf("of two minds: %s", got)
	}
	m.Asks = &alert.Question{Kind: alert.AskApprove, Subject: "run-1 hook/x", Evidence: strings.Repeat("e", 64), Options: []string{alert.Approve}}
	got := shown()
	if !strings.Contains(got, "To decide: whether the step is done, so that the run may go on. A button counts on this evidence: ") || !strings.Contains(got, "It is done: go on") || strings.Contains(got, strings.Repeat("e", 17)) {
		t.Errorf("a step: %s", got)
	}
}

// TestSlackSilent puts right what is shown, and says nothing: not even where that
// message is gone.
func TestSlackSilent(t *testing.T) {
	s := slackfake.New(t)
	c := opened(t, slackChannel(t), Options{SlackURL: s.URL})
	m := splitBrain()
	receipt := sent(t, c, m, "")
	s.Calls()
	m.Kind, m.Silent = alert.Changed, true
	sent(t, c, m, receipt)
	s.Fail("chat.update", "message_not_found")
	sent(t, c, m, receipt)
	calls := s.Calls()
	for _, call := range calls {
		if call.Method != "chat.update" {
			t.Errorf("called %s", call.Method)
		}
	}
	if len(calls) == 0 {
		t.Error("nothing was put right")
	}
}
