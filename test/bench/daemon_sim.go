package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/drover-io/drover/orchestrator"
	"github.com/drover-io/drover/orchestrator/alert"
	"github.com/drover-io/drover/orchestrator/daemon"
	"github.com/drover-io/drover/orchestrator/notify"
	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/sim"
)

const (
	simPlan   = 100 // images of one plan
	simChecks = 5   // that are measured
)

// simCost is what a daemon over simulated sites has cost.
type simCost struct {
	Check  float64 `json:"check"`  // seconds of CPU, all plans once
	Memory float64 `json:"memory"` // peak, MB, the simulated sites included
}

// measureSimDaemon has one daemon look at many plans over simulated sites, each in a
// process of its own, and sees how the cost goes with the number of images.
func measureSimDaemon(ctx context.Context, _ *bench) ([]Row, error) {
	few, many := 10*simPlan, 100*simPlan
	cost := map[int]simCost{}
	for _, images := range []int{few, many} {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(ctx, self, "-simulated", fmt.Sprint(images))
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, err
		}
		var c simCost
		if err := json.Unmarshal(out, &c); err != nil {
			return nil, err
		}
		cost[images] = c
	}
	work := fmt.Sprintf("simulator, one daemon, %d images in %d plans", many, many/simPlan)
	seconds := func(images int) time.Duration { return time.Duration(cost[images].Check * float64(time.Second)) }
	return []Row{
		ratio(work+": CPU of a check of all", fmt.Sprintf("10 times %d images", few), seconds(many), 10*seconds(few), 2, fmt.Sprintf("mean of %d checks, the simulated sites included", simChecks)),
		limit(work+": peak memory", "MB", cost[many].Memory, 300, fmt.Sprintf("resident set, the simulated sites included; with %d images %.0f MB", few, cost[few].Memory)),
	}, nil
}

const simPlanText = `version: 1
name: plan-%[1]d
primary: a
sites:
  - {name: a, conf: /etc/ceph/a.conf}
  - {name: b, conf: /etc/ceph/b.conf}
checks: {schedule: "@every %[2]s"}
notifications:
  channels: [{name: oncall, type: slack-webhook, url: {env: ONCALL}}]
pools:
  - name: pool-%[1]d
    images: [{glob: "*"}]
`

// nobody is a channel that takes everything, and tells nobody.
type nobody struct{ alert.Channel }

func (nobody) Name() string { return "oncall" }

func (nobody) Send(context.Context, alert.Message, alert.Receipt) (alert.Receipt, error) {
	return "", nil
}

// simulated runs a daemon over simulated sites, and tells what it has cost.
func simulated(ctx context.Context, images int) error {
	const period = 4 * time.Second
	daemon.Frugal()
	world := sim.New(sim.Options{Seed: 1, Clock: time.Now, Pace: sim.Instant})
	all, err := simWorld(ctx, world, images, period)
	if err != nil {
		return err
	}
	d, err := daemon.New(all, daemon.Options{
		Open: func(_ context.Context, site plans.Site) (orchestrator.Site, error) {
			return world.Site(site.Name), nil
		},
		Hands: func(*plans.Plan, plans.Site, orchestrator.Site) (orchestrator.Hands, error) {
			return orchestrator.Hands{}, nil
		},
		Channel: func(plans.Channel, notify.Options) (alert.Channel, error) { return nobody{}, nil },
	})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.Run(running)
	}()
	// The first checks find out everything for the first time.
	err = pause(ctx, 3*period)
	world.ForgetCalls()
	before := cpuTime(os.Getpid())
	for range simChecks {
		if err == nil {
			err = pause(ctx, period)
		}
		world.ForgetCalls() // a log of the simulator's
	}
	cost := simCost{Check: (cpuTime(os.Getpid()) - before).Seconds() / simChecks, Memory: peakMemory(os.Getpid())}
	stop()
	<-ended
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(cost)
}

// simWorld makes the images, each plan's in a pool of its own, and the plans.
func simWorld(ctx context.Context, world *sim.World, images int, period time.Duration) (all []*plans.Plan, err error) {
	for _, name := range []string{"a", "b"} {
		world.AddSite(name)
	}
	a, b := world.Site("a"), world.Site("b")
	for n := range images / simPlan {
		plan, err := plans.Parse("plan.yaml", fmt.Appendf(nil, simPlanText, n, period))
		if err != nil {
			return nil, err
		}
		all = append(all, plan)
		pool := replay.Pool{Name: fmt.Sprint("pool-", n)}
		for _, s := range []*sim.Site{a, b} {
			world.AddPool(s.Name(), pool.Name)
			if err := s.SetSiteName(ctx, s.Name()); err != nil {
				return nil, err
			}
			if err := s.SetPoolMode(ctx, pool, replay.PoolImage); err != nil {
				return nil, err
			}
		}
		token, err := a.CreateBootstrapToken(ctx, pool)
		if err != nil {
			return nil, err
		}
		if err := b.ImportBootstrapToken(ctx, pool, replay.RxOnly, token); err != nil {
			return nil, err
		}
		for i := range simPlan {
			ref := pool.Image(fmt.Sprintf("image-%03d", i))
			features := replay.FeatureLayering | replay.FeatureExclusiveLock | replay.FeatureJournaling
			if err := a.CreateImage(ctx, ref, replay.ImageSpec{Size: 1 << 20, Features: features}); err != nil {
				return nil, err
			}
			if err := a.EnableMirroring(ctx, ref, replay.ModeJournal); err != nil {
				return nil, err
			}
		}
		world.ForgetCalls()
	}
	world.StartDaemon("b")
	return all, pause(ctx, time.Second)
}
