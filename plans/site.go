package plans

// Site is one Ceph cluster.
type Site struct {
	Name       string `yaml:"name" required:"true" is:"name" doc:"name of the site in this plan"`
	Conf       string `yaml:"conf" required:"true" is:"path" doc:"path of the site's ceph.conf"`
	User       string `yaml:"user" default:"client.drover" is:"user" doc:"cephx user that Drover works as"`
	Keyring    string `yaml:"keyring" is:"path" doc:"path of that user's keyring (default: as ceph.conf says)"`
	Cluster    string `yaml:"cluster" is:"name" doc:"cluster name by which rbd-mirror and peers by conf know the site: NAME.conf (default: the site's name)"`
	MirrorName string `yaml:"mirror_name" is:"name" doc:"the site name stored in Ceph for mirroring (default: the site's name)"`
	Daemon     Daemon `yaml:"daemon" doc:"how rbd-mirror is run there"`
	Fence      Fence  `yaml:"fence" doc:"how the site's clients are shut out in a failover; where there is one, a failback shuts out those that still hold what that gave up, always by the site's OSD blocklist"`
}

// RunBy names who runs rbd-mirror at a site.
type RunBy string

// The ways to run rbd-mirror.
const (
	RunProcess RunBy = "process"
	RunSystemd RunBy = "systemd"
	RunCephadm RunBy = "cephadm"
	RunNone    RunBy = "none"
)

// Daemon says how rbd-mirror is run at a site. User, Keyring, Directory,
// Binary and Options are valid with process; Unit with systemd; Service and
// Placement with cephadm.
type Daemon struct {
	Run       RunBy             `yaml:"run" enum:"process,systemd,cephadm,none" default:"none" doc:"process: by Drover on this host; systemd: a local unit; cephadm: through the mgr; none: by others, only observed"`
	User      string            `yaml:"user" is:"user" doc:"cephx user of the daemon (process; default client.rbd-mirror.SITE)"`
	Keyring   string            `yaml:"keyring" is:"path" doc:"path of that user's keyring (process)"`
	Directory string            `yaml:"directory" is:"path" doc:"folder for pid file, log and admin socket (process; default /run/drover/PLAN/SITE, or ~/.local/state/drover/PLAN/SITE when not root)"`
	Binary    string            `yaml:"binary" default:"rbd-mirror" is:"program" doc:"the rbd-mirror program: an absolute path, or a name found in PATH (process)"`
	Options   map[string]string `yaml:"options" is:"option" doc:"Ceph options for the daemon (process); rbd_mirror_journal_poll_age is 1 unless given here or in the conf, as a switchover waits for it"`
	Unit      string            `yaml:"unit" is:"unit" doc:"name of the unit (systemd; default ceph-rbd-mirror@rbd-mirror.SITE.service)"`
	Service   string            `yaml:"service" default:"rbd-mirror" is:"name" doc:"service name in the mgr's orchestrator (cephadm)"`
	Placement string            `yaml:"placement" is:"line" doc:"placement of the service, as 'ceph orch apply' takes it (cephadm)"`
	Sockets   string            `yaml:"sockets" is:"path" doc:"folder on this host with the admin sockets of this site's daemon and of no other (systemd, cephadm, none), by which a halt stops replay; unless given, they are out of reach"`
}

// SocketFolder is where the daemon's admin sockets are on this host; "" where they
// cannot be reached.
func (d *Daemon) SocketFolder() string {
	if d.Run == RunProcess {
		return d.Directory
	}
	return d.Sockets
}

// FenceBy names a way to shut a site's clients out.
type FenceBy string

// The fence methods.
const (
	FenceNone      FenceBy = "none"
	FenceBlocklist FenceBy = "blocklist"
	FenceCommand   FenceBy = "command"
)

// Fence says how the old primary's clients are shut out in a failover. Where there
// is one, a failback shuts out those that still hold what the failover gave up, by
// the site's blocklist, whatever the method: a command that isolates a whole site
// would cut off the one that shall be primary again.
type Fence struct {
	Method  FenceBy  `yaml:"method" enum:"none,blocklist,command" default:"none" doc:"blocklist: by the site's own OSD blocklist; command: a command of yours, for the lost site in a failover only: it is told that site as DROVER_SITE and DROVER_FROM"`
	Command []string `yaml:"command" is:"command" doc:"program and arguments (command)"`
	Timeout Duration `yaml:"timeout" default:"30s" is:"positive" doc:"how long the command may take"`
}

// PeerBy names a way in which sites come to know each other.
type PeerBy string

// The ways to add a peer.
const (
	PeerByToken PeerBy = "token"
	PeerByConf  PeerBy = "conf"
)

// Peers says how the sites come to know each other. Client and Clients are
// valid with conf.
type Peers struct {
	By      PeerBy            `yaml:"by" enum:"token,conf" default:"token" doc:"token: bootstrap token (Ceph Octopus and newer); conf: client@cluster with CLUSTER.conf and keyring beside the daemon"`
	Client  string            `yaml:"client" is:"user" doc:"cephx user by which each site's daemon reaches the other sites (conf; default client.rbd-mirror-peer)"`
	Clients map[string]string `yaml:"clients" is:"user" doc:"the same for single sites: site name to the cephx user used there (conf)"`
}

// ClientAt returns the cephx user by which other sites' daemons reach a site
// with peers by conf, such as the client.admin of client.admin@remote.
func (p Peers) ClientAt(site string) string {
	if user, ok := p.Clients[site]; ok {
		return user
	}
	return p.Client
}
