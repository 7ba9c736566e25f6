package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"strings"
	"sync"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// verifySeen is the images of one pool by site, and the sites at which it
// could not be read.
type verifySeen struct {
	images map[string]map[string]replay.Image // by site, by name
	faults map[string]error                   // by site
	unread map[string]map[string]error        // images there that could not be read, by name, by site
}

// faultsOf are the sites at which an image could not be read, whatever the
// reason.
func (s *verifySeen) faultsOf(name string) map[string]error {
	if len(s.unread[name]) == 0 {
		return s.faults
	}
	faults := maps.Clone(s.faults)
	maps.Copy(faults, s.unread[name])
	return faults
}

// listed takes up what a site has listed.
func (s *verifySeen) listed(site string, images []replay.Image) {
	s.images[site] = make(map[string]replay.Image, len(images))
	for _, image := range images {
		name := image.Ref.Name
		if image.Fault == nil {
			s.images[site][name] = image
			continue
		}
		if s.unread[name] == nil {
			s.unread[name] = make(map[string]error)
		}
		s.unread[name][site] = image.Fault
	}
}

// lookAll lists the pools of the plan that may hold what is to be verified, all
// at once; the others are left nil. What could not be read goes into the
// report: images that were not seen were not verified either.
func (v *verification) lookAll(ctx context.Context) []*verifySeen {
	seen := make([]*verifySeen, len(v.plan.Pools))
	var group parallel.Group
	for i := range v.plan.Pools {
		if pool := &v.plan.Pools[i]; v.concerns(pool) {
			group.Go(func() { seen[i] = v.look(ctx, poolOf(pool)) })
		}
	}
	group.Wait()
	for _, site := range v.siteNames() {
		if err := v.faults[site]; err != nil {
			v.report.addFault(site, "", err)
			continue
		}
		for i, s := range seen {
			if s != nil && s.faults[site] != nil {
				v.report.addFault(site, v.plan.Pools[i].Spec(), s.faults[site])
			}
		}
	}
	return seen
}

// concerns tells whether the pool may hold an image that is to be verified.
func (v *verification) concerns(pool *plans.Pool) bool {
	if len(v.options.Images) == 0 {
		return true
	}
	for _, pattern := range v.options.Images {
		place, name := path.Split(pattern)
		if strings.ContainsAny(name, `*?[\`) {
			name = ""
		}
		if place != "" {
			if in, err := path.Match(strings.TrimSuffix(place, "/"), pool.Spec()); err == nil && !in {
				continue
			}
		}
		if _, matched := pool.Match(name); matched || name == "" {
			return true
		}
	}
	return false
}

// look lists a pool's images at all sites at once. Each site proves first that
// the pool can be read there: one whose OSDs are silent holds nobody up.
func (v *verification) look(ctx context.Context, pool replay.Pool) *verifySeen {
	seen := &verifySeen{
		images: make(map[string]map[string]replay.Image), faults: make(map[string]error), unread: make(map[string]map[string]error),
	}
	for name, err := range v.faults {
		seen.faults[name] = err
	}
	var (
		mu    sync.Mutex
		group parallel.Group
	)
	for name, site := range v.sites {
		group.Go(func() {
			images, err := listPool(ctx, v.plan, site, pool, replay.WithHeader)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				seen.faults[name] = err
				return
			}
			seen.listed(name, images)
		})
	}
	group.Wait()
	return seen
}

// poolLister lists the images of pools.
type poolLister interface {
	PoolMirroring(ctx context.Context, pool replay.Pool) (replay.PoolMirroring, error)
	Images(ctx context.Context, pool replay.Pool, detail replay.Detail) ([]replay.Image, error)
}

// listPool lists a pool's images, once it has answered within the time that
// any living pool needs.
func listPool(ctx context.Context, plan *plans.Plan, site poolLister, pool replay.Pool, detail replay.Detail) ([]replay.Image, error) {
	probe, cancel := context.WithTimeout(ctx, answerTime(plan)*4/5)
	defer cancel()
	if _, err := site.PoolMirroring(probe, pool); err != nil {
		return nil, err
	}
	bulk, cancel := context.WithTimeout(ctx, answerTime(plan)*bulkTimes)
	defer cancel()
	return site.Images(bulk, pool, detail)
}

// VerifyFault is a site, or one pool there, that could not be read: what it
// holds has not been verified.
type VerifyFault struct {
	Site  string `json:"site"`
	Pool  string `json:"pool,omitempty"` // "" when it is the whole site
	What  string `json:"what"`
	Next  string `json:"next,omitempty"` // what a person can do
	cause error
}

func (r *VerifyReport) addFault(site, pool string, err error) {
	what := faultOf(err)
	r.Faults = append(r.Faults, VerifyFault{Site: site, Pool: pool, What: replay.WithoutSite(site, what.What), Next: what.Hint, cause: err})
}

// err is the fault as an error.
func (f *VerifyFault) err() error {
	cause := f.cause
	if cause == nil { // the report was read from JSON
		cause = advise(errors.New(f.What), f.Next)
	}
	if f.Pool == "" {
		return fmt.Errorf("%w: what %s holds: %w", ErrUnverified, f.Site, cause)
	}
	return fmt.Errorf("%w: pool %s at %s: %w", ErrUnverified, f.Pool, f.Site, cause)
}
