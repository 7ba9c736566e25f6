package notify

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptrace"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/slack-go/slack"

	"github.com/drover-io/drover/orchestrator/alert"
)

// Where the answer to a post is lost, nobody knows whether the message is there: Slack
// has no key by which a post could be made twice and come once. So each message says,
// in metadata that nobody sees, which one it is, and one in doubt is looked for before
// it is posted again. That takes a scope (channels:history, or groups:history in a
// private channel) and the channel's id. Without them the message is posted again:
// it may be there twice, and is never missing.
const (
	// doubtFor is how long a message in doubt waits for Slack to say whether it is
	// there, where it cannot be asked.
	doubtFor = time.Minute
	// lookTime is how long that question may take.
	lookTime = 5 * time.Second
	// doubtMargin is by how much Slack's clock may be behind.
	doubtMargin = 10 * time.Minute
	// lookAt is how many messages are asked for at once (Slack gives some apps no
	// more), lookPages how often.
	lookAt, lookPages = 15, 10

	markEvent = "drover_message"
)

// slackThread is what a receipt says: PLACE/TS, or PLACE/TS?SECONDS.
type slackThread struct {
	// ts is the first message; empty while it is in doubt whether there is one. place
	// is then empty where the channel's id is not known.
	place, ts string
	doubt     time.Time // since when it is in doubt whether the last post has come; zero: it is not

	unseen error // why it could not be looked for what is in doubt; in no receipt
}

func threadOf(r alert.Receipt) slackThread {
	text, since, doubted := strings.Cut(string(r), "?")
	var t slackThread
	t.place, t.ts, _ = strings.Cut(text, "/")
	if seconds, err := strconv.ParseInt(since, 10, 64); doubted && err == nil {
		t.doubt = time.Unix(seconds, 0)
	}
	return t
}

func (t slackThread) receipt() alert.Receipt {
	text := t.place + "/" + t.ts
	if !t.doubt.IsZero() {
		text += "?" + strconv.FormatInt(t.doubt.Unix(), 10)
	}
	return alert.Receipt(text)
}

// doubtError is a call that may have had its effect; receipt says what to look for.
type doubtError struct {
	error
	receipt alert.Receipt
}

func (e *doubtError) Unwrap() error { return e.error }

// slackMark says which message one is: of what incident, to which channel, and what it
// says.
type slackMark struct{ Channel, Incident, Said string }

func (s *slackSender) mark(m alert.Message) slackMark {
	text, err := json.Marshal(m)
	if err != nil {
		text = []byte(fmt.Sprint(m))
	}
	said := sha256.Sum256(text)
	return slackMark{Channel: s.channel.Name, Incident: m.ID, Said: hex.EncodeToString(said[:8])}
}

func (m slackMark) option() slack.MsgOption {
	return slack.MsgOptionMetadata(slack.SlackMetadata{
		EventType:    markEvent,
		EventPayload: map[string]any{"channel": m.Channel, "incident": m.Incident, "said": m.Said},
	})
}

func markOf(m slack.Message) slackMark {
	if m.Metadata.EventType != markEvent {
		return slackMark{}
	}
	field := func(name string) string {
		text, _ := m.Metadata.EventPayload[name].(string)
		return text
	}
	return slackMark{field("channel"), field("incident"), field("said")}
}

// post posts a message, which is then in doubt where Slack may have it although it did
// not say so. at is its thread, as far as there is one.
func (s *slackSender) post(ctx context.Context, api *slack.Client, k *keys, what string, at slackThread, options ...slack.MsgOption) (place, ts string, err error) {
	began := s.o.now()
	var wrote atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }})
	channel := s.channel.Target
	if at.ts != "" {
		channel = at.place
		options = append(options, slack.MsgOptionTS(at.ts))
	}
	place, ts, err = api.PostMessageContext(traced, channel, options...)
	if err == nil {
		s.place.Store(&place)
		if at.unseen != nil {
			s.warnTwice(k, at.unseen)
		}
		return place, ts, nil
	}
	if at.doubt.IsZero() && wrote.Load() && slackMayHave(err) {
		at.place, at.doubt = cmp.Or(at.place, s.placeID()), began
	}
	err = k.slackError(what, s.channel, err)
	if !at.doubt.IsZero() {
		err = &doubtError{err, at.receipt()}
	}
	return "", "", err
}

// slackMayHave reports whether Slack may have done what it was asked for, although a
// call has failed.
func slackMayHave(err error) bool {
	var limited *slack.RateLimitedError
	var status slack.StatusCodeError
	switch {
	case errors.As(err, &limited):
		return false
	case errors.As(err, &status):
		return status.Code >= 500 // a gateway's, too
	}
	switch slackCode(err) {
	case "", "internal_error", "fatal_error", "service_unavailable": // the answer was lost, or Slack says so itself
		return true
	}
	return false
}

// slackID is how Slack's ids of channels look; names have no capitals.
var slackID = regexp.MustCompile(`^[CGD][A-Z0-9]{7,}$`)

// placeID is the channel's id, or nothing where it is not known: the plan may give a
// name, which Slack takes for posts only.
func (s *slackSender) placeID() string {
	if slackID.MatchString(s.channel.Target) {
		return s.channel.Target
	}
	if place := s.place.Load(); place != nil {
		return *place
	}
	return ""
}

// find looks for a message in doubt: the first of an incident's, or, where that is
// known, one in its thread that says just this. It finds nothing where Slack does not
// let it look (at.unseen). An error is that it is to be looked later.
func (s *slackSender) find(ctx context.Context, api *slack.Client, k *keys, at *slackThread, mark slackMark) (found slack.Message, ok bool, err error) {
	place := cmp.Or(at.place, s.placeID())
	if place == "" {
		at.unseen = errors.New("the channel's id is not known")
		return found, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, min(lookTime, sendTimeout/2))
	defer cancel()
	cursor := ""
	for range lookPages {
		messages, next, err := s.page(ctx, api, place, *at, cursor)
		if err != nil {
			young := s.o.now().Sub(at.doubt) < doubtFor
			if young && slackMayHave(err) {
				return found, false, k.slackError("looking whether the message is there already", s.channel, err)
			}
			at.unseen = err
			return found, false, nil
		}
		for _, m := range messages {
			first := m.ThreadTimestamp == "" || m.ThreadTimestamp == m.Timestamp
			got := markOf(m)
			if first == (at.ts == "") && (got == mark || first && got.Channel == mark.Channel && got.Incident == mark.Incident) {
				return m, true, nil
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	return found, false, nil
}

// page is one answer of what was posted since before the doubt.
func (s *slackSender) page(ctx context.Context, api *slack.Client, place string, at slackThread, cursor string) ([]slack.Message, string, error) {
	oldest := fmt.Sprintf("%d.000000", at.doubt.Add(-doubtMargin).Unix())
	if at.ts != "" {
		messages, _, next, err := api.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{
			ChannelID: place, Timestamp: at.ts, Cursor: cursor, Oldest: oldest, Limit: lookAt, IncludeAllMetadata: true,
		})
		return messages, next, err
	}
	answer, err := api.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{
		ChannelID: place, Cursor: cursor, Oldest: oldest, Limit: lookAt, IncludeAllMetadata: true,
	})
	if err != nil {
		return nil, "", err
	}
	return answer.Messages, answer.ResponseMetaData.NextCursor, nil
}

// warnTwice tells that a message may be there twice, and why.
func (s *slackSender) warnTwice(k *keys, why error) {
	s.o.log().Warn("a message whose answer was lost is posted again: it could not be seen whether Slack has it",
		"channel", s.channel.Name, "error", k.hide(line(bare(why).Error())),
		"next", "give the app the scope channels:history (groups:history for a private channel), and the channel's id as target")
}
