package alert_test

import (
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
)

func TestSilenceCovers(t *testing.T) {
	whole := alert.Silence{From: start, Until: start.Add(time.Hour)}
	of := func(m alert.Match) alert.Silence {
		s := whole
		s.Match = m
		return s
	}
	image := alert.Signal{Code: "lag", Site: "b", Image: "rbd/ns/vm-1"}
	for _, c := range []struct {
		name    string
		silence alert.Silence
		at      time.Duration
		signal  alert.Signal
		want    bool
	}{
		{"everything", whole, 0, image, true},
		{"before it begins", whole, -1, image, false},
		{"its last moment", whole, time.Hour - 1, image, true},
		{"its end", whole, time.Hour, image, false},
		{"one without an end", alert.Silence{From: start}, 0, image, false},
		{"code", of(alert.Match{Code: "lag"}), 0, image, true},
		{"another code", of(alert.Match{Code: "la"}), 0, image, false},
		{"site", of(alert.Match{Site: "b"}), 0, image, true},
		{"another site", of(alert.Match{Code: "lag", Site: "a"}), 0, image, false},
		{"image", of(alert.Match{Image: "rbd/*"}), 0, image, true},
		{"any image", of(alert.Match{Image: "*"}), 0, image, true},
		{"one character", of(alert.Match{Image: "rbd/ns/vm-?"}), 0, image, true},
		{"another image", of(alert.Match{Image: "rbd/vm-*"}), 0, image, false},
		{"the whole name", of(alert.Match{Image: "vm-1"}), 0, image, false},
		{"no image", of(alert.Match{Image: "*"}), 0, alert.Signal{Code: "lag", Site: "b"}, false},
		{"no pattern", of(alert.Match{Image: "["}), 0, image, false},
	} {
		if got := c.silence.Covers(start.Add(c.at), c.signal); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if (alert.Match{Image: "["}).Valid() == nil || (alert.Match{Image: "rbd/*"}).Valid() != nil {
		t.Error("patterns are not told apart")
	}
}

func TestSilenceOfWhatIsToCome(t *testing.T) {
	o := newOffice(t)
	o.silences = []alert.Silence{{From: start, Until: start.Add(time.Hour), Match: alert.Match{Code: "lag"}}}
	o.signals = append(signal("lag", alert.Warning, "b", "rbd/x"), signal("other", alert.Warning, "b")...)
	o.pass(time.Hour - step)
	o.told("chat opened other warning 0")
	o.pass(step)
	o.told("chat opened lag warning 1")
}

func TestSilencedAndOverIsNeverTold(t *testing.T) {
	o := newOffice(t)
	o.silences = []alert.Silence{{From: start, Until: start.Add(time.Hour)}}
	o.signals = signal("lag", alert.Critical, "b")
	o.pass(30 * time.Minute)
	o.signals = nil
	o.pass(time.Hour)
	o.told()
}

func TestSilenceOfWhatIsOpen(t *testing.T) {
	o := newOffice(t, func(o *alert.Options) {
		o.Routes = append(o.Routes, alert.Route{
			Severities: []alert.Severity{alert.Critical}, Channels: []string{"boss"}, EscalateAfter: 10 * time.Minute,
		})
	})
	o.signals = signal("lag", alert.Warning, "b")
	o.pass(time.Minute)
	o.told("chat opened lag warning 0")
	o.silences = []alert.Silence{{From: o.now, Until: o.now.Add(time.Hour), Match: alert.Match{Code: "lag"}}}
	o.signals[0].Severity = alert.Critical
	o.pass(time.Hour - step)
	o.told()
	o.pass(step)
	o.told("chat changed lag critical 0", "pager opened lag critical 0")
	o.pass(10 * time.Minute)
	o.told("boss escalated lag critical 0")
	o.silences = []alert.Silence{{From: o.now, Until: o.now.Add(time.Hour)}}
	o.pass(time.Minute)
	o.signals = nil
	o.pass(time.Minute)
	o.told("chat resolved lag critical 0", "pager resolved lag critical 0", "boss resolved lag critical 0")
}

func TestWhatIsSilencedIsNotEscalated(t *testing.T) {
	o := newOffice(t, withBoss)
	o.signals = signal("lag", alert.Critical, "b")
	o.pass(time.Minute)
	o.told("chat opened lag critical 0", "pager opened lag critical 0")
	o.silences = []alert.Silence{{From: o.now, Until: o.now.Add(time.Hour)}}
	o.pass(time.Hour - step)
	o.told()
	o.pass(step)
	o.told("chat escalated lag critical 0", "boss escalated lag critical 0")
}

func TestSilenceOfSomeImages(t *testing.T) {
	o := newOffice(t)
	o.signals = signal("lag", alert.Warning, "b", images(10)...)
	o.pass(time.Minute)
	o.told("chat opened lag warning 10")
	o.silences = []alert.Silence{{From: o.now, Until: o.now.Add(time.Hour), Match: alert.Match{Image: "rbd/vm-00[1-9]"}}}
	o.pass(2 * time.Hour) // that most are silenced does not mean that they are well
	o.told()
}
