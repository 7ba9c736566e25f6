package serve

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drover-io/drover/orchestrator/report"
)

// drillMetrics are those of drills.
type drillMetrics struct {
	ended, passed, seconds, rpo, rto *prometheus.GaugeVec
	verdicts                         *prometheus.CounterVec

	mu sync.Mutex
	// counted are the ids of the drills of each plan that verdicts holds: whoever begins
	// to act reads all that are recorded, also where the same process has acted before.
	counted map[string]map[string]bool
}

func newDrillMetrics() *drillMetrics {
	return &drillMetrics{
		counted: map[string]map[string]bool{},
		ended:   drillEnded.gauge(), passed: drillPassed.gauge(), seconds: drillSeconds.gauge(), rpo: drillRPO.gauge(), rto: drillRTO.gauge(),
		verdicts: drillVerdicts.counter(),
	}
}

func (d *drillMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{d.ended, d.passed, d.seconds, d.rpo, d.rto, d.verdicts}
}

// forget drops the series of a plan.
func (d *drillMetrics) forget(plan string) {
	d.mu.Lock()
	delete(d.counted, plan)
	d.mu.Unlock()
	for _, family := range []interface {
		DeletePartialMatch(labels prometheus.Labels) int
	}{d.ended, d.passed, d.seconds, d.rpo, d.rto, d.verdicts} {
		family.DeletePartialMatch(prometheus.Labels{"plan": label(plan)})
	}
}

// count reports whether a drill is to be counted: each is once.
func (d *drillMetrics) count(plan, id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.counted[plan] == nil {
		d.counted[plan] = map[string]bool{}
	}
	known := id != "" && d.counted[plan][id]
	d.counted[plan][id] = true
	return !known
}

// Drilled notes what a drill came to. Those of one name are told in their order. One of
// a few chosen images tells nothing of the plan's drill, and is passed over.
func (m *Metrics) Drilled(plan string, s *report.Summary) {
	if !s.Whole() {
		return
	}
	d := m.drills
	first := d.count(plan, s.ID)
	plan, name := label(plan), label(s.Name)
	ended := unixSeconds(s.Began.Add(time.Duration(s.Seconds * float64(time.Second))))
	if first {
		d.verdicts.WithLabelValues(plan, name, label(string(s.Verdict))).Inc()
	}
	d.ended.WithLabelValues(plan, name).Set(ended)
	if s.Verdict != report.Skipped {
		d.seconds.WithLabelValues(plan, name).Set(s.Seconds)
	}
	if passed := d.passed.WithLabelValues(plan, name); s.Verdict == report.Passed {
		passed.Set(ended)
	}
	for family, value := range map[*prometheus.GaugeVec]*float64{d.rpo: s.Achieved.RPOSeconds, d.rto: s.Achieved.RTOSeconds} {
		switch {
		case value != nil:
			family.WithLabelValues(plan, name).Set(*value)
		case s.Verdict != report.Skipped && s.Verdict != report.Aborted:
			// Those say nothing of the copies; any other has shown that it is not known.
			family.DeleteLabelValues(plan, name)
		}
	}
}
