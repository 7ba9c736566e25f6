package ceph

import "syscall"

// What the asking user must be allowed (ceph auth caps). The profiles are
// Ceph's own (docs: rbd/rados-rbd-cmds, user-management).
const (
	needsMon     = "mon 'profile rbd'"
	needsOSD     = "osd 'profile rbd'"
	needsMgr     = "mgr 'profile rbd'"
	needsService = `mgr 'allow command "service dump", allow command "service status"'`
	needsUnfence = `mon 'allow command "osd blocklist" with blocklistop=rm'`
	// A peer's address and key lie in the monitors' config-key store.
	needsPeerKeys = `mon 'allow command "config-key get" with key prefix rbd/mirror/' and the same for config-key set and rm`
	// A bootstrap makes the user client.rbd-mirror-peer.
	needsBootstrap = `mon 'allow command "auth get-or-create" with entity=client.rbd-mirror-peer ` +
		`caps_mon="profile rbd-mirror-peer" caps_osd="profile rbd"' and ` + needsPeerKeys
)

// hints is what errnos of one operation mean.
type hints = map[syscall.Errno]string

// All operations on a site, by the names that errors give them.
var (
	opIdentity   = operation{name: "ask the monitors who they are", needs: "mon 'allow r'"}
	opListPools  = operation{name: "list pools", needs: needsMon}
	opNamespaces = operation{name: "list namespaces", needs: needsOSD}
	opNewSpace   = operation{name: "create namespace", needs: needsOSD}
	opSiteName   = operation{name: "read mirroring site name", needs: needsMon}
	opSetName    = operation{name: "set mirroring site name", needs: needsPeerKeys}
	opPoolInfo   = operation{name: "read mirroring of pool", needs: needsOSD}
	opPoolMode   = operation{name: "set mirroring mode of pool", needs: needsOSD, hints: hints{
		ebusy:  "its peers are still listed: remove them first",
		einval: "images of the pool are still mirrored: disable mirroring of each first (rbd mirror pool status --verbose names them)",
	}}
	opToken = operation{name: "create bootstrap token", needs: needsBootstrap, hints: hints{
		einval: "mirroring must be enabled on the pool first",
	}}
	opImport = operation{name: "import bootstrap token", needs: needsBootstrap, hints: hints{
		einval:    "the token is damaged, of this very cluster, or mirroring is not enabled on the pool at both sites",
		eexist:    "a peer of that site or in that direction is listed already: see rbd mirror pool info",
		etimedout: "the token's cluster cannot be reached from here",
	}}
	opAddPeer = operation{name: "add peer", needs: needsOSD + " and " + needsPeerKeys, hints: hints{
		eexist: "a peer of that site is listed already: see rbd mirror pool info",
		einval: "mirroring must be enabled on the pool first, the site must be another one, only one peer may be replayed from, " +
			"and a tx-only peer is never added by hand: it adds itself when it begins to replay",
	}}
	opUpdatePeer = operation{name: "update peer", needs: needsOSD + " and " + needsPeerKeys}
	opRemovePeer = operation{name: "remove peer", needs: needsOSD}

	opImages = operation{name: "list images of", needs: needsOSD}
	opLook   = operation{name: "look at images of", needs: needsOSD}
	opImage  = operation{name: "read image", needs: needsOSD}
	opUsers  = operation{name: "list users of image", needs: needsOSD}
	opTies   = operation{name: "list clones of image", needs: needsOSD}
	opCreate = operation{name: "create image", needs: needsOSD, hints: hints{
		eexist: "if it is not in rbd ls, it was never quite made or never quite removed: rbd info says what is left, and rbd rm clears it",
	}}
	opFeatures = operation{name: "change features of image", needs: needsOSD, hints: hints{
		erofs:  "the image is not primary, or a client that writes to it does not answer: stop its client, or change it at the primary",
		einval: "it cannot be changed on an existing image, another feature depends on it, or the image's mirroring needs it",
	}}
	opRemove = operation{name: "remove image", needs: needsOSD, hints: hints{
		ebusy:     "it is still in use: see rbd status for its watchers",
		enotempty: "it still has snapshots: see rbd snap ls --all",
	}}

	opEnable  = operation{name: "enable mirroring of image", needs: needsOSD}
	opDisable = operation{name: "disable mirroring of image", needs: needsOSD, hints: hints{
		einval: "the image is not primary here: disable it at the primary, or use force",
	}}
	opPromote = operation{name: "promote image", needs: needsOSD + " and mon 'profile rbd' (it blocklists the former writer)", hints: hints{
		ebusy:  "it is primary at the other site, or the demotion there has not arrived yet: wait",
		einval: "it is primary already, or not mirrored",
	}}
	opDemote = operation{name: "demote image", needs: needsOSD, hints: hints{
		einval: "it is not primary, or not mirrored",
		erofs:  "a client holds it and goes on writing: stop that client first (rbd status names it)",
		ebusy:  "a client holds it: stop that client first (rbd status names it)",
	}}
	opResync = operation{name: "request resync of image", needs: needsOSD, hints: hints{
		einval: "the image is primary here: only a copy that is not can be copied anew",
	}}
	opMirrorSnap = operation{name: "take mirror snapshot of image", needs: needsOSD, hints: hints{
		einval: "only a primary that is mirrored by snapshots has them",
	}}
	opFinish   = operation{name: "finish promotion of image", needs: needsOSD}
	opAnnounce = operation{name: "announce changes of image", needs: needsOSD}
	opListen   = operation{name: "listen to mirroring of", needs: needsOSD, hints: hints{
		enoent: "mirroring is not enabled on it",
	}}
	opReports = operation{name: "list mirroring reports of", needs: needsOSD}
	opJournal = operation{name: "read journal of image", needs: needsOSD}

	opNewSnap  = operation{name: "create snapshot of image", needs: needsOSD, hints: hints{erofs: "the image is not primary here"}}
	opDropSnap = operation{name: "remove snapshot of image", needs: needsOSD, hints: hints{
		ebusy: "a clone or a protected snapshot still needs it",
		erofs: "the image is not primary here: remove the snapshot at the primary",
	}}
	opClone = operation{name: "clone snapshot", needs: needsOSD + ", in the clone's pool too", hints: hints{
		enoent: "there is no such snapshot, or no pool or namespace for the clone",
	}}
	opRead = operation{name: "read content of image", needs: needsOSD}

	opAppend  = operation{name: "append records to ledger", needs: needsOSD}
	opLedger  = operation{name: "read ledger", needs: needsOSD}
	opForget  = operation{name: "remove records of ledger", needs: needsOSD}
	opLease   = operation{name: "take lease on ledger", needs: needsOSD}
	opRelease = operation{name: "give back lease on ledger", needs: needsOSD}
	opHolder  = operation{name: "read lease on ledger", needs: needsOSD}

	opAddresses   = operation{name: "read own address"}
	opBlocklist   = operation{name: "blocklist client", needs: needsMon}
	opUnblocklist = operation{name: "take off the blocklist client", needs: needsUnfence}
	opSpace       = operation{name: "read space of pool", needs: needsMon}
	opRename      = operation{name: "rename image", needs: needsOSD, hints: hints{
		ebusy: "a client holds it: stop that client first (rbd status names it)",
	}}
	opWrite = operation{name: "write image", needs: needsOSD, hints: hints{
		erofs: "the image is not primary here, or another client holds its lock and does not give it up (rbd status names it)",
	}}

	opSchedules = operation{name: "list mirror snapshot schedules of", needs: needsMgr}
	opSchedule  = operation{name: "add mirror snapshot schedule of", needs: needsMgr}
	opUnplan    = operation{name: "remove mirror snapshot schedule of", needs: needsMgr}

	opDaemons = operation{name: "list rbd-mirror daemons", needs: needsService}
	opMgr     = operation{name: "send command to the mgr", needs: "mgr: that command"}
)
