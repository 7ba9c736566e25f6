// Package daemon is what `drover daemon` does: it keeps watch over the plans of one
// process, tells people what the watches find, counts it, and hears the buttons
// that they press. Each plan is looked after by itself: one that is in trouble, or
// whose sites are silent, holds up no other.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/notify"
	"github.com/drover-io/drover/orchestrator/serve"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay/parallel"
)

// Options are how a daemon reaches sites and people.
type Options struct {
	Open  orchestrator.Opener
	Hands orchestrator.HandsFor
	// Notify is of all channels of the process.
	Notify notify.Options
	// Channel opens a channel; nil: notify.Open.
	Channel func(plans.Channel, notify.Options) (alert.Channel, error)
	Metrics *serve.Metrics
	Log     *slog.Logger // nil: nothing is logged
	Version string       // of this Drover, for reports
	// Now is the clock of schedules and messages; nil: time.Now.
	Now func() time.Time

	runs    *runs    // of the daemon
	commons *commons // of its plans
}

// RunTime is how long runs that people have chosen by a button go on after the daemon
// was told to end. What is not over by then is completed image by image as after a
// Ctrl-C, and can be resumed by drover runs resume.
const RunTime = time.Minute

// runs are those that people have chosen by a button. They are the daemon's and no
// guard's, so that a reload does not interrupt them.
type runs struct {
	ctx  context.Context
	stop context.CancelFunc
	work parallel.Group
}

// Daemon looks after plans, each with a guard of its own.
type Daemon struct {
	options Options

	reloading sync.Mutex // one reload at a time, held before mu

	mu      sync.Mutex
	guards  map[string]*guard
	running context.Context // nil until Run, and after it
	work    parallel.Group
	turned  chan struct{} // some plan is in other hands than before

	hearing sync.Mutex // of ears; held after mu
	ears    []ear
}

// New makes a daemon for plans. Two plans of one name are refused
// ([orchestrator.ErrRefused]); so is a channel that cannot be, as where its type is
// unknown.
func New(all []*plans.Plan, o Options) (*Daemon, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Metrics == nil {
		o.Metrics = serve.NewMetrics(serve.Build{})
	}
	if o.Channel == nil {
		o.Channel = notify.Open
	}
	if o.Notify.Log == nil {
		o.Notify.Log = o.Log
	}
	o.runs, o.commons = &runs{}, &commons{}
	o.runs.ctx, o.runs.stop = context.WithCancel(context.Background())
	d := &Daemon{options: o, turned: make(chan struct{}, 1)}
	guards, err := d.guardsFor(all)
	if err != nil {
		return nil, err
	}
	d.guards = guards
	return d, nil
}

func (d *Daemon) guardsFor(all []*plans.Plan) (map[string]*guard, error) {
	guards := map[string]*guard{}
	var errs []error
	for _, plan := range all {
		if other := guards[plan.Name]; other != nil {
			errs = append(errs, fmt.Errorf("%w: %s and %s are both the plan %q", orchestrator.ErrRefused, other.plan.File, plan.File, plan.Name))
			continue
		}
		g, err := newGuard(plan, d.options, d.turn)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		g.deaf = d.deaf
		guards[plan.Name] = g
	}
	return guards, errors.Join(errs...)
}

// Run looks after the plans until ctx ends, and returns once all of them have ended
// in good order.
func (d *Daemon) Run(ctx context.Context) {
	d.mu.Lock()
	d.running = ctx
	for _, g := range d.guards {
		d.begin(g)
	}
	d.mu.Unlock()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-d.turned:
			d.mu.Lock()
			d.listen()
			d.mu.Unlock()
		}
	}
	d.mu.Lock()
	d.running = nil
	d.mu.Unlock()
	d.work.Wait()
	late := time.AfterFunc(RunTime, d.options.runs.stop)
	d.options.runs.work.Wait()
	late.Stop()
	d.options.runs.stop()
}

// begin has a guard begin. d.mu is held.
func (d *Daemon) begin(g *guard) {
	d.options.Metrics.Watch(g.plan)
	ctx, cancel := context.WithCancel(d.running)
	g.stop = cancel
	g.over = make(chan struct{})
	d.work.Go(func() {
		defer close(g.over)
		g.run(ctx)
	})
}

// Reload goes over to other plans, or to the same ones as they are now. Those that
// have not changed go on untouched, and try again what no channel has taken; of those that have, the old one ends before the
// new one begins. Where a plan cannot be looked after all stays as it was, and the
// error says why.
func (d *Daemon) Reload(all []*plans.Plan) error {
	guards, err := d.guardsFor(all)
	if err != nil {
		return err
	}
	d.reloading.Lock()
	defer d.reloading.Unlock()
	d.mu.Lock()
	before, running := d.guards, d.running
	d.mu.Unlock()
	if running == nil {
		return errors.New("the daemon does not run")
	}
	var changed []*guard
	for name, old := range before {
		if g := guards[name]; g != nil && g.plan.Fingerprint() == old.plan.Fingerprint() && g.plan.File == old.plan.File {
			guards[name] = old
			old.retry() // a secret may have been replaced where it is kept
			continue
		}
		old.stop()
		changed = append(changed, old)
	}
	// What they have under way is ended in good order, while health is told.
	for _, old := range changed {
		<-old.over
		if guards[old.plan.Name] == nil {
			d.options.Metrics.Forget(old.plan.Name)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.guards = guards
	if d.running == nil {
		return errors.New("the daemon ends")
	}
	for name, g := range guards {
		if before[name] != g {
			d.begin(g)
		}
	}
	d.turn()
	d.hearAgain()
	return nil
}

// turn has it found out anew whose buttons are heard. It may be called by anybody.
func (d *Daemon) turn() {
	select {
	case d.turned <- struct{}{}:
	default:
	}
}

// listen hears the buttons of the channels of the plans that are in hand: Slack
// tells a press to one only of those who listen. d.mu is held.
func (d *Daemon) listen() {
	var places []notify.Place
	for _, name := range d.names() {
		g := d.guards[name]
		if g.watch.Standing().Role != orchestrator.RoleActing {
			continue
		}
		for _, c := range g.plan.Notifications.Channels {
			places = append(places, notify.Place{Plan: g.plan.Name, Channel: c})
		}
	}
	d.hear(places)
}

// press is a button that somebody has pressed.
func (d *Daemon) press(p notify.Press) (string, error) {
	d.mu.Lock()
	g, running := d.guards[p.Plan], d.running != nil
	d.mu.Unlock()
	if g == nil || !running {
		return "", fmt.Errorf("the plan %s is not looked after any more", p.Plan)
	}
	reply, err := "", errors.New("a fault of the program: see the log of the daemon")
	g.contain(func() { reply, err = g.press(p) })
	d.options.Log.Info("button", "plan", p.Plan, "user", p.User, "action", p.Action, "incident", p.IncidentID, "option", p.Option, "reply", reply, "error", err)
	return reply, err
}

// Ready tells the conditions that the daemon needs to do its work, from memory.
func (d *Daemon) Ready() []serve.Condition {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []serve.Condition
	for _, name := range d.names() {
		all = append(all, d.guards[name].conditions()...)
	}
	return append(all, d.heard()...)
}

// Alive reports whether the checks of all plans come to their ends: a supervisor
// that hears of no life starts the daemon anew.
func (d *Daemon) Alive() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, g := range d.guards {
		if !g.alive() {
			return false
		}
	}
	return true
}

// Summary is the daemon's state in one line.
func (d *Daemon) Summary() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	acting := 0
	for _, g := range d.guards {
		if g.watch.Standing().Role == orchestrator.RoleActing {
			acting++
		}
	}
	return fmt.Sprintf("%d of %d plans in hand", acting, len(d.guards))
}

// names are those of the plans, in order. d.mu is held.
func (d *Daemon) names() []string {
	var names []string
	for name := range d.guards {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
