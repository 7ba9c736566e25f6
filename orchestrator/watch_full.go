package orchestrator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// PoolFilling is a pool that fills up with journals that a secondary does not read.
type PoolFilling struct {
	Pool     string `json:"pool"`
	Journals int    `json:"journals"`
	// HeldBytes is what they hold, at most.
	HeldBytes uint64 `json:"held_bytes"`
	// FreeBytes is what the pool can store yet; nil: not known.
	FreeBytes *uint64 `json:"free_bytes,omitempty"`
	// FullSeconds is how long that lasts at the rate of the last checks; nil: not
	// known. See [hoard].
	FullSeconds *float64 `json:"full_seconds,omitempty"`
}

// words are what the signal of each of the journals says of the pool.
func (f *PoolFilling) words(site string) string {
	switch {
	case f.FreeBytes == nil:
		return ""
	case f.FullSeconds == nil:
		return fmt.Sprintf("; pool %s at %s has %s free", f.Pool, site, sizeText(*f.FreeBytes))
	}
	return fmt.Sprintf("; pool %s at %s has %s free, which at the present rate lasts for %v", f.Pool, site, sizeText(*f.FreeBytes), roughly(*f.FullSeconds))
}

// hoard is what a primary's journal holds back, over the checks. Ceph tells it in
// object sets, of 64 MiB as it lays journals out: the time between the first and the
// last that was seen to be begun tells the rate.
type hoard struct {
	check       int // in which it was seen last
	sets        uint64
	first, last setBegun
}

// setBegun is that a journal was first seen to hold so many sets.
type setBegun struct {
	at   time.Time
	sets uint64
}

func heldSets(j *replay.Journal) uint64 { return j.ActiveSet - min(j.MinimumSet, j.ActiveSet) + 1 }

// setSize is the bytes of an object set.
func setSize(j *replay.Journal) uint64 { return uint64(j.SplayWidth) << j.Order }

// note takes in what a journal holds now. What is trimmed begins a new row.
func (h *hoard) note(j *replay.Journal, now time.Time) {
	sets := heldSets(j)
	switch {
	case h.sets == 0 || sets < h.sets:
		h.first, h.last = setBegun{}, setBegun{}
	case sets > h.sets && h.first.at.IsZero():
		h.first = setBegun{now, sets}
	case sets > h.sets:
		h.last = setBegun{now, sets}
	}
	h.sets = sets
}

// rate is how many sets are begun in a second; ok is false while it is not known. One
// that is long in coming lowers it.
func (h *hoard) rate(now time.Time) (perSecond float64, ok bool) {
	span := h.last.at.Sub(h.first.at)
	begun := float64(h.last.sets - min(h.first.sets, h.last.sets))
	if begun == 0 || span <= 0 {
		return 0, false
	}
	if each := span.Seconds() / begun; now.Sub(h.last.at).Seconds() > 2*each {
		span = now.Sub(h.first.at)
	}
	return begun / span.Seconds(), true
}

// filling are the pools that fill up, by site; it asks each primary's site once for
// each of them, and none where no journal is held.
type filling struct {
	plan  *plans.Plan
	pools map[fillingKey]*PoolFilling
	rates map[fillingKey]float64 // bytes in a second
	known map[fillingKey]bool    // that of some journal is
}

type fillingKey struct{ site, pool string }

func newFilling(plan *plans.Plan) *filling {
	return &filling{plan: plan, pools: map[fillingKey]*PoolFilling{}, rates: map[fillingKey]float64{}, known: map[fillingKey]bool{}}
}

// keyOf is where an image's journal lies: by the plan, as an image that had one before
// keeps it where it was.
func (f *filling) keyOf(ref replay.ImageRef, site string) fillingKey {
	pool := ref.Pool.Name
	if wanted := f.plan.Pool(ref.Pool.Name, ref.Namespace); wanted != nil {
		pool = cmp.Or(wanted.JournalPool, pool)
	}
	return fillingKey{site, pool}
}

// add adds a journal that is held at a site.
func (f *filling) add(ref replay.ImageRef, site string, j *replay.Journal, h *hoard, now time.Time) {
	key := f.keyOf(ref, site)
	p := f.pools[key]
	if p == nil {
		p = &PoolFilling{Pool: key.pool}
		f.pools[key] = p
	}
	p.Journals++
	p.HeldBytes += heldSets(j) * setSize(j)
	if rate, ok := h.rate(now); ok {
		f.rates[key] += rate * float64(setSize(j))
		f.known[key] = true
	}
}

// measure asks how much room the pools have, all at once, and puts the answers into
// the report.
func (f *filling) measure(ctx context.Context, sites *Sites, report *StatusReport) {
	var wg parallel.Group
	for key, p := range f.pools {
		site, err := sites.Site(key.site)
		if err != nil {
			continue
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, min(answerTime(f.plan), shortAnswer))
			defer cancel()
			space, err := site.PoolSpace(ctx, p.Pool)
			if err != nil {
				return // that of the site is told elsewhere
			}
			p.FreeBytes = &space.Available
			if f.known[key] {
				full := float64(space.Available) / f.rates[key]
				p.FullSeconds = &full
			}
		})
	}
	wg.Wait()
	for key, p := range f.pools {
		if at := slices.IndexFunc(report.Sites, func(s SiteStatus) bool { return s.Name == key.site }); at >= 0 {
			report.Sites[at].Filling = append(report.Sites[at].Filling, *p)
		}
	}
	for i := range report.Sites {
		slices.SortFunc(report.Sites[i].Filling, func(a, b PoolFilling) int { return cmp.Compare(a.Pool, b.Pool) })
	}
}
