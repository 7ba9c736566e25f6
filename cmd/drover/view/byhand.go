package view

import (
	"fmt"
	"strings"

	"github.com/drover-io/drover/orchestrator"
)

// howToCheck says how a person checks by hand what a check of a runbook has
// checked. IMAGE stands for each image that moves.
func (m *markdown) howToCheck(check string) []string {
	from, to := m.run.From, m.run.To
	at := func(says, command string) string { return fmt.Sprintf("`%s` %s", command, says) }
	pool := "POOL"
	if refs := imagesOf(m.run).order; len(refs) > 0 {
		pool = refs[0][:strings.LastIndex(refs[0], "/")]
	}
	switch check {
	case "sites answer":
		return []string{at("answers", m.tool("ceph", from, "-s")), at("answers", m.tool("ceph", to, "-s"))}
	case "the surviving site answers":
		return []string{at("answers", m.tool("ceph", to, "-s"))}
	case "no halt, no unfinished run":
		return []string{
			at("shows none that is not over", FillIn("drover runs list FILE", m.file)), at("shows none", FillIn("drover halt list FILE", m.file)),
			"without Drover: ask who else is at work on these images",
		}
	case "roles":
		return []string{
			at("says `mirroring primary: true`", m.tool("rbd", from, "info", "IMAGE")),
			at("says `mirroring primary: false`", m.tool("rbd", to, "info", "IMAGE")),
		}
	case "replay", "copies can serve":
		return []string{at("says `up+replaying` (or `up+stopped` and `up+unknown` once the other site is lost), and no longer that it bootstraps or syncs", m.tool("rbd", to, "mirror", "image", "status", "IMAGE"))}
	case "way back":
		return []string{at("lists a daemon, with health OK", m.tool("rbd", from, "mirror", "pool", "status", pool, "--verbose"))}
	case "no clients":
		return []string{at("lists no watcher but rbd-mirror", m.tool("rbd", from, "status", "IMAGE"))}
	case "room":
		return []string{at("shows enough left", m.tool("ceph", to, "df"))}
	case "rbd-mirror at " + to:
		return []string{at("lists the daemons of rbd-mirror", m.tool("ceph", to, "service", "dump"))}
	}
	return nil
}

// ifNot is what to do when a step of a kind is not seen to be done. The words in
// braces are filled in, see [markdown.ifNot].
var ifNot = map[orchestrator.StepKind]string{
	orchestrator.StepHook:       "find out whether it took effect, before you do it again. Where it comes before the images, do not begin; nothing has been changed yet.",
	orchestrator.StepManual:     "do not go on.",
	orchestrator.StepLink:       "wait; rbd-mirror looks every half minute. After two minutes look at its log at {from}, and leave the image alone.",
	orchestrator.StepFence:      "a watch outlives its client by half a minute: look again. If it stays, stop the client; do not go on with the image while somebody writes to it.",
	orchestrator.StepClients:    "stop the client, and look again; a watch outlives its client by half a minute. Leave the image alone as long as there is one: nothing has been changed yet.",
	orchestrator.StepSnapshot:   "wait until it has arrived, or leave the image alone: nothing has been changed yet.",
	orchestrator.StepDemote:     "look at the role: `{info from}`. Primary still: nothing has been changed, leave the image alone. Not primary: go on.",
	orchestrator.StepProve:      "wait, for up to {proof}. If the proof does not come, go back (below). Never promote without it.",
	orchestrator.StepPromote:    "an answer of \"device or resource busy\" means that the demotion has not been replayed to its end: wait, and try again. Never use --force here.",
	orchestrator.StepForce:      "look at the role: `{info to}`. Where rbd-mirror at {to} runs still, stop it and try again.",
	orchestrator.StepVerify:     "primary at both: let nobody write, it is a split-brain and a person has to choose. Primary at neither: take the promotion again.",
	orchestrator.StepReturn:     "leave both as they are, let nobody write, and look at the logs of rbd-mirror at both sites: there must be one primary in the end, never two.",
	orchestrator.StepSchedule:   "add what is missing with `rbd mirror snapshot schedule add`; images that have none are not copied any more.",
	orchestrator.StepStopDaemon: "go on only if you must: each promotion then has to wait for rbd-mirror.",
	orchestrator.StepRunDaemon:  "look at its log; without it nothing is replayed to {to}.",
	orchestrator.StepReverse:    "do not begin: there would be no clean way back.",
	orchestrator.StepPreserve:   "do not go on: what is discarded later would be kept nowhere.",
	orchestrator.StepGuard:      "do not go on: the copy that stays must be the one primary, and seen by rbd-mirror, before the other is discarded.",
	orchestrator.StepAlone:      "leave the image alone where another site is primary: promoted at {to}, it would be primary at two.",
	orchestrator.StepResync:     "look whether rbd-mirror runs at both sites and reports on it: `{status}`. The image is gone for a while and comes back under a new id.",
	orchestrator.StepFollow:     "wait; the whole image is copied. Leave it alone meanwhile, and do not discard what was kept of it.",
	orchestrator.StepCompare:    "do not let the copy serve, and do not clear the halt: find the cause, then discard that copy once more.",
	orchestrator.StepClear:      "it concerns only Drover's records, and no image: without Drover leave it out.",
	orchestrator.StepSweep:      "go on: a clone keeps nothing from being promoted. Remove it later.",
	orchestrator.StepBury:       "write it down where the person will see it who starts {from} again: its copies must not serve.",
}

// ifNot says what to do when a step is not seen to be done.
func (m *markdown) ifNot(s *orchestrator.Step) string {
	from, to := m.run.From, m.run.To
	return strings.NewReplacer(
		"{from}", from, "{to}", to, "{info from}", m.rbdInfo(from, s), "{info to}", m.rbdInfo(to, s),
		"{status}", m.tool("rbd", s.Site, "mirror", "image", "status", image(s)), "{proof}", fmt.Sprint(m.plan.Runbooks.ProofTimeout),
	).Replace(ifNot[s.Kind])
}

func (m *markdown) rbdInfo(site string, s *orchestrator.Step) string {
	return m.tool("rbd", site, "info", image(s))
}

// image names a step's image.
func image(s *orchestrator.Step) string {
	if s.Image != nil {
		return s.Image.String()
	}
	return "IMAGE"
}
