// Package sitetest is the contract of replay.Site as a test suite. The
// simulator and the adapter to real clusters both pass it; where they differed
// while it was written, the real cluster was right.
//
// It knows what Ceph does and by when; it must never know which of the two it
// tests.
package sitetest
