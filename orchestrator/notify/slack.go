package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackutilsx"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
)

// slackSender makes one thread of an incident: its first message is kept as the
// incident is now, and what happens to it is told below.
type slackSender struct {
	channel plans.Channel
	o       Options
	client  *http.Client
	place   atomic.Pointer[string] // id of the channel, once something was posted there
}

// send posts, or goes on with what the receipt names. A try that has failed half
// way is safe to make again: the first message is then written as it is already, and
// a post whose answer was lost is looked for.
func (s *slackSender) send(ctx context.Context, k *keys, m alert.Message, last alert.Receipt) (alert.Receipt, error) {
	buttons, mark := s.buttons(m), s.mark(m) // of the incident's id as it is
	m = cleaned(m)
	api := slackAPI(s.o, s.client, k)
	content := slackContent(m, s.o.links(m), buttons, s.channel.Needed())
	at := threadOf(last)
	if at.ts == "" && !at.doubt.IsZero() {
		first, ok, err := s.find(ctx, api, k, &at, mark)
		if err != nil {
			return "", err
		}
		if ok {
			at = slackThread{place: cmp.Or(at.place, s.placeID()), ts: first.Timestamp}
			if markOf(first) == mark {
				return at.receipt(), nil
			}
		}
	}
	if at.ts != "" {
		gone, err := s.goOn(ctx, api, k, m, content, at, mark)
		if err != nil {
			return "", err
		}
		if !gone {
			return slackThread{place: at.place, ts: at.ts}.receipt(), nil
		}
		at = slackThread{}
	}
	place, ts, err := s.post(ctx, api, k, "posting the message", at, content, mark.option())
	if err != nil {
		return "", err
	}
	return slackThread{place: place, ts: ts}.receipt(), nil
}

// goOn brings an incident's first message up to date and tells what has happened
// in its thread. It says whether that message is gone.
func (s *slackSender) goOn(ctx context.Context, api *slack.Client, k *keys, m alert.Message, content slack.MsgOption, at slackThread, mark slackMark) (gone bool, err error) {
	_, _, _, err = api.UpdateMessageContext(ctx, at.place, at.ts, content)
	switch slackCode(err) {
	case "message_not_found", "thread_not_found", "channel_not_found":
		return !m.Silent, nil
	case "cant_update_message", "edit_window_closed": // the thread still tells it
	default:
		if err != nil {
			return false, k.slackError("updating the incident's message", s.channel, err)
		}
	}
	if m.Silent {
		return false, nil
	}
	if !at.doubt.IsZero() {
		if _, told, err := s.find(ctx, api, k, &at, mark); told || err != nil {
			return false, err
		}
	}
	reply := []slack.MsgOption{slackText(brief(m)), mark.option()}
	if m.Kind == alert.Escalated { // a thread that nobody has looked at is no place to say so
		reply = append(reply, slack.MsgOptionBroadcast())
	}
	_, _, err = s.post(ctx, api, k, "posting in the incident's thread", at, reply...)
	return false, err
}

func slackAPI(o Options, client *http.Client, k *keys) *slack.Client {
	base := strings.TrimSuffix(cmp.Or(o.SlackURL, slack.APIURL), "/") + "/"
	return slack.New(k.token, slack.OptionHTTPClient(client), slack.OptionAPIURL(base), slack.OptionAppLevelToken(k.app))
}

// slackContent is a message's blocks, and the text for where those do not show.
func slackContent(m alert.Message, links []Link, buttons slack.Block, needed int) slack.MsgOption {
	return slack.MsgOptionCompose(slackText(brief(m)), slack.MsgOptionBlocks(slackBlocks(m, links, buttons, needed)...))
}

// slackText is a text of which Slack makes nothing else: no mention, no link, no
// format.
func slackText(text string) slack.MsgOption {
	return slack.MsgOptionCompose(
		slack.MsgOptionText(slackEscaped(text), false), slack.MsgOptionDisableMarkdown(), slack.MsgOptionParse(false),
		slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl(),
	)
}

func slackEscaped(text string) string {
	return slackutilsx.EscapeMessage(cut(text, maxSection))
}

type slackWebhookSender struct {
	o      Options
	client *http.Client
}

// send posts a message that can neither be changed nor answered later.
func (s *slackWebhookSender) send(ctx context.Context, k *keys, m alert.Message, _ alert.Receipt) (alert.Receipt, error) {
	m = cleaned(m)
	err := slack.PostWebhookCustomHTTPContext(ctx, k.url.String(), s.client, &slack.WebhookMessage{
		Text: slackEscaped(brief(m)), Parse: "none",
		Blocks: &slack.Blocks{BlockSet: slackBlocks(m, s.o.links(m), nil, 0)},
	})
	if err != nil {
		return "", k.slackError("posting the message", plans.Channel{}, err)
	}
	return "", nil
}

// slackCode is the code that Slack's API answers instead of what was asked for.
func slackCode(err error) string {
	var answer slack.SlackErrorResponse
	if errors.As(err, &answer) {
		return answer.Err
	}
	return ""
}

// slackNext is what to do about the answers that trying again does not change.
var slackNext = map[string]string{
	"invalid_auth":            nextToken,
	"not_authed":              nextToken,
	"account_inactive":        nextToken,
	"token_revoked":           nextToken,
	"token_expired":           nextToken,
	"not_allowed_token_type":  "give a bot token (xoxb-) as token, and an app-level token (xapp-) as app_token",
	"missing_scope":           "give the app the scopes chat:write and, for buttons, connections:write, and install it again",
	"no_permission":           "give the app the scope chat:write, and install it again",
	"channel_not_found":       "check target; a private channel is found only once the app was invited to it",
	"not_in_channel":          "invite the app to the channel: /invite in the channel",
	"is_archived":             "give a channel as target that is not archived",
	"restricted_action":       nextAdmin,
	"ekm_access_denied":       nextAdmin,
	"org_login_required":      nextAdmin,
	"team_access_not_granted": nextAdmin,
	"invalid_blocks":          nextReport,
	"invalid_blocks_format":   nextReport,
	"msg_blocks_too_long":     nextReport,
	"msg_too_long":            nextReport,
	"no_text":                 nextReport,
	"invalid_arguments":       nextReport,
}

const (
	nextToken  = "check the token, and that the app is still installed"
	nextAdmin  = "ask who administrates the workspace to let the app post there"
	nextReport = "report this as a fault of drover"
)

// slackError says what a failed call means. c names where to look, as far as it
// is known.
func (k *keys) slackError(what string, c plans.Channel, err error) error {
	var limited *slack.RateLimitedError
	var status slack.StatusCodeError
	var answer slack.SlackErrorResponse
	switch {
	case errors.As(err, &limited):
		return &busyError{limited.RetryAfter}
	case errors.As(err, &status):
		// The rest of the status line is the server's to choose.
		return fmt.Errorf("%s: %w", what, judge(status.Code, http.Header{}, ""))
	case !errors.As(err, &answer):
		return fmt.Errorf("%s: %w", what, bare(err))
	case answer.Err == "ratelimited" || answer.Err == "rate_limited":
		return &busyError{}
	}
	text := answer.Err
	for _, more := range answer.ResponseMetadata.Messages {
		text += "; " + k.shown(more)
	}
	next, known := slackNext[answer.Err]
	if !known {
		return fmt.Errorf("%s: Slack answers %s", what, text)
	}
	if c.Target != "" && (answer.Err == "channel_not_found" || answer.Err == "not_in_channel" || answer.Err == "is_archived") {
		text += " (" + c.Target + ")"
	}
	return lasting("%s: Slack answers %s: %s", what, text, next)
}
