package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/drover-io/drover/replay"
)

// daemon is a site's rbd-mirror.
type daemon struct {
	Running  bool      `json:"running,omitempty"`
	Instance uint64    `json:"instance,omitempty"` // grows with each life
	Started  time.Time `json:"started,omitzero"`
	// Watched is until when a killed daemon's watches still count as alive.
	Watched time.Time `json:"watched,omitzero"`
	Slow    float64   `json:"slow,omitempty"`
	// Rate overrides the world's pace, in bytes per second.
	Rate int64 `json:"rate,omitempty"`
}

// watchTimeout is after what time the OSDs give up a killed client's watch.
const watchTimeout = 30 * time.Second

// StartDaemon starts a site's rbd-mirror; nothing happens while it runs.
func (w *World) StartDaemon(site string) {
	w.change(site, func(c *cluster) {
		if d := &c.Daemon; !d.Running {
			d.Running, d.Started, d.Watched = true, w.state.Now, time.Time{}
			d.Instance = 4000 + w.epoch()
			c.Unlisted = false
			c.unhalt()
			w.readAgain(site)
		}
	})
}

// unhalt lets all images replay again: what was said by the admin socket a daemon
// knows only as long as it lives.
func (c *cluster) unhalt() {
	for _, p := range c.Pools {
		for _, n := range p.Spaces {
			for _, i := range n.Images {
				if i.Mirror != nil {
					i.Mirror.Halted = false
				}
			}
		}
	}
}

// readAgain has a daemon that has just started read all images that it follows.
func (w *World) readAgain(site string) {
	for _, at := range w.state.Sites {
		if at.Name == site {
			continue
		}
		for _, p := range at.Pools {
			for _, n := range p.Spaces {
				for _, i := range n.Images {
					i.Hushed = false
				}
			}
		}
	}
}

// StopDaemon ends a site's rbd-mirror in good order.
func (w *World) StopDaemon(site string) {
	w.change(site, func(c *cluster) {
		if !c.Daemon.Running {
			return
		}
		c.Daemon.Running, c.Daemon.Watched = false, time.Time{}
		w.eachReport(c, func(r *report) {
			switch r.State {
			case replay.ReportReplaying, replay.ReportSyncing, replay.ReportStartingReplay:
				r.State, r.Text, r.Updated = replay.ReportStopped, "stopped", w.state.Now
			default:
			}
		})
	})
}

// eachReport visits what a site's running daemon has written, wherever.
func (w *World) eachReport(c *cluster, visit func(*report)) {
	for _, at := range w.state.Sites {
		for _, p := range at.Pools {
			for _, n := range p.Spaces {
				for _, by := range n.Reports {
					for _, r := range by {
						if r.Site == c.Name && r.Instance == c.Daemon.Instance {
							visit(r)
						}
					}
				}
			}
		}
	}
}

// KillDaemon ends a site's rbd-mirror at once: its reports look alive until
// its watches time out.
func (w *World) KillDaemon(site string) {
	w.change(site, func(c *cluster) {
		if c.Daemon.Running {
			c.Daemon.Running, c.Daemon.Watched = false, w.state.Now.Add(watchTimeout)
		}
	})
}

// DaemonRuns tells whether a site's rbd-mirror runs.
func (w *World) DaemonRuns(site string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.site(site)
	return c != nil && c.Daemon.Running
}

// SetReplayRate makes a site's daemon replay that many bytes per second for
// each image; 0 is the world's own pace.
func (w *World) SetReplayRate(site string, bytes int64) {
	w.change(site, func(c *cluster) { c.Daemon.Rate = bytes })
}

// HaltReplay stops the replay of one image at a site, as the daemon's admin
// socket does; ResumeReplay starts it again.
func (w *World) HaltReplay(site string, ref replay.ImageRef) error {
	return w.setHalted(site, ref, true)
}

// ResumeReplay lets a halted image replay again.
func (w *World) ResumeReplay(site string, ref replay.ImageRef) error {
	return w.setHalted(site, ref, false)
}

func (w *World) setHalted(site string, ref replay.ImageRef, halted bool) error {
	return w.Site(site).hold(ref, func(i *image) {
		if i.Mirror != nil {
			i.Mirror.Halted = halted
		}
	})
}

func (d *daemon) alive(now time.Time) bool { return d.Running || now.Before(d.Watched) }

// beaconEvery is how often a daemon reports to the mgr (mgr_stats_period).
const beaconEvery = 5 * time.Second

// beacon is when the daemon reported last, up to its death.
func (d *daemon) beacon(now time.Time) time.Time {
	if !d.Running {
		now = d.Watched.Add(-watchTimeout)
	}
	return d.Started.Add(now.Sub(d.Started).Truncate(beaconEvery))
}

// nextCheck is when the daemon checks next after a moment.
func (d *daemon) nextCheck(after time.Time, every time.Duration) time.Time {
	if every <= 0 {
		return after
	}
	return d.Started.Add((after.Sub(d.Started)/every + 1) * every)
}

func (d *daemon) user() replay.ImageUser {
	return replay.ImageUser{
		Client: fmt.Sprintf("client.%d", d.Instance), Address: "127.0.0.1:0/1", Locks: true, Mirror: true,
	}
}

// stepDaemons lets every daemon work for dt. Whoever is not done clears quiet.
func (w *World) stepDaemons(dt time.Duration) {
	for _, c := range w.state.Sites {
		if !c.Daemon.Running || c.Gone || c.Frozen {
			continue
		}
		syncs := 0
		for _, p := range c.Pools {
			for _, n := range p.Spaces {
				if n.Mode == replay.PoolDisabled {
					continue
				}
				r := w.route(c, p, n)
				if r == nil {
					continue
				}
				r.dt, r.syncs = dt, &syncs
				r.check = !c.Daemon.nextCheck(w.state.Stepped.Add(-dt), w.pace.Check).After(w.state.Stepped)
				r.ping()
				r.step()
			}
		}
	}
}

// route is the way of one namespace from its source to a daemon's site.
type route struct {
	w     *World
	c, rc *cluster   // here, there
	n, f  *namespace // here, there
	at    replay.Pool
	dt    time.Duration
	syncs *int // first syncs that the daemon runs by now
	check bool // the daemon looks at images that it does not replay, too
}

// route finds what a namespace replays from; nil when it replays from nobody
// or nobody answers.
func (w *World) route(c *cluster, p *pool, n *namespace) *route {
	from := n.source()
	if from == nil {
		return nil
	}
	rc, why := w.dial(c, from)
	if why != "" {
		return nil
	}
	at := replay.Pool{Name: p.Name, Namespace: n.Name}
	f := rc.space(at)
	if f == nil || f.Mode == replay.PoolDisabled {
		return nil
	}
	return &route{w: w, c: c, rc: rc, n: n, f: f, at: at}
}

// ping tells the source that it is replayed from here
// (cls_client::mirror_peer_ping).
func (r *route) ping() {
	for _, p := range r.f.outer().Peers {
		if p.MirrorUUID == r.n.uuid() {
			return
		}
	}
	for _, p := range r.f.outer().Peers {
		if p.MirrorUUID == "" && (p.SiteName == r.c.knownAs() || p.SiteName == r.c.Name) {
			p.MirrorUUID = r.n.uuid()
			if p.Direction == replay.RxOnly {
				p.Direction = replay.RxTx
			}
			return
		}
	}
	r.f.outer().Peers = append(r.f.outer().Peers, &peer{
		UUID: r.w.uuid(), SiteName: r.c.knownAs(), Direction: replay.TxOnly, MirrorUUID: r.n.uuid(),
	})
}

// rate is how many bytes an image may replay in this step; negative: no limit.
func (r *route) rate() int64 {
	perSecond := r.w.pace.Rate
	if r.c.Daemon.Rate != 0 {
		perSecond = r.c.Daemon.Rate
	}
	if perSecond < 0 {
		return -1
	}
	return int64(float64(perSecond) * r.dt.Seconds())
}

// ripe reports whether a time span since a moment is over; while it is not,
// the world stays awake.
func (r *route) ripe(since time.Time, span time.Duration) bool {
	if r.w.state.Stepped.Sub(since) >= span {
		return true
	}
	r.w.quiet = false
	return false
}

// MirrorDaemons lists the daemons in the service map.
func (s *Site) MirrorDaemons(ctx context.Context) (daemons []replay.MirrorDaemon, err error) {
	err = s.do(ctx, "MirrorDaemons", "", func(c *cluster) error {
		d := c.Daemon
		if !d.alive(s.w.state.Now) || c.Unlisted {
			return nil
		}
		out := replay.MirrorDaemon{
			ID: fmt.Sprint(d.Instance), ClientID: c.Name, Host: "host-" + c.Name,
			Version: c.Release, Started: d.Started, Address: "127.0.0.1:0/1", Beacon: d.beacon(s.w.state.Now),
		}
		for _, p := range c.Pools {
			for _, n := range p.Spaces {
				if n.Mode != replay.PoolDisabled && n.source() != nil {
					out.Pools = append(out.Pools, s.w.serving(c, p, n))
				}
			}
		}
		daemons = append(daemons, out)
		return nil
	})
	return daemons, err
}

// serving is what the daemon says of one pool.
func (w *World) serving(c *cluster, p *pool, n *namespace) replay.DaemonPool {
	out := replay.DaemonPool{Pool: replay.Pool{Name: p.Name, Namespace: n.Name}, Leader: true}
	through := false
	for _, by := range n.Reports {
		own := by[""]
		if own == nil {
			continue
		}
		through = through || own.Site == c.Name && w.isUp(c, out.Pool, own)
		out.Assigned++
		switch own.State {
		case replay.ReportError:
			out.Errors++
		case replay.ReportUnknown:
			out.Warnings++
		}
	}
	// It complains when it begins, not when it loses what it had.
	if _, why := w.dial(c, n.source()); why != "" && !through {
		out.Callouts = append(out.Callouts, replay.Callout{Level: "error", Text: why})
	}
	if out.Errors > 0 {
		out.Callouts = append(out.Callouts, replay.Callout{Level: "warning", Text: "image replayer in error state"})
	}
	return out
}
