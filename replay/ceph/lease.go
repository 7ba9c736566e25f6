package ceph

import (
	"context"
	"time"

	"github.com/ceph/go-ceph/rados"

	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/ceph/cls"
)

// leaseLock is the name of the lock on a ledger's object. Its description is
// the holder's text, its duration the lease's TTL. The OSD counts it by its own
// clock, and forgets the lock when it is over (ceph src/cls/lock/cls_lock.cc,
// read_lock).
const leaseLock = "lease"

// Flags of rados_lock_exclusive (rados/librados.h).
const (
	lockMayRenew  byte = 1
	lockMustRenew byte = 2
)

// AcquireLease takes or prolongs the lease. A lock belongs to a connection and
// a cookie; one with our cookie that another connection took is ours all the
// same, and is taken over.
func (s *Site) AcquireLease(ctx context.Context, ledger replay.LedgerRef, lease replay.Lease, renew bool) error {
	if err := lease.Check(); err != nil {
		return s.failure(opLease, ledger.String(), err)
	}
	_, err := inLedger(ctx, s, opLease, ledger, func(io *rados.IOContext) (struct{}, error) {
		flags := lockMayRenew
		if renew {
			flags = lockMustRenew
		}
		done, err := lock(io, ledger.Object, lease, flags)
		if done || err != nil {
			return struct{}{}, err
		}
		holder, held, err := locker(io, ledger.Object)
		if err != nil {
			return struct{}{}, err
		}
		if held && holder.Cookie == lease.Cookie {
			if _, err := io.BreakLock(ledger.Object, leaseLock, holder.Client, holder.Cookie); err != nil {
				return struct{}{}, err
			}
			held = false
			if done, err = lock(io, ledger.Object, lease, lockMayRenew); done || err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, lost(holder, held, renew)
	})
	return err
}

// lock takes the lock; done is false when somebody else has it, or nobody has
// and it had to be renewed.
func lock(io *rados.IOContext, object string, lease replay.Lease, flags byte) (done bool, err error) {
	result, err := io.LockExclusive(object, leaseLock, lease.Cookie, lease.Holder, lease.TTL, &flags)
	if isErrno(err, enoent) && flags == lockMustRenew {
		return false, nil
	}
	return result == 0, err
}

// lost is why the lease could not be had.
func lost(holder cls.Locker, held, renew bool) error {
	switch {
	case renew:
		return &explained{is: replay.ErrNotFound, say: "the lease is lost", err: replay.ErrNotFound}
	case held && holder.Description != "":
		return &explained{is: replay.ErrHeld, say: "the lease is held by " + holder.Description, err: replay.ErrHeld}
	case held:
		return &explained{is: replay.ErrHeld, say: "the lease is held by " + holder.Client, err: replay.ErrHeld}
	}
	return &explained{is: replay.ErrHeld, say: "the lease was taken by another just now", err: replay.ErrHeld}
}

// ReleaseLease gives the lease back.
func (s *Site) ReleaseLease(ctx context.Context, ledger replay.LedgerRef, cookie string) error {
	_, err := inLedger(ctx, s, opRelease, ledger, func(io *rados.IOContext) (struct{}, error) {
		result, err := io.Unlock(ledger.Object, leaseLock, cookie)
		if err != nil || result == 0 {
			return struct{}{}, err
		}
		// Another connection may have taken it with this cookie.
		holder, held, err := locker(io, ledger.Object)
		if err != nil || !held || holder.Cookie != cookie {
			return struct{}{}, err
		}
		_, err = io.BreakLock(ledger.Object, leaseLock, holder.Client, cookie)
		return struct{}{}, err
	})
	return err
}

// LeaseHolder tells who holds the lease. Its TTL is what the OSD's time of
// expiry leaves by this host's clock, and 0 for a lock that somebody took by
// hand and for good.
func (s *Site) LeaseHolder(ctx context.Context, ledger replay.LedgerRef) (replay.Lease, bool, error) {
	type answer struct {
		holder cls.Locker
		held   bool
	}
	a, err := inLedger(ctx, s, opHolder, ledger, func(io *rados.IOContext) (answer, error) {
		holder, held, err := locker(io, ledger.Object)
		return answer{holder, held}, err
	})
	if err != nil || !a.held {
		return replay.Lease{}, false, err
	}
	lease := replay.Lease{Cookie: a.holder.Cookie, Holder: a.holder.Description}
	if !a.holder.Expires.IsZero() {
		lease.TTL = max(time.Until(a.holder.Expires), time.Nanosecond)
	}
	return lease, true, nil
}

// locker reads who holds the lock. go-ceph's ListLockers tells neither
// description nor expiry.
func locker(io *rados.IOContext, object string) (holder cls.Locker, held bool, err error) {
	op := rados.CreateReadOp()
	defer op.Release()
	step := op.Exec(cls.LockClass, cls.LockInfoMethod, cls.EncodeLockInfo(leaseLock))
	if err := operate(op, io, object); err != nil {
		if isErrno(err, enoent) {
			err = nil
		}
		return cls.Locker{}, false, err
	}
	answer, err := step.Bytes()
	if err != nil {
		return cls.Locker{}, false, err
	}
	lockers, err := cls.DecodeLockInfo(answer)
	if err != nil || len(lockers) == 0 {
		return cls.Locker{}, false, err
	}
	return lockers[0], true, nil
}
