// Package cls decodes what Ceph's object classes keep in the omap of an RBD
// pool: the image and mirroring directories, image headers with their
// snapshots, and journals with their clients, tags and entries.
//
// It knows bytes and the domain types that they become. It never knows how the
// bytes were fetched: it imports no cgo and talks to nobody. Nothing in it
// panics, whatever the bytes are.
//
// The formats are Ceph's own wire formats (src/include/encoding.h), which a
// cluster of mixed versions relies on: a structure starts with its version,
// the oldest version that can read it, and its length, so that what a newer
// release appended is skipped.
package cls
