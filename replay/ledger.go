package replay

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// LedgerNamespace is the RADOS namespace, in a mirrored pool of each site, that
// holds the ledgers of plans.
const LedgerNamespace = "drover"

// LedgerRef names one ledger: an object in [LedgerNamespace] of a pool, whose
// omap holds the records.
type LedgerRef struct {
	Pool   string
	Object string
}

// String is the ledger as pool/namespace/object.
func (l LedgerRef) String() string { return l.Pool + "/" + LedgerNamespace + "/" + l.Object }

// Check complains of a reference that names no object (ErrInvalid).
func (l LedgerRef) Check() error {
	if l.Object == "" || strings.ContainsFunc(l.Object, unicode.IsControl) {
		return fmt.Errorf("%w: a ledger's object needs a name without control characters", ErrInvalid)
	}
	return nil
}

// Record is one entry of a ledger: written once under a key of its own, never
// changed.
type Record struct {
	Key   string
	Value []byte
}

// MaxAppend is how many bytes of keys and values one append can store. The
// records of an append travel as one message to one OSD, which takes 90 MiB
// (osd_max_write_size).
const MaxAppend = 32 << 20

// CheckRecords complains of records that cannot be appended (ErrInvalid): one
// without a key, which no read could go on after, or more than [MaxAppend].
func CheckRecords(records []Record) error {
	size := 0
	for _, r := range records {
		if r.Key == "" {
			return fmt.Errorf("%w: a record needs a key", ErrInvalid)
		}
		size += len(r.Key) + len(r.Value)
	}
	if size > MaxAppend {
		return fmt.Errorf("%w: %d bytes of records are more than one append can store (%d)", ErrInvalid, size, MaxAppend)
	}
	return nil
}

// Ledger keeps records beside the images that they speak of, and admits one
// actor at a time to them.
type Ledger interface {
	// AppendRecords stores all of the records or none, durably; at most
	// [MaxAppend] bytes. A key that is there already, or twice among the
	// records, keeps its first value, so that appending again is harmless. That
	// holds as long as no two writers append the same key at the same moment:
	// keys must carry their writer's name. A full pool is ErrNoSpace at once;
	// Ceph may still take records then where the ledger exists.
	AppendRecords(ctx context.Context, ledger LedgerRef, records []Record) error
	// ReadRecords lists the records whose key is greater than after ("": all),
	// in order of key, byte by byte. A ledger that nobody has written to is
	// empty. What is appended while it reads may be missing.
	ReadRecords(ctx context.Context, ledger LedgerRef, after string) ([]Record, error)
	// RemoveRecords removes records; those that are gone are no error.
	RemoveRecords(ctx context.Context, ledger LedgerRef, keys []string) error

	// AcquireLease takes the lease on a ledger, or prolongs it when the cookie
	// holds it already, for ttl from now by the cluster's clock. Somebody else's
	// is ErrHeld, and the error names the holder. With renew, it only prolongs:
	// ErrNotFound when the cookie does not hold it any more.
	AcquireLease(ctx context.Context, ledger LedgerRef, lease Lease, renew bool) error
	// ReleaseLease gives the lease back; one that is not held is no error.
	ReleaseLease(ctx context.Context, ledger LedgerRef, cookie string) error
	// LeaseHolder tells who holds the lease; ok is false when nobody does, or
	// when it has expired. TTL is what is left of it: an estimate where the
	// cluster's clock and this host's differ.
	LeaseHolder(ctx context.Context, ledger LedgerRef) (holder Lease, ok bool, err error)
}

// Lease is a claim on a ledger that ends by itself.
type Lease struct {
	Cookie string        // tells one holder from another; unique for each process and run
	Holder string        // who that is, for people: user@host pid, runbook; one line, at most 200 bytes
	TTL    time.Duration // how long it lasts unless prolonged; a millisecond at least
}

// maxHolder bounds a lease's text for people.
const maxHolder = 200

// Check complains of a lease that cannot be taken (ErrInvalid). A lease without
// a TTL would never end.
func (l Lease) Check() error {
	switch {
	case l.Cookie == "" || strings.ContainsFunc(l.Cookie, unicode.IsControl):
		return fmt.Errorf("%w: a lease needs a cookie without control characters", ErrInvalid)
	case len(l.Holder) > maxHolder || strings.ContainsFunc(l.Holder, unicode.IsControl):
		return fmt.Errorf("%w: the holder of a lease is told in one line of at most %d bytes", ErrInvalid, maxHolder)
	case l.TTL < time.Millisecond:
		return fmt.Errorf("%w: a lease of %v would not last", ErrInvalid, l.TTL)
	}
	return nil
}

// Fencing shuts clients out of a cluster.
type Fencing interface {
	// OwnAddresses are the addresses by which the cluster knows the client that
	// this handle is, as Blocklist wants them (one, unless it speaks several of
	// Ceph's protocols): by them another client can shut this one out. It asks
	// nobody, and works while the cluster does not answer.
	OwnAddresses(ctx context.Context) ([]string, error)
	// Blocklist shuts out one client instance, by the address that
	// [ImageUser].Address gives (IP:port/nonce), for a time. When it returns,
	// the monitors have decided so, and an OSD that has since answered this
	// site takes nothing from that client any more, nor what it had sent before:
	// such calls end with ErrShutOut.
	Blocklist(ctx context.Context, address string, d time.Duration) error
	// Unblocklist lets it in again; one that is not shut out is no error.
	Unblocklist(ctx context.Context, address string) error
}

// CheckFence complains of an address or a duration that fences nobody or more
// than one client instance (ErrInvalid): without a nonce, it is all clients of
// a host.
func CheckFence(address string, d time.Duration) error {
	host, nonce, found := strings.Cut(address, "/")
	switch {
	case !found || host == "" || strings.Trim(nonce, "0123456789") != "" || strings.Trim(nonce, "0") == "":
		return fmt.Errorf("%w: %q is no client's address (IP:port/nonce)", ErrInvalid, address)
	case d < time.Second:
		return fmt.Errorf("%w: a client is shut out for a second at least, not for %v", ErrInvalid, d)
	}
	return nil
}

// Space is how full a pool is.
type Space struct {
	Used      uint64 // bytes stored, replicas counted once
	Available uint64 // bytes that can be stored yet: what the fullest OSD allows, and the pool's quota
	Quota     uint64 // bytes; 0: none
}

// Copying is what it takes to keep a copy of an image that will be discarded.
type Copying interface {
	// PoolSpace tells how full a pool is, in all of its namespaces. The
	// monitors' numbers are a few seconds old.
	PoolSpace(ctx context.Context, pool string) (Space, error)
	// RenameImage renames an image that is not mirrored (ErrInvalid when it
	// is); ErrExists when there is one of the new name in its pool and
	// namespace.
	RenameImage(ctx context.Context, ref ImageRef, name string) error
	// OpenWriter opens an image for writing. Where it has an exclusive lock, the
	// first write takes that from clients that give it up, and it is given up
	// in turn when another client asks. A secondary cannot be opened so
	// (ErrReadOnly).
	OpenWriter(ctx context.Context, ref ImageRef) (Writer, error)
}

// Writer writes one image. It is safe for concurrent use.
type Writer interface {
	// WriteAt writes all of p, in pieces where it is large: n tells how much of
	// it was written when it fails. Beyond the end of the image it is
	// ErrInvalid, and ErrReadOnly once the image has become a secondary. A
	// client that has been shut out gets ErrShutOut.
	WriteAt(ctx context.Context, p []byte, offset uint64) (n int, err error)
	// Flush makes durable what was written.
	Flush(ctx context.Context) error
	// Close flushes and closes the image.
	Close() error
}
