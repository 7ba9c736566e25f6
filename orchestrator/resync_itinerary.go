package orchestrator

import (
	"context"
	"strings"

	"github.com/drover-io/drover/replay"
)

// resync compiles a resync.
func (w *writer) resync() itinerary {
	out := itinerary{program: func(u RunUnit) program {
		p := program{unit: u}
		w.recopy(&p, w.run.From, w.run.To, func(i *RunImage) bool { return w.run.Verify && (i.Promote || i.Resync) })
		p.changesAt, p.commits, p.partAt = len(p.stages), len(p.stages), p.firstRole()
		return p
	}}
	if w.run.Reverse {
		out.opening = append(out.opening, stage{w.reverseStep()})
	}
	return out
}

// firstRole is the index of the first stage that changes a role: until then an
// image is as it was.
func (p *program) firstRole() int {
	for i, s := range p.stages {
		if s[0].Kind == StepPromote || s[0].Kind == StepDemote {
			return i
		}
	}
	return len(p.stages)
}

// recopy adds what discards the copies at one site and copies those of another
// over them: preserve, demote, guard, resync, watch, compare. compared tells of
// which images the contents are compared.
func (w *writer) recopy(p *program, loser, keep string, compared func(*RunImage) bool) {
	unit := &p.unit
	x := func(i *RunImage) exchange { return exchange{ref: i.Ref, from: loser, to: keep} }
	add := func(kind StepKind, site, what, command, proof string, wanted func(*RunImage) bool, act func(*RunImage) stepAct) {
		s := each(unit, func(i *RunImage) (Step, bool) {
			step := w.step(kind, unit, i, site, what, strings.ReplaceAll(command, "IMAGE", shellWord(i.Ref.String())), proof, act(i))
			step.ID = "recopy-" + step.ID
			return step, wanted(i)
		})
		if len(s) > 0 {
			p.stages = append(p.stages, s)
		}
	}
	promoted := func(i *RunImage) bool { return i.Promote }
	resynced := func(i *RunImage) bool { return i.Resync }
	all := func(i *RunImage) bool { return i.Promote || i.Resync }
	id := func(kind StepKind, i *RunImage) string { return recopyStep(kind, i.Ref) }

	if w.run.Fence {
		add(StepFence, loser, "shut out the clients that hold it at "+loser, w.at(loser).ceph("osd", "blocklist", "add", "ADDRESS"),
			"rbd status lists no watcher but rbd-mirror", resynced, func(i *RunImage) stepAct {
				return once{id(StepFence, i), fenceAct{ref: i.Ref, site: loser, followers: followersOf(w.plan, loser, i.Mode)}}
			})
	}
	add(StepPromote, keep, "promote at "+keep, w.at(keep).rbd("mirror", "image", "promote")+" IMAGE",
		"the image at "+keep+" says that it is primary", promoted, func(i *RunImage) stepAct { return once{id(StepPromote, i), reviveAct{x(i), i.Resync}} })
	add(StepPreserve, loser, "keep what "+loser+" holds, in a copy of its own", w.at(loser).rbd("cp")+" IMAGE IMAGE"+shellWord(w.plan.Preserve.Suffix+"-"+shortRun(w.run.ID)),
		"the copy is complete and identical", resynced, func(i *RunImage) stepAct { return once{id(StepPreserve, i), &preserveAct{ref: i.Ref, site: loser}} })
	add(StepDemote, loser, "demote at "+loser, w.at(loser).rbd("mirror", "image", "demote")+" IMAGE",
		"the image at "+loser+" says that it is not primary", resynced, func(i *RunImage) stepAct { return once{id(StepDemote, i), demoteLoserAct{x(i)}} })
	add(StepGuard, loser, "see that nothing was written after it was kept", w.at(loser).rbd("export")+" IMAGE - | sha256sum, and the same of the copy",
		"the copy is identical with what was demoted", resynced, func(i *RunImage) stepAct {
			return once{id(StepGuard, i), &preserveAct{ref: i.Ref, site: loser}}
		})
	add(StepSnapshot, keep, "take a mirror snapshot at "+keep, w.at(keep).rbd("mirror", "image", "snapshot")+" IMAGE",
		"it is the newest", func(i *RunImage) bool { return i.Resync && i.Mode == replay.ModeSnapshot }, func(i *RunImage) stepAct { return once{id(StepSnapshot, i), winnerAct{x(i), id(StepSnapshot, i)}} })
	add(StepResync, loser, "discard the copy at "+loser+" and ask for a new one", w.at(loser).rbd("mirror", "image", "resync")+" IMAGE",
		"the image at "+loser+" has a new id", resynced, func(i *RunImage) stepAct {
			return once{id(StepResync, i), resyncAct{x(i), i.OldID, id(StepGuard, i)}}
		})
	add(StepFollow, loser, "see that "+loser+" holds all that "+keep+" held", w.at(loser).rbd("mirror", "image", "status")+" IMAGE",
		"the copy at "+loser+" has come past where "+keep+" stood", all, func(i *RunImage) stepAct { return once{id(StepFollow, i), &followAct{exchange: x(i)}} })
	add(StepCompare, loser, "compare the contents at "+loser+" with those at "+keep+", by a snapshot of now",
		w.at(keep).rbd("export")+" IMAGE@SNAPSHOT - | sha256sum, and the same at "+loser+", of a new snapshot that has come there",
		"both hold the same, byte by byte", compared, func(i *RunImage) stepAct {
			return once{id(StepCompare, i), &compareAct{exchange: x(i)}}
		})
	add(StepClear, keep, "clear the halt and the tombstone", "drover halt clear FILE HALT",
		"they are recorded as cleared", all, func(i *RunImage) stepAct { return clearAct{ref: i.Ref, site: loser, keep: keep} })
}

// once is an act of a stage that later stages undo on purpose, such as the
// demotion of a site that becomes primary in the end: what the records call
// done is done.
type once struct {
	step string
	stepAct
}

func (a once) look(ctx context.Context, c *crew) (bool, string, error) {
	if p := c.past.phase(a.step); p == PhaseDone || p == PhaseAlready {
		return true, "recorded as done", nil
	}
	return a.stepAct.look(ctx, c)
}
