package plans

// Plan is what a person wants of two or more sites. It is read by [Load],
// which also fills every default, so that a Plan in hand is complete and
// valid.
//
// Every field below is one row of the plan language: the yaml tag is its key,
// doc its help text, enum its allowed words, default what an absent key means,
// is the kind of text it takes. The loader, the JSON Schema and the
// documentation are all made from these tags.
type Plan struct {
	Version       int            `yaml:"version" required:"true" enum:"1" doc:"version of the plan language"`
	Name          string         `yaml:"name" required:"true" is:"name" doc:"name of the plan: letters, digits, '-', '_' and '.'; typed at prompts"`
	Description   string         `yaml:"description" doc:"what the plan protects, for people"`
	Direction     Direction      `yaml:"direction" enum:"one-way,two-way" default:"one-way" doc:"one-way: rbd-mirror runs at the secondaries only; two-way: at both sites, so that roles can be exchanged cleanly"`
	Primary       string         `yaml:"primary" required:"true" is:"name" doc:"name of the preferred primary site"`
	Sites         []Site         `yaml:"sites" required:"true" doc:"the Ceph clusters, two or more"`
	Peers         Peers          `yaml:"peers" doc:"how the sites come to know each other"`
	Snapshots     Snapshots      `yaml:"snapshots" doc:"mirror snapshots on their schedules (snapshot mode)"`
	Pools         []Pool         `yaml:"pools" required:"true" doc:"the pools that are mirrored; a pool has the same name at every site"`
	Groups        []Group        `yaml:"groups" doc:"images that move together and are consistent as one"`
	Waves         []Wave         `yaml:"waves" doc:"the order in which groups and images move"`
	Hooks         []Hook         `yaml:"hooks" doc:"commands, HTTP calls and manual steps around runbooks"`
	Runbooks      Runbooks       `yaml:"runbooks" doc:"how switchover, failover, failback and resync go about their work"`
	RPO           Duration       `yaml:"rpo" doc:"objective: at most this much time of writes may be lost (0: no objective)"`
	Checks        Checks         `yaml:"checks" doc:"scheduled health checks"`
	Drills        []Drill        `yaml:"drills" doc:"scheduled DR tests on clones at a secondary"`
	Verification  Verification   `yaml:"verification" doc:"background comparison of both copies"`
	Notifications Notifications  `yaml:"notifications" doc:"who is told what, where"`
	HTTP          HTTP           `yaml:"http" doc:"metrics and health endpoint of the daemon"`
	Converge      Converge       `yaml:"converge" enum:"report,auto" default:"report" doc:"what the daemon does about harmless drift"`
	Preserve      Preserve       `yaml:"preserve" doc:"how a losing copy is kept before a resync"`
	File          string         `yaml:"-"` // where the plan was read from
	Source        map[string]Pos `yaml:"-"` // position of each value by its path, such as "sites[1].conf"
}

// Pos is a place in a plan file, 1-based as editors count; columns count
// characters, not bytes.
type Pos struct{ Line, Column int }

// Direction says at which sites rbd-mirror runs.
type Direction string

// The directions of a plan.
const (
	OneWay Direction = "one-way"
	TwoWay Direction = "two-way"
)

// SnapshotsBy names who takes mirror snapshots on their schedules.
type SnapshotsBy string

// Who takes mirror snapshots.
const (
	SnapshotsByCeph   SnapshotsBy = "ceph"
	SnapshotsByDrover SnapshotsBy = "drover"
)

// Snapshots says who takes mirror snapshots on the schedules of pools and images.
type Snapshots struct {
	By SnapshotsBy `yaml:"by" enum:"ceph,drover" default:"ceph" doc:"ceph: the mgr's module rbd_support; drover: the daemon of this program, where that module is missing or dead"`
}

// Converge is the daemon's licence to repair drift.
type Converge string

// What the daemon may do about drift.
const (
	ConvergeReport Converge = "report"
	ConvergeAuto   Converge = "auto"
)

// Preserve says how a losing copy is kept before a resync.
type Preserve struct {
	As     string   `yaml:"as" enum:"clone,export" default:"clone" doc:"clone: a copy in the same pool; export: a file"`
	Path   string   `yaml:"path" is:"path" doc:"folder for exported files (export)"`
	Keep   Duration `yaml:"keep" default:"7d" is:"positive" doc:"how long it is kept"`
	Suffix string   `yaml:"suffix" default:".preserved" is:"suffix" doc:"what is added to the image's name"`
}

// The ways to keep a losing copy.
const (
	PreserveClone  = "clone"
	PreserveExport = "export"
)

// Site returns the site of that name, or nil.
func (p *Plan) Site(name string) *Site {
	for i := range p.Sites {
		if p.Sites[i].Name == name {
			return &p.Sites[i]
		}
	}
	return nil
}

// Secondaries returns every site but the preferred primary, in the plan's
// order.
func (p *Plan) Secondaries() []Site {
	var out []Site
	for _, s := range p.Sites {
		if s.Name != p.Primary {
			out = append(out, s)
		}
	}
	return out
}

// MirrorSites returns the sites where rbd-mirror must run: the secondaries of
// a one-way plan, all sites of a two-way one.
func (p *Plan) MirrorSites() []Site {
	if p.Direction == TwoWay {
		return append([]Site(nil), p.Sites...)
	}
	return p.Secondaries()
}

// Pool returns the pool, or the RADOS namespace in it, that the plan names,
// or nil. An empty namespace is the pool's default one.
func (p *Plan) Pool(name, namespace string) *Pool {
	for i := range p.Pools {
		if p.Pools[i].Name == name && p.Pools[i].Namespace == namespace {
			return &p.Pools[i]
		}
	}
	return nil
}

// SchedulesFor returns the mirror snapshot schedules that hold for an image of a
// pool of the plan, as Ceph chooses them: the image's own, else those of the pool or
// RADOS namespace, else those of the whole pool.
func (p *Plan) SchedulesFor(pool *Pool, image string) []Schedule {
	if found, ok := pool.Match(image); ok && len(found.Schedules) > 0 {
		return found.Schedules
	}
	if whole := p.Pool(pool.Name, ""); len(pool.Schedules) == 0 && whole != nil {
		return whole.Schedules
	}
	return pool.Schedules
}

// RPOFor returns the objective that holds for an image of a pool of the plan:
// the image's own, else the pool's, else the plan's. Zero means that there is
// none.
func (p *Plan) RPOFor(pool *Pool, image string) Duration {
	if pool != nil {
		if found, ok := pool.Match(image); ok && found.RPO != nil {
			return *found.RPO
		}
		if pool.RPO != nil {
			return *pool.RPO
		}
	}
	return p.RPO
}
