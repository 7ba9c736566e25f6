package alert_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-io/drover/orchestrator/alert"
)

// start is when the time of a test begins.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// office is a desk with an owner who checks every 10 s, and to whom each call
// is a restart: the desk must be the same from what it has stored.
type office struct {
	t        *testing.T
	options  alert.Options
	memory   []byte
	now      time.Time
	signals  []alert.Signal
	blind    []string
	unseen   []alert.Unseen
	silences []alert.Silence
	broken   map[string]error // channels that take nothing
	tried    []string         // "channel code" of what was handed out
	log      []string         // "channel kind code severity images" of what was taken
	sent     []alert.Message
}

const step = 10 * time.Second

func newOffice(t *testing.T, change ...func(*alert.Options)) *office {
	options := alert.Options{
		Plan: "prod",
		Routes: []alert.Route{
			{Severities: []alert.Severity{alert.Warning, alert.Critical}, Channels: []string{"chat"}},
			{Severities: []alert.Severity{alert.Critical}, Channels: []string{"pager"}},
		},
		HoldOff: map[alert.Severity]time.Duration{alert.Warning: 30 * time.Second, alert.Critical: 20 * time.Second},
		Settle:  map[alert.Severity]time.Duration{alert.Warning: 60 * time.Second, alert.Critical: 30 * time.Second},
		Effects: map[string][]string{"site-unknown": {"lag"}},
	}
	for _, c := range change {
		c(&options)
	}
	return &office{t: t, options: options, memory: []byte("{}"), now: start, broken: map[string]error{}}
}

// desk returns the desk as it is after a restart.
func (o *office) desk() *alert.Desk {
	o.t.Helper()
	var m alert.Memory
	if err := json.Unmarshal(o.memory, &m); err != nil {
		o.t.Fatal(err)
	}
	d, err := alert.NewDesk(o.options, m)
	if err != nil {
		o.t.Fatal(err)
	}
	return d
}

// store stores the memory of a desk.
func (o *office) store(d *alert.Desk) {
	o.t.Helper()
	var err error
	if o.memory, err = json.Marshal(d.Memory()); err != nil {
		o.t.Fatal(err)
	}
}

// check checks and delivers, once.
func (o *office) check() {
	o.t.Helper()
	d := o.desk()
	d.Check(o.now, o.signals, append(alert.Blind(o.blind...), o.unseen...), o.silences)
	o.store(d)
	o.deliver()
}

// deliver sends what is due.
func (o *office) deliver() {
	o.t.Helper()
	d := o.desk()
	for _, due := range d.Due(o.now) {
		o.store(d)
		o.tried = append(o.tried, due.Channel+" "+due.Message.Code)
		if err := o.broken[due.Channel]; err != nil {
			d.Failed(o.now, due, err)
			continue
		}
		m := due.Message
		o.log = append(o.log, fmt.Sprintf("%s %s %s %s %d", due.Channel, m.Kind, m.Code, m.Severity, m.Images))
		o.sent = append(o.sent, m)
		d.Done(o.now, due, due.Last+alert.Receipt(m.Kind[:1]))
	}
	o.store(d)
}

// pass lets time pass, with a check every 10 s.
func (o *office) pass(d time.Duration) {
	o.t.Helper()
	for end := o.now.Add(d); o.now.Before(end); {
		o.now = o.now.Add(step)
		o.check()
	}
}

// told fails the test unless this, and only this, was taken since the last call.
func (o *office) told(want ...string) {
	o.t.Helper()
	if diff := cmp.Diff(want, o.log); diff != "" {
		o.t.Fatalf("at +%s, told (-want +got):\n%s", o.now.Sub(start), diff)
	}
	o.log = nil
}

// last is the message that was taken last.
func (o *office) last() alert.Message { return o.sent[len(o.sent)-1] }

func signal(code string, severity alert.Severity, site string, images ...string) []alert.Signal {
	if len(images) == 0 {
		return []alert.Signal{{Code: code, Severity: severity, Site: site, What: code + " holds"}}
	}
	var all []alert.Signal
	for i, image := range images {
		all = append(all, alert.Signal{
			Code: code, Severity: severity, Site: site, Image: image, What: code + " of " + image, Rank: float64(i),
		})
	}
	return all
}

// images are n images.
func images(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("rbd/vm-%03d", i))
	}
	return all
}
