package orchestrator

import (
	"testing"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// TestSiteIsNamedOnce: what is said of a site does not begin with its name once
// more.
func TestSiteIsNamedOnce(t *testing.T) {
	const want = "open: no answer in time"
	failed := &replay.Error{Op: "open", Site: "b", Err: replay.ErrTimeout, Hint: "look"}
	fault := faultOf(failed)

	silent := newSiteStatus(&plans.Plan{}, plans.Site{Name: "b"}, &SiteObservation{Name: "b", Fault: fault})
	daemons := newSiteStatus(&plans.Plan{}, plans.Site{Name: "b"}, &SiteObservation{Name: "b", DaemonsFault: fault})
	report := &VerifyReport{}
	report.addFault("b", "rbd", failed)
	for where, got := range map[string]string{
		"silent site": silent.Error, "daemons": daemons.Error, "verification": report.Faults[0].What,
	} {
		if got != want {
			t.Errorf("%s: %q", where, got)
		}
	}
}
