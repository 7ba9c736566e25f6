package notify

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"github.com/drover-io/drover/plans"
)

// service is what there is to know of a service that the library knows.
type service struct {
	// limit is how long a text may be, in bytes: well within what the service and the
	// library take, which refuse longer ones, cut them, or make files of them.
	limit int
	// keyHost says that the host in the address is a key, and no host.
	keyHost bool
	// titled says that a title has a place of its own.
	titled bool
	// never are options that make a text be more than text, or trust anybody.
	never []string
}

// services are those that channels of type shoutrrr may name.
var services = map[string]service{
	"bark":       {limit: 2000, titled: true},
	"discord":    {limit: 3800, keyHost: true, titled: true, never: []string{"json"}},
	"generic":    {limit: 16000},
	"googlechat": {limit: 4000},
	"gotify":     {limit: 16000, titled: true, never: []string{"insecureskipverify"}},
	"hangouts":   {limit: 4000},
	"ifttt":      {limit: 4000, keyHost: true},
	"join":       {limit: 4000},
	"lark":       {limit: 16000},
	"matrix":     {limit: 16000},
	"mattermost": {limit: 16000},
	"notifiarr":  {limit: 2000, keyHost: true},
	"ntfy":       {limit: 4000, never: []string{"disabletlsverification"}},
	"opsgenie":   {limit: 15000, titled: true},
	"pushbullet": {limit: 4000, keyHost: true, titled: true},
	"pushover":   {limit: 1000, keyHost: true, titled: true},
	"rocketchat": {limit: 4900},
	"signal":     {limit: 2000},
	"teams":      {limit: 16000, keyHost: true, titled: true},
	"telegram":   {limit: 4000, never: []string{"parsemode", "title"}}, // a title makes HTML of the text
	"wecom":      {limit: 2000, keyHost: true},
	"zulip":      {limit: 9900},
}

// refusedServices are the library's others, and why they are not for us.
var refusedServices = map[string]string{
	"logger":    "it tells nobody, but writes a log",
	"pagerduty": "use a channel of type pagerduty, which also resolves what is over",
	"slack":     "use a channel of type slack or slack-webhook",
	"smtp":      "use a channel of type email",
}

// Check says what is wrong with a channel that only its secret can tell: for type
// shoutrrr, an address that the service does not take. A secret that cannot be read,
// as it may be kept where the daemon runs, is no mistake. It calls nobody, and what it
// returns shows nothing of the address.
func Check(c plans.Channel) error {
	if c.Type != plans.ChannelShoutrrr {
		return nil
	}
	k, err := reveal(c)
	var lasts *lastingError
	if err != nil && !errors.As(err, &lasts) {
		return nil
	}
	if err == nil {
		if _, err = openService(k, false); err != nil {
			err = fmt.Errorf("url in %s: %w", c.URL.Where(), err)
		}
	}
	if err == nil {
		return nil
	}
	return errors.New(k.hide(line(k.hide(err.Error()))))
}

// serviceOf is the service that an address names. Errors show no name that is not
// known: it may be the beginning of a key.
func serviceOf(address *url.URL) (name string, s service, err error) {
	name, _, _ = strings.Cut(address.Scheme, "+")
	if why, ok := refusedServices[name]; ok {
		return name, s, lasting("the service %s is refused: %s", name, why)
	}
	s, ok := services[name]
	if !ok {
		return "", s, lasting("it does not begin with a service that is known: write SERVICE://…, of %s", strings.Join(slices.Sorted(maps.Keys(services)), ", "))
	}
	for key := range address.Query() {
		if slices.Contains(s.never, strings.ToLower(key)) {
			return name, s, lasting("%s: the option %s is refused: messages are plain text, and certificates are always verified", name, strings.ToLower(key))
		}
	}
	if name == "discord" && strings.Trim(address.Path, "/") != "" {
		return name, s, lasting("discord: write discord://TOKEN@WEBHOOKID, without a path")
	}
	return name, s, nil
}

// openService makes the library ready to send to an address. Without calling nobody
// is called: a service that would log in at once is opened as if it had a token.
func openService(k *keys, calling bool) (s types.Service, err error) {
	name, _, err := serviceOf(k.url)
	if err != nil {
		return nil, err
	}
	defer func() {
		if value := recover(); value != nil {
			s, err = nil, lasting("%s: the address is not as the service wants it", name)
		}
	}()
	address := *k.url // the library writes in it
	if name == "matrix" && !calling {
		password, _ := address.User.Password()
		address.User = url.UserPassword("", password)
	}
	s, err = (&router.ServiceRouter{}).NewService(name)
	if err != nil {
		return nil, lasting("%s: the library does not know it", name)
	}
	to := &address
	if address.Scheme != name {
		custom, ok := s.(types.CustomURLService)
		if !ok {
			return nil, lasting("%[1]s: write the address as %[1]s://…", name)
		}
		if to, err = custom.GetConfigURLFromCustom(to); err != nil {
			return nil, lasting("%s: %s", name, k.hide(err.Error()))
		}
	}
	if err = s.Initialize(to, nil); err != nil {
		return nil, lasting("%s: %s", name, k.hide(err.Error()))
	}
	return s, nil
}
