package alert_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-io/drover/orchestrator/alert"
)

func TestManyImagesAreOneIncident(t *testing.T) {
	o := newOffice(t)
	o.signals = signal("lag", alert.Warning, "b", images(500)...)
	o.pass(time.Minute)
	o.told("chat opened lag warning 500")
	want := images(500)[490:]
	slices.Reverse(want)
	if diff := cmp.Diff(want, o.last().Worst); diff != "" {
		t.Errorf("the worst (-want +got):\n%s", diff)
	}
	if got := o.last().What; got != "lag of rbd/vm-499" {
		t.Errorf("it says %q, which is not of the worst image", got)
	}
	o.signals = append(o.signals, alert.Signal{Code: "lag", Severity: alert.Warning, Site: "b", Key: "other", Image: "rbd/x"})
	o.pass(time.Minute)
	o.told("chat opened lag warning 1")
	o.signals = nil
	o.pass(2 * time.Minute)
	o.told("chat resolved lag warning 500", "chat resolved lag warning 1")
	o.pass(time.Hour)
	o.told()
}

func TestDebounce(t *testing.T) {
	lag := signal("lag", alert.Warning, "b")
	split := signal("split-brain", alert.Critical, "", "rbd/x")
	for _, c := range []struct {
		name    string
		options func(*alert.Options)
		signals []alert.Signal
		checks  string // x: holds, .: does not, b: site b is blind
		want    string // by check: o opened, r resolved
	}{
		{"held for the hold-off", nil, lag, "xxxxx", "...o."},
		{"interrupted", nil, lag, "xxx.xxxx", ".......o"},
		{"two checks at least", func(o *alert.Options) { o.HoldOff = nil }, lag, "xx", ".o"},
		{"one check never", func(o *alert.Options) { o.HoldOff = nil }, lag, "x.x.x.", "......"},
		{"at once", func(o *alert.Options) { o.Immediate = []string{"split-brain"} }, split, "x", "o"},
		{"at once only where critical", func(o *alert.Options) { o.Immediate = []string{"lag"} }, lag, "xxxx", "...o"},
		{"settles", nil, lag, "xxxx.......", "...o......r"},
		{"comes back before it settled", nil, lag, "xxxx.....x.......", "...o............r"},
		{"blind does not resolve", nil, lag, "xxxxbbbbbbbbbbbb", "...o............"},
		{"blind begins the settling anew", nil, lag, "xxxx....b.......", "...o...........r"},
		{"blind does not interrupt", nil, lag, "xbbx", "...o"},
		{"without a site, blind as any site is", nil, signal("quorum", alert.Critical, ""), "xxxbbbbbb....", "..o.........r"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.options == nil {
				c.options = func(*alert.Options) {}
			}
			o := newOffice(t, c.options)
			o.options.Routes = o.options.Routes[:1]
			var got strings.Builder
			for _, do := range c.checks {
				o.signals, o.blind = nil, nil
				switch do {
				case 'x':
					o.signals = c.signals
				case 'b':
					o.blind = []string{"b"}
				}
				o.check()
				o.now = o.now.Add(step)
				switch {
				case len(o.log) == 0:
					got.WriteByte('.')
				case len(o.log) > 1:
					t.Fatalf("told more than one: %q", o.log)
				default:
					got.WriteByte(strings.Fields(o.log[0])[1][0])
				}
				o.log = nil
			}
			if got.String() != c.want {
				t.Errorf("checks %s\n  told %s\n  want %s", c.checks, &got, c.want)
			}
		})
	}
}

func TestSymptomsAreFoldedIntoTheirCause(t *testing.T) {
	o := newOffice(t)
	cause := signal("site-unknown", alert.Critical, "b")
	lag := signal("lag", alert.Warning, "b", images(12)...)
	elsewhere := signal("lag", alert.Warning, "a", "rbd/x")
	o.signals = slices.Concat(cause, lag, elsewhere)
	o.pass(time.Minute)
	o.told("chat opened site-unknown critical 12", "pager opened site-unknown critical 12", "chat opened lag warning 1")
	if got := o.sent[0].Details; len(got) != 1 || got[0].Name != "lag" || got[0].Text != "lag of rbd/vm-011, and 11 images more" {
		t.Errorf("the cause says of what follows from it: %+v", got)
	}
	o.signals = slices.Concat(lag, elsewhere)
	o.pass(50 * time.Second)
	o.told("chat resolved site-unknown critical 12", "pager resolved site-unknown critical 12")
	o.pass(30 * time.Second) // what outlasts its cause opens after a hold-off of its own
	o.told("chat opened lag warning 12")
	o.signals = slices.Concat(cause, elsewhere, signal("lag", alert.Critical, "b", images(100)...))
	o.pass(time.Minute) // more severe than its cause it would not follow from it
	o.told("chat opened site-unknown critical 100", "pager opened site-unknown critical 100")
	o.signals = slices.Concat(cause, elsewhere)
	o.pass(2 * time.Minute)
	o.told("chat resolved lag critical 100")
}

func TestWorseThanItsCauseIsTold(t *testing.T) {
	o := newOffice(t)
	o.signals = append(signal("site-unknown", alert.Warning, "b"), signal("lag", alert.Critical, "b")...)
	o.pass(time.Minute)
	o.told("chat opened lag critical 0", "pager opened lag critical 0", "chat opened site-unknown warning 0")
}

func TestCausesOfEachOtherAreNotBothFolded(t *testing.T) {
	o := newOffice(t, func(o *alert.Options) {
		o.Effects = map[string][]string{"x": {"y"}, "y": {"z"}, "z": {"x"}}
	})
	o.signals = slices.Concat(signal("x", alert.Warning, "b"), signal("y", alert.Warning, "b"), signal("z", alert.Warning, "b"))
	o.pass(time.Minute)
	o.told("chat opened x warning 0")
}

func TestACauseThatComesAndGoesHidesNothing(t *testing.T) {
	o := newOffice(t)
	for i := range 12 {
		o.signals = signal("lag", alert.Warning, "b")
		if i%2 == 0 {
			o.signals = append(o.signals, signal("site-unknown", alert.Critical, "b")...)
		}
		o.pass(step)
	}
	o.told("chat opened lag warning 0")
}

func TestChanged(t *testing.T) {
	o := newOffice(t, func(o *alert.Options) { o.MinInterval = 5 * time.Minute })
	ask := func(q *alert.Question) {
		for i := range o.signals {
			o.signals[i].Asks = q
		}
	}
	o.signals = signal("lag", alert.Warning, "b", images(10)...)
	o.pass(30*time.Second + step)
	o.told("chat opened lag warning 10")
	o.signals = signal("lag", alert.Warning, "b", images(20)...)
	o.pass(10 * time.Minute) // twice as many is no news
	o.told()
	o.signals = signal("lag", alert.Warning, "b", images(21)...)
	o.pass(step)
	o.told("chat changed lag warning 21")
	o.signals = signal("lag", alert.Warning, "b", images(60)...)
	o.pass(time.Minute)
	o.signals = signal("lag", alert.Warning, "b", images(70)...)
	o.pass(3 * time.Minute)
	o.told()
	o.pass(time.Minute) // the last state, when the interval ends
	o.told("chat changed lag warning 70")
	o.signals = signal("lag", alert.Warning, "b", images(3)...)
	o.pass(time.Minute)
	o.signals = signal("lag", alert.Warning, "b", images(70)...)
	o.pass(10 * time.Minute) // what has passed within the interval is not told
	o.told()
	o.signals[0].Severity = alert.Critical
	o.pass(step)
	o.told("chat changed lag critical 70", "pager opened lag critical 70")
	ask(&alert.Question{Kind: "resync", Evidence: "e1", Options: []string{"a", "b"}})
	o.pass(step)
	o.told("chat changed lag critical 70", "pager changed lag critical 70")
	ask(&alert.Question{Kind: "resync", Evidence: "e1", Options: []string{"a", "b"}, Until: o.now})
	o.pass(time.Minute) // a question that is good for longer is the same question
	o.told()
	ask(&alert.Question{Kind: "resync", Evidence: "e2", Options: []string{"a", "b"}})
	o.pass(step)
	o.told("chat changed lag critical 70", "pager changed lag critical 70")
	if q := o.last().Asks; q == nil || q.Evidence != "e2" {
		t.Errorf("it asks %+v", q)
	}
	o.signals[0].Details = []alert.Detail{{Name: "role", Text: "primary"}}
	o.pass(6 * time.Minute)
	o.told("chat changed lag critical 70", "pager changed lag critical 70")
	o.signals[0].Details = []alert.Detail{{Name: "role", Text: "secondary"}}
	o.pass(6 * time.Minute)
	o.told()
	o.signals = signal("lag", alert.Warning, "b", images(70)...)
	o.signals[0].Details = []alert.Detail{{Name: "role"}}
	o.pass(6 * time.Minute) // the question is gone, and it is milder now
	o.told("chat changed lag warning 70", "pager changed lag warning 70")
}

func TestADetailIsNewsOnce(t *testing.T) {
	o := newOffice(t)
	detail := func(name string) {
		o.signals = signal("lag", alert.Warning, "b")
		o.signals[0].Details = []alert.Detail{{Name: name}}
		o.pass(time.Minute)
	}
	detail("role")
	o.told("chat opened lag warning 0")
	detail("epoch")
	o.told("chat changed lag warning 0")
	detail("role")
	detail("epoch")
	o.told()
}

func TestImagesThatAreNotSeenAreNotFewer(t *testing.T) {
	o := newOffice(t)
	o.signals = signal("lag", alert.Warning, "b", images(10)...)
	o.pass(time.Minute)
	o.told("chat opened lag warning 10")
	o.signals, o.blind = o.signals[:2], []string{"b"}
	o.pass(time.Hour)
	o.told()
	o.blind = nil
	o.pass(step)
	o.told("chat changed lag warning 2")
}

func TestFlappingIsOneIncident(t *testing.T) {
	o := newOffice(t, func(o *alert.Options) { o.Flaps, o.FlapWindow = 2, time.Hour })
	comeAndGo := func() {
		o.signals = signal("lag", alert.Warning, "b")
		o.pass(time.Minute)
		o.signals = nil
		o.pass(2 * time.Minute)
	}
	for range 2 {
		comeAndGo()
		o.told("chat opened lag warning 0", "chat resolved lag warning 0")
	}
	comeAndGo()
	o.told("chat opened lag warning 0")
	if got := o.last().Details; len(got) != 1 || got[0].Name != "flapping" || !strings.HasPrefix(got[0].Text, "opened 3 times") {
		t.Errorf("it says %+v", got)
	}
	for range 40 {
		comeAndGo()
	}
	o.told()
	o.pass(57 * time.Minute)
	o.told()
	o.pass(3 * time.Minute)
	o.told("chat resolved lag warning 0")
	o.pass(time.Hour)
	comeAndGo()
	o.told("chat opened lag warning 0", "chat resolved lag warning 0")
}

func TestTheIDIsOfOneOpening(t *testing.T) {
	o := newOffice(t)
	for range 2 {
		o.signals = signal("lag", alert.Critical, "b")
		o.pass(time.Minute)
		o.signals = nil
		o.pass(time.Minute)
	}
	var ids []string
	for _, m := range o.sent {
		ids = append(ids, m.ID)
	}
	if len(ids) != 8 || ids[0] != ids[3] || ids[4] != ids[7] || ids[0] == ids[4] || ids[0] == "" {
		t.Errorf("ids %q", ids)
	}
}
