package alert_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
)

// alone is a desk that opens an incident of each code at once and sends what is due.
func alone(t *testing.T, seed uint64, memory alert.Memory) (d *alert.Desk, send func(now time.Time) []string) {
	t.Helper()
	d, err := alert.NewDesk(alert.Options{
		Plan: "shop", Seed: seed, Immediate: []string{"lost", "lag"}, Across: []string{"lag"}, Slow: map[string]time.Duration{"stuck": 10 * time.Minute},
		Routes: []alert.Route{{Severities: []alert.Severity{alert.Critical}, Channels: []string{"chat"}}},
	}, memory)
	if err != nil {
		t.Fatal(err)
	}
	return d, func(now time.Time) (said []string) {
		for _, m := range d.Due(now) {
			d.Done(now, m, "")
			said = append(said, string(m.Message.Kind)+" "+m.Message.ID)
		}
		slices.Sort(said)
		return said
	}
}

func lost(site string) []alert.Signal {
	return []alert.Signal{{Code: "lost", Severity: alert.Critical, Site: site, What: "gone"}}
}

// TestJoin has two tell of the same, and each of something of its own, and neither know
// of the other. Whoever goes on ends one of the two threads, and has all the others.
func TestJoin(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	one, sendOne := alone(t, 1, alert.Memory{})
	two, sendTwo := alone(t, 2, alert.Memory{})
	one.Check(now, append(lost("both"), lost("a")...), nil, nil)
	two.Check(now, append(lost("both"), lost("b")...), nil, nil)
	if a, b := sendOne(now), sendTwo(now); len(a) != 2 || len(b) != 2 || slices.Contains(a, b[0]) || slices.Contains(a, b[1]) {
		t.Fatalf("told: %v and %v", a, b)
	}
	now = now.Add(time.Minute)
	one.Join(now, two.Memory())
	said := sendOne(now)
	if len(said) != 1 || said[0][:8] != "resolved" {
		t.Fatalf("joined: %v", said)
	}
	if open := one.Open(); len(open) != 3 {
		t.Fatalf("open: %+v", open)
	}
	// What is known already is not taken over again, however often it is seen.
	one.Check(now, nil, nil, nil)
	if said := sendOne(now); len(said) != 3 {
		t.Fatalf("in the end: %v", said)
	}
	one.Check(now.Add(time.Second), nil, nil, nil)
	one.Join(now.Add(time.Second), two.Memory())
	one.Check(now.Add(time.Minute), nil, nil, nil)
	if said := sendOne(now.Add(time.Minute)); len(said) != 0 || len(one.Open()) != 0 {
		t.Errorf("told again: %v", said)
	}
}

// TestPart has one who told alone hand over to another, who knows of one incident.
func TestPart(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	d, send := alone(t, 1, alert.Memory{})
	d.Check(now, lost("a"), nil, nil)
	send(now)
	memory := d.Memory()
	d.Check(now, append(lost("a"), lost("b")...), nil, nil)
	send(now)
	d.Part(now.Add(time.Minute), memory.IDs())
	if d.Told() {
		t.Error("nothing is left to be told")
	}
	if said := send(now.Add(time.Minute)); len(said) != 1 || said[0][:8] != "resolved" || !d.Told() {
		t.Errorf("told: %v", said)
	}
}

// kinds are what is due at a desk that goes on from a memory, by channel.
func kinds(t *testing.T, now time.Time, memory alert.Memory) (said []string) {
	t.Helper()
	_, send := alone(t, 9, memory)
	for _, text := range send(now) {
		said = append(said, strings.Fields(text)[0])
	}
	return said
}

// TestJoinOfOneIncident: of an incident that two remember, what the one that is ahead
// has told is not told again, and what it could not tell yet is.
func TestJoinOfOneIncident(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	d, send := alone(t, 1, alert.Memory{})
	d.Check(now, lost("a"), nil, nil)
	before := d.Memory()
	if said := kinds(t, now, before); !slices.Equal(said, []string{"opened"}) {
		t.Fatalf("not told yet: %v", said)
	}
	send(now)
	told := d.Memory()
	now = now.Add(10 * time.Minute)
	worse := lost("a")
	worse[0].Asks = &alert.Question{Kind: alert.AskResync, Subject: "h", Evidence: "e", Options: []string{"a"}}
	d.Check(now, worse, nil, nil)
	changed := d.Memory()
	send(now)
	toldOfChange := d.Memory()
	now = now.Add(10 * time.Minute)
	d.Check(now, nil, nil, nil)
	over := d.Memory()
	for name, c := range map[string]struct {
		a, b alert.Memory
		want []string
	}{
		"told":             {before, told, nil},
		"changed":          {told, changed, []string{"changed"}},
		"changed at once":  {before, changed, []string{"changed"}},
		"told of a change": {before, toldOfChange, nil},
		"over":             {toldOfChange, over, []string{"resolved"}},
	} {
		for _, joined := range []alert.Memory{c.a.Join(c.b, now), c.b.Join(c.a, now)} {
			if said := kinds(t, now, joined); !slices.Equal(said, c.want) {
				t.Errorf("%s: told %v, not %v", name, said, c.want)
			}
		}
	}
}

// TestDoubt: who goes on from a memory that may be out of date tells once more what holds
// still; when the newer memory is found after all, it does not end that, and is told so.
func TestDoubt(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	first, send := alone(t, 1, alert.Memory{})
	first.Check(now, lost("a"), nil, nil)
	send(now)
	old := first.Memory()
	now = now.Add(time.Hour)
	first.Check(now, nil, nil, nil)
	over := first.Memory() // the end is not told everywhere
	send(now)
	now = now.Add(time.Second)
	first.Check(now, nil, nil, nil)
	ended := first.Memory()
	if !old.Old(now, 10*time.Minute) || ended.Old(now, 10*time.Minute) {
		t.Error("it is not known which memory is old")
	}

	d, send := alone(t, 2, old)
	d.Doubt()
	now = now.Add(time.Minute)
	d.Check(now, lost("a"), nil, nil)
	if said := send(now); len(said) != 1 || said[0][:7] != "changed" {
		t.Fatalf("told: %v", said)
	}
	upheld := d.Memory()
	join := func(all ...alert.Memory) alert.Memory {
		joined := all[0]
		for _, m := range all[1:] {
			joined = joined.Join(m, now)
		}
		return joined
	}
	for name, joined := range map[string]alert.Memory{
		"upheld first": join(upheld, over, ended, old), "ended first": join(ended, upheld, over, old), "over first": join(over, upheld, ended, old),
	} {
		d, send := alone(t, 3, joined)
		d.Check(now, lost("a"), nil, nil)
		if said := send(now); len(said) != 0 || len(d.Open()) != 1 {
			t.Errorf("%s: it goes on, told: %v", name, said)
		}
		d.Check(now.Add(time.Second), nil, nil, nil)
		if said := send(now.Add(time.Second)); len(said) != 1 || said[0][:8] != "resolved" {
			t.Errorf("%s: in the end, told: %v", name, said)
		}
		d.Check(now.Add(2*time.Second), nil, nil, nil)
		over := d.Memory()
		if again, _ := alone(t, 4, join(over, upheld, ended, old)); len(again.Open()) != 0 {
			t.Errorf("%s: open again", name)
		}
		again, send := alone(t, 5, upheld) // which is out of date by now
		again.Doubt()
		again.Check(now, lost("a"), nil, nil)
		send(now)
		if again, _ = alone(t, 6, join(over, again.Memory(), ended)); len(again.Open()) != 1 {
			t.Errorf("%s: what was upheld once more is over", name)
		}
	}
}

// TestPartUnheard: whose channel took nothing while it was alone does not tell of the
// end of what nobody has heard of.
func TestPartUnheard(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	d, send := alone(t, 1, alert.Memory{})
	d.Check(now, lost("a"), nil, nil)
	for _, m := range d.Due(now) {
		d.Failed(now, m, errAway)
	}
	now = now.Add(time.Hour)
	d.Part(now, nil)
	if said := send(now); len(said) != 0 || !d.Told() {
		t.Errorf("told: %v", said)
	}
}

// TestJoinOfChannels: whether a channel fails is known to who has tried it last.
func TestJoinOfChannels(t *testing.T) {
	o := newOffice(t, func(o *alert.Options) { o.FailingAfter = 10 * time.Minute })
	read := func() (m alert.Memory) {
		if err := json.Unmarshal(o.memory, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	o.broken["pager"] = errAway
	o.signals = signal("lag", alert.Critical, "b")
	o.pass(5 * time.Minute)
	o.told("chat opened lag critical 0")
	failing := read()
	o.mend("pager")
	o.pass(5 * time.Minute)
	o.told("pager opened lag critical 0")
	mended := read()
	ahead := mended.Join(failing, o.now)
	for _, channel := range ahead.Outlets {
		channel.Tried, channel.Since = o.now.Add(time.Hour), o.now.Add(-time.Hour) // by a clock that was wrong
	}
	joined := failing.Join(mended, o.now)
	joined = joined.Join(ahead, o.now)
	var err error
	if o.memory, err = json.Marshal(joined); err != nil {
		t.Fatal(err)
	}
	o.pass(5 * time.Minute)
	o.told()
}

// TestOldFailureOfAChannel: that a channel failed long ago is not told until it has
// been tried once more, and is not over before.
func TestOldFailureOfAChannel(t *testing.T) {
	for name, broken := range map[string]error{"mended": nil, "failing": errAway} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, func(o *alert.Options) { o.FailingAfter = 10 * time.Minute })
			o.broken["pager"] = errAway
			o.signals = signal("lag", alert.Critical, "b")
			o.pass(10*time.Minute + 40*time.Second) // about to be told
			o.told("chat opened lag critical 0")
			o.now = o.now.Add(time.Hour) // nobody looked
			if o.broken["pager"] = broken; broken == nil {
				o.pass(5 * time.Minute)
				o.told("pager opened lag critical 0")
				return
			}
			o.pass(5 * time.Minute)
			o.told("chat opened channel-failing critical 0")
			o.now = o.now.Add(time.Hour)
			d := o.desk()
			for range 10 { // checks, and nothing is tried
				o.now = o.now.Add(step)
				d.Check(o.now, o.signals, nil, nil)
			}
			if open := d.Open(); len(open) != 2 {
				t.Errorf("open: %+v", open)
			}
		})
	}
}

// TestNotOverYet: what is found only across sites, or only by several checks, is not
// over where the one who looks could not have found it.
func TestNotOverYet(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	d, send := alone(t, 1, alert.Memory{})
	signals := []alert.Signal{
		{Code: "lag", Severity: alert.Critical, Site: "b", What: "behind"}, {Code: "stuck", Severity: alert.Critical, Site: "b", What: "stuck"},
	}
	d.Check(now, signals, nil, nil)
	d.Check(now.Add(time.Second), signals, nil, nil)
	if said := send(now.Add(time.Second)); len(said) != 2 {
		t.Fatalf("told: %v", said)
	}
	d, send = alone(t, 2, d.Memory())
	now = now.Add(time.Minute)
	d.Check(now, nil, alert.Blind("a"), nil)
	if said := send(now); len(said) != 0 {
		t.Errorf("over while a is silent: %v", said)
	}
	d.Check(now.Add(time.Minute), nil, nil, nil)
	if said := send(now.Add(time.Minute)); len(said) != 1 {
		t.Errorf("over when both are seen: %v", said)
	}
	d.Check(now.Add(10*time.Minute), nil, nil, nil)
	if said := send(now.Add(10 * time.Minute)); len(said) != 1 {
		t.Errorf("over when there were checks enough: %v", said)
	}
}
