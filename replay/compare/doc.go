// Package compare proves that two readers hold the same bytes, or finds the
// first byte where they do not.
//
// It knows extents, chunks and digests. It must never know where the readers
// come from (clusters, snapshots, roles) nor what to do about a difference.
package compare
