// Package replay knows what is true: sites, pools, images, roles, positions,
// reports and daemons, and what they mean together (lag, catch-up, verdicts).
//
// It never knows what is wanted (that is package plans) nor decides what to do
// about it (that is package orchestrator). It imports no cgo: the real clusters
// are reached through replay/ceph, the simulated ones through replay/sim, and
// both pass the contract suite in replay/sitetest.
package replay
