package orchestrator

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// bystanders are the sites of a plan that have no part in a failover. One that
// is primary of an image by now would be the second primary.
type bystanders struct {
	names  []string
	seen   map[string]*lookout // by site
	answer time.Duration

	mu     sync.Mutex
	silent map[string]time.Time // since when
}

func newBystanders(plan *plans.Plan, run *Run, sites *Sites) *bystanders {
	b := &bystanders{seen: map[string]*lookout{}, answer: answerTime(plan), silent: map[string]time.Time{}}
	for _, site := range plan.Sites {
		if site.Name != run.From && site.Name != run.To {
			b.names = append(b.names, site.Name)
			b.seen[site.Name] = newLookout(sites, site.Name)
		}
	}
	return b
}

// primary is a bystander that is seen to be primary of an image; "": none. One
// that does not answer is passed over, and for a while not asked again: it may
// not hold up each image for itself.
func (b *bystanders) primary(ctx context.Context, ref replay.ImageRef) string {
	ctx, cancel := context.WithTimeout(ctx, b.answer)
	defer cancel()
	found := make([]bool, len(b.names))
	var wg parallel.Group
	for i, name := range b.names {
		if b.passed(name) {
			continue
		}
		wg.Go(func() {
			seen, err := b.seen[name].fresh(ctx, ref)
			if err == nil {
				err = seen.faults[name]
			}
			if err == nil {
				found[i] = seen.copies[name].Image.Role == replay.RolePrimary
			} else if !errors.Is(err, replay.ErrNotFound) {
				b.pass(name)
			}
		})
	}
	wg.Wait()
	for i, name := range b.names {
		if found[i] {
			return name
		}
	}
	return ""
}

// refuse is why an image must not be promoted: a bystander serves it. A copy that
// an earlier failover gave up serves nobody.
func (b *bystanders) refuse(ctx context.Context, c *crew, ref replay.ImageRef) error {
	at := b.primary(ctx, ref)
	if book, ok := c.records.(*Book); at == "" || ok && book.Tombstone(at, ref) != nil {
		return nil
	}
	return refusal("leave it there, or use drover switchover FILE --from "+at, "%s is primary at %s, which answers", ref, at)
}

func (b *bystanders) passed(site string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	since, silent := b.silent[site]
	return silent && time.Since(since) < lookTime
}

func (b *bystanders) pass(site string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.silent[site] = time.Now()
}

// aloneAct sees that no bystander serves an image, before anything of its unit
// is promoted.
type aloneAct struct {
	ref    replay.ImageRef
	others *bystanders
}

func (a aloneAct) look(ctx context.Context, c *crew) (bool, string, error) {
	if err := a.others.refuse(ctx, c, a.ref); err != nil {
		return false, "", err
	}
	return true, "none that answers is primary", nil
}

func (aloneAct) do(context.Context, *crew) error { return nil }

func (aloneAct) patience(*crew) (time.Duration, time.Duration) { return lookTime, 0 }
