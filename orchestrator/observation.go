package orchestrator

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// Observation is what all sites of a plan said at one time. Sites and pools
// are in the plan's order, images in order of name.
type Observation struct {
	Plan  string            `json:"plan"`
	At    time.Time         `json:"at"`
	Sites []SiteObservation `json:"sites"`
	// Records are the plan's; with ObserveOptions.Records.
	Records *Recorded `json:"records,omitempty"`
}

// SiteObservation is what one site said. With Fault set the rest is empty.
type SiteObservation struct {
	Name     string          `json:"name"`
	Fault    *Fault          `json:"fault,omitempty"` // the site does not answer
	Identity replay.Identity `json:"identity"`
	// SiteName is the name by which mirroring knows the cluster; the fsid while
	// none is set.
	SiteName string            `json:"site_name"`
	Pools    []PoolObservation `json:"pools"`
	// Parents are images outside the plan's pools that are parents of images
	// in them; one that cannot be read has its Fault.
	Parents []replay.Image `json:"parents,omitempty"`
	// Neighbours are mirrored images in the plan's pools, but in namespaces that
	// are not in the plan; with ObserveOptions.Neighbours.
	Neighbours      []replay.ImageRef     `json:"neighbours,omitempty"`
	NeighboursFault *Fault                `json:"neighbours_fault,omitempty"`
	Daemons         []replay.MirrorDaemon `json:"daemons,omitempty"`
	DaemonsFault    *Fault                `json:"daemons_fault,omitempty"`
	// Runner is what the one who looks after the daemon says; nil: nobody does.
	Runner *RunnerState `json:"runner,omitempty"`
	// Elsewhere are living daemons of the user by which Drover would run one here;
	// with ObserveOptions.Elsewhere, and only where it runs none.
	Elsewhere []replay.MirrorDaemon `json:"elsewhere,omitempty"`
	// Took is how long the site took to answer everything.
	Took time.Duration `json:"took"`

	at time.Time // when it had answered, by the clock of the observation
}

// RunnerState is whether Drover's own rbd-mirror runs at a site.
type RunnerState struct {
	DaemonState
	Fault *Fault `json:"fault,omitempty"`
	// StartCommand, StopCommand and RestartCommand are the equivalent command lines.
	StartCommand   string `json:"start_command,omitempty"`
	StopCommand    string `json:"stop_command,omitempty"`
	RestartCommand string `json:"restart_command,omitempty"`
}

// PoolObservation is one pool or namespace of the plan at one site.
type PoolObservation struct {
	Pool replay.Pool `json:"pool"`
	// Fault: the pool could not be read. Missing (the pool) and NoNamespace
	// (only its namespace) are no faults.
	Fault       *Fault               `json:"fault,omitempty"`
	Missing     bool                 `json:"missing,omitempty"`
	NoNamespace bool                 `json:"no_namespace,omitempty"`
	Mirroring   replay.PoolMirroring `json:"mirroring"`
	// Whole is the mirroring of the whole pool: equal to Mirroring but for a
	// namespace, which has a mode and an uuid of its own, but the pool's peers.
	Whole  replay.PoolMirroring `json:"whole"`
	Images []replay.Image       `json:"images,omitempty"`
	// Unread are the images that are there and could not be read. They are not
	// among Images, and must not be taken for missing.
	Unread []UnreadImage `json:"unread,omitempty"`

	Schedules      []replay.MirrorSchedule `json:"schedules,omitempty"`
	SchedulesFault *Fault                  `json:"schedules_fault,omitempty"`

	Reports      []replay.Report `json:"reports,omitempty"` // with ObserveOptions.Reports
	ReportsFault *Fault          `json:"reports_fault,omitempty"`
}

// UnreadImage is an image of which nothing more is known than its name.
type UnreadImage struct {
	Name  string `json:"name"`
	Fault *Fault `json:"fault"`
}

// Fault is an error that is part of an observation.
type Fault struct {
	What string `json:"what"`
	Hint string `json:"hint,omitempty"`
	Err  error  `json:"-"`
}

// Error is what went wrong, then the next step.
func (f *Fault) Error() string {
	if f.Hint == "" {
		return f.What
	}
	return f.What + "; " + f.Hint
}

// Unwrap gives the cause; nil when the observation was read from JSON.
func (f *Fault) Unwrap() error { return f.Err }

// faultOf makes a Fault of an error, its hint kept apart.
func faultOf(err error) *Fault {
	if err == nil {
		return nil
	}
	var hinted *Hinted
	if errors.As(err, &hinted) && hinted.Hint != "" {
		return &Fault{What: strings.Replace(err.Error(), "; "+hinted.Hint, "", 1), Hint: hinted.Hint, Err: err}
	}
	var known *replay.Error
	if errors.As(err, &known) && known.Hint != "" {
		bare := *known
		bare.Hint = ""
		return &Fault{What: bare.Error(), Hint: known.Hint, Err: err}
	}
	return &Fault{What: err.Error(), Err: err}
}

// releases are those of Ceph at the sites that answer and tell.
func (o *Observation) releases() map[string]string {
	out := map[string]string{}
	for i := range o.Sites {
		if s := &o.Sites[i]; s.Fault == nil && s.Identity.Release != "" {
			out[s.Name] = s.Identity.Release
		}
	}
	return out
}

// Site returns what a site said, or nil.
func (o *Observation) Site(name string) *SiteObservation {
	for i := range o.Sites {
		if o.Sites[i].Name == name {
			return &o.Sites[i]
		}
	}
	return nil
}

// Pool returns what a site said of a pool, or nil.
func (s *SiteObservation) Pool(pool replay.Pool) *PoolObservation {
	for i := range s.Pools {
		if s.Pools[i].Pool == pool {
			return &s.Pools[i]
		}
	}
	return nil
}

// Image returns an image of the pool, or nil.
func (p *PoolObservation) Image(name string) *replay.Image {
	for i := range p.Images {
		if p.Images[i].Ref.Name == name {
			return &p.Images[i]
		}
	}
	return nil
}

// UnreadFault is why an image of the pool could not be read, or nil.
func (p *PoolObservation) UnreadFault(name string) *Fault {
	for i := range p.Unread {
		if p.Unread[i].Name == name {
			return p.Unread[i].Fault
		}
	}
	return nil
}

// list takes up what a site has listed.
func (p *PoolObservation) list(images []replay.Image) {
	p.Images = make([]replay.Image, 0, len(images))
	for i := range images {
		if fault := images[i].Fault; fault != nil {
			p.Unread = append(p.Unread, UnreadImage{Name: images[i].Ref.Name, Fault: faultOf(fault)})
			continue
		}
		p.Images = append(p.Images, images[i])
	}
}

// Serves reports whether a daemon serves the pool: one that is in the site's service map,
// or, since the mgr forgets those when it fails over or is busy, one whose reports of the
// pool are up and fresh.
func (s *SiteObservation) Serves(pool replay.Pool) bool {
	for _, d := range s.Daemons {
		for _, p := range d.Pools {
			// The service map speaks of whole pools where the daemon is too old
			// to name the namespaces.
			if p.Pool == pool || p.Pool.Name == pool.Name && p.Pool.Namespace == "" {
				return true
			}
		}
	}
	seen := s.Pool(pool)
	return seen != nil && slices.ContainsFunc(seen.Reports, func(r replay.Report) bool { return r.Alive(s.at) })
}

// daemonRuns reports whether any daemon serves the site, as [SiteObservation.Serves] tells.
func (s *SiteObservation) daemonRuns() bool {
	return len(s.Daemons) > 0 || slices.ContainsFunc(s.Pools, func(p PoolObservation) bool { return s.Serves(p.Pool) })
}

// complaints are what one of the site's daemons says of one of its pools that still means
// something.
func (s *SiteObservation) complaints(daemon, pool int) []replay.Callout {
	var reports []replay.Report
	if here := s.Pool(s.Daemons[daemon].Pools[pool].Pool); here != nil {
		reports = here.Reports
	}
	return replay.Complaints(s.Daemons, daemon, pool, reports)
}

// whole is the pool that a namespace is in.
func whole(pool replay.Pool) replay.Pool { return replay.Pool{Name: pool.Name} }

// poolOf is the pool of a plan in replay's words.
func poolOf(p *plans.Pool) replay.Pool { return replay.Pool{Name: p.Name, Namespace: p.Namespace} }
