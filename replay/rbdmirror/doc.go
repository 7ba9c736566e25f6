// Package rbdmirror runs, finds and steers the rbd-mirror daemon of one site:
// as a process of Drover's, as a systemd unit, as a service of the mgr's
// orchestrator, or not at all where others do it. It also speaks to a running
// daemon through its admin socket.
//
// It knows processes, files, sockets and commands. It must never know plans,
// images' roles or what a report means; whether a daemon does serve a pool is
// asked of the cluster's service map (replay.Daemons), not here.
package rbdmirror
