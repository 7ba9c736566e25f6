package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"github.com/drover-io/drover/orchestrator/alert"
)

// maxTitle is how long a title may be, in bytes: Opsgenie takes 130.
const maxTitle = 120

// shoutrrrSender sends through the library of that name, which knows many services.
// What it sends can neither be changed nor answered later.
type shoutrrrSender struct {
	o    Options
	next http.RoundTripper
	// sending holds what is under way: one message, so that a library that hangs
	// where no call can be ended gathers no heap of them.
	sending chan struct{}
}

func newShoutrrrSender(o Options) *shoutrrrSender {
	return &shoutrrrSender{o: o, next: newHTTP(o).Transport, sending: make(chan struct{}, 1)}
}

// send waits for the library no longer than ctx lasts: calls end with it, and whatever
// else the library may be waiting for is left behind.
func (s *shoutrrrSender) send(ctx context.Context, k *keys, m alert.Message, _ alert.Receipt) (alert.Receipt, error) {
	name, kind, err := serviceOf(k.url)
	if err != nil {
		return "", err
	}
	text, params := shoutrrrText(m, s.o.links(m), kind, k)
	if name == "opsgenie" && !hasOption(k, "alias") {
		params["alias"] = dedupKey(m.ID) // one alert of an incident
	}
	if name == "discord" && !hasOption(k, "splitlines") {
		params["splitlines"] = "no"
	}
	select {
	case s.sending <- struct{}{}:
	case <-ctx.Done():
		return "", errors.New("the message before has not come to an end")
	}
	f := &flight{ctx: ctx, next: s.next, keys: k.copied()}
	ended := make(chan error, 1)
	go func() {
		defer func() { <-s.sending }()
		ended <- f.deliver(name, text, params)
	}()
	select {
	case err := <-ended:
		return "", err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// deliver has the library send, and says what has come of it: by what the flight has
// seen, and only where that was all well by what the library says. (It takes some
// failures for success.)
func (f *flight) deliver(name, text string, params types.Params) error {
	err := standardCalls.during(f, func() (err error) {
		defer func() {
			if value := recover(); value != nil {
				err = lasting("the library has failed: %v", value)
			}
		}()
		service, err := openService(f.keys, true)
		if err != nil {
			return err
		}
		throughFlight(service, f)
		return service.Send(text, &params)
	})
	switch {
	case f.failed != nil:
		return fmt.Errorf("%s: %w", name, f.failed)
	case err == nil && f.calls == 0:
		return fmt.Errorf("%s: nothing was sent", name)
	case err == nil:
		return nil
	}
	shown := f.keys.shown(err.Error())
	if f.calls == 0 { // it is the address or the message
		return lasting("%s: %s", name, shown)
	}
	return fmt.Errorf("%s: %s", name, shown)
}

// shoutrrrText is a message as a service takes it: all of it where there is room, and
// what matters most where there is none. Links are the plan's own, and stay links.
func shoutrrrText(m alert.Message, links []Link, kind service, k *keys) (text string, params types.Params) {
	params = types.Params{}
	var below strings.Builder
	for _, l := range links {
		_, _ = fmt.Fprintf(&below, "\n%s: %s", inert(line(l.Text)), line(l.URL))
	}
	if below.Len() > kind.limit/2 {
		below.Reset()
	}
	whole := strings.TrimSpace(Describe(m))
	m = cleaned(m)
	short := brief(m)
	if kind.titled && !hasOption(k, "title") {
		params[types.TitleKey] = cut(inert(title(m)), maxTitle)
		_, whole, _ = strings.Cut(whole, "\n\n")
		_, short, _ = strings.Cut(short, "\n")
	}
	text = inert(whole)
	if len(text)+below.Len() > kind.limit {
		text = cut(inert(short), kind.limit-below.Len())
	}
	return text + below.String(), params
}

// hasOption says whether the address gives an option of its service.
func hasOption(k *keys, option string) bool {
	for key := range k.url.Query() {
		if strings.EqualFold(key, option) {
			return true
		}
	}
	return false
}
