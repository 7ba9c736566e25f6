package orchestrator

import (
	"fmt"
	"slices"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// Prepared is a run that may begin, with all that was checked for it.
type Prepared struct {
	Run    Run     `json:"run"`
	Checks []Check `json:"checks"`
	// Probes are how the old site was looked at (failover).
	Probes []Probe `json:"probes,omitempty"`
	// Refused is why it may not begin; nil when it may.
	Refused error `json:"-"`
	// Hash is of what a person has to be shown.
	Hash string `json:"hash"`

	// Evidence is for who must choose which copy stays (resync, failback).
	Evidence []*SplitEvidence `json:"evidence,omitempty"`
	// Preserves is how much is kept of what will be discarded, in bytes.
	Preserves uint64 `json:"preserves,omitempty"`

	book   *Book
	chosen []RunImage
}

// newRun begins the description of a run.
func newRun(plan *plans.Plan, now time.Time, book Runbook, from, to, reason string) Run {
	now = now.UTC()
	return Run{
		ID: newRunID(book, now), Runbook: book, Plan: plan.Name, Fingerprint: plan.Fingerprint(),
		From: from, To: to, By: whoWrites(), Reason: reason, Began: now,
	}
}

// already takes out the images that are where they shall be, and take writes.
func (p *Prepared) already(stands []stand, to string) []stand {
	return slices.DeleteFunc(slices.Clone(stands), func(s stand) bool {
		if at := s.primaries(); len(at) == 1 && at[0] == to && !s.site(to).Image.Unwritable {
			p.Run.Left = append(p.Run.Left, LeftImage{Ref: s.evidence.Ref, Why: "it is primary at " + to + " already"})
			return true
		}
		return false
	})
}

// nothingToDo reports, and says, that all images are where they shall be: then
// nothing else is worth a check.
func (p *Prepared) nothingToDo(c *checks, stands []stand, to string) bool {
	if len(stands) > 0 || len(p.Run.Left) == 0 {
		return false
	}
	c.add("roles", "all images are primary at %s already; nothing to do", to)
	return true
}

// units sorts the fit images into units; a group of which an image is not fit
// stays whole.
func (p *Prepared) units(plan *plans.Plan, stands []stand, c *checks) {
	unfit := c.unfit()
	held := map[string]replay.ImageRef{}
	for ref := range unfit {
		if group := plan.GroupOf(ref.Pool.Name, ref.Namespace, ref.Name); group != nil {
			held[group.Name] = ref
		}
	}
	var images []RunImage
	for i := range stands {
		ref := stands[i].evidence.Ref
		if f, bad := unfit[ref]; bad {
			p.Run.Left = append(p.Run.Left, LeftImage{Ref: ref, Why: f.What})
			continue
		}
		if group := plan.GroupOf(ref.Pool.Name, ref.Namespace, ref.Name); group != nil {
			if other, bad := held[group.Name]; bad {
				p.Run.Left = append(p.Run.Left, LeftImage{Ref: ref, Why: fmt.Sprintf("group %s moves as one, and %s cannot", group.Name, other)})
				continue
			}
		}
		images = append(images, RunImage{Ref: ref, Mode: stands[i].mode})
	}
	p.Run.Units = unitsOf(plan, images)
}

// hash is of what a person decides upon: what moves, from where to where, and
// what is lost by it.
func (p *Prepared) hash() string {
	facts := map[string]string{"runbook": string(p.Run.Runbook), "from": p.Run.From, "to": p.Run.To, "plan": p.Run.Fingerprint}
	for i := range p.Run.Units {
		for j := range p.Run.Units[i].Images {
			image := &p.Run.Units[i].Images[j]
			facts[image.Ref.String()] = p.Run.Units[i].Name + " " + image.basis()
		}
	}
	facts["options"] = fmt.Sprint(p.Run.Fence, p.Run.Unfenced, p.Run.LeaveDaemon, p.Run.Reverse, p.Run.Verify)
	for i := range p.Probes {
		if p.Probes[i].From == p.Run.To {
			continue // its rbd-mirror notices within half a minute only
		}
		facts["probe "+p.Probes[i].From+" "+p.Probes[i].How] = fmt.Sprint(p.Probes[i].Answers)
	}
	for _, left := range p.Run.Left {
		facts["left "+left.Ref.String()] = "left"
	}
	return fingerprint(facts)
}
