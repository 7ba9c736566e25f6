package alert_test

import (
	"encoding/json"
	"errors"
	"flag"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
)

var (
	simSeeds = flag.Uint64("desk.seeds", 300, "how many simulated days the desk lives through")
	simFirst = flag.Uint64("desk.first", 1, "the seed of the first simulated day")
)

// TestDay has the desk live through days of random faults, cuts, silences,
// outages of channels, acknowledgements and restarts. What was told is then
// judged by an oracle that knows what was wrong, and nothing of how the desk works.
func TestDay(t *testing.T) {
	n := *simSeeds
	if testing.Short() {
		n = 25
	}
	for seed := *simFirst; seed < *simFirst+n; seed++ {
		d := newDay(t, seed)
		d.run()
		for _, fault := range d.judge() {
			t.Errorf("seed %d: %s", seed, fault)
		}
		if t.Failed() {
			return
		}
	}
}

const (
	dayLong   = 24 * time.Hour
	drain     = 4 * time.Hour // nothing is wrong any more
	flapLong  = time.Hour
	flapCount = 3
	escalated = 20 * time.Minute
	perMinute = 20
)

var (
	holdOff = map[alert.Severity]time.Duration{alert.Info: 2 * time.Minute, alert.Warning: time.Minute, alert.Critical: 20 * time.Second}
	settle  = map[alert.Severity]time.Duration{alert.Info: 2 * time.Minute, alert.Warning: 2 * time.Minute, alert.Critical: time.Minute}
	direct  = map[alert.Severity][]string{
		alert.Info: {"log"}, alert.Warning: {"log", "chat"}, alert.Critical: {"log", "chat", "pager"},
	}
)

func dayOptions(seed uint64) alert.Options {
	return alert.Options{
		Plan: "prod", Seed: seed,
		Routes: []alert.Route{
			{Severities: []alert.Severity{alert.Info, alert.Warning, alert.Critical}, Channels: []string{"log"}},
			{Severities: []alert.Severity{alert.Warning, alert.Critical}, Channels: []string{"chat"}},
			{Severities: []alert.Severity{alert.Critical}, Channels: []string{"pager"}},
			{Severities: []alert.Severity{alert.Critical}, Channels: []string{"boss"}, EscalateAfter: escalated},
		},
		HoldOff: holdOff, Settle: settle, Immediate: []string{"split-brain"},
		Effects:     map[string][]string{"site-unknown": {"lag", "stalled"}},
		MinInterval: 5 * time.Minute, PerMinute: perMinute,
		Flaps: flapCount, FlapWindow: flapLong,
	}
}

var simImages = images(40)

// span is a time for which something is so.
type span struct{ from, to time.Time }

func (s span) has(t time.Time) bool { return !t.Before(s.from) && t.Before(s.to) }

func within(all []span, t time.Time) bool {
	return slices.ContainsFunc(all, func(s span) bool { return s.has(t) })
}

// ailment is something that can be wrong, again and again.
type ailment struct {
	code, site string
	severity   alert.Severity
	rises      bool // from warning, in the middle of each time
	images     int
	at         []span
}

// seen is what a check saw of an ailment.
type seen struct {
	at       time.Time
	holds    bool
	loud     bool // and not silenced
	unseen   bool // nobody could look
	follows  bool // of a cause that holds
	severity alert.Severity
}

// taken is a message that a channel has taken.
type taken struct {
	alert.Message
	when time.Time
}

// day is one simulated day.
type day struct {
	t        *testing.T
	random   *rand.Rand
	seed     uint64
	every    time.Duration
	ailments []*ailment
	blind    map[string][]span
	outages  map[string][]span
	silences []alert.Silence
	desk     *alert.Desk
	away     []delivering
	history  map[*ailment][]seen
	taken    map[string][]taken // by channel
	handed   map[string][]time.Time
	acks     map[string][]time.Time // by incident
	acked    map[time.Time]bool
	left     alert.Memory
}

// delivering is a message that a channel takes its time over.
type delivering struct {
	alert.Delivery
	until time.Time
}

func newDay(t *testing.T, seed uint64) *day {
	d := &day{
		t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 1)),
		blind: map[string][]span{}, outages: map[string][]span{}, history: map[*ailment][]seen{},
		taken: map[string][]taken{}, handed: map[string][]time.Time{}, acks: map[string][]time.Time{}, acked: map[time.Time]bool{},
	}
	d.every = []time.Duration{20 * time.Second, 30 * time.Second, time.Minute}[d.random.IntN(3)]
	for _, site := range []string{"a", "b"} {
		unknown := &ailment{code: "site-unknown", site: site, severity: alert.Critical, at: d.spans(d.random.IntN(5), 2*time.Hour)}
		d.blind[site] = d.spans(d.random.IntN(6), 20*time.Minute)
		if d.random.IntN(2) == 0 {
			d.blind[site] = append(d.blind[site], unknown.at...)
		}
		d.ailments = append(
			d.ailments, unknown,
			&ailment{code: "lag", site: site, severity: alert.Warning, images: 1 + d.random.IntN(40), at: d.spans(d.random.IntN(20), 3*time.Hour)},
			&ailment{code: "stalled", site: site, severity: alert.Critical, rises: d.random.IntN(2) == 0, at: d.spans(d.random.IntN(10), 4*time.Hour)},
			&ailment{code: "note", site: site, severity: alert.Info, at: d.spans(d.random.IntN(60), 10*time.Minute)},
		)
	}
	d.ailments = append(d.ailments, &ailment{code: "split-brain", severity: alert.Critical, images: 1, at: d.spans(d.random.IntN(5), 8*time.Hour)})
	for range d.random.IntN(8) {
		s := d.spans(1, 3*time.Hour)[0]
		silence := alert.Silence{From: s.from, Until: s.to}
		if d.random.IntN(3) > 0 {
			silence.Match.Code = d.ailments[d.random.IntN(len(d.ailments))].code
		}
		if d.random.IntN(2) > 0 {
			silence.Match.Site = "b"
		}
		d.silences = append(d.silences, silence)
	}
	for _, a := range d.ailments {
		d.history[a] = make([]seen, 0, (dayLong+drain)/d.every+1)
	}
	for _, channel := range []string{"chat", "pager", "boss"} {
		d.outages[channel] = d.spans(d.random.IntN(6), 40*time.Minute)
	}
	d.restart()
	return d
}

// spans are n times within the day, of up to longest; many are short, and some
// come in bursts.
func (d *day) spans(n int, longest time.Duration) []span {
	var all []span
	for range n {
		from := start.Add(time.Duration(d.random.Int64N(int64(dayLong))))
		long := time.Duration(float64(longest) * d.random.Float64() * d.random.Float64() * d.random.Float64())
		times := 1
		if d.random.IntN(8) == 0 {
			times = 2 + d.random.IntN(12)
			long = min(long, 5*time.Minute)
		}
		for range times {
			to := from.Add(long)
			if end := start.Add(dayLong); to.After(end) {
				to = end
			}
			all = append(all, span{from, to})
			from = to.Add(time.Duration(d.random.Int64N(int64(8 * time.Minute))))
		}
	}
	return all
}

// restart ends the desk and starts it from what was stored. What was under way is
// lost.
func (d *day) restart() {
	var stored alert.Memory
	if d.desk != nil {
		text, err := json.Marshal(d.desk.Memory())
		if err != nil {
			d.t.Fatal(err)
		}
		if err := json.Unmarshal(text, &stored); err != nil {
			d.t.Fatal(err)
		}
	}
	var err error
	if d.desk, err = alert.NewDesk(dayOptions(d.seed), stored); err != nil {
		d.t.Fatal(err)
	}
	d.away = nil
}

// run lives through the day, and the hours after it.
func (d *day) run() {
	for now := start; now.Before(start.Add(dayLong + drain)); now = now.Add(d.every) {
		d.check(now)
		for i := range 3 {
			at := now.Add(time.Duration(i) * d.every / 3)
			d.deliver(at)
			if d.random.IntN(300) == 0 {
				d.restart()
			}
		}
		if d.random.IntN(100) == 0 {
			d.acknowledge(now.Add(d.every / 2))
		}
	}
	d.left = d.desk.Memory()
}

// check does one check.
func (d *day) check(now time.Time) {
	var blind []string
	for _, site := range []string{"a", "b"} {
		if within(d.blind[site], now) {
			blind = append(blind, site)
		}
	}
	var signals []alert.Signal
	causes := map[string]bool{}
	for _, a := range d.ailments {
		s := seen{at: now, severity: a.severity, follows: causes[a.site] && (a.code == "lag" || a.code == "stalled")}
		if i := slices.IndexFunc(a.at, func(s span) bool { return s.has(now) }); i >= 0 {
			s.holds = true
			if a.rises && now.Sub(a.at[i].from) < a.at[i].to.Sub(now) {
				s.severity = alert.Warning
			}
		}
		hidden := slices.Contains(blind, a.site) || a.site == "" && len(blind) > 0
		if hidden && a.code != "site-unknown" {
			s.holds = false
		}
		s.unseen = hidden && !s.holds
		if s.holds {
			if a.code == "site-unknown" {
				causes[a.site] = true
			}
			found := d.signals(a, s.severity)
			s.loud = !slices.ContainsFunc(d.silences, func(s alert.Silence) bool { return s.Covers(now, found[0]) })
			signals = append(signals, found...)
		}
		d.history[a] = append(d.history[a], s)
	}
	d.random.Shuffle(len(signals), func(i, j int) { signals[i], signals[j] = signals[j], signals[i] })
	d.desk.Check(now, signals, alert.Blind(blind...), d.silences)
}

// signals are what a check finds of an ailment.
func (d *day) signals(a *ailment, severity alert.Severity) []alert.Signal {
	if a.images == 0 {
		return []alert.Signal{{Code: a.code, Site: a.site, Severity: severity, What: a.code}}
	}
	n := 1 + d.random.IntN(a.images)
	all := make([]alert.Signal, 0, n)
	for i := range n {
		all = append(all, alert.Signal{
			Code: a.code, Site: a.site, Severity: severity, What: a.code,
			Image: simImages[i], Rank: d.random.Float64(),
		})
	}
	return all
}

// deliver sends what is due and hears of what was under way.
func (d *day) deliver(now time.Time) {
	for _, due := range d.desk.Due(now) {
		d.handed[due.Channel] = append(d.handed[due.Channel], now)
		takes := time.Duration(0)
		if d.random.IntN(10) == 0 {
			takes = time.Duration(d.random.Int64N(int64(time.Minute)))
		}
		d.away = append(d.away, delivering{due, now.Add(takes)})
	}
	d.away = slices.DeleteFunc(d.away, func(a delivering) bool {
		if a.until.After(now) {
			return false
		}
		if within(d.outages[a.Channel], now) {
			d.desk.Failed(now, a.Delivery, errors.New("down"))
			return true
		}
		d.taken[a.Channel] = append(d.taken[a.Channel], taken{a.Message, now})
		d.desk.Done(now, a.Delivery, "r")
		return true
	})
}

// acknowledge acknowledges an open incident.
func (d *day) acknowledge(now time.Time) {
	open := d.desk.Open()
	if len(open) == 0 {
		return
	}
	id := open[d.random.IntN(len(open))].ID
	if err := d.desk.Acknowledge(now, id, "ann"); err != nil {
		d.t.Fatal(err)
	}
	d.acks[id] = append(d.acks[id], now)
	d.acked[now] = true
}
