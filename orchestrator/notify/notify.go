// Package notify delivers the messages of package alert: to Slack, to webhooks,
// to PagerDuty, by e-mail, as heartbeats, and to all that the library shoutrrr
// reaches. It knows how each of them wants a message, and nothing of what the messages are about: when somebody is told, and
// whether a message is tried again, is decided elsewhere. Secrets are read when a
// message is sent and forgotten after it; no error shows one.
package notify

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
)

// sendTimeout is how long one message may take; a variable for tests.
var sendTimeout = 10 * time.Second

var errSlow = errors.New("no answer in time")

// Options are what the channels of one process share. The zero value is good.
type Options struct {
	// SlackURL and PagerDutyURL are where those services are, if not where they
	// always are.
	SlackURL, PagerDutyURL string
	// Roots are the certificate authorities to trust, if not the system's.
	Roots *x509.CertPool
	// Links are shown with a message, such as a dashboard and a runbook.
	Links func(alert.Message) []Link
	// Dial calls hosts, if not by the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Now is the clock, if not the system's.
	Now func() time.Time
	// Log is told what no error can tell, such as a mail that one of several
	// addressees does not get.
	Log *slog.Logger
}

// Link is an address with a name.
type Link struct {
	Text string `json:"text"`
	URL  string `json:"url"`
}

func (o Options) links(m alert.Message) []Link {
	if o.Links == nil {
		return nil
	}
	return o.Links(m)
}

func (o Options) now() time.Time {
	if o.Now == nil {
		return time.Now()
	}
	return o.Now()
}

func (o Options) log() *slog.Logger {
	if o.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Log
}

// sender delivers by one type of channel. k are the channel's secrets, and what
// it returns in errors may hold them.
type sender interface {
	send(ctx context.Context, k *keys, m alert.Message, last alert.Receipt) (alert.Receipt, error)
}

// channel is an [alert.Channel] around a sender.
type channel struct {
	plans.Channel
	sender sender
}

// Open returns a channel of a plan. It calls nobody and reads no secret: what is
// wrong with those shows when a message is sent.
func Open(c plans.Channel, o Options) (alert.Channel, error) {
	var s sender
	var err error
	switch c.Type {
	case plans.ChannelSlack:
		s, err = &slackSender{channel: c, o: o, client: newHTTP(o)}, checkBase(o.SlackURL)
	case plans.ChannelSlackWebhook:
		s = &slackWebhookSender{o: o, client: newHTTP(o)}
	case plans.ChannelWebhook:
		s = &webhookSender{o: o, client: newHTTP(o)}
	case plans.ChannelPagerDuty:
		s, err = &pagerDutySender{o: o, client: newHTTP(o)}, checkBase(o.PagerDutyURL)
	case plans.ChannelEmail:
		s, err = newEmailSender(c, o)
	case plans.ChannelHeartbeat:
		s = &heartbeatSender{client: newHTTP(o)}
	case plans.ChannelShoutrrr:
		s = newShoutrrrSender(o)
	default:
		err = fmt.Errorf("type %q is not known", c.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("channel %s: %w", c.Name, err)
	}
	return &channel{Channel: c, sender: s}, nil
}

func checkBase(address string) error {
	_, err := url.Parse(address)
	return err
}

// Name is the channel's name in the plan.
func (c *channel) Name() string { return c.Channel.Name }

// String names the channel, and never shows more of it.
func (c *channel) String() string { return c.Type + " channel " + c.Channel.Name }

// Send delivers a message. What a failed call returns is a [*Failure], or one
// that [alert.Permanent] wraps. Beats go to heartbeats, and nothing else does but
// tests.
func (c *channel) Send(ctx context.Context, m alert.Message, last alert.Receipt) (alert.Receipt, error) {
	if m.Kind != alert.Test && (m.Kind == alert.Beat) != (c.Type == plans.ChannelHeartbeat) {
		return last, nil
	}
	k, err := reveal(c.Channel)
	if err != nil {
		return last, k.failure(c.Channel, err)
	}
	timed, cancel := context.WithTimeoutCause(ctx, sendTimeout, fmt.Errorf("%w (%s)", errSlow, sendTimeout))
	defer cancel()
	receipt, err := c.sender.send(timed, k, m, last)
	if err != nil {
		if timed.Err() != nil {
			err = tooSlow(context.Cause(timed), err)
		}
		return last, k.failure(c.Channel, err)
	}
	return receipt, nil
}

// tooSlow is the error of a call that was ended. What it leaves in doubt stays so.
func tooSlow(why, err error) error {
	slow := fmt.Errorf("%w: %w", why, bareTimeout(err))
	if doubt, ok := errors.AsType[*doubtError](err); ok {
		return &doubtError{slow, doubt.receipt}
	}
	return slow
}
