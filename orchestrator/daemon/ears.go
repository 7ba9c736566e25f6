package daemon

import (
	"context"
	"fmt"
	"slices"

	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/notify"
	"github.com/drover-io/drover/orchestrator/serve"
	"github.com/drover-io/drover/replay/parallel"
)

// ButtonsUnheard is the code of an incident that the buttons of a channel are dead.
const ButtonsUnheard = "buttons-unheard"

// ear is one Slack app that is listened to.
type ear struct {
	*notify.Listener
	stop context.CancelFunc
}

// hear listens to the buttons of these places, and of no others. Those that were
// listened to before are not interrupted. d.mu is held.
func (d *Daemon) hear(places []notify.Place) {
	d.hearing.Lock()
	defer d.hearing.Unlock()
	before := d.ears
	d.ears = nil
	var fresh []*notify.Listener
	for _, l := range notify.Listeners(places, d.options.Notify) {
		at := slices.IndexFunc(before, func(e ear) bool { return e.Same(l) })
		if at < 0 {
			fresh = append(fresh, l)
			continue
		}
		d.ears = append(d.ears, before[at])
		before = slices.Delete(before, at, at+1)
	}
	for _, e := range before {
		e.stop()
	}
	for _, l := range fresh {
		ctx, cancel := context.WithCancel(d.running)
		d.ears = append(d.ears, ear{l, cancel})
		d.work.Go(func() {
			lasting(ctx, func() { l.Listen(ctx, d.press) }, func(p *parallel.Panic) {
				d.options.Log.Error("listening for buttons has failed for a fault of the program", "panic", p.Value, "stack", string(p.Stack))
			})
		})
	}
}

// hearAgain has listeners that wait to call Slack again do so now.
func (d *Daemon) hearAgain() {
	d.hearing.Lock()
	defer d.hearing.Unlock()
	for _, e := range d.ears {
		e.Retry()
	}
}

// heard tells of each place that is listened to whether it is heard.
func (d *Daemon) heard() []serve.Condition {
	d.hearing.Lock()
	defer d.hearing.Unlock()
	var all []serve.Condition
	for _, e := range d.ears {
		fault := e.Fault()
		for _, p := range e.Places() {
			c := serve.Condition{Kind: "buttons", Plan: p.Plan, Name: p.Channel.Name, OK: fault == nil, State: "heard"}
			if fault != nil {
				c.State, c.Why = "not heard", fault.Error()
			}
			all = append(all, c)
		}
	}
	return all
}

// deaf are the signals of a plan's buttons that nobody hears: people would press them
// in vain.
func (d *Daemon) deaf(plan string) []alert.Signal {
	var signals []alert.Signal
	for _, c := range d.heard() {
		if c.Plan != plan || c.OK {
			continue
		}
		signals = append(signals, alert.Signal{
			Code: ButtonsUnheard, Key: c.Name, Severity: alert.Warning,
			What: fmt.Sprintf("the buttons of the channel %q are not heard: %s", c.Name, c.Why),
			Next: "mend the channel's app_token and reload the daemon; until then, decide by the commands that the messages name",
		})
	}
	return signals
}
