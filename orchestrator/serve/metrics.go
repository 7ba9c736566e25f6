package serve

import (
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// Build is what runs.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
}

// Metrics are all metrics of one process, in a registry of their own. Its
// methods may be called from any goroutine, and none of them fails or blocks.
type Metrics struct {
	registry *prometheus.Registry
	observed *observations

	checkSeconds                                            *prometheus.HistogramVec
	checkErrors, transitions, runs, notifications, starts   *prometheus.CounterVec
	checkEnded, checkSuccess, checkNext, leaseHeld, hanging *prometheus.GaugeVec
	waiting                                                 *prometheus.GaugeVec

	drills *drillMetrics

	mu       sync.Mutex
	channels map[string][]string // by plan, those that Watch has begun
}

// NewMetrics makes the metrics of a process that has seen nothing yet.
func NewMetrics(build Build) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		observed: newObservations(),
		channels: make(map[string][]string),

		checkSeconds: checkSeconds.histogram(checkBuckets), checkErrors: checkErrors.counter(),
		checkEnded: checkEnded.gauge(), checkSuccess: checkSuccess.gauge(), checkNext: checkNext.gauge(),
		leaseHeld: leaseHeld.gauge(), hanging: abandoned.gauge(), waiting: waiting.gauge(),
		transitions: transitions.counter(), runs: runs.counter(), notifications: notifications.counter(), starts: daemonStarts.counter(),
		drills: newDrillMetrics(),
	}
	info := buildInfo.gauge()
	info.WithLabelValues(label(build.Version), label(build.Commit), label(build.Go)).Set(1)
	m.registry.MustRegister(info, m.observed,
		m.checkSeconds, m.checkErrors, m.checkEnded, m.checkSuccess, m.checkNext, m.leaseHeld, m.hanging,
		m.transitions, m.runs, m.notifications, m.starts, m.waiting,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(m.drills.collectors()...)
	return m
}

// Registry is where the metrics are; the daemon may add collectors of its own.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Handler shows the metrics to Prometheus. A metric that cannot be shown is
// logged and hides no other.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
		Timeout:             scrapeTime,
	})
}

// What runs are counted by.
var (
	runbooks = []orchestrator.Runbook{orchestrator.Switchover, orchestrator.Failover, orchestrator.Failback, orchestrator.Resync}
	outcomes = []orchestrator.RunOutcome{orchestrator.RunDone, orchestrator.RunIncomplete, orchestrator.RunAborted, orchestrator.RunGivenUp}
)

// Watch begins the plan's counters at zero, so that a first failure is seen to
// be one more than before. After a reload, the channels that are gone lose
// their series.
func (m *Metrics) Watch(plan *plans.Plan) {
	m.checkErrors.WithLabelValues(label(plan.Name))
	m.checkSuccess.WithLabelValues(label(plan.Name))
	for _, runbook := range runbooks {
		for _, outcome := range outcomes {
			m.runs.WithLabelValues(label(plan.Name), string(runbook), string(outcome))
		}
	}
	for _, s := range plan.MirrorSites() {
		if s.Daemon.Run == plans.RunProcess {
			m.starts.WithLabelValues(label(plan.Name), label(s.Name))
		}
	}
	var channels []string
	for i := range plan.Notifications.Channels {
		channel := &plan.Notifications.Channels[i]
		channels = append(channels, channel.Name)
		for _, kind := range kindsOf(channel.Type) {
			m.sent(plan.Name, channel.Name, string(kind))
		}
	}
	m.mu.Lock()
	before := m.channels[plan.Name]
	m.channels[plan.Name] = channels
	m.mu.Unlock()
	for _, name := range before {
		if !slices.Contains(channels, name) {
			gone := prometheus.Labels{"plan": label(plan.Name), "channel": label(name)}
			m.notifications.DeletePartialMatch(gone)
			m.waiting.DeletePartialMatch(gone)
		}
	}
}

// kindsOf are the kinds of message that a type of channel gets.
func kindsOf(channel string) []alert.Kind {
	if channel == plans.ChannelHeartbeat {
		return []alert.Kind{alert.Beat, alert.Test}
	}
	return []alert.Kind{alert.Opened, alert.Changed, alert.Escalated, alert.Resolved, alert.Test}
}

// Forget drops all series of a plan that this process looks after no more.
func (m *Metrics) Forget(plan string) {
	m.observed.forget(plan)
	m.drills.forget(plan)
	m.mu.Lock()
	delete(m.channels, plan)
	m.mu.Unlock()
	for _, family := range []interface {
		DeletePartialMatch(labels prometheus.Labels) int
	}{m.checkSeconds, m.checkErrors, m.checkEnded, m.checkSuccess, m.checkNext, m.leaseHeld, m.hanging, m.transitions, m.runs, m.notifications, m.starts, m.waiting} {
		family.DeletePartialMatch(prometheus.Labels{"plan": label(plan)})
	}
}

// Saw replaces all that is told of the plan's images and sites by what the
// report says, at once: an image that it does not have loses its series. The
// report is not kept.
func (m *Metrics) Saw(report *orchestrator.StatusReport) { m.observed.saw(report) }

// Told replaces all that is told of what the last check found worth telling.
func (m *Metrics) Told(plan string, all []alert.Signal) { m.observed.told(plan, all) }

// Verified notes when an image's copies were last proven identical.
func (m *Metrics) Verified(plan string, image replay.ImageRef, at time.Time) {
	m.observed.proven(plan, image, at)
}

// Moved counts that an image has moved from one state to another.
func (m *Metrics) Moved(plan string, from, to orchestrator.Protection) {
	m.transitions.WithLabelValues(label(plan), label(string(from)), label(string(to))).Inc()
}

// Due tells when the plan's next check shall begin. One that is long past says
// that the daemon does not check.
func (m *Metrics) Due(plan string, next time.Time) {
	m.checkNext.WithLabelValues(label(plan)).Set(unixSeconds(next))
}

// Checked notes that a check has ended now.
func (m *Metrics) Checked(plan string, took time.Duration, err error) {
	plan = label(plan)
	m.checkSeconds.WithLabelValues(plan).Observe(took.Seconds())
	failed, ended, success := m.checkErrors.WithLabelValues(plan), m.checkEnded.WithLabelValues(plan), m.checkSuccess.WithLabelValues(plan)
	now := unixSeconds(time.Now())
	if err != nil {
		failed.Inc()
	} else {
		success.Set(now)
	}
	ended.Set(now)
}

// Leads tells whether this process holds the plan's lease, or stands by.
func (m *Metrics) Leads(plan string, held bool) {
	m.leaseHeld.WithLabelValues(label(plan)).Set(truth(held))
}

// Sent counts a message that was given to a channel; err: it was not taken.
// Each try counts.
func (m *Metrics) Sent(plan, channel, kind string, err error) {
	taken, failed := m.sent(plan, channel, kind)
	if err != nil {
		failed.Inc()
		return
	}
	taken.Inc()
}

// Waiting tells how many messages wait to be taken, by channel. Where this process
// tells nobody (nil), nothing is known of it here.
func (m *Metrics) Waiting(plan string, byChannel map[string]int) {
	if byChannel == nil {
		m.waiting.DeletePartialMatch(prometheus.Labels{"plan": label(plan)})
	}
	for channel, n := range byChannel {
		m.waiting.WithLabelValues(label(plan), label(channel)).Set(float64(n))
	}
}

func (m *Metrics) sent(plan, channel, kind string) (taken, failed prometheus.Counter) {
	plan, channel, kind = label(plan), label(channel), label(kind)
	return m.notifications.WithLabelValues(plan, channel, kind, "sent"), m.notifications.WithLabelValues(plan, channel, kind, "failed")
}

// RunSeen counts a run that has ended.
func (m *Metrics) RunSeen(plan string, runbook orchestrator.Runbook, outcome orchestrator.RunOutcome) {
	m.runs.WithLabelValues(label(plan), label(string(runbook)), label(string(outcome))).Inc()
}

// Started counts a start of rbd-mirror by this process, whether or not it went well.
func (m *Metrics) Started(plan, site string) {
	m.starts.WithLabelValues(label(plan), label(site)).Inc()
}

// Abandoned tells how many calls to a site hang, although they were given up.
func (m *Metrics) Abandoned(plan, site string, n int) {
	m.hanging.WithLabelValues(label(plan), label(site)).Set(float64(n))
}

// label makes any text of a cluster one that a label may have: names need not
// be UTF-8 there.
func label(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return strings.Trim(strconv.QuoteToASCII(text), `"`)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// unixSeconds is a time as Prometheus tells times; one that is not known is 0.
func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
