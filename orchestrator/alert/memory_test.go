package alert_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
)

func TestMemoryOfAnotherVersion(t *testing.T) {
	var m alert.Memory
	if err := json.Unmarshal([]byte(`{"version":99,"incidents":{"shape":"other"}}`), &m); err != nil {
		t.Fatalf("a memory of a later version cannot even be read: %v", err)
	}
	o := newOffice(t)
	d, err := alert.NewDesk(o.options, m)
	if !errors.Is(err, alert.ErrMemory) || !strings.Contains(err.Error(), "99") {
		t.Fatalf("error %v", err)
	}
	o.store(d) // it can be gone on from
	o.signals = signal("lag", alert.Warning, "b")
	o.pass(time.Minute)
	o.told("chat opened lag warning 0")
	if err := json.Unmarshal([]byte(`{"incidents":1}`), &m); err == nil {
		t.Error("a memory that is damaged is taken for a good one")
	}
}

// TestMemoryRests: while nothing changes, there is nothing new to be stored.
func TestMemoryRests(t *testing.T) {
	o := newOffice(t)
	d := o.desk()
	var before string
	for i := range 20 {
		d.Check(o.now, append(signal("lag", alert.Warning, "b"), signal("split", alert.Critical, "a")...), nil, nil)
		for _, due := range d.Due(o.now) {
			d.Done(o.now, due, "r")
		}
		o.now = o.now.Add(step)
		m := d.Memory()
		m.Clock = time.Time{}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if i > 5 && string(text) != before {
			t.Fatalf("after check %d it is another:\n%s\n%s", i, before, text)
		}
		before = string(text)
	}
}

func TestMemoryIsACopy(t *testing.T) {
	o := newOffice(t, func(o *alert.Options) { o.Flaps, o.FlapWindow, o.PerMinute = 1, time.Hour, 5 })
	d := o.desk()
	var before []byte
	for i := range 60 {
		m := d.Memory()
		before, _ = json.Marshal(m)
		var signals []alert.Signal
		if i%12 < 6 {
			signals = signal("lag", alert.Critical, "b", images(i)...)
		}
		if i == 30 {
			d.Check(o.now.Add(-time.Hour), nil, nil, nil) // times move
		}
		d.Check(o.now, signals, nil, nil)
		for j, due := range d.Due(o.now) {
			if j == 0 {
				d.Failed(o.now, due, errAway)
			} else {
				d.Done(o.now, due, "r")
			}
		}
		o.now = o.now.Add(step)
		if after, _ := json.Marshal(m); string(after) != string(before) {
			t.Fatalf("a memory has changed after it was taken:\n%s\n%s", before, after)
		}
	}
	var again alert.Memory
	if err := json.Unmarshal(before, &again); err != nil {
		t.Fatal(err)
	}
	if twice, _ := json.Marshal(again); string(twice) != string(before) {
		t.Errorf("a memory is not the same once read:\n%s\n%s", before, twice)
	}
}

func TestWhatIsOverIsForgotten(t *testing.T) {
	o := newOffice(t, func(o *alert.Options) { o.Flaps, o.FlapWindow = 1, time.Hour })
	o.signals = signal("lag", alert.Warning, "b")
	o.pass(time.Minute)
	o.signals = nil
	o.pass(2 * time.Hour)
	if m := o.desk().Memory(); len(m.Incidents) != 0 || len(m.Watches) != 0 {
		t.Errorf("what is over and told is still remembered: %+v", m)
	}
}

func TestManyUseADesk(t *testing.T) {
	o := newOffice(t)
	d := o.desk()
	var work sync.WaitGroup
	for i := range 4 {
		work.Go(func() {
			for n := range 50 {
				now := start.Add(time.Duration(n) * step)
				switch i {
				case 0:
					d.Check(now, signal("lag", alert.Critical, "b", images(n)...), nil, nil)
				case 1:
					for _, due := range d.Due(now) {
						d.Done(now, due, "r")
					}
				case 2:
					for _, m := range d.Open() {
						_ = d.Acknowledge(now, m.ID, "ann")
					}
					d.Beat(now, true)
				case 3:
					if _, err := json.Marshal(d.Memory()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	work.Wait()
}

// BenchmarkCheck is a check of which 10,000 images are found to lag.
func BenchmarkCheck(b *testing.B) {
	d, err := alert.NewDesk(alert.DefaultOptions("prod", nil), alert.Memory{})
	if err != nil {
		b.Fatal(err)
	}
	signals := signal("lag", alert.Warning, "b", images(10_000)...)
	now := start
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(step)
		d.Check(now, signals, nil, nil)
	}
}

func TestTheClockIsPutBack(t *testing.T) {
	o := newOffice(t)
	o.signals = signal("lag", alert.Warning, "b")
	o.pass(20 * time.Second)
	o.now = o.now.Add(-6 * time.Hour)
	o.pass(30 * time.Second)
	o.told("chat opened lag warning 0")
	o.signals = nil
	o.pass(30 * time.Second)
	o.now = o.now.Add(-6 * time.Hour)
	o.pass(50 * time.Second)
	o.told("chat resolved lag warning 0")
}

// TestTheClockSaysTheSameAgain: what opens at the time at which something opened and ended
// before, by a clock that was put back, is another incident.
func TestTheClockSaysTheSameAgain(t *testing.T) {
	o := newOffice(t)
	for range 3 {
		o.now = start
		o.signals = signal("lag", alert.Critical, "b")
		o.pass(time.Minute)
		o.signals = nil
		o.pass(2 * time.Minute)
	}
	ids := map[string]int{}
	for _, m := range o.sent {
		ids[m.ID]++
	}
	if len(ids) != 3 {
		t.Errorf("%d incidents, %d messages", len(ids), len(o.sent))
	}
}

func TestBeat(t *testing.T) {
	o := newOffice(t, func(o *alert.Options) { o.BeatEvery = 30 * time.Second })
	beat := func(ok bool) string {
		d := o.desk()
		defer o.store(d)
		defer func() { o.now = o.now.Add(step) }()
		if m, due := d.Beat(o.now, ok); due {
			return string(m.Kind)
		}
		return "-"
	}
	var got []string
	for _, ok := range []bool{true, true, true, true, false, false, false, false, true, true} {
		got = append(got, beat(ok))
	}
	if want := strings.Fields("beat - - beat - - - - beat -"); !slices.Equal(got, want) {
		t.Errorf("beats %q, want %q", got, want)
	}
	o.now = o.now.Add(-time.Hour)
	if got := []string{beat(true), beat(true), beat(true)}; !slices.Contains(got, "beat") {
		t.Error("no heartbeat after the clock was put back")
	}
}
