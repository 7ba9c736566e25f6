//go:build !sim

package main

import (
	"strings"
	"testing"

	"github.com/drover-io/drover/plans"
)

// TestCephadmCommands: the diff shows what apply would do; a service of another
// name than its type's is started, and never made.
func TestCephadmCommands(t *testing.T) {
	for service, want := range map[string]string{
		"rbd-mirror": " orch apply rbd-mirror 'h1 h2'",
		"mirror-2":   " orch start mirror-2",
	} {
		site := plans.Site{Conf: "b.conf", User: "client.drover", Daemon: plans.Daemon{Service: service, Placement: "h1 h2"}}
		r := cephadmRunner(site, nil)
		if !strings.HasSuffix(r.start, want) || !strings.HasSuffix(r.stop, " orch stop "+service) {
			t.Errorf("start %q, stop %q", r.start, r.stop)
		}
	}
}
