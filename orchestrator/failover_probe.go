package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// Probe is how the old site was looked at from one place, and what was seen.
type Probe struct {
	From    string        `json:"from"` // where it was looked at from
	How     string        `json:"how"`
	Answers bool          `json:"answers"`
	What    string        `json:"what"`
	Took    time.Duration `json:"took"`
}

// probes looks at the old site in all ways that there are.
func probes(ctx context.Context, plan *plans.Plan, sites *Sites, obs *Observation, from, to string) []Probe {
	out := []Probe{probeMonitors(obs, from)}
	var (
		wg   parallel.Group
		mu   sync.Mutex
		more = make([]Probe, 1+len(plan.Runbooks.Probes))
	)
	wg.Go(func() {
		p := probeOSDs(ctx, plan, sites, from)
		mu.Lock()
		defer mu.Unlock()
		more[0] = p
	})
	for i, probe := range plan.Runbooks.Probes {
		wg.Go(func() {
			began := time.Now()
			ok, detail := runProbe(ctx, probe)
			mu.Lock()
			defer mu.Unlock()
			more[1+i] = Probe{From: probe.Name, How: shellLine(probe.Command...), Answers: ok, What: detail, Took: time.Since(began)}
		})
	}
	wg.Wait()
	out = append(out, more[0], probePeer(obs, from, to))
	return append(out, more[1:]...)
}

func probeMonitors(obs *Observation, from string) Probe {
	p := Probe{From: "here", How: "its monitors", Answers: true, What: "they answer"}
	switch seen := obs.Site(from); {
	case seen == nil:
		p.Answers, p.What = false, "not asked"
	case seen.Identity.FSID != "":
		p.What, p.Took = "they answer: "+seen.Identity.FSID, seen.Took
	case seen.Fault != nil:
		p.Answers, p.What, p.Took = false, replay.WithoutSite(from, seen.Fault.What), seen.Took
	}
	return p
}

// probeOSDs reads an object of the old site.
func probeOSDs(ctx context.Context, plan *plans.Plan, sites *Sites, from string) Probe {
	p := Probe{From: "here", How: "its OSDs: a read in pool " + plan.Pools[0].Name, Answers: true, What: "they answer"}
	began := time.Now()
	site, err := sites.Site(from)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, answerTime(plan))
		defer cancel()
		_, err = within(ctx, func() ([]replay.Record, error) {
			return site.ReadRecords(ctx, replay.LedgerRef{Pool: plan.Pools[0].Name, Object: "ledger." + plan.Name}, "")
		}, func([]replay.Record) {})
	}
	p.Took = time.Since(began)
	if err != nil && !errors.Is(err, replay.ErrNotFound) {
		p.Answers, p.What = false, replay.WithoutSite(from, err.Error())
	}
	return p
}

// probePeer is how the surviving site's rbd-mirror sees the old one.
func probePeer(obs *Observation, from, to string) Probe {
	p := Probe{From: to, How: "rbd-mirror there", What: "it has not said anything"}
	seen := obs.Site(to)
	if seen == nil {
		return p
	}
	replaying, other := 0, 0
	for i := range seen.Pools {
		for _, r := range seen.Pools[i].Reports {
			switch {
			case r.MirrorUUID != "":
			case r.Up && r.State == replay.ReportReplaying && obs.At.Sub(r.Updated) < time.Minute:
				replaying++
			default:
				other++
			}
		}
	}
	if replaying+other > 0 {
		p.Answers = replaying > 0
		p.What = fmt.Sprintf("it says that it replays %d images (which it may do for up to half a minute after it has lost %s), and does not of %d", replaying, from, other)
	}
	return p
}
