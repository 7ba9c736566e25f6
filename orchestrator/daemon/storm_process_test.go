package daemon

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/notify"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay/sim"
)

// stormHost is where one of the daemons runs.
type stormHost struct {
	s    *storm
	name string
	skew atomic.Int64 // of its clock
	now  *stormProcess
}

// stormProcess is a daemon that can be killed and stopped.
type stormProcess struct {
	host *stormHost
	d    *Daemon
	dead atomic.Bool
	hold atomic.Pointer[chan struct{}] // while it is stopped
	end  context.CancelFunc
	over chan struct{}
}

var errDead = errors.New("this process is dead")

// alive waits while the process is stopped, and tells whether it lives.
func (p *stormProcess) alive() bool {
	for hold := p.hold.Load(); hold != nil; hold = p.hold.Load() {
		<-*hold
	}
	return !p.dead.Load()
}

func (p *stormProcess) gate(ctx context.Context, c sim.Call, do func(context.Context) error) error {
	if !p.alive() {
		return errDead
	}
	if d := p.host.s.slowness(c.Site); d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return do(ctx)
}

// stormChannel is a channel as a process sees it.
type stormChannel struct {
	p    *stormProcess
	name string
}

func (c stormChannel) Name() string { return c.name }

func (c stormChannel) Send(_ context.Context, m alert.Message, _ alert.Receipt) (alert.Receipt, error) {
	began := time.Now()
	switch {
	case !c.p.alive():
		return "", errDead
	case time.Since(began) > 10*time.Second:
		return "", errors.New("no answer in time") // real channels give up by then
	}
	s := c.p.host.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mute[c.name] {
		return "", errors.New("no answer")
	}
	s.heard = append(s.heard, heard{m, c.name, time.Now(), c.p.host.name})
	return "thread", nil
}

// start starts the daemon of a host.
func (h *stormHost) start() {
	p := &stormProcess{host: h, over: make(chan struct{})}
	d, err := New(h.s.plans, Options{
		Open: func(_ context.Context, site plans.Site) (orchestrator.Site, error) {
			return h.s.world.Client(site.Name, p.gate), nil
		},
		Hands: func(*plans.Plan, plans.Site, orchestrator.Site) (orchestrator.Hands, error) {
			return orchestrator.Hands{}, nil
		},
		Channel: func(c plans.Channel, _ notify.Options) (alert.Channel, error) { return stormChannel{p, c.Name}, nil },
		Now:     func() time.Time { return h.s.clock().Add(time.Duration(h.skew.Load())) },
	})
	h.s.must(err)
	p.d = d
	ctx, cancel := context.WithCancel(h.s.t.Context())
	p.end = cancel
	go func() {
		defer close(p.over)
		d.Run(ctx)
	}()
	h.now = p
}

// kill ends the daemon of a host as SIGKILL does.
func (h *stormHost) kill() {
	p := h.now
	h.now = nil
	p.dead.Store(true)
	p.resume()
	p.end()
	<-p.over
}

func (p *stormProcess) stop() {
	hold := make(chan struct{})
	p.hold.Store(&hold)
}

func (p *stormProcess) resume() {
	if hold := p.hold.Swap(nil); hold != nil {
		close(*hold)
	}
}

// acts reports whether the daemon of a host looks after a plan.
func (h *stormHost) acts(plan string) bool {
	return h.now != nil && h.now.d.guards[plan].watch.Standing().Role == orchestrator.RoleActing
}
