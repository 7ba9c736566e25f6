package orchestrator

import "strings"

// failover compiles a failover.
func (w *writer) failover() itinerary {
	others := newBystanders(w.plan, w.run, w.sites)
	out := itinerary{program: func(unit RunUnit) program { return w.takeOver(unit, others) }}
	to, from := w.run.To, w.run.From
	if fences(w.plan, from) && !w.run.Unfenced {
		out.opening = append(out.opening, stage{w.fenceSiteStep(w.plan.Site(from))})
	}
	if w.run.Sweep {
		out.opening = append(out.opening, stage{{
			ID: string(StepSweep), Kind: StepSweep, Site: to, What: "remove the clones of drills at " + to,
			Command: "drover drill sweep " + shellLine(w.plan.File), Proof: "none is seen", act: sweepAct{to},
		}})
	}
	out.opening = append(out.opening, stage{{
		ID: string(StepBury), Kind: StepBury, Site: from,
		What:  "record that the copies at " + from + " are given up: they are quarantined when it comes back",
		Proof: "the record is there", act: buryAct{},
	}})
	if !w.run.LeaveDaemon {
		stop, start := "stop rbd-mirror at "+to+" by hand", "start rbd-mirror at "+to+" by hand"
		if r := w.sites.Runner(to); r != nil {
			stop, start = r.Command(false), r.Command(true)
		}
		out.opening = append(out.opening, stage{{
			ID: string(StepStopDaemon), Kind: StepStopDaemon, Site: to, What: "stop rbd-mirror at " + to + ", which holds the copies",
			Command: stop, Proof: "it does not run", act: daemonAct{site: to},
		}})
		if w.sites.Runner(to) != nil {
			out.closing = append(out.closing, stage{{
				ID: string(StepRunDaemon), Kind: StepRunDaemon, Site: to, What: "start rbd-mirror at " + to + " again",
				Command: start, Proof: "it runs", act: daemonAct{site: to, run: true},
			}})
		}
	}
	out.closing = append(out.closing, w.scheduleStages()...)
	return out
}

// takeOver is what a unit goes through in a failover.
func (w *writer) takeOver(unit RunUnit, others *bystanders) program {
	to := w.run.To
	p := program{unit: unit}
	if len(others.names) > 0 {
		p.stages = append(p.stages, each(&unit, func(i *RunImage) (Step, bool) {
			return w.step(StepAlone, &unit, i, "", "see that no third site serves it", w.elsewhere(i, others.names),
				"no other site that answers is primary", aloneAct{i.Ref, others}), true
		}))
	}
	p.changesAt = len(p.stages)
	p.partAt = p.changesAt
	p.stages = append(p.stages, each(&unit, func(i *RunImage) (Step, bool) {
		return w.step(StepForce, &unit, i, to, "promote at "+to+" by force", w.at(to).promote(i.Ref, true),
			"the image at "+to+" says that it is primary", forceAct{exchange{ref: i.Ref, from: w.run.From, to: to}, others}), true
	}), each(&unit, func(i *RunImage) (Step, bool) {
		return w.step(StepVerify, &unit, i, to, "see the role at "+to, w.at(to).rbd("info", i.Ref.String()),
			"primary at "+to, verifyAct{exchange: exchange{ref: i.Ref, from: w.run.From, to: to}, alone: true}), true
	}))
	return p
}

// elsewhere words how to look at an image at other sites.
func (w *writer) elsewhere(i *RunImage, sites []string) string {
	var out []string
	for _, site := range sites {
		out = append(out, w.at(site).rbd("info", i.Ref.String()))
	}
	return strings.Join(out, "; ")
}
