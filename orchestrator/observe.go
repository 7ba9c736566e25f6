package orchestrator

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// ObserveOptions says how closely to look.
type ObserveOptions struct {
	// Detail of each image; [Diff] needs replay.WithHeader.
	Detail replay.Detail
	// Reports of the daemons about each image, too.
	Reports bool
	// Neighbours looks for mirrored images in those namespaces of the plan's
	// pools that are not in the plan; [DestroyDiff] needs it.
	Neighbours bool
	// Records of the plan: halts, runs that are not over, tombstones.
	Records bool
	// Elsewhere tells daemons that the plan has Drover run, and that run somewhere
	// else; [Diff] and [DestroyDiff] need it.
	Elsewhere bool
	// Now gives the time of the observation; nil: the clock of the sites.
	Now func() time.Time
}

// Observe asks all sites at once, and at each site for all pools at once. No
// site holds up another: one that has not said everything within the plan's
// check timeout counts as one that does not answer. Observe itself never
// fails; faults are in the observation.
func Observe(ctx context.Context, plan *plans.Plan, sites *Sites, o ObserveOptions) *Observation {
	if o.Now == nil {
		o.Now = sites.now
	}
	obs := &Observation{Plan: plan.Name, At: o.Now().UTC(), Sites: make([]SiteObservation, len(sites.entries))}
	var wg parallel.Group
	if o.Records {
		wg.Go(func() { obs.Records = readRecords(ctx, plan, sites) })
	}
	for i := range sites.entries {
		wg.Go(func() { obs.Sites[i] = observeSite(ctx, plan, &sites.entries[i], sites.hangs, o) })
	}
	wg.Wait()
	settle(ctx, sites, obs)
	if o.Elsewhere {
		findElsewhere(ctx, plan, sites, obs)
	}
	return obs
}

func observeSite(ctx context.Context, plan *plans.Plan, e *siteEntry, h *hangs, o ObserveOptions) SiteObservation {
	began := time.Now()
	silent := SiteObservation{Name: e.plan.Name, Fault: faultOf(e.err)}
	if e.err != nil {
		return silent
	}
	identity, err := patiently(ctx, h, sitePart{e.plan.Name, "identity"}, answerTime(plan)*4/5, func(ctx context.Context) (replay.Identity, error) {
		return alive(ctx, plan, e.site)
	})
	if err != nil {
		silent.Fault = faultOf(unopened(e.plan.Name, err))
		silent.Took = time.Since(began)
		return silent
	}
	look := siteLook{site: e.site, runner: e.hands.Runner, name: e.plan.Name, options: o, plan: plan, hangs: h}
	watched, stop := watchLife(ctx, plan, e.site)
	defer stop()
	seen, err := within(watched, func() (SiteObservation, error) { return look.all(watched, identity), nil }, func(SiteObservation) {})
	if err != nil {
		silent.Fault = faultOf(unopened(e.plan.Name, context.Cause(watched)))
		silent.Took = time.Since(began)
		return silent
	}
	seen.Took, seen.at = time.Since(began), o.Now()
	return seen
}

// alive asks a site for its identity, for at most the larger part of the
// check timeout.
func alive(ctx context.Context, plan *plans.Plan, site Prober) (replay.Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime(plan)*4/5)
	defer cancel()
	return within(ctx, func() (replay.Identity, error) { return site.Identity(ctx) }, func(replay.Identity) {})
}

// watchLife gives a context that ends as soon as the site has stopped
// answering for the plan's check timeout. So a site that falls silent while it
// is being read is found out in time, and one that has a great many images is
// not taken for dead.
func watchLife(ctx context.Context, plan *plans.Plan, site Prober) (context.Context, func()) {
	watched, cancel := context.WithCancelCause(ctx)
	var wg parallel.Group
	wg.Go(func() {
		tick := time.NewTicker(answerTime(plan) / 5)
		defer tick.Stop()
		for {
			select {
			case <-watched.Done():
				return
			case <-tick.C:
			}
			if _, err := alive(watched, plan, site); err != nil {
				cancel(err)
				return
			}
		}
	})
	return watched, func() {
		cancel(context.Canceled)
		wg.Wait()
	}
}

// siteLook is one look at one site.
type siteLook struct {
	site    Site
	runner  Runner
	name    string
	options ObserveOptions
	plan    *plans.Plan
	hangs   *hangs
}

func (l *siteLook) all(ctx context.Context, identity replay.Identity) SiteObservation {
	seen := SiteObservation{Name: l.name, Identity: identity, Pools: make([]PoolObservation, len(l.plan.Pools))}
	var (
		wg       parallel.Group
		nameErr  error
		poolsErr error
		pools    []string
	)
	wg.Go(func() { seen.SiteName, nameErr = ask(ctx, l, l.site.SiteName) })
	wg.Go(func() {
		var err error
		seen.Daemons, err = patiently(ctx, l.hangs, l.part("daemons"), answerTime(l.plan)*4/5, l.site.MirrorDaemons)
		seen.DaemonsFault = faultOf(err)
	})
	wg.Go(func() { seen.Runner = l.runnerState(ctx) })
	wg.Go(func() {
		if pools, poolsErr = ask(ctx, l, l.site.ListPools); poolsErr != nil {
			return
		}
		var each parallel.Group
		if l.options.Neighbours {
			each.Go(func() {
				neighbours, err := l.neighbours(ctx, pools)
				seen.Neighbours, seen.NeighboursFault = neighbours, faultOf(err)
			})
		}
		for i := range l.plan.Pools {
			each.Go(func() { seen.Pools[i] = l.pool(ctx, &l.plan.Pools[i], pools) })
		}
		each.Wait()
	})
	wg.Wait()
	if err := replay.OneLine(nameErr, poolsErr); err != nil {
		return SiteObservation{Name: l.name, Identity: identity, Fault: faultOf(err)}
	}
	seen.Parents = l.parents(ctx, &seen)
	return seen
}

// neighbours lists mirrored images in those namespaces of the plan's pools that
// are not in the plan, the default one included.
func (l *siteLook) neighbours(ctx context.Context, pools []string) ([]replay.ImageRef, error) {
	var out []replay.ImageRef
	looked := map[string]bool{}
	for i := range l.plan.Pools {
		name := l.plan.Pools[i].Name
		if looked[name] || !slices.Contains(pools, name) {
			continue
		}
		looked[name] = true
		namespaces, err := ask(ctx, l, func(ctx context.Context) ([]string, error) { return l.site.Namespaces(ctx, name) })
		if err != nil {
			return nil, err
		}
		for _, namespace := range append([]string{""}, namespaces...) {
			if l.plan.Pool(name, namespace) != nil {
				continue
			}
			images, err := listPool(ctx, l.plan, l.site, replay.Pool{Name: name, Namespace: namespace}, 0)
			if err != nil {
				return nil, err
			}
			for _, image := range images {
				if image.Fault != nil {
					return nil, image.Fault
				}
				if image.Mirrored() {
					out = append(out, image.Ref)
				}
			}
		}
	}
	slices.SortFunc(out, replay.ImageRef.Compare)
	return out, nil
}

// part names what is asked for by itself.
func (l *siteLook) part(what string) sitePart { return sitePart{l.name, what} }

// ask makes a call that any living cluster answers at once, and gives it no
// more time than a cluster has to prove that it lives.
func ask[T any](ctx context.Context, l *siteLook, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime(l.plan)*4/5)
	defer cancel()
	return call(ctx)
}

func (l *siteLook) runnerState(ctx context.Context) *RunnerState {
	if l.runner == nil {
		return nil
	}
	state, err := ask(ctx, l, l.runner.State)
	return &RunnerState{
		DaemonState: state, Fault: faultOf(err),
		StartCommand: l.runner.Command(true), StopCommand: l.runner.Command(false), RestartCommand: l.runner.RestartCommand(),
	}
}

// bulkTimes is how many check timeouts the bulk of a pool may take to be read,
// once the pool has proven that it can be read.
const bulkTimes = 6

func (l *siteLook) pool(ctx context.Context, wanted *plans.Pool, pools []string) PoolObservation {
	pool := poolOf(wanted)
	seen := PoolObservation{Pool: pool, Mirroring: replay.PoolMirroring{Mode: replay.PoolDisabled}}
	if !slices.Contains(pools, pool.Name) {
		seen.Missing = true
		return seen
	}
	if pool.Namespace != "" {
		namespaces, err := ask(ctx, l, func(ctx context.Context) ([]string, error) { return l.site.Namespaces(ctx, pool.Name) })
		if err != nil {
			seen.Fault = faultOf(err)
			return seen
		}
		if !slices.Contains(namespaces, pool.Namespace) {
			seen.NoNamespace = true
			seen.Whole, err = ask(ctx, l, func(ctx context.Context) (replay.PoolMirroring, error) { return l.site.PoolMirroring(ctx, whole(pool)) })
			seen.Fault = faultOf(err)
			return seen
		}
	}
	bulk := answerTime(l.plan) * bulkTimes
	ctx, cancel := context.WithTimeout(ctx, bulk)
	defer cancel()
	var (
		wg                         parallel.Group
		modeErr, imageErr, baseErr error
		scheduleErr, reports       error
	)
	if pool.Namespace != "" {
		wg.Go(func() {
			seen.Whole, baseErr = ask(ctx, l, func(ctx context.Context) (replay.PoolMirroring, error) { return l.site.PoolMirroring(ctx, whole(pool)) })
		})
	}
	wg.Go(func() {
		seen.Mirroring, modeErr = patiently(ctx, l.hangs, l.part("mirroring of "+pool.String()), answerTime(l.plan)*4/5, func(ctx context.Context) (replay.PoolMirroring, error) { return l.site.PoolMirroring(ctx, pool) })
		if modeErr != nil {
			cancel() // its monitors live, but the pool itself does not answer
		}
	})
	wg.Go(func() {
		var images []replay.Image
		images, imageErr = patiently(ctx, l.hangs, l.part("images of "+pool.String()), bulk, func(ctx context.Context) ([]replay.Image, error) {
			return l.site.Images(ctx, pool, l.options.Detail)
		})
		seen.list(images)
	})
	wg.Go(func() {
		seen.Schedules, scheduleErr = patiently(ctx, l.hangs, l.part("schedules of "+pool.String()), answerTime(l.plan)*4/5, func(ctx context.Context) ([]replay.MirrorSchedule, error) { return l.site.MirrorSchedules(ctx, pool) })
	})
	if l.options.Reports {
		wg.Go(func() {
			seen.Reports, reports = patiently(ctx, l.hangs, l.part("reports of "+pool.String()), bulk, func(ctx context.Context) ([]replay.Report, error) {
				return l.site.Reports(ctx, pool)
			})
		})
	}
	wg.Wait()
	if pool.Namespace == "" {
		seen.Whole = seen.Mirroring
	}
	for _, err := range []error{imageErr, baseErr, modeErr} {
		if err != nil {
			seen.Fault = faultOf(err)
		}
	}
	seen.SchedulesFault = faultOf(scheduleErr)
	seen.ReportsFault = faultOf(reports)
	return seen
}

// parents reads those parents of clones that lie outside the plan's pools.
func (l *siteLook) parents(ctx context.Context, seen *SiteObservation) []replay.Image {
	var refs []replay.ImageRef
	for i := range seen.Pools {
		for _, image := range seen.Pools[i].Images {
			if image.Parent != nil && seen.Pool(image.Parent.Pool) == nil {
				refs = append(refs, *image.Parent)
			}
		}
	}
	slices.SortFunc(refs, replay.ImageRef.Compare)
	refs = slices.Compact(refs)
	found := make([]*replay.Image, len(refs))
	forEach(ctx, len(refs), 8, func(i int) {
		ctx, cancel := context.WithTimeout(ctx, replay.ImageTime)
		defer cancel()
		switch image, err := l.site.Image(ctx, refs[i]); {
		case err == nil:
			found[i] = &image
		case !errors.Is(err, replay.ErrNotFound):
			found[i] = &replay.Image{Ref: refs[i], Fault: err}
		}
	})
	var parents []replay.Image
	for _, image := range found {
		if image != nil {
			parents = append(parents, *image)
		}
	}
	return parents
}

// forEach runs f for 0 to n-1, so many at once, and starts none once ctx ended.
func forEach(ctx context.Context, n, atOnce int, f func(i int)) {
	var wg parallel.Group
	slots := make(chan struct{}, max(atOnce, 1))
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(i)
		})
	}
	wg.Wait()
}
