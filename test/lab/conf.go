package lab

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"
)

// conf renders the site's ceph.conf. It is complete: with it, a user's name is
// all that a client needs.
func (s *Site) conf() []byte {
	var b strings.Builder
	section := func(name string, lines ...string) {
		fmt.Fprintf(&b, "[%s]\n", name)
		for _, l := range lines {
			fmt.Fprintf(&b, "\t%s\n", l)
		}
	}
	in := func(elem ...string) string { return filepath.Join(append([]string{s.dir}, elem...)...) }

	global := []string{
		"fsid = " + s.facts.FSID,
		"mon host = " + s.MonHost(),
		"public addr = " + s.facts.Address,
		"cluster addr = " + s.facts.Address,
		"ms bind msgr1 = false",
		"auth allow insecure global id reclaim = false",
		"keyring = " + in("$name.keyring"),
		"run dir = " + s.sockets(),
		"osd pool default size = 1",
		"osd pool default min size = 1",
		"osd pool default pg num = 4",
		"osd pool default pgp num = 4",
		"osd pool default pg autoscale mode = off",
		// A running rbd-mirror looks this often for pools that were enabled or
		// got a peer; Ceph's own 30 s would make every test wait.
		"rbd mirror pool replayers refresh interval = 2",
	}
	if !s.lab.opts.CephPace {
		global = append(global, "rbd mirror journal poll age = 1", "rbd mirror image state check interval = 5")
	}
	section("global", global...)
	// Only daemons log to files: a client's user may not write there.
	daemon := []string{"log to stderr = false", "debug ms = 0/0"}
	section("mon", append(daemon,
		"mon data = "+in("mon"),
		"keyring = "+in("mon", "keyring"),
		"log file = "+in("log", "mon.log"),
		"mon cluster log file = "+in("log", "cluster.log"),
		"mon cluster log to file = false",
		"debug mon = 0/0", "debug paxos = 0/0", "debug rocksdb = 0/0",
		"mon allow pool size one = true",
		"mon allow pool delete = true",
		"mon warn on pool no redundancy = false",
		"mon data avail warn = 2",
		"mon data avail crit = 1",
		"osd crush chooseleaf type = 0",
		// A change of the maps waits this long for others to share its round.
		"paxos propose interval = 0.05",
		"paxos min wait = 0.01",
		// Ceph's own waits 30 and 60 s before it forgets a dead daemon; a
		// test cannot.
		"mon mgr beacon grace = 10",
		"mgr service beacon grace = 15",
	)...)
	section("mgr", append(daemon,
		"mgr data = "+in("mgr"),
		"log file = "+in("log", "mgr.log"),
		"mgr initial modules =",
		"mgr module path = "+in("modules"),
		"mgr service beacon grace = 15",
	)...)
	// Debian 13's OSD looks for its classes where the package does not put them.
	if found, err := filepath.Glob("/usr/lib/*/rados-classes"); err == nil && len(found) == 1 {
		daemon = append(daemon, "osd class dir = "+found[0])
	}
	section("osd", append(daemon,
		"osd data = "+in("osd"),
		"keyring = "+in("osd", "keyring"),
		"log file = "+in("log", "osd.log"),
		"debug osd = 0/0", "debug bluestore = 0/0", "debug bluefs = 0/0", "debug rocksdb = 0/0",
		"osd objectstore = "+string(s.lab.opts.Store),
		"memstore device bytes = 8589934592",
		"bluestore block size = 8589934592",
		"bluestore block create = true",
		"bluestore fsck on mount = false",
		"osd memory target = 1073741824",
		// The fast way out does not unmount the store, and MemStore saves its
		// data when it is unmounted (ceph src/os/memstore/MemStore.cc).
		"osd fast shutdown = false",
		"osd scrub during recovery = false",
		"osd op num shards = 2",
		"osd max markdown count = 100",
	)...)
	section(s.mirrorUserName(),
		"run dir = "+s.mirrorSockets(),
		"log file = "+in("mirror", "rbd-mirror.log"),
		"log to stderr = false",
	)
	return []byte(b.String())
}

// newUUID returns a random (version 4) UUID.
func newUUID() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // documented never to fail
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
