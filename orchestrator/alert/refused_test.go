package alert_test

import (
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
)

func TestRefusedForGood(t *testing.T) {
	o := newOffice(t, func(o *alert.Options) { o.Routes[0].Severities = append(o.Routes[0].Severities, alert.Info) })
	o.broken["chat"] = errRefused
	o.signals = signal("lag", alert.Warning, "b")
	o.pass(40 * time.Second)
	o.told()
	o.pass(time.Minute)
	o.told("pager opened channel-failing critical 0")
	if got, want := o.last().What, `alerts do not reach the channel "chat": chat: token revoked for good`; got != want {
		t.Errorf("it says %q\n    want %q", got, want)
	}
	o.blind = []string{"a"}
	o.signals = append(o.signals, signal("other", alert.Warning, "b")...)
	o.mend("chat")
	o.pass(time.Minute)
	// A check that is blind to a site still sees what becomes of channels.
	o.told("chat opened lag warning 0", "chat opened other warning 0", "pager resolved channel-failing critical 0")
}

func TestRefusedIsTriedAgainSlowly(t *testing.T) {
	o := newOffice(t)
	d := o.desk()
	for range 4 {
		d.Check(o.now, signal("lag", alert.Warning, "b"), nil, nil)
		o.now = o.now.Add(step)
	}
	last := time.Time{}
	for tries := 0; tries < 5; o.now = o.now.Add(time.Second) {
		due := d.Due(o.now)
		if gap := o.now.Sub(last); !last.IsZero() && (gap > 10*time.Minute+time.Second || len(due) > 0 && gap < 5*time.Minute) {
			t.Fatalf("after try %d: %d due after %s", tries, len(due), gap)
		}
		for _, delivery := range due {
			tries++
			last = o.now
			d.Failed(o.now, delivery, errRefused)
		}
	}
	d.Check(o.now, signal("lag", alert.Warning, "b", "rbd/x"), nil, nil)
	if due := d.Due(o.now); len(due) != 1 || due[0].Message.Kind != alert.Opened || due[0].Message.Images != 1 {
		t.Errorf("what is newer is not tried at once: %+v", due)
	}
}

// TestOneMessageIsAtFault has a channel that takes all messages but one.
func TestOneMessageIsAtFault(t *testing.T) {
	o := newOffice(t)
	d := o.desk()
	var tries []time.Duration
	for i := range 200 {
		signals := signal("poison", alert.Warning, "b")
		if i%20 < 10 {
			signals = append(signals, signal("lag", alert.Warning, "b")...)
		}
		d.Check(o.now, signals, nil, nil)
		for _, due := range d.Due(o.now) {
			if due.Message.Code == "poison" {
				tries = append(tries, o.now.Sub(start))
				d.Failed(o.now, due, errRefused)
				continue
			}
			d.Done(o.now, due, "")
		}
		o.now = o.now.Add(step)
	}
	if len(tries) < 4 || tries[1]-tries[0] >= 5*time.Minute {
		t.Errorf("tried at %s, want at once when the channel takes another, and again", tries)
	}
	for i := 2; i < len(tries); i++ {
		if gap := tries[i] - tries[i-1]; gap < 5*time.Minute || gap > 10*time.Minute+step {
			t.Errorf("tried at %s: the channel takes others, and is given this one again after %s", tries, gap)
		}
	}
}

// TestARefusalOfAllIsOver has a channel that refuses all for hours: when it takes
// one again, it is given all of them.
func TestARefusalOfAllIsOver(t *testing.T) {
	o := newOffice(t)
	d := o.desk()
	signals := append(signal("lag", alert.Warning, "b"), signal("other", alert.Warning, "b")...)
	for range 3 * 360 {
		d.Check(o.now, signals, nil, nil)
		for _, due := range d.Due(o.now) {
			if due.Channel == "chat" {
				d.Failed(o.now, due, errRefused)
			} else {
				d.Done(o.now, due, "")
			}
		}
		o.now = o.now.Add(step)
	}
	for mended := o.now; d.Waiting()["chat"] == 2; o.now = o.now.Add(time.Second) {
		if o.now.Sub(mended) > 11*time.Minute {
			t.Fatal("none of 2 is told within 11 min")
		}
		for _, due := range d.Due(o.now) {
			d.Done(o.now, due, "")
		}
	}
	for _, due := range d.Due(o.now) {
		d.Done(o.now, due, "")
	}
	if n := d.Waiting()["chat"]; n > 0 {
		t.Errorf("the channel takes messages again, and %d wait on", n)
	}
}

func TestIsPermanent(t *testing.T) {
	if alert.IsPermanent(errAway) || alert.IsPermanent(nil) || !alert.IsPermanent(errRefused) {
		t.Error("errors are not told apart")
	}
}
