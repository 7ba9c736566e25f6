package notify

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
)

// TestWebhookSchema checks what is sent against the schema that the project
// ships, every key of it.
func TestWebhookSchema(t *testing.T) {
	schema := strictSchema(t)
	address, calls := server(t, nil)
	links := func(alert.Message) []Link { return []Link{{Text: "Runbook", URL: "https://example.com/r"}} }
	hook := opened(t, plans.Channel{Name: "hook", Type: plans.ChannelWebhook, URL: kept(t, address+"/in?key=1")}, Options{Links: links})
	full := splitBrain()
	full.Acknowledged = "U1"
	for _, m := range []alert.Message{full, TestMessage("two-way", "hook", began), {ID: "i", Kind: alert.Resolved, Severity: alert.Info}} {
		sent(t, hook, m, "")
		got := calls()
		if len(got) != 1 || got[0].method != http.MethodPost || got[0].path != "/in?key=1" || got[0].header.Get("Content-Type") != "application/json" {
			t.Fatalf("calls: %v", got)
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(got[0].body))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(document); err != nil {
			t.Errorf("%s: %v", got[0].body, err)
		}
		if h := got[0].header; h.Get(HeaderSignature) != "" || h.Get(HeaderTimestamp) != "" {
			t.Error("signed without a key")
		}
		e := decoded[Envelope](t, got[0].body)
		if e.APIVersion != "drover/v1" || e.Message.ID != m.ID || e.Message.Kind != m.Kind || len(e.Message.Worst) != len(m.Worst) {
			t.Errorf("sent %s", got[0].body)
		}
	}
	for _, wrong := range []string{
		`{}`, `{"apiVersion":"drover/v2","kind":"Notification","message":{}}`,
		`{"apiVersion":"drover/v1","kind":"Notification","message":{"id":"i"}}`,
	} {
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(wrong))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(document) == nil {
			t.Errorf("the schema passes %s", wrong)
		}
	}
}

// strictSchema is the shipped schema, but with no key that it does not name.
func strictSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile("../../examples/webhook/notification.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var seal func(any)
	seal = func(value any) {
		object, ok := value.(map[string]any)
		if !ok {
			return
		}
		if _, ok := object["properties"]; ok && object["type"] == "object" {
			object["additionalProperties"] = false
		}
		for _, inner := range object {
			seal(inner)
		}
	}
	seal(document)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("notification.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("notification.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// TestWebhookID is the same for each try of a message, and for no other.
func TestWebhookID(t *testing.T) {
	address, calls := server(t, nil)
	hook := opened(t, plans.Channel{Name: "hook", Type: plans.ChannelWebhook, URL: kept(t, address)}, Options{})
	first := splitBrain()
	first.ID = "two-way/x\r\nX-Evil: 1"
	later, over := first, first
	later.At = later.At.Add(time.Second)
	over.Kind = alert.Resolved
	var ids []string
	for _, m := range []alert.Message{first, first, later, over} {
		sent(t, hook, m, "")
		got := calls()
		ids = append(ids, got[0].header.Get(HeaderID))
		if got[0].header.Get("X-Evil") != "" {
			t.Error("an incident's id made a header")
		}
	}
	if ids[0] == "" || ids[0] != ids[1] || ids[0] == ids[2] || ids[0] == ids[3] {
		t.Errorf("ids: %q", ids)
	}
}

func TestWebhookSigned(t *testing.T) {
	address, calls := server(t, nil)
	now := func() time.Time { return began }
	hook := opened(t, plans.Channel{
		Name: "hook", Type: plans.ChannelWebhook, URL: kept(t, address), Signing: kept(t, "s1gn"),
	}, Options{Now: now})
	sent(t, hook, splitBrain(), "")
	got := calls()[0]
	if got.header.Get(HeaderTimestamp) != fmt.Sprint(began.Unix()) || !isDrovers("s1gn", got.header, got.body) {
		t.Errorf("headers: %v", got.header)
	}
	if isDrovers("other", got.header, got.body) || isDrovers("s1gn", got.header, append(got.body, ' ')) {
		t.Error("the signature is good for another key or body")
	}
	got.header.Set(HeaderTimestamp, "1")
	if isDrovers("s1gn", got.header, got.body) {
		t.Error("the signature is good for another time")
	}
}

// isDrovers is what a receiver does. It should also refuse a timestamp that is
// minutes old, and an id that it has seen.
func isDrovers(key string, header http.Header, body []byte) bool {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(header.Get("X-Drover-Timestamp") + "."))
	mac.Write(body)
	want := "sha256=" + hex.EncodeToString(mac.Sum(nil))
	return hmac.Equal([]byte(want), []byte(header.Get("X-Drover-Signature")))
}

// How a receiver tells that a call is Drover's.
func Example() {
	body := []byte(`{"apiVersion":"drover/v1"}`)
	header := http.Header{}
	header.Set("X-Drover-Timestamp", "1795867200")
	header.Set("X-Drover-Signature", "sha256=cc24dfaec9842eec51cc68281b4e0f2e55d1c194190bc07914176484a4dba7cd")
	mac := hmac.New(sha256.New, []byte("the channel's signing_key"))
	mac.Write([]byte(header.Get("X-Drover-Timestamp") + "."))
	mac.Write(body)
	want := "sha256=" + hex.EncodeToString(mac.Sum(nil))
	fmt.Println(hmac.Equal([]byte(want), []byte(header.Get("X-Drover-Signature"))))
	// Output: true
}
