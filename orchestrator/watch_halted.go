package orchestrator

import (
	"fmt"
	"sync"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// stopTries is how often replay is stopped that goes on all the same, until that is
// told.
const stopTries = 3

// stillness keeps the replay stopped of what a split-brain has halted: rbd-mirror
// knows of that only until it is started anew.
type stillness struct {
	mu    sync.Mutex
	busy  bool
	stops map[trailKey]stop
}

// stop is how it went to stop the replay of a copy.
type stop struct {
	tries  int
	by     replay.Report // by which it was seen to replay
	failed error
}

// replaying is a copy that replays although its image is halted.
type replaying struct {
	key    trailKey
	report replay.Report
}

// againstHalts are the copies that replay although a split-brain has halted them or
// their group, by the reports of the daemons themselves. A halt by a person's wish
// stops no replay, and a run that has an image in its hands may need it.
func againstHalts(seen *sight, halts []Halt) []replaying {
	split := map[string]bool{}
	for i := range halts {
		split[halts[i].ID] = halts[i].ofSplit()
	}
	halted := map[replay.ImageRef]bool{}
	for i := range seen.report.Images {
		image := &seen.report.Images[i]
		halted[image.Ref] = split[image.Halt] && image.Run == ""
	}
	var out []replaying
	for i := range seen.evidence {
		e := &seen.evidence[i]
		for j := range e.Sites {
			s := &e.Sites[j]
			if r := ownReport(s); halted[e.Ref] && s.Err == nil && r != nil && replays(r) {
				out = append(out, replaying{trailKey{e.Ref, s.Site}, *r})
			}
		}
	}
	return out
}

func replays(r *replay.Report) bool {
	return r.State == replay.ReportReplaying || r.State == replay.ReportStartingReplay || r.State == replay.ReportSyncing
}

// keepStopped stops replay again that a halt had stopped, beside the check, and tells
// of what it cannot stop. Without a tenure it may stop nothing.
func (w *Watch) keepStopped(t *tenure, seen *sight, result *CheckResult) []alert.Signal {
	found := againstHalts(seen, result.Halts)
	if t == nil {
		var out []alert.Signal
		for i := range found {
			out = append(out, haltReplays(w.plan, &found[i], "this watch may stop nothing while no site gives it the lease"))
		}
		return out
	}
	k := &t.stillness
	k.mu.Lock()
	defer k.mu.Unlock()
	var (
		out  []alert.Signal
		todo []replaying
		kept = map[trailKey]stop{}
	)
	for i := range found {
		r := &found[i]
		last := k.stops[r.key]
		kept[r.key] = last
		switch {
		case t.sites.Replay(r.key.site) == nil:
			out = append(out, haltReplays(w.plan, r, "its admin socket is out of reach from here"))
			continue
		case last.failed != nil:
			out = append(out, haltReplays(w.plan, r, "it could not be told so: "+last.failed.Error()))
		case last.tries >= stopTries:
			out = append(out, haltReplays(w.plan, r, "it was told so again and again"))
		}
		if last.failed != nil || !last.by.Updated.Equal(r.report.Updated) {
			todo = append(todo, *r) // else it has not reported since
		}
	}
	k.stops = kept
	if len(todo) > 0 && !k.busy {
		k.busy = true
		w.beside(&t.work, func() { w.stopAgain(t, todo) })
	}
	return out
}

// stopAgain stops the replay of copies, of which nobody has taken the halt back
// meanwhile, nor begun a run.
func (w *Watch) stopAgain(t *tenure, todo []replaying) {
	k := &t.stillness
	defer func() {
		k.mu.Lock()
		k.busy = false
		k.mu.Unlock()
	}()
	records := readRecords(t.ctx, w.plan, t.sites)
	if records.book == nil || t.lease.confirm(t.ctx, nil) != nil {
		return
	}
	forEach(t.ctx, len(todo), haltsAtOnce, func(i int) {
		key := todo[i].key
		h := records.halted(key.ref)
		if h == nil || !h.ofSplit() || records.moving(key.ref) != nil {
			return
		}
		err := stopReplayAt(t.ctx, w.plan, t.sites, key.site, key.ref)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.stops[key] = stop{tries: k.stops[key].tries + 1, by: todo[i].report, failed: err}
	})
}

// haltReplays is the signal of one that replays.
func haltReplays(plan *plans.Plan, r *replaying, why string) alert.Signal {
	s := signal(SignalHaltReplays, r.key.site,
		fmt.Sprintf("rbd-mirror at %s replays the image, which is halted for a split-brain, and is not stopped: %s", r.key.site, why),
		fmt.Sprintf("at %s: ceph daemon SOCKET rbd mirror stop %s, with rbd-mirror's admin socket; drover halt list %s", r.key.site, shellLine(r.key.ref.String()), plan.File))
	s.Image = r.key.ref.String()
	return s
}
