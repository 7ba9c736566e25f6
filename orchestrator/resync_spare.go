package orchestrator

import (
	"slices"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// spare takes out the images that a resync has no business with: those that came
// along with their group, and in which neither roles nor histories contradict
// each other. What is left out is listed, and replays on when the halt of its
// group is cleared. A side that does not answer tells nothing: such an image
// stays, to be refused.
func (p *Prepared) spare(plan *plans.Plan, stands []stand, loser string, o *ResyncOptions) []stand {
	o.along = map[replay.ImageRef]bool{}
	spared := map[replay.ImageRef]bool{}
	for _, e := range p.Evidence {
		s := find(stands, e.Image)
		if s == nil {
			continue
		}
		itself, meant := p.meant(plan, s, o)
		o.along[e.Image] = !meant
		from, to := e.side(loser), e.side(o.Keep)
		if itself || e.State == replay.SplitBrain || e.State == replay.Stranded ||
			from == nil || to == nil || !from.Reachable || !to.Reachable || meant && !p.fine(s) && to.Role == replay.RolePrimary {
			continue
		}
		why := "nothing is wrong with it: " + e.Why
		switch {
		case from.Role == replay.RolePrimary:
			why = "it is primary at " + loser + " alone, and " + o.Keep + " has only followed: " + e.Why
		case !p.fine(s):
			why = "it is in no split-brain, and nobody has named it: " + e.Why
		}
		spared[e.Image] = true
		p.Run.Left = append(p.Run.Left, LeftImage{Ref: e.Image, Why: why})
	}
	p.Evidence = slices.DeleteFunc(p.Evidence, func(e *SplitEvidence) bool { return spared[e.Image] })
	return slices.DeleteFunc(slices.Clone(stands), func(s stand) bool { return spared[s.evidence.Ref] })
}

// meant reports whether a person has named the image itself, or something that
// takes it in on purpose: its group or wave, or all that is in trouble.
func (p *Prepared) meant(plan *plans.Plan, s *stand, o *ResyncOptions) (itself, meant bool) {
	ref := s.evidence.Ref
	if o.All {
		h := p.book.Halted(ref)
		return false, h != nil && slices.Contains(h.Images, ref) || s.verdict.State == replay.SplitBrain || s.verdict.State == replay.Stranded
	}
	group, wave := plan.GroupOf(ref.Pool.Name, ref.Namespace, ref.Name), plan.WaveOf(ref.Pool.Name, ref.Namespace, ref.Name)
	itself = slices.Contains(o.Scope.Images, ref.String()) || slices.Contains(o.Scope.Images, ref.Name)
	return itself, itself || group != nil && slices.Contains(o.Scope.Groups, group.Name) || wave != nil && slices.Contains(o.Scope.Waves, wave.Name)
}

// fine reports whether nothing is wrong with an image but what a halt has made of
// it on purpose.
func (p *Prepared) fine(s *stand) bool {
	if s.verdict.Healthy() {
		return true
	}
	return p.book.Halted(s.evidence.Ref) != nil && s.verdict.Primary != "" && !slices.ContainsFunc(s.verdict.Problems, func(problem replay.Problem) bool {
		return problem.Severity != replay.SeverityInfo && !slices.Contains(haltEffects, problem.Code)
	})
}

// haltEffects are what the halt of an image leads to: its replay is stopped, and
// its own schedules are paused.
var haltEffects = []replay.ProblemCode{
	replay.ProblemReplayStopped, replay.ProblemNotReplaying, replay.ProblemReportStale, replay.ProblemLagging, replay.ProblemLagUnknown, replay.ProblemRPOExceeded,
	replay.ProblemNoSchedule, replay.ProblemScheduleDead, replay.ProblemJournalGrowing, replay.ProblemSnapshotsPiling,
}
