package orchestrator

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

const (
	// keepEvery is how often a watch looks at a daemon that it keeps running.
	keepEvery = 5 * time.Second
	// firstDelay and lastDelay bound the wait before the next start, which doubles
	// with each.
	firstDelay, lastDelay = time.Second, 2 * time.Minute
	// steadyTime is how long a daemon must run until its starts are forgotten.
	steadyTime = 5 * time.Minute
	// flapStarts is how many starts are called flapping: without a steady time among
	// them, or within flapWindow, however steadily the daemon ran between them.
	flapStarts = 5
	flapWindow = 24 * time.Hour
	// startBound bounds a start.
	startBound = time.Minute
)

// starts are those of one daemon, since it last ran steadily.
type starts struct {
	count  int
	delay  time.Duration
	next   time.Time // when it may be started again
	runs   time.Time // since when it runs; zero: it does not
	failed error     // why the last one failed
	// recent are the times of those within flapWindow that went well, the newest of them.
	recent []time.Time
	since  time.Time // since when all starts are known
}

// recentKept is how many recent starts are remembered, and counted.
const recentKept = 1000

// begin has a watch know of the starts from now on. Of those before it knows some.
func (s *starts) begin(now time.Time) { *s = starts{recent: s.recent, since: now} }

// running notes that the daemon runs, and forgets the past once it has for long.
func (s *starts) running(now time.Time) {
	if s.runs.IsZero() {
		s.runs = now
	}
	if s.count > 0 && now.Sub(s.runs) >= steadyTime {
		*s = starts{runs: s.runs, recent: s.recent, since: s.since}
	}
}

// due reports whether a daemon that does not run may be started: the first time
// at once.
func (s *starts) due(now time.Time) bool { return !now.Before(s.next) }

// started notes a start, and how it went.
func (s *starts) started(now time.Time, err error) {
	s.count++
	s.delay = min(max(2*s.delay, firstDelay), lastDelay)
	s.next, s.failed, s.runs = now.Add(s.delay), err, time.Time{}
	if err == nil {
		s.runs = now
		s.recent = append(s.lately(now), now)
		s.recent = s.recent[max(0, len(s.recent)-recentKept):]
	}
}

// lately are the starts within the last flapWindow that went well.
func (s *starts) lately(now time.Time) []time.Time {
	at := slices.IndexFunc(s.recent, func(t time.Time) bool { return now.Sub(t) < flapWindow })
	if at < 0 {
		return nil
	}
	return slices.Clone(s.recent[at:])
}

// crashes reports whether the daemon ends again and again, and never runs steadily.
func (s *starts) crashes() bool { return s.count >= flapStarts }

// flaps reports whether the daemon ends again and again.
func (s *starts) flaps(now time.Time) bool { return s.crashes() || len(s.lately(now)) >= flapStarts }

// judged reports whether it can be told if the daemon flaps: a watch that has just
// begun knows nothing of the starts before it, and must have seen as many hours as
// count.
func (s *starts) judged(now time.Time) bool {
	return s.flaps(now) || !s.runs.IsZero() && now.Sub(s.runs) >= steadyTime && now.Sub(s.since) >= flapWindow
}

// tried reports whether it can be told if the daemon starts.
func (s *starts) tried() bool { return s.count > 0 || !s.runs.IsZero() }

// keeper keeps one daemon running.
type keeper struct {
	site string

	mu     sync.Mutex
	starts starts
}

// keepersOf are those for the daemons that the plan has Drover run as processes.
func keepersOf(plan *plans.Plan) []*keeper {
	var out []*keeper
	for _, s := range plan.MirrorSites() {
		if s.Daemon.Run == plans.RunProcess {
			out = append(out, &keeper{site: s.Name})
		}
	}
	return out
}

// keep keeps a daemon running for as long as the watch acts. When that ends the
// daemon is left as it is: the next watch finds it.
func (w *Watch) keep(t *tenure, k *keeper) {
	runner := t.sites.Runner(k.site)
	if runner == nil {
		return
	}
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-tick.C:
		}
		w.contain(func() { w.look(t, k, runner) })
	}
}

// look looks once at a daemon, and starts it if it should run.
func (w *Watch) look(t *tenure, k *keeper, runner Runner) {
	ctx, cancel := context.WithTimeout(t.ctx, answerTime(w.plan))
	defer cancel()
	state, err := runner.State(ctx)
	if err != nil {
		return // the status tells
	}
	if state.Running {
		k.note(func(s *starts) { s.running(time.Now()) })
		return
	}
	due := false
	k.note(func(s *starts) { due = s.due(time.Now()) })
	if !due || !needed(t.last.Load(), k.site, state.Died) || t.lease.confirm(ctx, nil) != nil {
		return
	}
	starting, done := context.WithTimeout(t.ctx, startBound)
	defer done()
	err = runner.Start(starting)
	k.note(func(s *starts) { s.started(time.Now(), err) })
	if w.options.Started != nil {
		w.options.Started(k.site, err)
	}
}

// note changes, or reads, what is known of a daemon's starts.
func (k *keeper) note(f func(*starts)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(&k.starts)
}

// needed reports whether a daemon should run at a site where none does: there is
// something to replay, and none runs on another host. One that has died here is
// listed for a minute more.
func needed(report *StatusReport, name string, died bool) bool {
	if report == nil {
		return false
	}
	at := slices.IndexFunc(report.Sites, func(s SiteStatus) bool { return s.Name == name })
	if at < 0 || !report.Sites[at].Reachable {
		return false
	}
	if report.Sites[at].served && !died {
		return false
	}
	return slices.ContainsFunc(report.Images, func(i ImageStatus) bool {
		role := i.Roles[name]
		return role == string(replay.RolePrimary) || role == string(replay.RoleSecondary) || i.copyAt(name)
	})
}

// onlyActing are the signals that only a watch finds that acts.
var onlyActing = []string{
	SignalReplayStuck, SignalJournalHeld, SignalDrift, SignalConvergeFailed, SignalCopiesDiffer, SignalUnverified,
	SignalDrillFailed, SignalDrillAborted, SignalDrillOverdue, SignalDrillLeft, SignalDrillHeld,
}

// unjudged are the signals, of daemons above all, of which nothing can be told yet:
// what an earlier watch has told of them is not over.
func (w *Watch) unjudged(t *tenure) []alert.Unseen {
	keepers, now := keepersOf(w.plan), time.Now()
	var out []alert.Unseen
	if t != nil {
		keepers = t.keepers
		if codes := t.drills.unread(); len(codes) > 0 {
			out = append(out, alert.Unseen{Codes: codes})
		}
	} else {
		// Who only looks neither compares checks with each other nor knows what was verified,
		// drilled or repaired.
		out = append(out, alert.Unseen{Codes: onlyActing})
	}
	for _, k := range keepers {
		u := alert.Unseen{Site: k.site}
		k.note(func(s *starts) {
			if !s.judged(now) {
				u.Codes = append(u.Codes, SignalDaemonFlapping)
			}
			if !s.tried() {
				u.Codes = append(u.Codes, SignalDaemonFails)
			}
		})
		if len(u.Codes) > 0 { // without codes it would be all of the site
			out = append(out, u)
		}
	}
	return out
}

// daemonSignals tell of daemons that end again and again, or do not start.
func (w *Watch) daemonSignals(t *tenure) []alert.Signal {
	var out []alert.Signal
	for _, k := range t.keepers {
		var s starts
		k.note(func(now *starts) { s = *now })
		lately := len(s.lately(time.Now()))
		next := "read rbd-mirror's log at " + k.site + "; drover status " + w.plan.File
		switch {
		case s.crashes():
			what := fmt.Sprintf("rbd-mirror at %s was started %d times, and never ran for %v; the next start waits %v", k.site, s.count, steadyTime, s.delay)
			out = append(out, signal(SignalDaemonFlapping, k.site, what, next))
		case lately >= flapStarts:
			what := fmt.Sprintf("rbd-mirror at %s was started %d times within the last %d hours: it runs for a while, and ends", k.site, lately, int(flapWindow.Hours()))
			out = append(out, signal(SignalDaemonFlapping, k.site, what, next))
		case s.failed != nil:
			out = append(out, signal(SignalDaemonFails, k.site, "rbd-mirror at "+k.site+" could not be started: "+s.failed.Error(), next))
		}
	}
	return out
}
