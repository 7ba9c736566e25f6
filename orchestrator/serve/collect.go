package serve

import (
	"maps"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drover-io/drover/replay"
)

// Describe names the families.
func (o *observations) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range o.descs {
		to <- desc
	}
}

// Collect makes metrics of the last facts. A plan's are all of the same report.
func (o *observations) Collect(to chan<- prometheus.Metric) {
	o.mu.Lock()
	all := make(map[string]planFacts, len(o.plans))
	for plan, facts := range o.plans {
		all[plan] = planFacts{seen: facts.seen, signals: facts.signals, verified: maps.Clone(facts.verified)}
	}
	o.mu.Unlock()
	for plan, facts := range all {
		e := emitter{o: o, to: to, plan: label(plan)}
		if facts.seen != nil {
			e.sight(facts.seen)
			facts.verified = facts.seen.only(facts.verified)
		}
		e.verified(facts.verified)
		for s, n := range facts.signals {
			e.gauge(signals, float64(n), label(s.site), label(s.code), label(s.severity))
		}
	}
}

// emitter makes the metrics of one plan.
type emitter struct {
	o    *observations
	to   chan<- prometheus.Metric
	plan string
}

func (e *emitter) gauge(f family, value float64, labels ...string) {
	desc := e.o.descs[f.name]
	metric, err := prometheus.NewConstMetric(desc, prometheus.GaugeValue, value, append([]string{e.plan}, labels...)...)
	if err != nil {
		metric = prometheus.NewInvalidMetric(desc, err)
	}
	e.to <- metric
}

func (e *emitter) image(f family, value float64, ref replay.ImageRef, labels ...string) {
	e.gauge(f, value, append([]string{label(ref.Pool.Name), label(ref.Namespace), label(ref.Name)}, labels...)...)
}

// known emits a number unless it is not known.
func (e *emitter) known(f family, value *float64, ref replay.ImageRef, labels ...string) {
	if value != nil {
		e.image(f, *value, ref, labels...)
	}
}

func (e *emitter) verified(at map[replay.ImageRef]time.Time) {
	for ref, t := range at {
		e.image(imageVerified, unixSeconds(t), ref)
	}
}

func (e *emitter) sight(s *sight) {
	e.gauge(planImages, float64(s.total))
	e.gauge(planHealthy, float64(s.healthy))
	e.gauge(planOpenRuns, float64(s.openRuns))
	e.gauge(planObserved, unixSeconds(s.at))
	for p, images := range s.problems {
		e.gauge(problemImages, float64(images), label(p.site), label(p.code), label(p.severity))
	}
	for _, site := range s.sites {
		name := label(site.name)
		e.gauge(siteUp, truth(site.up), name)
		e.gauge(siteSeconds, site.seconds, name)
		if site.daemons >= 0 {
			e.gauge(siteDaemons, float64(site.daemons), name)
		}
		for pool, full := range site.full {
			e.gauge(poolFull, full, name, label(pool))
		}
	}
	for i := range s.images {
		image := &s.images[i]
		e.image(imageState, 1, image.ref, label(image.state))
		e.known(imageRPO, image.rpo, image.ref)
		if image.halted {
			e.image(imageHalted, 1, image.ref)
		}
		for _, r := range image.roles {
			e.image(imageRole, 1, image.ref, label(r.site), label(r.role))
		}
		for _, c := range image.copies {
			site := label(c.site)
			e.known(imageLagSeconds, c.seconds, image.ref, site)
			e.known(imageLagEntries, c.entries, image.ref, site)
			e.known(imageLagBytes, c.bytes, image.ref, site)
			e.known(imageCatchUp, c.catchUp, image.ref, site)
		}
	}
}
