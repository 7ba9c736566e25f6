// Package sim keeps the contract of replay.Site in memory: a [World] of any
// number of Ceph clusters with their pools, peers, images, journals, mirror
// snapshots and rbd-mirror daemons, on a clock of its own and with faults on
// demand.
//
// It knows how Ceph behaves, errno by errno, as far as the contract suite in
// replay/sitetest can tell the two apart; where they differ, the real cluster
// is right and this package is wrong. It must never know what Drover wants or
// decides: nothing here is made easy for its caller.
package sim
