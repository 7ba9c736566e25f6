package alert_test

import (
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
)

// TestBeatUnheard: where nothing that is found can be told, there is no heartbeat; there
// is where somebody can be told, or nothing waits.
func TestBeatUnheard(t *testing.T) {
	begin := func(t *testing.T) *office {
		return newOffice(t, func(o *alert.Options) { o.BeatEvery, o.FailingAfter = step, 10*time.Minute })
	}
	beats := func(o *office) bool {
		d := o.desk()
		defer o.store(d)
		o.now = o.now.Add(step)
		_, due := d.Beat(o.now, true)
		return due
	}
	for name, broken := range map[string]error{"away": errAway, "refused": errRefused} {
		t.Run(name, func(t *testing.T) {
			o := begin(t)
			o.broken["chat"] = broken
			o.pass(time.Hour)
			if !beats(o) {
				t.Error("no heartbeat while nothing waits")
			}
			o.signals = signal("lag", alert.Warning, "b")
			o.pass(8 * time.Minute)
			if !beats(o) {
				t.Error("no heartbeat though the channel has hardly failed")
			}
			o.pass(5 * time.Minute)
			if !beats(o) {
				t.Error("no heartbeat, though the pager is told that the chat fails")
			}
			// Now the pager fails as well, with which everybody could be told.
			o.broken["pager"] = broken
			o.signals = append(o.signals, signal("no-primary", alert.Critical, "a")...)
			o.pass(15 * time.Minute)
			for range 200 {
				if beats(o) {
					t.Fatalf("a heartbeat at %v, though nobody can be told", o.now.Sub(start))
				}
				o.check()
			}
			o.mend("pager")
			o.pass(11 * time.Minute)
			if !beats(o) {
				t.Error("no heartbeat once the pager works again")
			}
		})
	}
}
