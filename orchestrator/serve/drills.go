package serve

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drover-io/drover/orchestrator/report"
)

// drillMetrics are those of drills.
type drillMetrics struct {
	ended, passed, seconds, rpo, rto *prometheus.GaugeVec
	verdicts                         *prometheus.CounterVec
}

func newDrillMetrics() drillMetrics {
	return drillMetrics{
		ended: drillEnded.gauge(), passed: drillPassed.gauge(), seconds: drillSeconds.gauge(), rpo: drillRPO.gauge(), rto: drillRTO.gauge(),
		verdicts: drillVerdicts.counter(),
	}
}

func (d *drillMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{d.ended, d.passed, d.seconds, d.rpo, d.rto, d.verdicts}
}

// forget drops the series of a plan.
func (d *drillMetrics) forget(plan string) {
	for _, family := range []interface {
		DeletePartialMatch(labels prometheus.Labels) int
	}{d.ended, d.passed, d.seconds, d.rpo, d.rto, d.verdicts} {
		family.DeletePartialMatch(prometheus.Labels{"plan": label(plan)})
	}
}

// Drilled notes what a drill came to. Those of one name are told in their order. One of
// a few chosen images tells nothing of the plan's drill, and is passed over.
func (m *Metrics) Drilled(plan string, s *report.Summary) {
	if !s.Whole() {
		return
	}
	d := &m.drills
	plan, name := label(plan), label(s.Name)
	ended := unixSeconds(s.Began.Add(time.Duration(s.Seconds * float64(time.Second))))
	d.verdicts.WithLabelValues(plan, name, label(string(s.Verdict))).Inc()
	d.ended.WithLabelValues(plan, name).Set(ended)
	d.seconds.WithLabelValues(plan, name).Set(s.Seconds)
	if passed := d.passed.WithLabelValues(plan, name); s.Verdict == report.Passed {
		passed.Set(ended)
	}
	for family, value := range map[*prometheus.GaugeVec]*float64{d.rpo: s.Achieved.RPOSeconds, d.rto: s.Achieved.RTOSeconds} {
		if value == nil {
			family.DeleteLabelValues(plan, name)
			continue
		}
		family.WithLabelValues(plan, name).Set(*value)
	}
}
