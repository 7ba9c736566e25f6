package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay/parallel"
)

const (
	// maxWaiting is how many presses may wait for those before them.
	maxWaiting = 64
	// maxFrame is how long a message of Slack's may be, in bytes.
	maxFrame = 1 << 20
	// listenAgain is the shortest pause before Slack is called again.
	listenAgain = time.Second
	maxPause    = time.Minute
	// fleeting is what a connection does not last that is made again only after a pause.
	fleeting = 10 * time.Second
	// drainTime is how long presses that Slack was told of are still answered when
	// nobody is listened to any more.
	drainTime = 10 * time.Second
)

// refusedPause is the pause before Slack is called again that has refused to be
// listened to, as with a token that was taken back; a variable for tests.
var refusedPause = 5 * time.Minute

// Place is a channel of a plan.
type Place struct {
	Plan    string
	Channel plans.Channel
}

// Press is a button that a person has pressed who may do so.
type Press struct {
	Plan       string
	Channel    string // name in the plan
	IncidentID string
	User       string // Slack's id of who has pressed
	Name       string // and the name that Slack has for them, as far as it says
	Action     string // Acknowledge or Choose
	// What was asked, and the option chosen; empty for Acknowledge.
	Kind, Subject, Option, Evidence string
	// At is when the press came here.
	At time.Time
}

// Who names the person who has pressed.
func (p Press) Who() string { return "Slack user " + who(p.User, line(p.Name)) }

// Listener hears the buttons of the channels that share one Slack app, by Socket
// Mode: it calls Slack, so no port has to be open. Slack tells each press to one
// only of those who listen to an app. So one process listens to all places of an
// app, and one that stands by does not.
type Listener struct {
	places []Place
	o      Options
	client *http.Client
	again  chan struct{} // it is tried again now

	mu    sync.Mutex
	fault error // why buttons are not heard; nil: they are, or it was not tried yet
}

// Listeners are one for each app among the Slack channels that have an app_token
// and approvers; the app is told by where its token is kept.
func Listeners(places []Place, o Options) []*Listener {
	var all []*Listener
	byApp := map[string]*Listener{}
	for _, p := range places {
		if !hasButtons(p.Channel) {
			continue
		}
		app := p.Channel.App.Where()
		if byApp[app] == nil {
			byApp[app] = &Listener{o: o, client: newHTTP(o), again: make(chan struct{}, 1)}
			all = append(all, byApp[app])
		}
		byApp[app].places = append(byApp[app].places, p)
	}
	return all
}

// String names the channels that are listened to.
func (l *Listener) String() string {
	text := "Slack buttons of"
	for _, p := range l.places {
		text += " " + p.Plan + "/" + p.Channel.Name
	}
	return text
}

// Places are the channels that are listened to.
func (l *Listener) Places() []Place { return slices.Clone(l.places) }

// Same reports whether another listener would hear nothing else.
func (l *Listener) Same(other *Listener) bool { return reflect.DeepEqual(l.places, other.places) }

// Fault is why the buttons are not heard now; nil where they are, or where that is not
// known yet.
func (l *Listener) Fault() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}

func (l *Listener) note(fault error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = fault
}

// Retry has a listener that waits to call Slack again do so now: a token may have been
// replaced where it is kept.
func (l *Listener) Retry() {
	select {
	case l.again <- struct{}{}:
	default:
	}
}

// Listen calls press for each press, one at a time, and posts the reply, or the
// error, in the thread of the button's message. It connects again whenever the
// connection ends, until ctx does; where Slack refuses it, seldom. Presses that Slack
// was told of by then are still answered.
func (l *Listener) Listen(ctx context.Context, press func(Press) (reply string, err error)) {
	patient, done := outliving(ctx, drainTime)
	defer done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	waiting := make(chan pressed, maxWaiting)
	var beside parallel.Group
	beside.Go(func() { // so that a long answer delays no connection
		defer cancel()
		for h := range waiting {
			l.handle(patient, h.keys, h.InteractionCallback, press)
		}
	})
	l.stayConnected(ctx, waiting)
	close(waiting)
	beside.Wait()
}

// pressed is what Slack has told of, with the keys to answer it.
type pressed struct {
	slack.InteractionCallback
	keys *keys
}

// stayConnected connects again and again until ctx ends.
func (l *Listener) stayConnected(ctx context.Context, waiting chan<- pressed) {
	for pause := listenAgain; ; pause = min(2*pause, maxPause) {
		began := time.Now()
		k, err := l.listen(ctx, waiting)
		select {
		case <-ctx.Done(): // as it should end
			return
		default:
		}
		if err == nil {
			err = errors.New("the connection ended")
		}
		l.noteOf(k, err)
		l.warn(k, "listening for Slack buttons: it is tried again", err)
		if time.Since(began) > maxPause {
			pause = listenAgain
		}
		wait := pause
		if slackNext[slackCode(err)] != "" {
			wait = refusedPause
		}
		if limited, ok := errors.AsType[*slack.RateLimitedError](err); ok {
			wait = max(wait, min(limited.RetryAfter, refusedPause))
		}
		select {
		case <-ctx.Done():
			return
		case <-l.again:
		case <-time.After(wait):
		}
	}
}

// noteOf notes why the connection failed, as it can be shown.
func (l *Listener) noteOf(k *keys, err error) {
	l.note(k.failure(l.places[0].Channel, k.slackError("listening for buttons", plans.Channel{}, err)))
}

func (l *Listener) warn(k *keys, message string, err error) {
	l.o.log().Warn(message, "channel", l.places[0].Channel.Name, "error", k.hide(line(bare(err).Error())))
}

// listen listens until Slack can be reached no more.
func (l *Listener) listen(ctx context.Context, waiting chan<- pressed) (*keys, error) {
	k, err := reveal(l.places[0].Channel)
	if err != nil {
		return k, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	client := socketmode.New(slackAPI(l.o, l.client, k),
		socketmode.OptionLog(log.New(io.Discard, "", 0)), socketmode.OptionReadLimit(maxFrame),
		socketmode.OptionDialer(&websocket.Dialer{
			Proxy: http.ProxyFromEnvironment, HandshakeTimeout: sendTimeout, WriteBufferSize: 32 << 10,
			TLSClientConfig: &tls.Config{RootCAs: l.o.Roots, MinVersion: tls.VersionTLS12}, NetDialContext: l.o.Dial,
		}))
	var beside parallel.Group
	beside.Go(func() {
		defer cancel(nil)
		// Slack's library would go on calling: also where a token is good but not for
		// this, and after a long outage with pauses of minutes.
		if err := l.route(ctx, client, k, waiting); err != nil {
			cancel(err)
		}
	})
	err = client.RunContext(ctx)
	cancel(err)
	beside.Wait()
	return k, context.Cause(ctx)
}

// outliving is a context that ends a while after another.
func outliving(ctx context.Context, by time.Duration) (longer context.Context, done func()) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(by, cancel) })
	return longer, func() {
		stop()
		cancel()
	}
}

// route acknowledges what Slack says at once, for it waits 3 s only, and passes
// presses on. It returns why Slack could not be called, or is to be left alone a while.
func (l *Listener) route(ctx context.Context, client *socketmode.Client, k *keys, waiting chan<- pressed) error {
	var connected time.Time
	for {
		var event socketmode.Event
		select {
		case <-ctx.Done():
			return nil
		case event = <-client.Events:
		}
		if failed, ok := event.Data.(*slack.ConnectionErrorEvent); ok {
			return failed.ErrorObj
		}
		switch event.Type {
		case socketmode.EventTypeConnected:
			connected = time.Now()
			l.note(nil)
		case socketmode.EventTypeConnecting: // the library does so at once
			if !connected.IsZero() && time.Since(connected) < fleeting {
				return errors.New("the connection ended at once")
			}
		}
		if event.Request == nil || event.Request.EnvelopeID == "" {
			continue
		}
		if err := client.AckCtx(ctx, event.Request.EnvelopeID, nil); err != nil {
			continue // the context has ended
		}
		callback, ok := event.Data.(slack.InteractionCallback)
		if !ok || callback.Type != slack.InteractionTypeBlockActions {
			continue
		}
		select {
		case waiting <- pressed{callback, k}:
		default:
			l.warn(k, "a press of a Slack button is not heard", errors.New("too many wait"))
		}
	}
}

// handle answers what was pressed in one message.
func (l *Listener) handle(ctx context.Context, k *keys, c slack.InteractionCallback, press func(Press) (string, error)) {
	for _, action := range c.ActionCallback.BlockActions {
		var v buttonValue
		if err := json.Unmarshal([]byte(action.Value), &v); err != nil || (v.Action != Acknowledge && v.Action != Choose) {
			continue // it is no button of ours
		}
		if ctx.Err() != nil {
			return
		}
		if why := l.refusal(v, c.User.ID); why != "" {
			l.reply(ctx, k, c, slack.MsgOptionPostEphemeral(c.User.ID), why)
			continue
		}
		reply, err := press(Press{
			Plan: v.Plan, Channel: v.Channel, IncidentID: v.Incident, User: c.User.ID, Name: c.User.Name, Action: v.Action,
			Kind: v.Kind, Subject: v.Subject, Option: v.Option, Evidence: v.Evidence, At: l.o.now(),
		})
		if err != nil {
			reply = "Not done: " + k.hide(bare(err).Error())
		}
		if reply != "" {
			thread := cmp.Or(c.Message.ThreadTimestamp, c.Message.Timestamp, c.Container.MessageTs)
			l.reply(ctx, k, c, slack.MsgOptionTS(thread), reply)
		}
	}
}

// refusal says why a press does not count, or nothing.
func (l *Listener) refusal(v buttonValue, user string) string {
	for _, p := range l.places {
		if p.Plan != v.Plan || p.Channel.Name != v.Channel {
			continue
		}
		for _, may := range p.Channel.Approve {
			if may == user && user != "" {
				return ""
			}
		}
		return fmt.Sprintf("You may not press this button: %s is not among the approvers of channel %s in plan %s.", user, v.Channel, v.Plan)
	}
	return fmt.Sprintf("This button cannot be pressed now: no drover that hears it watches channel %s of plan %s. "+
		"Give each drover daemon a Slack app of its own.", v.Channel, v.Plan)
}

// reply tells the person, or the thread, what has come of a press.
func (l *Listener) reply(ctx context.Context, k *keys, c slack.InteractionCallback, to slack.MsgOption, text string) {
	timed, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	place := cmp.Or(c.Channel.ID, c.Container.ChannelID)
	api := slackAPI(l.o, l.client, k)
	if _, _, _, err := api.SendMessageContext(timed, place, to, slackText(lines(text))); err != nil {
		l.warn(k, "a press of a Slack button is not answered", k.slackError("replying", plans.Channel{}, err))
	}
}
