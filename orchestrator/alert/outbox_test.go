package alert_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
)

var (
	errAway    = errors.New("no route to host")
	errRefused = fmt.Errorf("chat: %w", alert.Permanent(errors.New("token  revoked\nfor good")))
)

// mend lets a channel take messages again.
func (o *office) mend(channel string) { delete(o.broken, channel) }

func TestOutage(t *testing.T) {
	for _, c := range []struct {
		name    string
		during  func(o *office)
		want    []string // once the channel takes messages again
		without []string // what the pager was told meanwhile
	}{
		{
			"still open", func(*office) {},
			[]string{"chat opened lag critical 0"},
			[]string{"pager opened lag critical 0"},
		},
		{
			"changed meanwhile", func(o *office) {
				o.signals = signal("lag", alert.Critical, "b", images(3)...)
				o.pass(time.Minute)
			},
			[]string{"chat opened lag critical 3"},
			[]string{"pager opened lag critical 0", "pager changed lag critical 3"},
		},
		{
			"over meanwhile", func(o *office) {
				o.signals = nil
				o.pass(time.Minute)
			},
			[]string{"chat resolved lag critical 0"},
			[]string{"pager opened lag critical 0", "pager resolved lag critical 0"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOffice(t)
			o.broken["chat"] = errAway
			o.signals = signal("lag", alert.Critical, "b")
			o.pass(time.Minute)
			c.during(o)
			o.pass(8 * time.Minute)
			o.told(c.without...)
			o.mend("chat")
			o.pass(5 * time.Minute)
			o.told(c.want...)
		})
	}
}

func TestBackoff(t *testing.T) {
	o := newOffice(t)
	d, err := alert.NewDesk(o.options, alert.Memory{})
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		d.Check(o.now, signal("lag", alert.Warning, "b"), nil, nil)
		o.now = o.now.Add(step)
	}
	begin, attempts := o.now, []time.Duration{}
	for ; o.now.Before(begin.Add(time.Hour)); o.now = o.now.Add(time.Second / 4) {
		for _, due := range d.Due(o.now) {
			attempts = append(attempts, o.now.Sub(begin))
			if due.Attempt != len(attempts) {
				t.Fatalf("attempt %d says that it is attempt %d", len(attempts), due.Attempt)
			}
			d.Failed(o.now, due, errAway)
		}
	}
	whole := time.Second
	for i := range len(attempts) - 1 {
		gap := attempts[i+1] - attempts[i]
		if gap < max(time.Second, whole/2) || gap > whole+time.Second/4 {
			t.Errorf("after attempt %d: %s, want up to %s", i+1, gap, whole)
		}
		whole = min(2*whole, time.Minute)
	}
	if n := len(attempts); n < 60 || n > 125 {
		t.Errorf("%d attempts in an hour", n)
	}
}

func TestWhatIsNewerWaitsUnlessItIsWorse(t *testing.T) {
	o := newOffice(t)
	d := o.desk()
	check := func(signals []alert.Signal) []alert.Delivery {
		d.Check(o.now, signals, nil, nil)
		return d.Due(o.now)
	}
	for range 40 { // until the pause is long
		o.now = o.now.Add(time.Minute)
		for _, due := range check(signal("lag", alert.Warning, "b")) {
			d.Failed(o.now, due, errAway)
		}
	}
	for due := []alert.Delivery(nil); len(due) == 0; o.now = o.now.Add(time.Second) {
		if due = d.Due(o.now); len(due) > 0 {
			d.Failed(o.now, due[0], errAway)
		}
	}
	if due := check(signal("lag", alert.Warning, "b", "rbd/x")); len(due) != 0 {
		t.Errorf("a change makes due at once %+v", due)
	}
	if due := check(signal("lag", alert.Critical, "b", "rbd/x")); len(due) != 2 || due[0].Message.Images != 1 {
		t.Errorf("a rise makes due at once %+v", due)
	}
}

func TestTheReceiptIsHandedOn(t *testing.T) {
	o := newOffice(t)
	o.signals = signal("lag", alert.Warning, "b")
	o.pass(time.Minute)
	o.signals = signal("lag", alert.Warning, "b", "rbd/x")
	o.pass(time.Minute)
	o.signals = nil
	d := o.desk()
	d.Check(o.now.Add(step), nil, nil, nil)
	d.Check(o.now.Add(2*time.Minute), nil, nil, nil)
	due := d.Due(o.now.Add(2 * time.Minute))
	if len(due) != 1 || due[0].Last != "oc" {
		t.Errorf("due is %+v, want the receipts of two messages before", due)
	}
}

// doubtful is an error after which the message may be there all the same.
type doubtful struct{ error }

func (doubtful) Receipt() alert.Receipt { return "c1?" }

// TestWhatIsInDoubtIsHandedOn: the next try knows what to look for, also after a
// restart and after a try that has failed for certain.
func TestWhatIsInDoubtIsHandedOn(t *testing.T) {
	o := newOffice(t)
	d := o.desk()
	for range 4 {
		d.Check(o.now, signal("lag", alert.Warning, "b"), nil, nil)
		o.now = o.now.Add(step)
	}
	for i, fault := range []error{fmt.Errorf("chat: %w", alert.Permanent(doubtful{errAway})), errAway} {
		due := d.Due(o.now)
		if want := []alert.Receipt{"", "c1?"}[i]; len(due) != 1 || due[0].Last != want {
			t.Fatalf("try %d: due is %+v, want the receipt %q", i, due, want)
		}
		d.Failed(o.now, due[0], fault)
		o.now = o.now.Add(20 * time.Minute)
		o.store(d)
		d = o.desk()
	}
	due := d.Due(o.now)
	if len(due) != 1 || due[0].Last != "c1?" {
		t.Fatalf("due is %+v", due)
	}
	d.Done(o.now, due[0], "c1")
	d.Check(o.now, signal("lag", alert.Critical, "b", "rbd/x"), nil, nil)
	if due := d.Due(o.now); len(due) == 0 || due[0].Last != "c1" {
		t.Errorf("then due is %+v", due)
	}
}

func TestOneAtATimeInAThread(t *testing.T) {
	for _, c := range []struct {
		name  string
		then  func(o *office, d *alert.Desk, away alert.Delivery) *alert.Desk
		kind  alert.Kind
		after string // "receipt attempt"
	}{
		{"done", func(o *office, d *alert.Desk, away alert.Delivery) *alert.Desk {
			d.Done(o.now, away, "1")
			return d
		}, alert.Changed, "1 1"},
		{"failed", func(o *office, d *alert.Desk, away alert.Delivery) *alert.Desk {
			d.Failed(o.now, away, errAway)
			return d
		}, alert.Opened, " 2"},
		{"refused", func(o *office, d *alert.Desk, away alert.Delivery) *alert.Desk {
			d.Failed(o.now, away, errRefused)
			return d
		}, alert.Opened, " 2"},
		{"lost in a restart", func(o *office, d *alert.Desk, _ alert.Delivery) *alert.Desk {
			o.store(d)
			return o.desk()
		}, alert.Opened, " 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOffice(t)
			d := o.desk()
			for range 4 {
				d.Check(o.now, signal("lag", alert.Warning, "b"), nil, nil)
				o.now = o.now.Add(step)
			}
			first := d.Due(o.now)
			d.Check(o.now, signal("lag", alert.Warning, "b", "rbd/x"), nil, nil)
			if again := d.Due(o.now); len(first) != 1 || len(again) != 0 {
				t.Fatalf("handed out %+v and, before that was done, %+v", first, again)
			}
			d = c.then(o, d, first[0])
			due := d.Due(o.now.Add(step))
			if len(due) != 1 || due[0].Message.Kind != c.kind || due[0].Message.Images != 1 ||
				fmt.Sprint(due[0].Last, " ", due[0].Attempt) != c.after {
				t.Fatalf("then due is %+v", due)
			}
			d.Done(o.now, first[0], "0")
			d.Failed(o.now, first[0], errAway)
			d.Done(o.now, due[0], "2")
			d.Done(o.now, due[0], "3")
			if more := d.Due(o.now.Add(time.Hour)); len(more) != 0 {
				t.Errorf("in the end due is %+v", more)
			}
		})
	}
}

func TestADeliveryIsDoneAfterAReload(t *testing.T) {
	o := newOffice(t)
	d := o.desk()
	for range 4 {
		d.Check(o.now, signal("lag", alert.Warning, "b"), nil, nil)
		o.now = o.now.Add(step)
	}
	due := d.Due(o.now)
	o.store(d)
	d = o.desk()
	d.Done(o.now, due[0], "1")
	if again := d.Due(o.now); len(again) != 0 {
		t.Errorf("what was taken is due again: %+v", again)
	}
}

func TestRateLimit(t *testing.T) {
	o := newOffice(t, func(o *alert.Options) { o.PerMinute = 3 })
	for i := range 8 {
		severity := alert.Warning
		if i >= 6 {
			severity = alert.Critical
		}
		o.signals = append(o.signals, signal(fmt.Sprintf("c%d", i), severity, "b")...)
	}
	o.options.HoldOff[alert.Critical] = 30 * time.Second
	o.pass(40 * time.Second)
	o.told(
		"chat opened c6 critical 0", "pager opened c6 critical 0",
		"chat opened c7 critical 0", "pager opened c7 critical 0", "chat opened c0 warning 0",
	)
	o.pass(50 * time.Second)
	o.told()
	o.pass(step)
	o.told("chat opened c1 warning 0", "chat opened c2 warning 0", "chat opened c3 warning 0")
	o.signals = nil
	o.pass(10 * time.Minute)
	var resolved int
	for _, line := range o.log {
		if strings.Contains(line, "chat resolved") {
			resolved++
		}
	}
	if resolved != 8 {
		t.Errorf("%d of 8 incidents are over in the chat: %q", resolved, o.log)
	}
}

func TestRetry(t *testing.T) {
	for _, fault := range []error{errAway, errRefused} {
		o := newOffice(t)
		d := o.desk()
		for range 4 {
			d.Check(o.now, signal("lag", alert.Warning, "b"), nil, nil)
			o.now = o.now.Add(step)
		}
		waiting := func(want int) {
			t.Helper()
			if got := d.Waiting(); got["chat"] != want || len(got) != 2 {
				t.Errorf("waiting are %v, want %d for the chat", got, want)
			}
		}
		waiting(1)
		due := d.Due(o.now)
		waiting(1)
		d.Failed(o.now, due[0], fault)
		if early := d.Due(o.now); len(early) != 0 {
			t.Fatalf("due at once: %+v", early)
		}
		d.Retry()
		waiting(1)
		due = d.Due(o.now)
		if len(due) != 1 {
			t.Fatalf("after %v and the word to try again, due is %+v", fault, due)
		}
		d.Done(o.now, due[0], "")
		waiting(0)
	}
}

func TestAChannelThatFailsForLong(t *testing.T) {
	o := newOffice(t, func(o *alert.Options) { o.FailingAfter = 10 * time.Minute })
	o.broken["pager"] = errAway
	o.signals = signal("lag", alert.Critical, "b")
	o.pass(10 * time.Minute)
	o.told("chat opened lag critical 0")
	o.pass(time.Minute)
	o.told("chat opened channel-failing critical 0")
	o.mend("pager")
	o.pass(6 * time.Minute)
	o.told("pager opened lag critical 0", "chat resolved channel-failing critical 0")
}

func TestWhereNoRouteLeadsToAnotherChannel(t *testing.T) {
	o := newOffice(t)
	o.options.Routes = []alert.Route{
		{Severities: []alert.Severity{alert.Warning}, Channels: []string{"chat"}},
		{Severities: []alert.Severity{alert.Critical}, Channels: []string{"pager"}},
	}
	o.broken["pager"] = errRefused
	o.signals = signal("lag", alert.Critical, "b")
	o.pass(time.Minute)
	o.told("chat opened channel-failing critical 0")
}

func TestWhatNobodyTakesIsForgottenInTheEnd(t *testing.T) {
	o := newOffice(t, func(o *alert.Options) { o.Forget = 24 * time.Hour })
	o.broken["chat"] = errAway
	o.signals = signal("lag", alert.Warning, "b")
	o.pass(time.Minute)
	o.signals = nil
	o.pass(23 * time.Hour)
	if n := len(o.desk().Memory().Incidents); n != 1 {
		t.Fatalf("%d incidents after 23 h", n)
	}
	o.pass(3 * time.Hour)
	if n := len(o.desk().Memory().Incidents); n != 0 {
		t.Errorf("%d incidents after 26 h", n)
	}
}

func TestOpen(t *testing.T) {
	o := newOffice(t)
	o.signals = append(signal("lag", alert.Warning, "b"), signal("split", alert.Critical, "b")...)
	o.pass(time.Minute)
	var got []string
	for _, m := range o.desk().Open() {
		got = append(got, m.Code+" "+string(m.Kind))
	}
	if want := []string{"split opened", "lag opened"}; !slices.Equal(got, want) {
		t.Errorf("open are %q, want %q", got, want)
	}
}

// busy is a channel that asks to be left alone for a while.
type busy struct{ after time.Duration }

func (busy) Error() string { return "too many messages" }

func (b busy) RetryAfter() time.Duration { return b.after }

// TestAChannelThatAsksToBeLeftAloneIs; but for no longer than any that fails.
func TestAChannelThatAsksToBeLeftAloneIs(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{40 * time.Second: 40 * time.Second, 24 * time.Hour: 5 * time.Minute} {
		o := newOffice(t)
		o.options.Routes = o.options.Routes[:1]
		o.broken["chat"] = fmt.Errorf("posting: %w", busy{asked})
		o.signals = signal("lag", alert.Warning, "b")
		for len(o.tried) == 0 {
			o.pass(step)
		}
		first := o.now
		for len(o.tried) == 1 {
			o.now = o.now.Add(time.Second)
			o.deliver()
		}
		if got := o.now.Sub(first); got != want {
			t.Errorf("asked for %s, it is tried again after %s", asked, got)
		}
	}
}
