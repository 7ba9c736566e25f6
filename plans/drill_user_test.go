package plans

import (
	"errors"
	"strings"
	"testing"
)

// TestDrillCommandsNeedUser: what a drill's commands work as is never Drover itself.
func TestDrillCommandsNeedUser(t *testing.T) {
	const command = "checks: [{name: c, command: [/bin/check]}]"
	for drill, want := range map[string][]string{
		command:                                                {"keyring", "user"},
		"user: client.drill, " + command:                       {"keyring"},
		"keyring: /etc/ceph/k, " + command:                     {"user"},
		"checks: [{name: c, builtin: hash}]":                   nil,
		"user: client.drill, keyring: /etc/ceph/k, " + command: nil,
	} {
		_, err := Parse("p.yaml", []byte(planWithSecrets+"drills: [{name: d, "+drill+"}]\npeers: {by: conf}\n"))
		var got []string
		var all Errors
		if errors.As(err, &all) {
			for _, e := range all {
				got = append(got, strings.TrimPrefix(e.Path, "drills[0]."))
				if e.Line == 0 {
					t.Errorf("%q: without a place: %v", drill, e)
				}
			}
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%q: %v (%v), want %v", drill, got, err, want)
		}
	}
}
