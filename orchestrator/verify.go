package orchestrator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// VerifySite is what a verification needs of a site: to find images and their
// roles, and to take, read and remove snapshots.
type VerifySite interface {
	PoolMirroring(ctx context.Context, pool replay.Pool) (replay.PoolMirroring, error)
	Images(ctx context.Context, pool replay.Pool, detail replay.Detail) ([]replay.Image, error)
	Image(ctx context.Context, ref replay.ImageRef) (replay.Image, error)
	Snapshotter
}

// ErrDifferent says that a secondary does not hold what the primary held.
var ErrDifferent = errors.New("copies differ")

// ErrUnverified says that a comparison could not be made.
var ErrUnverified = errors.New("could not be verified")

// The defaults of a verification.
const (
	defaultVerifyParallel = 2
	defaultVerifyWait     = 10 * time.Minute
)

// VerifyOptions says what is verified and how. The zero value verifies every
// mirrored image of the plan.
type VerifyOptions struct {
	// Images are names or globs over "image", "pool/image" or
	// "pool/namespace/image"; none means all.
	Images []string
	// Parallel is how many images are compared at a time; 0 means 2.
	Parallel int
	// Workers is how many chunks of each image are read at a time; 0 means the
	// default of package compare.
	Workers int
	// Bandwidth bounds the bytes a second read at each site, over all images;
	// nil takes the plan's, 0 is no limit.
	Bandwidth *uint64
	// Wait is how long a snapshot may take to reach a secondary; 0 means ten
	// minutes.
	Wait time.Duration
	// Clean removes also those leftovers of which it cannot be known whether
	// their run is still at work: those of other hosts and containers. Whoever
	// asks for it knows that no other verification runs.
	Clean bool
	// Progress is told each step, from several goroutines, one at a time.
	Progress func(VerifyEvent)
	// choose leaves out, and puts in order, what is compared; nil: all, by name.
	choose func([]*verifyTarget) []*verifyTarget
}

// VerifyStep is what is being done to one image.
type VerifyStep string

// The steps of a verification.
const (
	VerifySnapshot VerifyStep = "snapshot" // taking the snapshot at the primary
	VerifyAwait    VerifyStep = "await"    // until the snapshot is at the secondary
	VerifyCompare  VerifyStep = "compare"  // reading both copies
	VerifyClean    VerifyStep = "clean"    // removing the snapshot
	VerifyDone     VerifyStep = "done"     // Result is set
)

// VerifyEvent is a step begun, or progress within it.
type VerifyEvent struct {
	Ref       replay.ImageRef
	Secondary string // "" while all secondaries are meant
	Step      VerifyStep
	Done      uint64         // bytes settled (compare)
	Total     uint64         // bytes of the image (compare)
	Result    *VerifiedImage // done
	Snapshot  string         // name of the snapshot
	Elapsed   time.Duration  // since the image's first step
	Mode      replay.MirrorMode
}

// Verify proves for images of the plan that each secondary holds what the
// primary held at one moment: it takes a snapshot at the primary, waits until
// replay has brought it to the secondary, and compares both byte by byte over
// what is allocated. Clients may go on writing.
//
// The snapshots are removed again, also when ctx ends: at the primary before
// Verify returns, at a secondary as soon as replay brings their removal. Those
// that a killed run left behind are found by their names and removed first. The
// error tells of what kept the whole from being done; what went wrong with
// single images is in the report, see [VerifyReport.Err].
func Verify(ctx context.Context, plan *plans.Plan, sites *Sites, o VerifyOptions) (*VerifyReport, error) {
	v := newVerification(plan, sites, o, verifyLimits(plan, o.Bandwidth))
	targets, err := v.targets(ctx)
	if err == nil {
		v.readHalts(ctx, targets)
		swept := v.sweep(ctx, targets)
		if o.choose != nil {
			targets = o.choose(targets)
		}
		v.verifyAll(ctx, targets)
		v.confirm(ctx, swept)
	} else {
		err = errors.Join(append(v.report.faults(), err)...)
	}
	v.report.finish(time.Now())
	switch {
	case ctx.Err() != nil:
		return v.report, fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
	case err != nil:
		return v.report, err
	}
	return v.report, nil
}

// newVerification makes a verification of the sites that answer.
func newVerification(plan *plans.Plan, sites *Sites, o VerifyOptions, limits map[string]*rate.Limiter) *verification {
	v := &verification{
		plan: plan, all: sites, sites: make(map[string]VerifySite), faults: make(map[string]error), options: o,
		run: newVerifyRun(time.Now()), limits: limits, report: newVerifyReport(plan, time.Now()),
	}
	for _, wanted := range plan.Sites {
		site, err := sites.Site(wanted.Name)
		if err != nil {
			v.faults[wanted.Name] = err
			continue
		}
		v.sites[wanted.Name] = site
	}
	return v
}

// verifyLimits are the limits, by site, of what is read in a second: the
// plan's, or those asked for; none where there is no limit.
func verifyLimits(plan *plans.Plan, asked *uint64) map[string]*rate.Limiter {
	bandwidth := plan.Verification.Bandwidth.Bytes()
	if asked != nil {
		bandwidth = *asked
	}
	limits := make(map[string]*rate.Limiter)
	for _, s := range plan.Sites {
		if bandwidth > 0 {
			limits[s.Name] = rate.NewLimiter(rate.Limit(bandwidth), limitBurst)
		}
	}
	return limits
}

// verification is one run of Verify.
type verification struct {
	plan    *plans.Plan
	all     *Sites
	sites   map[string]VerifySite // those that answer
	faults  map[string]error      // why the others do not
	options VerifyOptions
	run     verifyRun
	limits  map[string]*rate.Limiter // by site; empty without a limit
	records *Recorded                // of the plan, as they were at its begin; nil: not asked

	mu     sync.Mutex // guards report and calls of Progress
	report *VerifyReport
}

func (v *verification) verifyAll(ctx context.Context, targets []*verifyTarget) {
	places := make(chan struct{}, cmp.Or(v.options.Parallel, defaultVerifyParallel))
	var group parallel.Group
	for _, t := range targets {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil { // also where a place became free by that
			v.record(t.failed(context.Cause(ctx), "run drover verify again"))
			continue
		}
		group.Go(func() {
			defer func() { <-places }()
			v.record(v.verifyImage(ctx, t))
		})
	}
	group.Wait()
}

func (v *verification) record(results []VerifiedImage) {
	for i := range results {
		v.tell(VerifyEvent{Ref: results[i].Ref, Secondary: results[i].Secondary, Step: VerifyDone, Result: &results[i], Mode: results[i].Mode})
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Images = append(v.report.Images, results...)
}

func (v *verification) tell(e VerifyEvent) {
	if v.options.Progress == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.options.Progress(e)
}

func (v *verification) wait() time.Duration { return cmp.Or(v.options.Wait, defaultVerifyWait) }

// siteNames are the plan's sites in its order.
func (v *verification) siteNames() []string {
	names := make([]string, len(v.plan.Sites))
	for i, s := range v.plan.Sites {
		names[i] = s.Name
	}
	return names
}

// sortVerified orders results by image, then by secondary.
func sortVerified(results []VerifiedImage) {
	slices.SortFunc(results, func(a, b VerifiedImage) int {
		return cmp.Or(a.Ref.Compare(b.Ref), cmp.Compare(a.Secondary, b.Secondary))
	})
}
