package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
)

// The headers of a webhook's calls.
const (
	// HeaderID is the same for each try to send a message, and for no other.
	HeaderID = "X-Drover-Id"
	// HeaderTimestamp is when the call was made, in seconds since 1970.
	HeaderTimestamp = "X-Drover-Timestamp"
	// HeaderSignature is sha256= and the HMAC-SHA256 of the timestamp, a point and
	// the body, by the channel's signing_key, in hexadecimal digits.
	HeaderSignature = "X-Drover-Signature"
)

// Envelope is what a webhook gets; examples/webhook holds its JSON Schema.
type Envelope struct {
	APIVersion string        `json:"apiVersion"` // "drover/v1"
	Kind       string        `json:"kind"`       // "Notification"
	Message    alert.Message `json:"message"`
	Links      []Link        `json:"links,omitempty"`
}

type webhookSender struct {
	o      Options
	client *http.Client
}

func (s *webhookSender) send(ctx context.Context, k *keys, m alert.Message, _ alert.Receipt) (alert.Receipt, error) {
	body, err := json.Marshal(Envelope{
		APIVersion: "drover/v1", Kind: "Notification", Message: m, Links: s.o.links(m),
	})
	if err != nil {
		return "", lasting("writing down the message: %w", err)
	}
	header := http.Header{HeaderID: {messageID(m)}}
	if k.signing != "" {
		at := strconv.FormatInt(s.o.now().Unix(), 10)
		header.Set(HeaderTimestamp, at)
		header.Set(HeaderSignature, signature(k.signing, at, body))
	}
	return "", do(ctx, s.client, k, call{method: http.MethodPost, url: k.url.String(), header: header, body: body})
}

// messageID names a message: its incident, what happened to it, and when.
func messageID(m alert.Message) string {
	return url.PathEscape(m.ID) + "/" + string(m.Kind) + "/" + m.At.UTC().Format(time.RFC3339Nano)
}

func signature(key, at string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	_, _ = mac.Write([]byte(at + ".")) // a hash never fails
	_, _ = mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

type heartbeatSender struct{ client *http.Client }

// send calls the address. It is a GET: every dead man's switch takes one, and the
// address alone says who lives.
func (s *heartbeatSender) send(ctx context.Context, k *keys, _ alert.Message, _ alert.Receipt) (alert.Receipt, error) {
	return "", do(ctx, s.client, k, call{method: http.MethodGet, url: k.url.String()})
}
