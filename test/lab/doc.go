// Package lab boots real Ceph clusters on loopback for tests and for people:
// one to four sites, each one mon, one mgr, one OSD and, where wanted, one
// rbd-mirror daemon, all started by exec from the distribution's packages.
//
// It knows how Ceph daemons are set up, started, stopped, frozen and cut off
// from each other. It must never know anything of plans, of orchestration or
// of how Drover judges what it sees: it is the world that Drover is tried on,
// so it may only use plain Ceph commands (and the table of cephx users that
// the README documents), and it imports no cgo.
//
// Nothing of a lab lies outside its own folder but three things, all of them
// found again by [Sweep] when the process that held the lab died: its daemons
// (each with a pid file that carries the process's start time), a claim on a
// loopback network 127.X.Y.0/24 with a folder of Unix sockets, and, while a way
// between sites is cut, one nftables table.
package lab
