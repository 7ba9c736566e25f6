package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/serve"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// guard looks after one plan.
type guard struct {
	plan     *plans.Plan
	o        Options
	log      *slog.Logger
	watch    *orchestrator.Watch
	times    cron.Schedule // of the checks
	channels map[string]alert.Channel
	beats    []string // channels that take heartbeats

	deaf   func(plan string) []alert.Signal // of buttons that nobody hears
	turned func()                           // is told when the plan comes into other hands
	stop   context.CancelFunc
	over   chan struct{} // closed when it has ended
	wake   chan struct{} // there may be something to send

	ctx     context.Context // of the work that goes on beside checks
	sending parallel.Group

	storing chan struct{} // taken while the memory is stored, which a silent site makes long

	word  sync.Mutex // one answer of a person at a time that is carried out
	steps sync.Mutex // one approval of a manual step at a time

	mu        sync.Mutex
	desk      *alert.Desk       // nil: this process tells nobody
	as        orchestrator.Role // in which the desk was opened
	kept      alert.Memory      // of the last desk, where nobody has told people since
	known     map[string]bool   // the incidents that others know of, where one is alone
	storedIDs map[string]bool   // those that are stored
	blind     []string          // sites, by the last check
	answers   time.Time         // since when a site answers one that is alone
	awaits    bool              // it is about to have the lease, or to know who has it
	stored    []byte            // what was stored last, but for its clock
	storedOf  *alert.Desk       // whose memory that was
	storedAt  time.Time
	life      life      // whether checks come to their ends
	checked   time.Time // the last check ended
	fault     error     // of the last check
	panics    string    // the last one, of which nobody was told yet
	seen      []serve.Condition
	refused   map[string]error // by channel: why the last message was not taken
	// fresh is evidence that is newer than that of the halt, by the halt's id. The
	// desk remembers it too.
	fresh map[string]*orchestrator.SplitEvidence
	// attempts are how what people have chosen has failed, by the halt's id.
	attempts map[string]string
}

// siteUnknown is the code of a site that does not answer.
const siteUnknown = string(replay.ProblemSiteUnknown)

// effects are the problems that merely follow from another of the same site.
var effects = map[string][]string{
	siteUnknown: words(
		replay.ProblemDaemonComplains, replay.ProblemImageUnknown, orchestrator.ProblemDaemonUnknown, orchestrator.ProblemDaemonStopped,
		replay.ProblemNoDaemon, replay.ProblemNoStandbyDaemon, replay.ProblemReportStale, replay.ProblemReportsUnknown, replay.ProblemDaemonsUnknown,
		replay.ProblemNotReplaying, replay.ProblemSchedulesUnknown, replay.ProblemLagUnknown, replay.ProblemLagging, orchestrator.ProblemRecordsUnreadable,
		orchestrator.SignalReplayStuck, orchestrator.SignalDaemonFails, orchestrator.SignalDrift, orchestrator.SignalConvergeFailed,
	),
	string(orchestrator.ProblemDaemonStopped): words(replay.ProblemNoDaemon),
	string(replay.ProblemNoDaemon): words(
		replay.ProblemNoStandbyDaemon, replay.ProblemReportStale, replay.ProblemReportMissing, replay.ProblemNotReplaying, replay.ProblemLagging, orchestrator.SignalReplayStuck,
	),
}

// cannotReach are the problems of a site whose cause, while another is silent, is that
// rbd-mirror cannot reach that one.
var cannotReach = words(replay.ProblemDaemonComplains, replay.ProblemReportStale, replay.ProblemNotReplaying)

func words(codes ...replay.ProblemCode) []string {
	var out []string
	for _, c := range codes {
		out = append(out, string(c))
	}
	return out
}

// crowdOver is how many split-brains are told each by itself, with buttons.
const crowdOver = 3

// crowds are the problems that are told as one where they are many at once.
func crowds(plan *plans.Plan) map[string]alert.Crowd {
	return map[string]alert.Crowd{orchestrator.SignalSplitBrain: {
		Over: crowdOver,
		What: func(images int) string {
			if images == 1 {
				return "1 image more is halted: its copies contradict each other"
			}
			return fmt.Sprintf("%d images are halted: their copies contradict each other", images)
		},
		Next: orchestrator.ResyncAllCommands(plan),
		Why:  "so many images, each with evidence of its own, cannot be decided by one press. The commands show the evidence of all, and what is lost by keeping either side; without --dry-run one asks once, and does it",
	}}
}

func newGuard(plan *plans.Plan, o Options, turned func()) (*guard, error) {
	times, err := plans.CronSchedule(plan.Checks.Schedule, plan.Checks.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plan.File, err)
	}
	g := &guard{
		plan: plan, o: o, log: o.Log.With("plan", plan.Name), times: times, channels: map[string]alert.Channel{},
		turned: turned, stop: func() {}, wake: make(chan struct{}, 1), storing: make(chan struct{}, 1), refused: map[string]error{}, fresh: map[string]*orchestrator.SplitEvidence{},
	}
	o.Notify.Links = Links(plan)
	for _, c := range plan.Notifications.Channels {
		channel, err := o.Channel(c, o.Notify)
		if err != nil {
			return nil, fmt.Errorf("%s: channel %s: %w", plan.File, c.Name, err)
		}
		g.channels[c.Name] = channel
		if c.Type == plans.ChannelHeartbeat {
			g.beats = append(g.beats, c.Name)
		}
	}
	g.watch = orchestrator.NewWatch(plan, orchestrator.WatchOptions{
		Open: o.Open, Hands: o.Hands, Checked: g.look, Newer: g.newer, Stood: g.stood, Now: o.Now, Version: o.Version, Started: g.started,
		Panicked: g.panicked,
	})
	return g, nil
}

// routes are the plan's. A plan that has channels and no routes tells everything to
// all of them.
func routes(plan *plans.Plan) []alert.Route {
	var out []alert.Route
	for _, r := range plan.Notifications.Routes {
		route := alert.Route{EscalateAfter: r.Escalate.Std()}
		for _, s := range r.Severity {
			route.Severities = append(route.Severities, alert.Severity(s))
		}
		for _, name := range r.Channels {
			if !beats(plan, name) {
				route.Channels = append(route.Channels, name)
			}
		}
		out = append(out, route)
	}
	if len(plan.Notifications.Routes) > 0 {
		return out
	}
	all := alert.Route{Severities: []alert.Severity{alert.Info, alert.Warning, alert.Critical}}
	for _, c := range plan.Notifications.Channels {
		if c.Type != plans.ChannelHeartbeat {
			all.Channels = append(all.Channels, c.Name)
		}
	}
	if len(all.Channels) == 0 {
		return nil
	}
	return []alert.Route{all}
}

func beats(plan *plans.Plan, channel string) bool {
	return slices.ContainsFunc(plan.Notifications.Channels, func(c plans.Channel) bool {
		return c.Name == channel && c.Type == plans.ChannelHeartbeat
	})
}

// run looks after the plan until ctx ends.
func (g *guard) run(ctx context.Context) {
	g.ctx = ctx
	g.mu.Lock()
	g.life.last = time.Now()
	g.mu.Unlock()
	var post parallel.Group
	post.Go(func() { g.post(ctx) })
	lasting(ctx, func() {
		if err := g.watch.Run(ctx); err != nil && ctx.Err() == nil {
			g.log.Error("the plan cannot be watched", "error", err)
		}
	}, func(p *parallel.Panic) { g.panicked(p.Value, p.Stack) })
	post.Wait()
	g.sending.Wait()
	g.o.commons.leave(g.plan.Name)
}

// stood is told what the watch does from now on.
func (g *guard) stood(s orchestrator.Standing) {
	g.log.Info("watch", "role", string(s.Role), "why", s.Why)
	acts := s.Role == orchestrator.RoleActing || s.Role == orchestrator.RoleAlone
	if !acts {
		// What was seen last is not to be alerted on for ever.
		g.o.Metrics.Forget(g.plan.Name)
		g.o.Metrics.Watch(g.plan)
	}
	g.o.Metrics.Leads(g.plan.Name, s.Role == orchestrator.RoleActing)
	g.turned()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leave(s.Role)
	g.life.stood(s.Role, time.Now())
	g.checked = time.Time{}
}

// started is told of each start of rbd-mirror by the watch.
func (g *guard) started(site string, err error) {
	g.o.Metrics.Started(g.plan.Name, site)
	if err != nil {
		g.log.Error("rbd-mirror could not be started", "site", site, "error", err)
		return
	}
	g.log.Info("rbd-mirror was started", "site", site)
}

// across are the findings that rest on what is seen at the primary and at the copy.
var across = []string{
	string(replay.ProblemRPOExceeded), string(replay.ProblemLagging), string(replay.ProblemLagUnknown), string(replay.ProblemSyncStalled),
	string(replay.ProblemNotReplaying), string(replay.ProblemSecondaryMissing), string(replay.ProblemNoDaemon), string(replay.ProblemNoStandbyDaemon),
	string(replay.ProblemScheduleDead), string(replay.ProblemJournalGrowing), string(replay.ProblemSnapshotsPiling),
	orchestrator.SignalReplayStuck, orchestrator.SignalJournalHeld,
}

// slow are the findings that take several checks, and how long it takes who has just
// begun to look to make them.
var slow = map[string]time.Duration{
	orchestrator.SignalReplayStuck: 10 * time.Minute, orchestrator.SignalJournalHeld: 10 * time.Minute,
	string(replay.ProblemSyncStalled): 15 * time.Minute,
	orchestrator.SignalDaemonFlapping: 10 * time.Minute,
	orchestrator.SignalDaemonFails:    10 * time.Minute,
	orchestrator.SignalConvergeFailed: 10 * time.Minute,
	orchestrator.SignalDrift:          5 * time.Minute,
	orchestrator.SignalUnverified:     10 * time.Minute,
}

// openDesk makes a desk that goes on from a memory.
func (g *guard) openDesk(memory alert.Memory) *alert.Desk {
	o := alert.DefaultOptions(g.plan.Name, routes(g.plan))
	o.Recorded, o.Crowds, o.AnswerWithin = []string{orchestrator.SignalManualStep}, crowds(g.plan), g.plan.Notifications.AnswerTime()
	o.Each = words(orchestrator.SignalSplitBrain, orchestrator.SignalCopiesDiffer,
		replay.ProblemTwoPrimaries, replay.ProblemDiverged, replay.ProblemNoPrimary)
	for _, c := range g.plan.Notifications.Channels {
		if c.Type == plans.ChannelSlack {
			o.Updates = append(o.Updates, c.Name)
		}
	}
	o.Immediate, o.Effects, o.Across, o.Slow = []string{orchestrator.SignalSplitBrain, orchestrator.SignalWatchFaulty}, effects, across, slow
	o.Seed = rand.Uint64() //nolint:gosec // it spreads attempts, and tells desks apart
	o.HoldOff, o.Settle = holdOff(g.times, o.HoldOff), holdOff(g.times, o.Settle)
	desk, err := alert.NewDesk(o, memory)
	if err != nil {
		g.log.Error("what still holds is told anew", "error", err)
	}
	return desk
}

// soonest is how long what is found must last, at least, however often it is looked:
// a daemon that is started anew takes a while to report.
var soonest = map[alert.Severity]time.Duration{alert.Info: time.Minute, alert.Warning: 30 * time.Second, alert.Critical: 5 * time.Second}

// holdOff shortens what is waited for until somebody is told: two checks are
// enough, as far as they take as long as that.
func holdOff(times cron.Schedule, usual map[alert.Severity]time.Duration) map[alert.Severity]time.Duration {
	next := times.Next(time.Now())
	every := times.Next(next).Sub(next)
	out := map[alert.Severity]time.Duration{}
	for severity, d := range usual {
		out[severity] = min(d, max(2*every, soonest[severity]))
	}
	return out
}

// look is given each check.
func (g *guard) look(r orchestrator.CheckResult) {
	if r.Faulty {
		g.lookFaulty(&r)
		return
	}
	m, name := g.o.Metrics, g.plan.Name
	fault := errors.Join(r.Faults...)
	m.Saw(r.Report)
	m.Checked(name, r.Took, fault)
	m.Due(name, g.times.Next(g.o.Now()))
	for _, c := range r.Transitions {
		m.Moved(name, c.From, c.To)
		g.log.Info("image", "image", c.Image.String(), "from", string(c.From), "to", string(c.To), "why", c.Why)
	}
	for _, v := range r.Verified {
		if v.Identical {
			m.Verified(name, v.Image, v.At)
		}
	}
	for i := range r.Drills {
		d := &r.Drills[i]
		m.Drilled(name, d)
		g.log.Info("drill", "drill", d.Name, "id", d.ID, "verdict", string(d.Verdict), "why", d.Why)
	}
	for _, e := range r.Ended {
		m.RunSeen(name, e.Runbook, e.Outcome)
		g.log.Info("run", "run", e.Run, "runbook", string(e.Runbook), "outcome", string(e.Outcome))
	}
	for site, n := range r.Abandoned {
		m.Abandoned(name, site, n)
	}
	if r.Missed > 0 {
		g.log.Warn("checks were missed", "missed", r.Missed)
	}
	if fault != nil {
		g.log.Error("check", "error", fault)
	}
	if r.Applied != nil {
		g.log.Info("drift was repaired", "changes", r.Applied.Count(orchestrator.OutcomeDone), "error", r.Applied.Err())
	}
	g.note(&r, fault)
	r.Signals = append(slices.Clip(r.Signals), g.deaf(name)...)
	r.Signals = append(r.Signals, g.faulty()...)
	m.Told(name, r.Signals)
	desk := g.at(&r)
	if desk == nil {
		return
	}
	now := g.o.Now()
	if len(r.Blind) == 0 {
		g.forgetFresh(desk, r.Halts)
	}
	if signals := attributed(g.attempted(r.Signals), r.Blind); r.Role == orchestrator.RoleActing {
		g.o.commons.check(g.plan, desk, now, g.overdue(), &r, signals)
	} else {
		desk.Check(now, signals, r.Unseen, r.Silences)
	}
	for _, a := range r.Acknowledged {
		desk.Recorded(now, a.Incident, a.ID, a.By)
	}
	g.toldFaulty()
	if beat, due := desk.Beat(now, fault == nil && !r.CannotAct()); due {
		g.beat(beat)
	}
	// A site that is silent makes storing slow, and must not hold up the next check.
	g.beside(func() { g.store(desk) })
	g.poke()
}

// overdue is when the next check of the plan is overdue.
func (g *guard) overdue() time.Time {
	now := g.o.Now()
	return time.Now().Add(g.times.Next(g.times.Next(now)).Sub(now) + 2*time.Minute)
}

// attributed lays to a silent site what others have to complain of because their
// daemons cannot reach it.
func attributed(signals []alert.Signal, blind []string) []alert.Signal {
	if len(blind) == 0 {
		return signals
	}
	signals = slices.Clone(signals)
	for i := range signals {
		if slices.Contains(cannotReach, signals[i].Code) {
			signals[i].Site = blind[0]
		}
	}
	return signals
}

// note keeps what readiness is told from.
func (g *guard) note(r *orchestrator.CheckResult, fault error) {
	var seen []serve.Condition
	for _, s := range r.Report.Sites {
		c := serve.Condition{Kind: "site", Plan: g.plan.Name, Name: s.Name, OK: s.Reachable, State: "answers", At: r.At}
		if !s.Reachable {
			c.State, c.Why = "silent", s.Error
		}
		seen = append(seen, c)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.checked, g.fault, g.seen = time.Now(), fault, seen
	g.life.checked(r.Role, g.checked)
}

// conditions are what readiness is made of.
func (g *guard) conditions() []serve.Condition {
	standing, alive := g.watch.Standing(), g.alive()
	g.mu.Lock()
	defer g.mu.Unlock()
	lease := serve.Condition{Kind: "watch", Plan: g.plan.Name, State: string(standing.Role), OK: standing.Role == orchestrator.RoleActing || standing.Role == orchestrator.RoleStandby}
	if !lease.OK {
		lease.Why = standing.Why
	}
	all := []serve.Condition{lease}
	if standing.Role == orchestrator.RoleStandby {
		return all
	}
	check := serve.Condition{Kind: "check", Plan: g.plan.Name, OK: g.fault == nil && !g.checked.IsZero() && alive, State: "ended", At: g.checked}
	switch {
	case g.fault != nil:
		check.State, check.Why = "failed", g.fault.Error()
	case !alive:
		check.State, check.Why = "stopped", "checks come to their ends no more, or are cut short: what is shown of the plan is old"
	case g.checked.IsZero():
		check.State, check.Why = "none yet", "no check has ended since this process began to act"
	}
	all = append(append(all, check), g.seen...)
	for _, c := range g.plan.Notifications.Channels {
		condition := serve.Condition{Kind: "channel", Plan: g.plan.Name, Name: c.Name, OK: true, State: "takes messages"}
		if err := g.refused[c.Name]; err != nil {
			condition.OK, condition.State, condition.Why = false, "failing", err.Error()
		}
		all = append(all, condition)
	}
	return all
}
