package daemon

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/notify"
	"github.com/drover-io/drover/orchestrator/serve"
	"github.com/drover-io/drover/plans"
)

// TestSiteLoss wants one message of the loss of a site that has many images, and one
// of its return; and heartbeats all the while.
func TestSiteLoss(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 50)
		_, end := s.begin()
		defer end()
		time.Sleep(3 * time.Minute)
		if _, short := s.take(); short != "" {
			t.Fatalf("told of a world that is well: %s", short)
		}
		s.world.Vanish("b")
		time.Sleep(5 * time.Minute)
		all, short := s.take()
		if short != "opened site-unknown" || all[0].Site != "b" || all[0].Severity != alert.Critical {
			t.Errorf("told of the loss: %s %+v", short, all)
		}
		s.world.Return("b")
		time.Sleep(5 * time.Minute)
		if _, short := s.take(); short != "resolved site-unknown" {
			t.Errorf("told of the return: %s", short)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.beats < 10 {
			t.Errorf("%d heartbeats", s.beats)
		}
	})
}

// TestMetricsFromRecords: a daemon that begins shows when images were last verified,
// by whoever did it; and it shows calls that hang.
func TestMetricsFromRecords(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 2)
		sites := orchestrator.OpenSites(t.Context(), s.plan, s.options().Open, nil)
		report, err := orchestrator.Verify(t.Context(), s.plan, sites, orchestrator.VerifyOptions{Images: []string{"volume-1"}})
		s.must(err)
		s.must(orchestrator.RecordVerified(t.Context(), s.plan, sites, report))
		time.Sleep(time.Hour)
		o := s.options()
		o.Metrics = serve.NewMetrics(serve.Build{})
		_, halt := s.beginWith(o)
		defer halt()
		time.Sleep(time.Minute)
		const verified, abandoned = "drover_image_last_verified_timestamp_seconds", "drover_site_abandoned_calls"
		if at, ok := gauge(t, o.Metrics, verified, "image", "volume-1"); !ok || at != float64(report.Images[0].Taken.Unix()) {
			t.Errorf("volume-1 verified at %v, %v", at, report.Images[0].Taken)
		}
		if at, ok := gauge(t, o.Metrics, verified, "image", "volume-0"); ok {
			t.Errorf("volume-0 verified at %v", at)
		}
		if n, ok := gauge(t, o.Metrics, abandoned, "site", "b"); !ok || n != 0 {
			t.Errorf("%v calls hang at b", n)
		}
		s.world.Freeze("b")
		time.Sleep(time.Minute)
		if n, _ := gauge(t, o.Metrics, abandoned, "site", "b"); n == 0 {
			t.Error("no calls hang at a frozen site")
		}
		if n, ok := gauge(t, o.Metrics, abandoned, "site", "a"); !ok || n != 0 {
			t.Errorf("%v calls hang at a", n)
		}
		s.world.Thaw("b")
	})
}

// TestSecondPrimary has somebody force a second primary, and somebody else choose by
// a button which copy stays.
func TestSecondPrimary(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 3)
		d, end := s.begin()
		defer end()
		time.Sleep(time.Minute)
		ref := s.refs[1]
		s.must(s.world.Site("b").Promote(t.Context(), ref, true))
		s.must(s.world.Write("a", ref, 4096, []byte("written at a")))
		s.must(s.world.Write("b", ref, 4096, []byte("written at b")))
		time.Sleep(2 * time.Minute)
		all, short := s.take()
		if short != "opened split-brain" || all[0].Asks == nil || !strings.Contains(all[0].Next, "drover resync plan.yaml rbd/volume-1 --keep ") {
			t.Fatalf("told: %s %+v", short, all)
		}
		asks := all[0].Asks
		press := notify.Press{
			Plan: "shop", Channel: "oncall", IncidentID: all[0].ID, User: "U1", Action: notify.Choose,
			Kind: asks.Kind, Subject: asks.Subject, Option: "b", Evidence: asks.Evidence, At: time.Now(),
		}
		// What a has written since then nobody was shown.
		s.must(s.world.Write("a", ref, 8192, []byte("more at a")))
		time.Sleep(10 * time.Second)
		if _, err := d.press(press); !errors.Is(err, orchestrator.ErrStale) || !strings.Contains(err.Error(), "drover resync plan.yaml rbd/volume-1 --keep b") {
			t.Errorf("on stale evidence: %v", err)
		}
		if at := s.world.Primaries(ref); len(at) != 2 {
			t.Errorf("primary at %v", at)
		}
		// The message asks anew, on what is so now.
		time.Sleep(time.Minute)
		again, short := s.take()
		if short != "changed split-brain" || again[0].Asks == nil || again[0].Asks.Evidence == asks.Evidence {
			t.Fatalf("told then: %s %+v", short, again)
		}
		if _, err := d.press(press); !errors.Is(err, orchestrator.ErrStale) {
			t.Errorf("on the old message: %v", err)
		}
		press.Evidence = again[0].Asks.Evidence
		// The side that stays may go on writing.
		s.must(s.world.Write("a", ref, 12288, []byte("still more at a")))
		press.Option = "a"
		if reply, err := d.press(press); err != nil || !strings.Contains(reply, "the copy at a stays") {
			t.Fatalf("%q, %v", reply, err)
		}
		time.Sleep(10 * time.Minute)
		if at := s.world.Primaries(ref); len(at) != 1 || at[0] != "a" {
			t.Errorf("after the resync: primary at %v", at)
		}
		images, err := s.world.Site("b").Images(t.Context(), pool, 0)
		s.must(err)
		kept := 0
		for _, i := range images {
			if strings.HasPrefix(i.Ref.Name, "volume-1.preserved-") {
				kept++
			}
		}
		if kept != 1 {
			t.Errorf("%d copies are kept of %v", kept, images)
		}
		if _, short := s.take(); !strings.HasSuffix(short, "resolved split-brain") {
			t.Errorf("told in the end: %s", short)
		}
		if _, err := d.press(press); !errors.Is(err, orchestrator.ErrStale) {
			t.Errorf("once more: %v", err)
		}
	})
}

// TestRestartRepeatsNothing ends the daemon in an incident and starts another.
func TestRestartRepeatsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 3)
		_, end := s.begin()
		s.world.Vanish("b")
		time.Sleep(5 * time.Minute)
		if _, short := s.take(); short != "opened site-unknown" {
			t.Fatalf("told: %s", short)
		}
		end()
		time.Sleep(time.Minute)
		_, end = s.begin()
		defer end()
		time.Sleep(10 * time.Minute)
		if _, short := s.take(); short != "" {
			t.Errorf("told again: %s", short)
		}
		s.world.Return("b")
		time.Sleep(5 * time.Minute)
		if _, short := s.take(); short != "resolved site-unknown" {
			t.Errorf("told of the return: %s", short)
		}
	})
}

// TestStandby wants the second of two daemons to tell nothing while the first acts,
// and to go on where that has ended.
func TestStandby(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 3)
		_, end := s.begin()
		time.Sleep(time.Minute)
		second, endSecond := s.begin()
		defer endSecond()
		s.world.StopDaemon("b")
		time.Sleep(10 * time.Minute)
		_, before := s.take()
		if strings.Count(before, "opened") == 0 {
			t.Fatal("nothing was told")
		}
		if got := second.Summary(); got != "0 of 1 plans in hand" {
			t.Errorf("the second: %s", got)
		}
		end()
		time.Sleep(3 * orchestrator.LeaseTTL)
		if got := second.Summary(); got != "1 of 1 plans in hand" {
			t.Errorf("the second, after the first has ended: %s", got)
		}
		time.Sleep(10 * time.Minute)
		if _, short := s.take(); short != "" {
			t.Errorf("told again: %s", short)
		}
		s.world.StartDaemon("b")
		time.Sleep(10 * time.Minute)
		_, after := s.take()
		if strings.Count(after, "resolved") != strings.Count(before, "opened") {
			t.Errorf("opened: %s\nresolved: %s", before, after)
		}
	})
}

// TestChannelOutage wants nothing lost and nothing doubled where a channel takes
// nothing for minutes.
func TestChannelOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 3)
		d, end := s.begin()
		defer end()
		s.mu.Lock()
		s.down = errors.New("no answer")
		s.mu.Unlock()
		s.world.Vanish("b")
		time.Sleep(5 * time.Minute)
		failing := false
		for _, c := range d.Ready() {
			failing = failing || c.Kind == "channel" && c.Name == "oncall" && !c.OK
		}
		if !failing {
			t.Errorf("ready, though the channel takes nothing: %+v", d.Ready())
		}
		s.mu.Lock()
		s.down = nil
		s.mu.Unlock()
		time.Sleep(10 * time.Minute)
		if _, short := s.take(); short != "opened site-unknown" {
			t.Errorf("told: %s", short)
		}
		if !d.Alive() {
			t.Error("not alive")
		}
	})
}

// TestRefusedForGood wants a message that a channel refuses, as with a token that
// was taken back, to be tried again: by itself, and at once where a reload, of a plan
// that has not changed, says that something was mended. Until then it is counted.
func TestRefusedForGood(t *testing.T) {
	for name, c := range map[string]struct {
		reload bool
		within time.Duration
	}{
		"by itself":   {false, 11 * time.Minute},
		"by a reload": {true, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := newStage(t, 1)
				d, end := s.begin()
				defer end()
				waiting := func() float64 {
					families, err := d.options.Metrics.Registry().Gather()
					s.must(err)
					for _, f := range families {
						if f.GetName() == "drover_notifications_waiting" {
							return f.GetMetric()[0].GetGauge().GetValue()
						}
					}
					return -1
				}
				s.mu.Lock()
				s.down = alert.Permanent(errors.New("answered 404"))
				s.mu.Unlock()
				s.world.Vanish("b")
				time.Sleep(2 * time.Hour)
				if n := waiting(); n != 1 {
					t.Errorf("%v messages wait", n)
				}
				s.mu.Lock()
				s.down = nil
				s.mu.Unlock()
				if c.reload {
					same, err := plans.Parse("plan.yaml", []byte(shop))
					s.must(err)
					s.must(d.Reload([]*plans.Plan{same}))
				}
				time.Sleep(c.within)
				if _, short := s.take(); short != "opened site-unknown" {
					t.Errorf("told: %q", short)
				}
				time.Sleep(2 * time.Second)
				if n := waiting(); n != 0 {
					t.Errorf("%v messages wait in the end", n)
				}
			})
		})
	}
}

// TestReload wants a plan that has not changed to be left alone, one that has to be
// begun anew, and one that cannot be to change nothing.
func TestReload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 1)
		d, end := s.begin()
		defer end()
		time.Sleep(time.Minute)
		first := d.guards["shop"]
		same, err := plans.Parse("plan.yaml", []byte(shop))
		s.must(err)
		s.must(d.Reload([]*plans.Plan{same}))
		if d.guards["shop"] != first {
			t.Error("a plan that has not changed was begun anew")
		}
		if err := d.Reload([]*plans.Plan{same, same}); !errors.Is(err, orchestrator.ErrRefused) || d.guards["shop"] != first {
			t.Errorf("two of one name: %v", err)
		}
		other, err := plans.Parse("plan.yaml", []byte(strings.Replace(shop, "@every 10s", "@every 20s", 1)))
		s.must(err)
		s.must(d.Reload([]*plans.Plan{other}))
		if d.guards["shop"] == first {
			t.Error("a plan that has changed goes on as it was")
		}
		time.Sleep(time.Minute)
		if got := d.Summary(); got != "1 of 1 plans in hand" {
			t.Error(got)
		}
	})
}

// TestDeadDaemonIsOneMessage wants what follows from an rbd-mirror that is gone told
// with it, not beside it.
func TestDeadDaemonIsOneMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 3)
		_, end := s.begin()
		defer end()
		time.Sleep(time.Minute)
		s.world.StopDaemon("b")
		time.Sleep(10 * time.Minute)
		all, short := s.take()
		if short != "opened no-daemon" || len(all[0].Details) == 0 || all[0].Details[0] != (alert.Detail{Name: "as an example", Text: "rbd/volume-0"}) {
			t.Errorf("told: %s %+v", short, all)
		}
		s.world.StartDaemon("b")
		time.Sleep(10 * time.Minute)
		if _, short := s.take(); short != "resolved no-daemon" {
			t.Errorf("told then: %s", short)
		}
	})
}
