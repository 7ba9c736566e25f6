// Package ceph is the go-ceph adapter: it makes a [replay.Site] of one real
// Ceph cluster. It is the only package that imports cgo.
//
// It knows librados, librbd, the mgr's commands and where Ceph keeps what. It
// must never know a plan, nor judge what it reads: a role, a position or a
// report is handed on as Ceph has it.
//
// Three things shape it. No go-ceph call takes a context, so each runs on a
// goroutine of its own that can be given up (calls.go). Opening an image costs
// more than reading it, so whole pools are read from omap, one read an image,
// decoded by package cls (catalog.go). And what Ceph answers is a bare errno,
// so each operation knows which capability it needs and what its errnos mean
// (failure.go).
package ceph
