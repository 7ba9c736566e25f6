package orchestrator

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// factsOf are the facts that a difference rests on, by what they are about.
// What changes by itself (positions, times, reports, tx-only peers that
// daemons announce, how far a copy is) is left out.
func factsOf(obs *Observation) map[string]string {
	facts := map[string]string{}
	for i := range obs.Sites {
		s := &obs.Sites[i]
		if s.Fault != nil {
			facts[s.Name] = "does not answer"
			continue
		}
		facts[s.Name] = s.Identity.FSID + " " + s.SiteName
		if s.Runner != nil {
			facts[s.Name+" rbd-mirror"] = fmt.Sprint(s.Runner.Running)
			if s.Runner.Outdated {
				facts[s.Name+" rbd-mirror"] += " outdated"
			}
		}
		for j := range s.Pools {
			poolFacts(facts, s, &s.Pools[j])
		}
	}
	return facts
}

func poolFacts(facts map[string]string, s *SiteObservation, p *PoolObservation) {
	about := s.Name + " " + p.Pool.String()
	if p.Missing || p.NoNamespace || p.Fault != nil {
		facts[about] = fmt.Sprint("missing ", p.Missing, p.NoNamespace, " unreadable ", p.Fault != nil)
		return
	}
	facts[about] = "mode " + string(p.Mirroring.Mode) + " in " + string(p.Whole.Mode)
	var peers []string
	for _, peer := range p.Whole.Peers {
		if peer.Direction.Receives() {
			peers = append(peers, fmt.Sprint(peer.SiteName, " ", peer.Client, " ", peer.Direction, " ", peer.MonHost, " ", peer.Key != ""))
		}
	}
	slices.Sort(peers)
	facts[about+" peers"] = strings.Join(peers, ", ")
	var schedules []string
	for _, x := range p.Schedules {
		schedules = append(schedules, x.Name+" "+interval(x.Every)+" "+x.Start)
	}
	slices.Sort(schedules)
	facts[about+" schedules"] = strings.Join(schedules, ", ")
	for i := range p.Images {
		image := &p.Images[i]
		// Copies come, go and follow their primary by themselves.
		if image.Role == replay.RoleSecondary {
			continue
		}
		fact := fmt.Sprint(image.Role, " ", image.Mode, " ", image.State, " ", image.Features, " ", image.Parent)
		facts[s.Name+" "+image.Ref.String()] = fact
	}
}

// copyFacts adds the plan's images at secondaries. What is taken down rests on
// which site has the image and which its copies; an apply works with whichever
// has.
func copyFacts(facts map[string]string, plan *plans.Plan, obs *Observation) {
	for i := range obs.Sites {
		s := &obs.Sites[i]
		for j := range s.Pools {
			for k := range s.Pools[j].Images {
				image := &s.Pools[j].Images[k]
				if image.Role == replay.RoleSecondary && inPlan(plan, image.Ref) {
					facts[s.Name+" "+image.Ref.String()] = fmt.Sprint(image.Role, " ", image.Mode, " of ", image.GlobalID)
				}
			}
		}
	}
}

// inPlan reports whether the plan covers an image.
func inPlan(plan *plans.Plan, ref replay.ImageRef) bool {
	return slices.ContainsFunc(plan.Pools, func(p plans.Pool) bool {
		_, ours := p.Match(ref.Name)
		return ours && poolOf(&p) == ref.Pool
	})
}

// fingerprint is one hash of all facts.
func fingerprint(facts map[string]string) string {
	keys := make([]string, 0, len(facts))
	for key := range facts {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	sum := sha256.New()
	for _, key := range keys {
		_, _ = io.WriteString(sum, key+"\x00"+facts[key]+"\x00") // a hash never fails to write
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// changedFacts names what differs between two sets of facts.
func changedFacts(before, now map[string]string) []string {
	var changed []string
	for key, was := range before {
		if is, ok := now[key]; !ok || is != was {
			changed = append(changed, key)
		}
	}
	for key := range now {
		if _, ok := before[key]; !ok {
			changed = append(changed, key)
		}
	}
	slices.Sort(changed)
	return changed
}
