package orchestrator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// sighting is one image as the sites of a run show it at one time.
type sighting struct {
	copies map[string]replay.Copy
	faults map[string]error // replay.ErrNotFound: the site has no such image
}

// at is the copy at a site, or why it is not known.
func (s sighting) at(site string) (replay.Copy, error) {
	if err := s.faults[site]; err != nil {
		return replay.Copy{}, err
	}
	copied, ok := s.copies[site]
	if !ok {
		return replay.Copy{}, fmt.Errorf("%s has not been asked", site)
	}
	return copied, nil
}

// lookout looks at images for all who wait for something to be seen of them.
// Those who ask while a look is under way share the next one, so that the
// sites are asked as often for a hundred images as for one.
type lookout struct {
	sites  *Sites
	names  []string      // of the sites that are asked
	detail replay.Detail // besides positions

	mu    sync.Mutex
	desks map[place]*desk
}

// place is a pool at a site.
type place struct {
	site string
	pool replay.Pool
}

func newLookout(sites *Sites, names ...string) *lookout {
	return &lookout{sites: sites, names: names, desks: map[place]*desk{}}
}

// fresh looks at an image: what it answers was read after it was asked. An
// image that does not answer keeps nobody from seeing the others.
func (l *lookout) fresh(ctx context.Context, ref replay.ImageRef) (sighting, error) {
	asked := make([]*question, len(l.names))
	for i, name := range l.names {
		asked[i] = l.desk(place{name, ref.Pool}).ask(ctx, ref.Name)
	}
	seen := sighting{copies: map[string]replay.Copy{}, faults: map[string]error{}}
	for i, name := range l.names {
		select {
		case <-asked[i].answered:
		case <-ctx.Done():
			return sighting{}, ctx.Err()
		}
		if asked[i].caught != nil {
			panic(asked[i].caught)
		}
		if err := asked[i].err; err != nil {
			seen.faults[name] = err
			continue
		}
		seen.copies[name] = asked[i].copied
	}
	return seen, nil
}

func (l *lookout) desk(at place) *desk {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.desks[at]
	if d == nil {
		d = &desk{sites: l.sites, place: at, detail: replay.WithPositions | l.detail}
		l.desks[at] = d
	}
	return d
}

// desk gathers what is asked of one pool at one site, and puts it to the site
// in one look after the other.
type desk struct {
	place
	sites  *Sites
	detail replay.Detail

	mu      sync.Mutex
	next    map[string]*question // by image: what the next look is for
	looking bool
	uuid    string // of the pool; "" until it is known
}

// question is one image that is looked at for all who want to see it then.
type question struct {
	answered chan struct{} // closed when the rest holds
	copied   replay.Copy
	err      error
	caught   *parallel.Panic // in the look
}

func (q *question) answer(copied replay.Copy, err error) {
	q.copied, q.err = copied, err
	close(q.answered)
}

// ask joins the next look.
func (d *desk) ask(ctx context.Context, name string) *question {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.next == nil {
		d.next = map[string]*question{}
	}
	q := d.next[name]
	if q == nil {
		q = &question{answered: make(chan struct{})}
		d.next[name] = q
	}
	if !d.looking {
		d.looking = true
		go d.look(context.WithoutCancel(ctx))
	}
	return q
}

// overdue is how long a look is waited for until the next one is begun beside
// it. It is longer than a look at a pool that answers takes, so that looks are
// shared, and short for those who would wait for the image of somebody else.
const overdue = 500 * time.Millisecond

// look takes one look after the other until nobody asks any more.
func (d *desk) look(ctx context.Context) {
	for {
		d.mu.Lock()
		asked := d.next
		d.next = nil
		d.looking = asked != nil
		d.mu.Unlock()
		if asked == nil {
			return
		}
		over := make(chan struct{})
		go func() {
			defer close(over)
			d.put(ctx, asked)
		}()
		timer := time.NewTimer(overdue)
		select {
		case <-over:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// put puts questions to the site. Each is answered as soon as its image is; a panic is
// one of all who wait for an answer.
func (d *desk) put(ctx context.Context, asked map[string]*question) {
	caught := parallel.Catch(func() { d.inquire(ctx, asked) })
	if caught == nil {
		return
	}
	for _, q := range asked {
		select {
		case <-q.answered:
		default:
			q.caught = caught
			close(q.answered)
		}
	}
}

func (d *desk) inquire(ctx context.Context, asked map[string]*question) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	err := func() error {
		site, err := d.sites.Site(d.site)
		if err != nil {
			return err
		}
		uuid, err := d.known(ctx, site)
		if err != nil {
			return err
		}
		return site.LookAt(ctx, d.pool, slices.Sorted(maps.Keys(asked)), d.detail,
			func(name string, image replay.Image, err error) {
				asked[name].answer(replay.Copy{Image: image, MirrorUUID: uuid}, err)
			})
	}()
	if err == nil {
		return
	}
	for _, q := range asked {
		q.answer(replay.Copy{}, err)
	}
}

// known is the name by which the site's pool is known to its peers. It does
// not change while the pool is mirrored.
func (d *desk) known(ctx context.Context, site Site) (string, error) {
	d.mu.Lock()
	uuid := d.uuid
	d.mu.Unlock()
	if uuid != "" {
		return uuid, nil
	}
	mirroring, err := site.PoolMirroring(ctx, d.pool)
	if err != nil {
		return "", err
	}
	d.mu.Lock()
	d.uuid = mirroring.UUID
	d.mu.Unlock()
	return mirroring.UUID, nil
}
