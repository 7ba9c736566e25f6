package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-io/drover/orchestrator/alert"
)

const (
	// postEvery is how often it is looked for what is due: retries and escalations
	// come by time.
	postEvery = time.Second
	// storeTime is how long storing the memory may take.
	storeTime = 10 * time.Second
)

// poke has it looked at once for what is to be sent.
func (g *guard) poke() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// retry has all that could not be sent tried again now.
func (g *guard) retry() {
	g.mu.Lock()
	desk := g.desk
	g.mu.Unlock()
	if desk != nil {
		desk.Retry()
		g.poke()
	}
}

// post sends what is due until ctx ends.
func (g *guard) post(ctx context.Context) {
	tick := time.NewTicker(postEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		case <-tick.C:
		}
		g.contain(func() { g.sendDue(ctx) })
	}
}

// sendDue sends what is due, each channel by itself: a slow one delays no other.
func (g *guard) sendDue(ctx context.Context) {
	g.mu.Lock()
	desk := g.desk
	g.mu.Unlock()
	if desk == nil {
		g.o.Metrics.Waiting(g.plan.Name, nil)
		return
	}
	g.o.Metrics.Waiting(g.plan.Name, desk.Waiting())
	due := desk.Due(g.o.Now())
	if len(due) == 0 {
		return
	}
	if !g.mayTell(ctx, desk) {
		return
	}
	byChannel := map[string][]alert.Delivery{}
	for _, d := range due {
		byChannel[d.Channel] = append(byChannel[d.Channel], d)
	}
	for name, deliveries := range byChannel {
		g.beside(func() {
			asked := time.Now()
			for _, d := range deliveries {
				if time.Since(asked) > postEvery {
					if !g.mayTell(ctx, desk) {
						return // the memory has the rest as not delivered
					}
					asked = time.Now()
				}
				g.send(ctx, desk, name, d)
			}
			g.store(desk)
		})
	}
}

// mayTell reports whether this process is still the one to tell people what is due at
// a desk; where it is not, it puts the desk away: another one acts, and has all of it
// in the stored memory, or nobody can be asked.
func (g *guard) mayTell(ctx context.Context, desk *alert.Desk) bool {
	g.mu.Lock()
	awaits := g.awaits
	g.mu.Unlock()
	if awaits {
		return false // what was found while no site answered may be over
	}
	if g.watch.MayAct(ctx) {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.desk == desk {
		g.putAway()
		g.o.commons.leave(g.plan.Name)
	}
	return false
}

// send delivers one message. What has begun is ended, so that nothing is told
// twice.
func (g *guard) send(ctx context.Context, desk *alert.Desk, name string, d alert.Delivery) {
	var (
		receipt alert.Receipt
		err     error
	)
	switch channel := g.channels[name]; {
	case ctx.Err() != nil:
		err = ctx.Err()
	case channel == nil:
		err = alert.Permanent(fmt.Errorf("the plan has no channel %q", name))
	default:
		err = errors.New("a fault of the program: see its log")
		g.contain(func() { receipt, err = channel.Send(context.WithoutCancel(ctx), d.Message, d.Last) })
	}
	if err == nil {
		desk.Done(g.o.Now(), d, receipt)
	} else {
		desk.Failed(g.o.Now(), d, err)
	}
	if ctx.Err() != nil && err != nil {
		return // it was not tried
	}
	g.tell(name, d.Message, err)
}

// tell counts and logs how a message went.
func (g *guard) tell(channel string, m alert.Message, err error) {
	g.o.Metrics.Sent(g.plan.Name, channel, string(m.Kind), err)
	g.mu.Lock()
	g.refused[channel] = err
	g.mu.Unlock()
	log := g.log.With("channel", channel, "incident", m.ID, "kind", string(m.Kind), "what", m.What)
	switch {
	case err != nil:
		log.Error("message not taken", "error", err)
	case m.Kind != alert.Beat:
		log.Info("message")
	}
}

// beat sends a heartbeat.
func (g *guard) beat(m alert.Message) {
	for _, name := range g.beats {
		g.beside(func() {
			_, err := g.channels[name].Send(context.WithoutCancel(g.ctx), m, "")
			g.tell(name, m, err)
		})
	}
}
