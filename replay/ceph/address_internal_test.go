package ceph

import (
	"errors"
	"slices"
	"testing"

	"github.com/drover-io/drover/replay"
)

func TestAddressesOf(t *testing.T) {
	for text, want := range map[string][]string{
		"192.0.2.1:0/3698475577":                              {"192.0.2.1:0/3698475577"},
		"v1:192.0.2.1:0/3698475577":                           {"192.0.2.1:0/3698475577"},
		"v2:192.0.2.1:0/1\n":                                  {"192.0.2.1:0/1"},
		"[v2:192.0.2.1:0/1,v1:192.0.2.1:0/1]":                 {"192.0.2.1:0/1"},
		"[v2:192.0.2.1:0/1, v1:198.51.100.1:0/2]":             {"192.0.2.1:0/1", "198.51.100.1:0/2"},
		"[2001:db8::1]:0/77":                                  {"[2001:db8::1]:0/77"},
		"v2:[2001:db8::1]:0/77":                               {"[2001:db8::1]:0/77"},
		"[v2:[2001:db8::1]:0/77,v1:[2001:db8::1]:0/77]":       {"[2001:db8::1]:0/77"},
		"[v2:[2001:db8::1]:3300/77,v1:[2001:db8::1]:6789/77]": {"[2001:db8::1]:3300/77", "[2001:db8::1]:6789/77"},
	} {
		if got, err := addressesOf(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q (%v), want %q", text, got, err, want)
		}
	}
	// Before a client is connected it has no address, or none with a nonce.
	for _, text := range []string{"", "-", "[]", ":/0", "192.0.2.1:0/0", "v2:192.0.2.1:0", "[v2:192.0.2.1:0/1,-]"} {
		if got, err := addressesOf(text); !errors.Is(err, replay.ErrInvalid) {
			t.Errorf("%q: %q (%v), want it refused", text, got, err)
		}
	}
}
