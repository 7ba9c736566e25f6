package serve_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	reports "github.com/drover-io/drover/orchestrator/report"
	"github.com/drover-io/drover/orchestrator/serve"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

var (
	build = serve.Build{Version: "v1.2.3", Commit: "abcdef", Go: "go1.26"}
	noon  = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
)

func ref(pool, namespace, name string) replay.ImageRef {
	return replay.ImageRef{Pool: replay.Pool{Name: pool, Namespace: namespace}, Name: name}
}

func value[T any](v T) *T { return &v }

// image is an image that is primary at a and has a copy at b.
func image(r replay.ImageRef, state replay.State, lag time.Duration) orchestrator.ImageStatus {
	return orchestrator.ImageStatus{
		Ref: r, State: state, Roles: map[string]string{"a": "primary", "b": "secondary"}, Primary: "a", Objective: value(300.0),
		Copies: []orchestrator.CopyStatus{{Site: "b", State: state, Lag: replay.Lag{Seconds: &lag, Entries: value(int64(7)), Bytes: value(int64(4096))}, CatchUpSeconds: value(90.0)}},
	}
}

func report(images ...orchestrator.ImageStatus) *orchestrator.StatusReport {
	r := &orchestrator.StatusReport{
		Plan: "databases", At: noon, Images: images,
		Sites: []orchestrator.SiteStatus{
			{
				Name: "a", Reachable: true, Seconds: 0.25, Daemons: []orchestrator.DaemonStatus{},
				Filling: []orchestrator.PoolFilling{{Pool: "rbd", Journals: 1, FullSeconds: value(3600.0)}, {Pool: "ssd", Journals: 1}},
			},
			{Name: "b", Reachable: true, Seconds: 0.5, Daemons: []orchestrator.DaemonStatus{{Client: "4151", Serves: []string{"rbd"}}, {Client: "9", Serves: []string{}}}},
		},
	}
	r.Summary.Images = len(images)
	return r
}

// filled are metrics of which every family has a series.
func filled() *serve.Metrics {
	m := serve.NewMetrics(build)
	one := image(ref("rbd", "blue", "vm-1"), replay.Lagging, 400*time.Second)
	one.Halt, one.Run = "halt-1", "run-1"
	one.Problems = []replay.Problem{{Code: replay.ProblemRPOExceeded, Severity: replay.SeverityCritical, Site: "b"}}
	m.Saw(report(one))
	m.Told("databases", []alert.Signal{{Code: orchestrator.SignalCopiesDiffer, Severity: alert.Critical, Site: "b", Image: "rbd/blue/vm-1"}})
	m.Watch(&plans.Plan{Name: "databases", Notifications: plans.Notifications{Channels: []plans.Channel{{Name: "chat", Type: plans.ChannelSlack}, {Name: "dead-man", Type: plans.ChannelHeartbeat}}}})
	m.Verified("databases", one.Ref, noon)
	m.Moved("databases", replay.Replaying, replay.Lagging)
	m.Due("databases", noon.Add(time.Minute))
	m.Leads("databases", true)
	m.Checked("databases", 300*time.Millisecond, nil)
	m.Sent("databases", "chat", string(alert.Opened), nil)
	m.Waiting("databases", map[string]int{"chat": 1})
	m.RunSeen("databases", orchestrator.Switchover, orchestrator.RunDone)
	m.Abandoned("databases", "a", 3)
	m.Started("databases", "b")
	m.Drilled("databases", &reports.Summary{
		Name: "nightly", Began: noon, Seconds: 60, Verdict: reports.Passed, Achieved: reports.Achieved{RPOSeconds: value(2.5), RTOSeconds: value(50.0)},
	})
	return m
}

// TestDrilledWhole: a drill of a few chosen images changes nothing of what is told of
// the plan's drill.
func TestDrilledWhole(t *testing.T) {
	m := filled()
	m.Drilled("databases", &reports.Summary{Name: "nightly", Scope: "image vm-1", Began: noon.Add(time.Hour), Seconds: 1, Verdict: reports.Failed})
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "drover_drills_total" && len(f.GetMetric()) != 1 {
			t.Errorf("counted: %v", f.GetMetric())
		}
		if f.GetName() == "drover_drill_duration_seconds" && f.GetMetric()[0].GetGauge().GetValue() != 60 {
			t.Errorf("told: %v", f.GetMetric())
		}
	}
}

// TestNames holds what others build dashboards and alerts on.
func TestNames(t *testing.T) {
	m := filled()
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "drover_") {
			continue // of the Go runtime and the process: client_golang's
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		fmt.Fprintf(&b, "%s %s {%s}\n    %s\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
	}
	golden := filepath.Join("testdata", "metrics.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("metrics (-golden +exported):\n%s", diff)
	}
	described := make(chan *prometheus.Desc, 1000)
	m.Registry().Describe(described)
	close(described)
	for desc := range described {
		_, rest, _ := strings.Cut(desc.String(), `fqName: "`)
		name, _, _ := strings.Cut(rest, `"`)
		if strings.HasPrefix(name, "drover_") && !strings.Contains(b.String(), name+" ") {
			t.Errorf("the test fills no series of %s", name)
		}
	}
}

func TestLint(t *testing.T) {
	problems, err := testutil.GatherAndLint(filled().Registry())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// expect compares families with what they shall be as text.
func expect(t *testing.T, m *serve.Metrics, want string, names ...string) {
	t.Helper()
	var lines []string
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !slices.Contains(names, f.GetName()) {
			continue
		}
		for _, series := range f.GetMetric() {
			var labels []string
			for _, l := range series.GetLabel() {
				if l.GetName() != "plan" {
					labels = append(labels, l.GetName()+"="+l.GetValue())
				}
			}
			n := series.GetGauge().GetValue()
			if series.GetCounter() != nil {
				n = series.GetCounter().GetValue()
			}
			lines = append(lines, fmt.Sprintf("%s{%s} %g", f.GetName(), strings.Join(labels, ","), n))
		}
	}
	if diff := cmp.Diff(strings.TrimSpace(want), strings.Join(lines, "\n")); diff != "" {
		t.Errorf("-want +exported:\n%s", diff)
	}
}

func TestSaw(t *testing.T) {
	m := serve.NewMetrics(build)
	one, two := ref("rbd", "", "vm-1"), ref("rbd", "blue", "vm-2")
	m.Saw(report(image(one, replay.Replaying, 0), image(two, replay.Lagging, 90*time.Second)))
	m.Verified("databases", one, noon)
	m.Verified("databases", two, noon)
	names := []string{"drover_image_state", "drover_image_role", "drover_image_lag_seconds", "drover_image_last_verified_timestamp_seconds", "drover_site_up", "drover_site_daemons"}
	expect(t, m, `
drover_image_lag_seconds{image=vm-1,namespace=,pool=rbd,site=b} 0
drover_image_lag_seconds{image=vm-2,namespace=blue,pool=rbd,site=b} 90
drover_image_last_verified_timestamp_seconds{image=vm-1,namespace=,pool=rbd} 1.7958672e+09
drover_image_last_verified_timestamp_seconds{image=vm-2,namespace=blue,pool=rbd} 1.7958672e+09
drover_image_role{image=vm-1,namespace=,pool=rbd,role=primary,site=a} 1
drover_image_role{image=vm-1,namespace=,pool=rbd,role=secondary,site=b} 1
drover_image_role{image=vm-2,namespace=blue,pool=rbd,role=primary,site=a} 1
drover_image_role{image=vm-2,namespace=blue,pool=rbd,role=secondary,site=b} 1
drover_image_state{image=vm-1,namespace=,pool=rbd,state=replaying} 1
drover_image_state{image=vm-2,namespace=blue,pool=rbd,state=lagging} 1
drover_site_daemons{site=a} 0
drover_site_daemons{site=b} 1
drover_site_up{site=a} 1
drover_site_up{site=b} 1`, names...)

	// vm-2 is gone, vm-1 has another state and a lag that nobody knows.
	split := image(one, replay.SplitBrain, 0)
	split.Roles["b"], split.Copies = "primary", nil
	next := report(split)
	next.Sites[1] = orchestrator.SiteStatus{Name: "b", Error: "timed out"}
	next.Problems = []orchestrator.StatusProblem{{Problem: replay.Problem{Code: "records-unreadable", Severity: replay.SeverityWarning}}}
	m.Saw(next)
	expect(t, m, `
drover_image_last_verified_timestamp_seconds{image=vm-1,namespace=,pool=rbd} 1.7958672e+09
drover_image_role{image=vm-1,namespace=,pool=rbd,role=primary,site=a} 1
drover_image_role{image=vm-1,namespace=,pool=rbd,role=primary,site=b} 1
drover_image_state{image=vm-1,namespace=,pool=rbd,state=split-brain} 1
drover_problem_images{code=records-unreadable,severity=warning,site=} 0
drover_site_daemons{site=a} 0
drover_site_up{site=a} 1
drover_site_up{site=b} 0`, append(names, "drover_problem_images")...)
}

// TestTold: what the watch finds is counted by image, and gone with the check that does
// not find it.
func TestTold(t *testing.T) {
	m := serve.NewMetrics(build)
	stuck := func(image string) alert.Signal {
		return alert.Signal{Code: orchestrator.SignalReplayStuck, Severity: alert.Warning, Site: "b", Image: image}
	}
	m.Told("databases", []alert.Signal{stuck("rbd/vm-1"), stuck("rbd/vm-2"), stuck("rbd/vm-2"), {Code: orchestrator.SignalCannotAct, Severity: alert.Critical}})
	expect(t, m, `
drover_signals{code=replay-stuck,severity=warning,site=b} 2
drover_signals{code=watch-cannot-act,severity=critical,site=} 1`, "drover_signals")
	m.Told("databases", []alert.Signal{stuck("rbd/vm-1")})
	expect(t, m, "drover_signals{code=replay-stuck,severity=warning,site=b} 1", "drover_signals")
	m.Told("databases", nil)
	expect(t, m, "", "drover_signals")
}

// TestVerifiedOutOfSight: a site that is silent for one check makes nobody
// forget when an image was proven; a check that sees all of them does.
func TestVerifiedOutOfSight(t *testing.T) {
	m := serve.NewMetrics(build)
	one := image(ref("rbd", "", "vm-1"), replay.Replaying, 0)
	m.Verified("databases", one.Ref, noon)
	blind := report()
	blind.Summary.Silent = []string{"a"}
	m.Saw(blind)
	expect(t, m, "", "drover_image_last_verified_timestamp_seconds")
	m.Saw(report(one))
	expect(t, m, "drover_image_last_verified_timestamp_seconds{image=vm-1,namespace=,pool=rbd} 1.7958672e+09", "drover_image_last_verified_timestamp_seconds")
	m.Saw(report())
	m.Saw(report(one))
	expect(t, m, "", "drover_image_last_verified_timestamp_seconds")
}

func TestCounters(t *testing.T) {
	m := serve.NewMetrics(build)
	failure := errors.New("no route to host")
	m.Checked("databases", time.Second, failure)
	m.Sent("databases", "chat", "opened", failure)
	m.Sent("databases", "chat", "opened", nil)
	m.Moved("databases", replay.Replaying, replay.SplitBrain)
	m.RunSeen("databases", orchestrator.Failover, orchestrator.RunAborted)
	m.Abandoned("databases", "a", 2)
	m.Abandoned("others", "a", 5)
	m.Waiting("databases", map[string]int{"chat": 3, "mail": 0})
	m.Waiting("others", map[string]int{"chat": 9})
	m.Waiting("others", nil)
	m.Saw(report())
	expect(t, m, `
drover_check_errors_total{} 1
drover_check_last_success_timestamp_seconds{} 0
drover_notifications_total{channel=chat,kind=opened,result=failed} 1
drover_notifications_total{channel=chat,kind=opened,result=sent} 1
drover_notifications_waiting{channel=chat} 3
drover_notifications_waiting{channel=mail} 0
drover_pool_full_seconds{pool=rbd,site=a} 3600
drover_runs_total{outcome=aborted,runbook=failover} 1
drover_site_abandoned_calls{site=a} 2
drover_site_abandoned_calls{site=a} 5
drover_transitions_total{from=replaying,to=split-brain} 1`,
		"drover_check_errors_total", "drover_check_last_success_timestamp_seconds", "drover_notifications_total", "drover_notifications_waiting", "drover_pool_full_seconds", "drover_runs_total", "drover_site_abandoned_calls", "drover_transitions_total")
}

// TestWatch: a plan's counters begin at zero, and a channel that a reload takes
// away is gone.
func TestWatch(t *testing.T) {
	m := serve.NewMetrics(build)
	plan := &plans.Plan{Name: "databases"}
	plan.Notifications.Channels = []plans.Channel{{Name: "beat", Type: plans.ChannelHeartbeat}, {Name: "mail", Type: plans.ChannelEmail}}
	m.Watch(plan)
	m.Sent("databases", "mail", "opened", nil)
	m.Waiting("databases", map[string]int{"mail": 1})
	plan = &plans.Plan{Name: "databases"}
	plan.Notifications.Channels = []plans.Channel{{Name: "beat", Type: plans.ChannelHeartbeat}}
	m.Watch(plan)
	expect(t, m, `
drover_check_errors_total{} 0
drover_notifications_total{channel=beat,kind=beat,result=failed} 0
drover_notifications_total{channel=beat,kind=beat,result=sent} 0
drover_notifications_total{channel=beat,kind=test,result=failed} 0
drover_notifications_total{channel=beat,kind=test,result=sent} 0`, "drover_check_errors_total", "drover_notifications_total", "drover_notifications_waiting")
}

func TestForget(t *testing.T) {
	m := filled()
	m.Checked("others", time.Second, nil)
	m.Forget("databases")
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, series := range f.GetMetric() {
			for _, l := range series.GetLabel() {
				if l.GetName() == "plan" && l.GetValue() != "others" {
					t.Errorf("%s still has a series of %s", f.GetName(), l.GetValue())
				}
			}
		}
	}
}

// TestCardinality: what 1,000 images cost is bounded, and stays so while they
// go through all states, are renamed and are watched for long.
func TestCardinality(t *testing.T) {
	const images, each, rest = 1000, 10, 300
	m := filled()
	states := []replay.State{replay.Replaying, replay.Lagging, replay.SplitBrain, replay.Resyncing}
	for round := range 8 {
		var all []orchestrator.ImageStatus
		for i := range images {
			one := image(ref("rbd", "", fmt.Sprintf("vm-%d-%d", round, i)), states[round%len(states)], time.Duration(i)*time.Second)
			one.Problems = []replay.Problem{{Code: replay.ProblemLagging, Severity: replay.SeverityWarning, Site: "b", What: fmt.Sprintf("%d s behind", i)}}
			one.Halt = "halt"
			m.Verified("databases", one.Ref, noon)
			all = append(all, one)
		}
		m.Saw(report(all...))
		m.Checked("databases", time.Second, nil)
		m.Moved("databases", states[round%len(states)], states[(round+1)%len(states)])
		n, err := testutil.GatherAndCount(m.Registry())
		if err != nil {
			t.Fatal(err)
		}
		if n < images || n > images*each+rest {
			t.Errorf("round %d: %d series of %d images", round, n, images)
		}
	}
}

// TestStrangeNames: what a cluster calls an image neither hides the others nor
// brings the daemon down.
func TestStrangeNames(t *testing.T) {
	m := serve.NewMetrics(build)
	one, again := image(ref("rbd", "", "vm-\xff"), replay.Replaying, 0), image(ref("rbd", "", "vm-\xff"), replay.Lagging, 0)
	m.Saw(report(one, again, image(ref("rbd", "", "<!channel>\n\"{}"), replay.Replaying, 0)))
	m.Moved("databases", "\xfe", replay.Replaying)
	m.Sent("databases", "\xfe", "opened", nil)
	expect(t, m, "drover_image_state{image=<!channel>\n\"{},namespace=,pool=rbd,state=replaying} 1\n"+`drover_image_state{image=vm-\xff,namespace=,pool=rbd,state=replaying} 1`, "drover_image_state")
}

// TestAtOnce: whoever looks while reports come in sees the images of one of
// them, never of two.
func TestAtOnce(t *testing.T) {
	m := serve.NewMetrics(build)
	even := report(image(ref("rbd", "", "even-1"), replay.Replaying, 0), image(ref("rbd", "", "even-2"), replay.Replaying, 0))
	odd := report(image(ref("rbd", "", "odd-1"), replay.Replaying, 0), image(ref("rbd", "", "odd-2"), replay.Replaying, 0))
	m.Saw(even)
	var writers sync.WaitGroup
	for _, r := range []*orchestrator.StatusReport{even, odd} {
		writers.Go(func() {
			for range 200 {
				m.Saw(r)
				m.Verified("databases", r.Images[0].Ref, noon)
				m.Checked("databases", time.Second, nil)
			}
		})
	}
	for range 50 {
		families, err := m.Registry().Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() != "drover_image_state" {
				continue
			}
			var names []string
			for _, series := range f.GetMetric() {
				names = append(names, series.GetLabel()[0].GetValue())
			}
			if got := strings.Join(names, " "); got != "even-1 even-2" && got != "odd-1 odd-2" {
				t.Fatalf("seen at once: %s", got)
			}
		}
	}
	writers.Wait()
}

// TestDrilledUnmeasured: a drill that was skipped or aborted leaves what the one before it
// has measured; one that has failed and measured nothing does not.
func TestDrilledUnmeasured(t *testing.T) {
	measured := []string{"drover_drill_duration_seconds", "drover_drill_rpo_seconds", "drover_drill_rto_seconds"}
	for verdict, want := range map[reports.Verdict][]float64{
		reports.Skipped: {60, 2.5, 50},
		reports.Aborted: {1, 2.5, 50},
		reports.Failed:  {1},
	} {
		m := filled()
		m.Drilled("databases", &reports.Summary{ID: "drill-2", Name: "nightly", Began: noon.Add(time.Hour), Seconds: 1, Verdict: verdict})
		families, err := m.Registry().Gather()
		if err != nil {
			t.Fatal(err)
		}
		var got []float64
		for _, f := range families {
			if slices.Contains(measured, f.GetName()) {
				for _, s := range f.GetMetric() {
					got = append(got, s.GetGauge().GetValue())
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", verdict, got, want)
		}
	}
}

// TestDrilledAgain: a process that begins to act once more reads the same reports, which
// count once; what they tell of is there either way.
func TestDrilledAgain(t *testing.T) {
	m := serve.NewMetrics(build)
	passed := &reports.Summary{ID: "drill-1", Name: "nightly", Began: noon, Seconds: 60, Verdict: reports.Passed, Achieved: reports.Achieved{RPOSeconds: value(2.5), RTOSeconds: value(50.0)}}
	skipped := &reports.Summary{ID: "drill-2", Name: "nightly", Began: noon.Add(time.Hour), Verdict: reports.Skipped}
	for range 2 {
		m.Drilled("databases", passed)
		m.Drilled("databases", skipped)
	}
	m.Drilled("other", passed)
	got := map[string]float64{}
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, s := range f.GetMetric() {
			for _, l := range s.GetLabel() {
				if l.GetName() == "plan" && l.GetValue() == "databases" {
					got[f.GetName()] += s.GetCounter().GetValue() + s.GetGauge().GetValue()
				}
			}
		}
	}
	if got["drover_drills_total"] != 2 || got["drover_drill_last_success_timestamp_seconds"] != float64(noon.Unix()+60) {
		t.Errorf("%v", got)
	}
	m.Forget("databases")
	m.Drilled("databases", passed)
}
