package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/drover-io/drover/replay"
)

// Options says how a world behaves. The zero value is a world in which time
// passes only through [World.Advance] and the daemons take about as long as
// the real ones.
type Options struct {
	// Seed makes the ids; two worlds with one seed and one history are equal.
	Seed uint64
	// Start is the time at which the world begins; zero: 2026-01-01 UTC.
	Start time.Time
	// Clock, if set, is followed: each call first lets pass what has passed on
	// it. It also gives the start.
	Clock func() time.Time
	// Pace is how fast the daemons are.
	Pace Pace
	// BlindResync: a resync deletes the copy even when there is no primary to
	// copy it from again, as some releases do (ceph 44957, 63270). 16.2.15 waits.
	BlindResync bool
}

// Pace is how fast rbd-mirror works. A zero field takes the default, a
// negative one no time (for Throttle: no limit).
type Pace struct {
	// Discovery passes until a daemon notices an image that was enabled,
	// removed or asked to resync at a site. Default 1 s.
	Discovery time.Duration
	// Bootstrap passes between noticing an image and its first byte. Default
	// 500 ms.
	Bootstrap time.Duration
	// Throttle is how many first syncs one daemon runs at once
	// (rbd_mirror_concurrent_image_syncs). Default 5.
	Throttle int
	// Rate is bytes per second for each image. Default 100 MiB.
	Rate int64
	// Check is how often a daemon looks again at images that it does not replay
	// and renews all reports (rbd_mirror_image_state_check_interval). Default
	// 30 s: for that long a report can say what is true no more.
	Check time.Duration
}

// Instant is a pace for worlds that are not about time: whatever can happen
// has happened at the next quarter of a second.
var Instant = Pace{Discovery: -1, Bootstrap: -1, Throttle: -1, Rate: -1, Check: -1}

func (p Pace) filled() Pace {
	span := func(d *time.Duration, standard time.Duration) {
		if *d == 0 {
			*d = standard
		}
		*d = max(*d, 0)
	}
	span(&p.Discovery, time.Second)
	span(&p.Bootstrap, 500*time.Millisecond)
	span(&p.Check, 30*time.Second)
	if p.Throttle == 0 {
		p.Throttle = 5
	}
	if p.Rate == 0 {
		p.Rate = 100 << 20
	}
	return p
}

// World is a set of sites. It is safe for concurrent use.
type World struct {
	mu    sync.Mutex
	state state
	clock func() time.Time // nil: time stands still between calls of Advance
	ahead time.Duration    // of the clock
	pace  Pace

	quiet   bool          // nothing moves until something is changed or checked
	busy    time.Time     // when something moved last
	changed chan struct{} // closed and made anew when a fault comes or goes
	faults  []*armedFault
	observe func(Call)
	calls   []Call
}

// state is all of a world that [World.Save] keeps.
type state struct {
	Seed    uint64     `json:"seed"`
	Counter uint64     `json:"counter"` // of ids
	Epochs  uint64     `json:"epochs"`  // of epochs and mirror snapshots, the same at every site
	Now     time.Time  `json:"now"`
	Stepped time.Time  `json:"stepped"` // how far the daemons have come
	Blind   bool       `json:"blind_resync,omitempty"`
	Sites   []*cluster `json:"sites"`
}

// cluster is one site.
type cluster struct {
	Name     string            `json:"name"`
	FSID     string            `json:"fsid"`
	Release  string            `json:"release"`
	SiteName string            `json:"site_name,omitempty"`
	MonHost  string            `json:"mon_host"`
	Keys     map[string]string `json:"keys"`            // of cephx users
	Confs    map[string]string `json:"confs,omitempty"` // cluster name in a conf file here: site
	Pools    []*pool           `json:"pools,omitempty"`
	Daemon   daemon            `json:"daemon"`
	Lost     []string          `json:"lost_modules,omitempty"` // mgr modules that do not load
	MgrDead  bool              `json:"mgr_dead,omitempty"`     // schedules fire no more
	Unlisted bool              `json:"unlisted,omitempty"`     // the service map lacks its daemon
	Gone     bool              `json:"gone,omitempty"`
	Frozen   bool              `json:"frozen,omitempty"`
	Cut      []string          `json:"cut,omitempty"` // sites that this one's daemon cannot reach
	Clients  uint64            `json:"clients,omitempty"`
	// Blocklist is addresses of clients and until when they are shut out.
	Blocklist map[string]time.Time `json:"blocklist,omitempty"`

	abandoned int
}

type pool struct {
	Name  string `json:"name"`
	ID    int64  `json:"id"`
	Quota uint64 `json:"quota,omitempty"` // bytes; 0: none
	// Ledgers are the objects in replay.LedgerNamespace, by name.
	Ledgers map[string]*ledger `json:"ledgers,omitempty"`
	Spaces  []*namespace       `json:"namespaces"` // the default one first
}

// New makes an empty world.
func New(o Options) *World {
	w := &World{clock: o.Clock, pace: o.Pace.filled(), changed: make(chan struct{})}
	w.state.Seed, w.state.Blind = o.Seed, o.BlindResync
	start := o.Start
	if o.Clock != nil {
		start = o.Clock()
	}
	if start.IsZero() {
		start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	w.state.Now, w.state.Stepped, w.busy = start, start, start
	return w
}

// AddSite adds a cluster, which answers but has no pools and no daemon.
func (w *World) AddSite(name string) *Site {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.site(name) == nil {
		n := len(w.state.Sites) + 1
		w.state.Sites = append(w.state.Sites, &cluster{
			Name: name, FSID: w.uuid(), Release: release,
			MonHost: fmt.Sprintf("[v2:127.0.%d.1:3300/0,v1:127.0.%d.1:6789/0]", n, n),
			Keys:    map[string]string{"client.admin": w.key()},
		})
	}
	return &Site{w: w, name: name}
}

// release is the Ceph release that the world behaves like.
const release = "16.2.15"

// Pair makes a world of two sites that both have the pools; no daemon runs.
func Pair(o Options, a, b string, pools ...string) *World {
	w := New(o)
	for _, site := range []string{a, b} {
		w.AddSite(site)
		for _, p := range pools {
			w.AddPool(site, p)
		}
	}
	return w
}

// Site is the handle on a site, which need not exist: calls through it then
// fail as with a cluster that cannot be reached.
func (w *World) Site(name string) *Site { return &Site{w: w, name: name} }

// Sites names the sites in the order in which they were added.
func (w *World) Sites() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for _, c := range w.state.Sites {
		names = append(names, c.Name)
	}
	return names
}

// AddPool makes a pool for rbd, as `ceph osd pool create` and `rbd pool init`
// do. Nothing happens when the site is unknown or has the pool.
func (w *World) AddPool(site, name string) {
	w.change(site, func(c *cluster) {
		if c.pool(name) == nil {
			c.Pools = append(c.Pools, &pool{Name: name, ID: int64(len(c.Pools) + 1), Spaces: []*namespace{newNamespace("")}})
		}
	})
}

// SetQuota limits the bytes that a pool can hold; 0 lifts the limit.
func (w *World) SetQuota(site, pool string, bytes uint64) {
	w.change(site, func(c *cluster) {
		if p := c.pool(pool); p != nil {
			p.Quota = bytes
		}
	})
}

// SetFSID gives a site the fsid of another cluster.
func (w *World) SetFSID(site, fsid string) {
	w.change(site, func(c *cluster) { c.FSID = fsid })
}

// AddUser makes a cephx user and answers with its key.
func (w *World) AddUser(site, user string) string {
	var key string
	w.change(site, func(c *cluster) { key = w.user(c, user) })
	return key
}

// AddConf gives site's rbd-mirror a conf file by the name given that
// leads to the site target. Every site is known by its own name without one.
func (w *World) AddConf(site, name, target string) {
	w.change(site, func(c *cluster) {
		if c.Confs == nil {
			c.Confs = map[string]string{}
		}
		c.Confs[name] = target
	})
}

// change runs f on a site when it exists; the daemons look again after it.
func (w *World) change(site string, f func(*cluster)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.catchUp()
	if c := w.site(site); c != nil {
		f(c)
	}
	w.stir()
}

// stir tells daemons and hanging calls that something is different now.
func (w *World) stir() {
	w.quiet, w.busy = false, w.state.Now
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *World) site(name string) *cluster {
	for _, c := range w.state.Sites {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func (c *cluster) pool(name string) *pool {
	for _, p := range c.Pools {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// space finds a pool or a namespace of it.
func (c *cluster) space(p replay.Pool) *namespace {
	q := c.pool(p.Name)
	if q == nil {
		return nil
	}
	i := slices.IndexFunc(q.Spaces, func(n *namespace) bool { return n.Name == p.Namespace })
	if i < 0 {
		return nil
	}
	return q.Spaces[i]
}

// knownAs is the name by which mirroring knows the cluster.
func (c *cluster) knownAs() string {
	if c.SiteName != "" {
		return c.SiteName
	}
	return c.FSID
}

// user makes a cephx user unless there is one.
func (w *World) user(c *cluster, name string) string {
	if c.Keys[name] == "" {
		c.Keys[name] = w.key()
	}
	return c.Keys[name]
}

// unique is the next value of a sequence that depends on the seed alone.
func (w *World) unique() [32]byte {
	w.state.Counter++
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], w.state.Seed)
	binary.BigEndian.PutUint64(b[8:], w.state.Counter)
	return sha256.Sum256(b[:])
}

func (w *World) uuid() string {
	u := w.unique()
	h := hex.EncodeToString(u[:16])
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}

func (w *World) imageID() string {
	u := w.unique()
	return hex.EncodeToString(u[:6])
}

func (w *World) key() string {
	u := w.unique()
	return "AQ" + hex.EncodeToString(u[:18]) + "=="
}

// epoch is the next number for something that is one thing at every site.
func (w *World) epoch() uint64 {
	w.state.Epochs++
	return w.state.Epochs
}

// SetPace changes how fast the daemons are from now on.
func (w *World) SetPace(p Pace) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pace = p.filled()
}
