package notify

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/drover-io/drover/plans"
)

const (
	hiddenText = "<secret>"
	// minPart is the length from which a part of a secret address is hidden by
	// itself: a short one is no token, but may be part of any word.
	minPart = 6
	// minLogin is the same for who logs in at a service.
	minLogin = 3
)

// keys are the secrets of a channel while a message is sent.
type keys struct {
	url     *url.URL
	token   string
	app     string
	signing string
	secret  string // password
	hidden  []string
}

// String shows nothing of the keys.
func (k *keys) String() string { return hiddenText }

// GoString shows nothing of the keys.
func (k *keys) GoString() string { return hiddenText }

// reveal reads the secrets of a channel. The keys are good for hiding even where
// it fails.
func reveal(c plans.Channel) (*keys, error) {
	k := &keys{}
	var address string
	for _, s := range []struct {
		key  string
		kept plans.Secret
		into *string
	}{
		{"url", c.URL, &address},
		{"token", c.Token, &k.token},
		{"app_token", c.App, &k.app},
		{"signing_key", c.Signing, &k.signing},
		{"password", c.Secret, &k.secret},
	} {
		if !s.kept.IsSet() {
			continue
		}
		text, err := s.kept.Reveal()
		if err != nil {
			return k, fmt.Errorf("%s: %w", s.key, err)
		}
		*s.into = text
		k.add(text)
	}
	if k.secret != "" { // a mail server may say again what it was told
		k.add("\x00" + c.Login + "\x00" + k.secret)
	}
	if !c.URL.IsSet() {
		return k, nil
	}
	parsed, err := url.Parse(strings.TrimSpace(address))
	if err != nil { // the error holds the address
		err = errors.New("it is no address")
	} else if c.Type != plans.ChannelShoutrrr && (parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "") {
		err = errors.New("it is no http or https address")
	}
	if err != nil {
		return k, lasting("url in %s: %w", c.URL.Where(), err)
	}
	k.url = parsed
	k.addParts(parsed)
	if c.Type == plans.ChannelShoutrrr {
		k.addService(parsed)
	}
	return k, nil
}

// copied are the same keys, which may be added to apart.
func (k *keys) copied() *keys {
	other := *k
	other.hidden = slices.Clone(k.hidden)
	return &other
}

// add hides a secret, however it may be written.
func (k *keys) add(secret string) {
	if secret == "" {
		return
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(secret))
	quoted := strings.Trim(strconv.Quote(secret), `"`)
	for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), encoded, quoted} {
		if !slices.Contains(k.hidden, form) {
			k.hidden = append(k.hidden, form)
		}
	}
	// The longest first: what is replaced must not leave the rest of a longer.
	slices.SortStableFunc(k.hidden, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
}

// addParts hides the parts of an address that people keep keys in. Its host may
// be shown: without it nobody can tell why it was not reached.
func (k *keys) addParts(address *url.URL) {
	parts := []string{address.String(), address.RequestURI(), address.Path, address.RawQuery, address.Fragment}
	parts = append(parts, strings.Split(address.Path, "/")...)
	for _, values := range address.Query() {
		parts = append(parts, values...)
	}
	if address.User != nil {
		password, _ := address.User.Password()
		parts = append(parts, address.User.String(), address.User.Username(), password)
	}
	for _, part := range parts {
		if len(part) >= minPart {
			k.add(part)
		}
	}
}

// addService hides what only addresses of services keep keys in: a host that is none,
// short parts of who logs in, and words of an option, such as of a header or a list.
func (k *keys) addService(address *url.URL) {
	name, _, _ := strings.Cut(address.Scheme, "+")
	parts := strings.Split(address.EscapedPath(), "/")
	for _, values := range address.Query() {
		for _, value := range values {
			parts = append(parts, strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" ,;:!@#", r) })...)
		}
	}
	if services[name].keyHost {
		parts = append(parts, address.Host, address.Hostname())
	}
	for _, part := range parts {
		if len(part) >= minPart {
			k.add(part)
		}
	}
	password, _ := address.User.Password()
	for _, part := range []string{address.User.Username(), password, address.User.Username() + ":" + password} {
		if len(part) >= minLogin {
			k.add(part)
		}
	}
}

// shown is the beginning of what a server has said, in one line. Secrets are
// hidden first: half of one could not be found any more.
func (k *keys) shown(said string) string { return cut(line(k.hide(said)), maxShown) }

// hide is a text without the secrets.
func (k *keys) hide(text string) string {
	for _, secret := range k.hidden {
		text = strings.ReplaceAll(text, secret, hiddenText)
	}
	return text
}
