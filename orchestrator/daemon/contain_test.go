package daemon

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/notify"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay/sim"
)

// pair is a daemon of two plans, shop and other, of one world. What is called for shop
// at site b, or at any, passes a gate that panics in the operation that is named.
type pair struct {
	*stage
	d    *Daemon
	log  *lockedLines
	op   atomic.Pointer[string]
	any  atomic.Bool
	hits atomic.Int64
}

// gateThatPanics is looked for in the stacks.
func (p *pair) gateThatPanics(ctx context.Context, c sim.Call, do func(context.Context) error) error {
	if op := p.op.Load(); (p.any.Load() || c.Site == "b") && op != nil && *op == c.Op {
		p.hits.Add(1)
		panic("no such case: " + c.Op)
	}
	return do(ctx)
}

func (p *pair) fail(op string) { p.op.Store(&op) }
func (p *pair) mend()          { p.op.Store(nil) }

// checked is how long ago the last check of a plan has ended, and its fault.
func (p *pair) checked(plan string) (ago time.Duration, fault error) {
	g := p.d.guards[plan]
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Since(g.checked), g.fault
}

// goesOn looks for a while whether each plan is checked at its pace.
func (p *pair) goesOn(names ...string) {
	p.t.Helper()
	for range 10 {
		time.Sleep(10 * time.Second)
		for _, name := range names {
			if ago, fault := p.checked(name); ago > 11*time.Second || fault != nil {
				p.t.Errorf("the last check of %s was %v ago: %v", name, ago, fault)
				return
			}
		}
	}
}

func newPair(t *testing.T, text string, change func(*Options)) (*pair, func()) {
	p := &pair{stage: newStageOf(t, text, 3), log: &lockedLines{}}
	other, err := plans.Parse("other.yaml", []byte(strings.Replace(text, "name: shop", "name: other", 1)))
	p.must(err)
	o := p.options()
	o.Log = slog.New(slog.NewTextHandler(p.log, nil))
	o.Open = func(_ context.Context, site plans.Site) (orchestrator.Site, error) {
		if site.Conf == "/etc/ceph/"+site.Name+".conf" {
			return p.world.Client(site.Name, p.gateThatPanics), nil
		}
		return p.world.Site(site.Name), nil
	}
	for i := range other.Sites {
		other.Sites[i].Conf = "/etc/other/" + other.Sites[i].Name + ".conf"
	}
	if change != nil {
		change(&o)
	}
	p.d, err = New([]*plans.Plan{p.plan, other}, o)
	p.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.d.Run(ctx)
	}()
	time.Sleep(time.Minute)
	return p, func() {
		cancel()
		<-done
	}
}

// TestPanicOfACall: a panic in whatever is asked of a site ends the check that asks, or
// what else does, and nothing more: it is logged with where it began, the other plan is
// looked after all the while, and all goes on once it is over.
func TestPanicOfACall(t *testing.T) {
	for op, ofCheck := range map[string]bool{
		"Identity": true, "SiteName": true, "ListPools": true, "MirrorDaemons": true, "PoolMirroring": true,
		"Images": true, "Reports": true, "MirrorSchedules": true, "ReadRecords": true,
		"AcquireLease": false, "AppendRecords": false, "Listen": false, "LeaseHolder": false,
	} {
		t.Run(op, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p, end := newPair(t, shop, nil)
				defer end()
				p.goesOn("shop", "other")
				p.fail(op)
				p.world.StopDaemon("b") // so that there is something to tell and to record
				p.goesOn("other")
				said := p.log.String()
				if _, fault := p.checked("shop"); ofCheck && (fault == nil || !strings.Contains(fault.Error(), "no such case: "+op)) {
					t.Errorf("the fault of the last check: %v", fault)
				}
				if p.hits.Load() > 0 && (!strings.Contains(said, "a fault of the program") || !strings.Contains(said, "gateThatPanics")) {
					t.Errorf("%d panics, logged:\n%s", p.hits.Load(), said)
				}
				if p.hits.Load() == 0 && op != "LeaseHolder" && op != "Listen" {
					t.Errorf("nothing panicked")
				}
				p.mend()
				time.Sleep(2 * time.Minute)
				p.goesOn("shop", "other")
				if _, told := p.take(); !strings.Contains(told, "opened no-daemon") {
					t.Errorf("told: %s", told)
				}
			})
		})
	}
}

// TestPanicOfAChannel: a panic in a channel is a message that was not taken.
func TestPanicOfAChannel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var broken atomic.Bool
		var s *stage
		known := make(chan struct{})
		p, end := newPair(t, shop, func(o *Options) {
			o.Channel = func(c plans.Channel, _ notify.Options) (alert.Channel, error) {
				return brokenTaker{c.Name, func() taker {
					<-known // it may be told of something before the stage stands
					return taker{s, c.Name}
				}, &broken}, nil
			}
		})
		s = p.stage
		close(known)
		defer end()
		broken.Store(true)
		p.world.StopDaemon("b")
		time.Sleep(3 * time.Minute)
		if ready(p.d, "oncall") || !strings.Contains(p.log.String(), "brokenTaker") {
			t.Errorf("ready: %v", p.d.Ready())
		}
		broken.Store(false)
		time.Sleep(10 * time.Minute)
		if _, told := p.take(); !strings.Contains(told, "opened no-daemon") {
			t.Errorf("told: %s", told)
		}
	})
}

// brokenTaker panics while it is broken.
type brokenTaker struct {
	name   string
	of     func() taker
	broken *atomic.Bool
}

func (b brokenTaker) Name() string { return b.name }

func (b brokenTaker) Send(ctx context.Context, m alert.Message, last alert.Receipt) (alert.Receipt, error) {
	if b.broken.Load() {
		panic("no such field")
	}
	return b.of().Send(ctx, m, last)
}

// TestPanicOfScheduled: a panic in a verification or a drill ends that alone, and the
// next one comes.
func TestPanicOfScheduled(t *testing.T) {
	const text = shop + "verification: {schedule: '@every 5m'}\ndrills: [{name: nightly, schedule: '@every 5m', expiry: 1h}]\n"
	for _, op := range []string{"OpenSnapshot", "CreateSnapshot", "RemoveSnapshot", "CloneSnapshot", "Image"} {
		t.Run(op, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p, end := newPair(t, text, nil)
				defer end()
				p.any.Store(true)
				p.fail(op)
				time.Sleep(11 * time.Minute)
				p.goesOn("shop", "other")
				if said := p.log.String(); p.hits.Load() > 0 && !strings.Contains(said, "gateThatPanics") {
					t.Errorf("logged:\n%s", said)
				}
				if p.hits.Load() == 0 {
					t.Error("nothing panicked")
				}
				p.mend()
				before := len(p.log.String())
				time.Sleep(11 * time.Minute)
				if said := p.log.String()[before:]; !strings.Contains(said, "verdict=passed") {
					t.Errorf("no drill passes any more: %s", said)
				}
			})
		})
	}
}

// TestPanicOfARun: a panic in a resync that was chosen by a button ends that alone, as
// the death of a process would: the run is not over, and people are told so.
func TestPanicOfARun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage(t, 3)
		d, end, ref := s.chosen(func(ctx context.Context, c sim.Call, do func(context.Context) error) error {
			if c.Op == "CreateImage" {
				panic("no such size")
			}
			return do(ctx)
		})
		defer end()
		time.Sleep(20 * time.Minute)
		all, told := s.take()
		at := slices.IndexFunc(all, func(m alert.Message) bool { return m.Code == "run-not-over" })
		if at < 0 || !strings.Contains(all[at].Next, "drover runs resume") {
			t.Errorf("told: %s: %+v", told, all)
		}
		if at := s.world.Primaries(ref); len(at) != 2 {
			t.Errorf("primary at %v", at)
		}
		if !d.guards["shop"].word.TryLock() {
			t.Error("no other answer can be carried out")
		}
	})
}
