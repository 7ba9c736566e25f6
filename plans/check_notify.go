package plans

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

func (c *checker) notifications() {
	n := &c.plan.Notifications
	c.names("channels", len(n.Channels), func(i int) (string, string) {
		return n.Channels[i].Name, fmt.Sprintf("notifications.channels[%d].name", i)
	})
	var names []string
	for i := range n.Channels {
		names = append(names, n.Channels[i].Name)
		c.channel(&n.Channels[i], fmt.Sprintf("notifications.channels[%d]", i))
	}
	if c.unsure("notifications.channels") {
		return
	}
	for i, route := range n.Routes {
		for j, name := range route.Channels {
			if !slices.Contains(names, name) {
				c.add(fmt.Sprintf("notifications.routes[%d].channels[%d]", i, j), CodeUnknownChannel, fmt.Sprintf("no channel is called %s", quote(name)), suggest(name, names))
			}
		}
	}
}

// set says which keys of the channel have a value.
func (ch *Channel) set() map[string]bool {
	return map[string]bool{
		"target": ch.Target != "", "url": ch.URL.IsSet(), "token": ch.Token.IsSet(), "app_token": ch.App.IsSet(),
		"signing_key": ch.Signing.IsSet(), "smtp": ch.SMTP != "", "from": ch.From != "", "login": ch.Login != "",
		"password": ch.Secret.IsSet(), "approvers": len(ch.Approve) > 0,
		"approvals": ch.Approvals != 0,
	}
}

func (c *checker) channel(ch *Channel, path string) {
	keys, ok := channelKeys[ch.Type]
	if !ok {
		return // an unknown type has been refused as a word
	}
	set := ch.set()
	for _, key := range sortedNames(set) {
		at := path + "." + key
		switch {
		case slices.Contains(keys.needs, key):
			if !set[key] {
				c.needs(at, fmt.Sprintf("a channel of type %s needs it", ch.Type), fmt.Sprintf("add %s", key))
			}
		case !slices.Contains(keys.may, key):
			c.outOfPlace(at, fmt.Sprintf("means nothing for a channel of type %s", ch.Type), "remove it")
		}
	}
	if at := path + ".approvals"; ch.Type == ChannelSlack && c.given(at) && (ch.Approvals < 1 || ch.Approvals > len(ch.Approve)) && !c.unsure(path) {
		c.add(at, CodeBadNumber, fmt.Sprintf("%d approvals cannot be had from %d approvers", ch.Approvals, len(ch.Approve)), "give a number from 1 to as many as approvers are listed")
	}
	if ch.Type != ChannelEmail {
		return
	}
	if set["login"] != set["password"] {
		at, missing := path+".password", "password"
		if set["password"] {
			at, missing = path+".login", "login"
		}
		c.needs(at, "login and password go together", "add "+missing)
	}
	for address := range strings.SplitSeq(ch.Target, ",") {
		if ch.Target != "" && mailAddress(strings.TrimSpace(address)) != "" {
			c.add(path+".target", CodeBadAddress, fmt.Sprintf("%s is not a mail address", quote(address)), "write addresses separated by commas")
		}
	}
}

// endpoint refuses to serve the network without TLS and a token: what it shows
// tells an attacker when to strike.
func (c *checker) endpoint() {
	h := c.plan.HTTP
	if c.unsure("http") {
		return
	}
	if h.Listen == "" {
		for _, key := range []string{"tls_cert", "tls_key", "token"} {
			c.outOfPlace("http."+key, "means nothing without listen", "add listen or remove it")
		}
		return
	}
	if (h.TLSCert == "") != (h.TLSKey == "") {
		key := "tls_key"
		if h.TLSCert == "" {
			key = "tls_cert"
		}
		c.needs("http."+key, "a certificate and its key go together", "add "+key)
		return
	}
	if listenAddress(h.Listen) == "" && !isLoopback(h.Listen) && (h.TLSCert == "" || !h.Token.IsSet()) {
		c.add("http.listen", CodeOpenListener, fmt.Sprintf("%s is open to the network", quote(h.Listen)), "listen at 127.0.0.1, or give tls_cert, tls_key and token")
	}
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
