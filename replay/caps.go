package replay

import (
	"fmt"
	"strings"
)

// CephUser is one cephx user with the capabilities that its work needs and no
// others. Mon, Mgr and OSD are capability strings as `ceph auth` takes them;
// an empty one means none of that kind.
type CephUser struct {
	Name    string // entity, such as client.drover
	Purpose string // what it is for, for people
	Mon     string
	Mgr     string
	OSD     string
}

// droverMon is what Drover asks of the monitors.
//
//   - profile rbd: read the maps (pools, fsid, health), and blocklist one
//     client by its address and nonce (ceph src/mon/MonCap.cc).
//   - osd blocklist rm: lift that again when a site's fence is taken down.
//   - config-key: a peer's mon_host and key lie at rbd/mirror/peer/POOL/UUID,
//     the peer user's name at rbd/mirror/peer_client_id (ceph
//     src/librbd/api/Mirror.cc).
//   - auth get-or-create: a bootstrap token carries the key of one user, with
//     exactly these caps. No other user's key can be read or made by it. The
//     argument that is checked is caps_mon and caps_osd, made by the monitor
//     from the command's caps list.
var droverMon = []string{
	`profile rbd`,
	`allow command "osd blocklist" with blocklistop=rm`,
	`allow command "config-key get" with key prefix rbd/mirror/`,
	`allow command "config-key set" with key prefix rbd/mirror/`,
	`allow command "config-key rm" with key prefix rbd/mirror/`,
	`allow command "auth get-or-create" with entity=client.rbd-mirror-peer` +
		` caps_mon="profile rbd-mirror-peer" caps_osd="profile rbd"`,
}

// droverMgr is what Drover asks of the mgr besides snapshot schedules: which
// rbd-mirror daemons stand in the service map.
var droverMgr = []string{
	`allow command "service dump"`,
	`allow command "service status"`,
}

// orchestratorMgr is what Drover asks of the mgr's orchestrator: to see all
// services, and to change the rbd-mirror service and no other. The command of
// `ceph orch start|stop|restart SERVICE` is "orch", that of `ceph orch daemon
// start|stop|restart NAME` is "orch daemon" (ceph
// src/pybind/mgr/orchestrator/module.py).
var orchestratorMgr = []string{
	`allow command "orch status"`,
	`allow command "orch ls"`,
	`allow command "orch ps"`,
	`allow command "orch apply" with service_type=rbd-mirror`,
	`allow command "orch" with service_name prefix rbd-mirror`,
	`allow command "orch daemon" with name prefix rbd-mirror.`,
	`allow command "orch rm" with service_name prefix rbd-mirror`,
}

// DroverCaps returns the user that Drover itself works as, at every site. With
// pools it can touch no other pool's data; without, that of every pool. Not even
// pools keep it from other pools' snapshot schedules: the mgr holds only its
// tasks to the pool of profile rbd (16.2.15, src/pybind/mgr/rbd_support).
func DroverCaps(pools ...string) CephUser {
	return CephUser{
		Name:    "client.drover",
		Purpose: "Drover: observes and changes mirroring of pools and images, peers and schedules",
		Mon:     strings.Join(droverMon, ", "),
		Mgr:     strings.Join(append([]string{profileRBD(pools)}, droverMgr...), ", "),
		OSD:     profileRBD(pools),
	}
}

// WithOrchestrator adds what Drover needs at a site whose rbd-mirror it runs
// through the mgr's orchestrator (run: cephadm).
func (u CephUser) WithOrchestrator() CephUser {
	u.Mgr = strings.Join(append([]string{u.Mgr}, orchestratorMgr...), ", ")
	return u
}

// MirrorCaps returns the user that a site's own rbd-mirror daemon works as.
// With pools the daemon can mirror no other ones, and says so in its log for
// every other pool on which mirroring is enabled.
//
// It needs no mgr caps: a daemon registers in the service map without any.
func MirrorCaps(site string, pools ...string) CephUser {
	return CephUser{
		Name:    "client.rbd-mirror." + site,
		Purpose: "the rbd-mirror daemon of site " + site,
		Mon:     "profile rbd-mirror",
		OSD:     profileRBD(pools),
	}
}

// PeerCaps returns the user by which the daemon of another site reaches this
// one. Bootstrap makes it; it is made by hand for peers by conf file. It has to
// be exactly this: bootstrap refuses a user of that name with other caps
// (ceph src/librbd/api/Mirror.cc, create_bootstrap_user).
func PeerCaps() CephUser {
	return CephUser{
		Name:    "client.rbd-mirror-peer",
		Purpose: "the rbd-mirror daemons of the other sites",
		Mon:     "profile rbd-mirror-peer",
		OSD:     "profile rbd",
	}
}

// DrillCaps returns a user that the checks of a drill work as. It can change what lies
// in the places of the clones, and read where the images lie that they are clones of:
// whoever reads a clone reads its parent where the clone was not written to. Each grant
// is of one namespace, so that none is of Drover's records beside it.
//
// Its profile at the monitors reads the maps and lets it blocklist nobody, which both
// profile rbd and profile rbd-read-only do (seen on 16.2.15): it could shut out any
// client of the cluster. So it cannot take a clone's lock from a client that has died
// with it, which is a check of its own.
func DrillCaps(name string, places, parents []Pool) CephUser {
	var grants []string
	grant := func(profile string, p Pool) {
		grants = append(grants, "profile "+profile+" pool="+capWord(p.Name)+" namespace="+capWord(p.Namespace))
	}
	for _, p := range places {
		grant("rbd", p)
	}
	for _, p := range parents {
		grant("rbd-read-only", p)
	}
	return CephUser{
		Name: name, Purpose: "the checks of drills: uses clones, and can change nothing else",
		Mon: "profile simple-rados-client", OSD: strings.Join(grants, ", "),
	}
}

// CreateCommand returns the `ceph` command by which an administrator makes u.
// It is safe to paste into a shell.
func CreateCommand(u CephUser) string {
	var b strings.Builder
	fmt.Fprintf(&b, "ceph auth get-or-create %s", u.Name)
	for _, c := range []struct{ service, caps string }{{"mon", u.Mon}, {"mgr", u.Mgr}, {"osd", u.OSD}} {
		if c.caps != "" {
			fmt.Fprintf(&b, " %s '%s'", c.service, strings.ReplaceAll(c.caps, `'`, `'\''`))
		}
	}
	return b.String()
}

// profileRBD is the profile for all pools, or for each of those given.
func profileRBD(pools []string) string {
	if len(pools) == 0 {
		return "profile rbd"
	}
	grants := make([]string, len(pools))
	for i, p := range pools {
		grants[i] = "profile rbd pool=" + capWord(p)
	}
	return strings.Join(grants, ", ")
}

// capWord quotes what is no plain word in the grammar of capabilities, which
// has no escapes: a name with both kinds of quotes cannot be said (ceph
// src/mgr/MgrCap.cc, unquoted_word and quoted_string). The empty word is that of the
// default namespace (src/osd/OSDCap.cc, estr).
func capWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_./-", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	if strings.Contains(s, `"`) {
		return `'` + s + `'`
	}
	return `"` + s + `"`
}
