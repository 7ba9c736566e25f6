package alert_test

import (
	"slices"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
)

// eachMatters is of copies that differ: each image is trouble of its own.
func eachMatters(o *alert.Options) {
	o.Each, o.Updates, o.Routes = []string{"copies-differ"}, []string{"chat"}, o.Routes[:1]
	o.MinInterval, o.FlapWindow = 5*time.Minute, time.Hour
}

// TestNewcomersAreTold: one more image of what is open is told within seconds, also to
// whoever has taken the others on; one that comes back soon is not.
func TestNewcomersAreTold(t *testing.T) {
	o := newOffice(t, eachMatters)
	differ := func(names ...string) { o.signals = signal("copies-differ", alert.Critical, "b", names...) }
	differ("rbd/one")
	o.pass(time.Minute)
	o.told("chat opened copies-differ critical 1")
	o.acknowledge("eva")
	o.pass(time.Hour)
	o.told("chat changed copies-differ critical 1")
	differ("rbd/one", "rbd/two")
	o.pass(step)
	o.told("chat changed copies-differ critical 2")
	if m := o.last(); m.Acknowledged != "" || !slices.Contains(m.Details, alert.Detail{Name: "new since the last message", Text: "rbd/two"}) {
		t.Errorf("%+v", m)
	}
	differ("rbd/three", "rbd/four") // as many as before, and others
	o.pass(time.Minute)
	o.told("chat changed copies-differ critical 2")
	o.pass(10 * time.Minute)
	o.told()
	differ("rbd/one", "rbd/two", "rbd/three", "rbd/four") // two that were told of a while ago
	o.pass(20 * time.Minute)
	if o.silent(); o.last().Images != 4 {
		t.Errorf("shown: %+v", o.last())
	}
	differ("rbd/three", "rbd/four")
	o.pass(2 * time.Hour)
	o.silent()
	differ("rbd/one", "rbd/three", "rbd/four") // it was well for long
	o.pass(step)
	o.told("chat changed copies-differ critical 3")
}

// TestNewcomersWait: where they trickle in without end, no more than a few messages are
// sent, and each image is told of.
func TestNewcomersWait(t *testing.T) {
	o := newOffice(t, eachMatters)
	for n := 1; n <= 360; n++ { // for an hour
		o.signals = signal("copies-differ", alert.Critical, "b", images(n)...)
		o.pass(step)
	}
	if n := len(o.log); n < 10 || n > 20 {
		t.Errorf("%d messages in an hour: %q", n, o.log)
	}
	o.log = nil
	o.pass(5 * time.Minute)
	o.told("chat changed copies-differ critical 360")
}

// TestShownIsPutRight: what is shown of an incident is put right where that is possible,
// and nobody is told.
func TestShownIsPutRight(t *testing.T) {
	o := newOffice(t, func(o *alert.Options) {
		o.Updates, o.Routes, o.MinInterval = []string{"chat"}, o.Routes[:1], 5*time.Minute
	})
	o.signals = signal("lag", alert.Critical, "b", images(20)...)
	o.pass(time.Minute)
	o.told("chat opened lag critical 20")
	o.signals = signal("lag", alert.Warning, "b", images(19)...)
	o.pass(10 * time.Minute)
	if o.silent(); o.last().Severity != alert.Warning || o.last().Images != 19 {
		t.Errorf("shown: %+v", o.last())
	}
	o.pass(time.Hour)
	o.told()
	o.options.Updates = nil
	o.signals = signal("lag", alert.Warning, "b", images(18)...)
	o.pass(time.Hour)
	o.told()
}

// silent wants that the channels were told nothing but what they show.
func (o *office) silent() {
	o.t.Helper()
	if len(o.log) == 0 {
		o.t.Errorf("what is shown was not put right")
	}
	for _, m := range o.sent[len(o.sent)-len(o.log):] {
		if !m.Silent || m.Kind != alert.Changed {
			o.t.Errorf("told: %+v", m)
		}
	}
	o.log = nil
}
