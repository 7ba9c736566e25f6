package ceph

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/ceph/go-ceph/rados"

	"github.com/drover-io/drover/replay"
)

// inLedger is call with the context in which a ledger's object lies.
func inLedger[T any](ctx context.Context, s *Site, op operation, ledger replay.LedgerRef, fn func(*rados.IOContext) (T, error)) (T, error) {
	if err := ledger.Check(); err != nil {
		var zero T
		return zero, s.failure(op, ledger.String(), err)
	}
	return callIn(ctx, s, s.calls.ledger, op, ledger.String(), func() (T, error) {
		io, err := s.ioctx(replay.Pool{Name: ledger.Pool, Namespace: replay.LedgerNamespace})
		if err != nil {
			var zero T
			return zero, err
		}
		return fn(io)
	})
}

// AppendRecords stores all records whose keys are not there yet, in one
// operation on the object, which takes effect as a whole or not at all. Which
// keys are there is read before: two writers must not share keys.
//
// Of a full pool the OSD refuses operations that add bytes or objects. An omap
// is neither, so that records still go into an object that exists (ceph
// src/osd/PrimaryLogPG.cc, prepare_transaction).
func (s *Site) AppendRecords(ctx context.Context, ledger replay.LedgerRef, records []replay.Record) error {
	if err := replay.CheckRecords(records); err != nil {
		return s.failure(opAppend, ledger.String(), err)
	}
	// A call that was given up still reads the records, so they are copied.
	wanted := make(map[string][]byte, len(records))
	for _, r := range records {
		if _, twice := wanted[r.Key]; !twice {
			wanted[r.Key] = slices.Clone(r.Value)
		}
	}
	_, err := inLedger(ctx, s, opAppend, ledger, func(io *rados.IOContext) (struct{}, error) {
		there, err := presentKeys(io, ledger.Object, slices.Collect(maps.Keys(wanted)))
		if err != nil {
			return struct{}{}, err
		}
		for _, key := range there {
			delete(wanted, key)
		}
		if len(wanted) == 0 {
			return struct{}{}, nil
		}
		op := rados.CreateWriteOp()
		defer op.Release()
		op.SetOmap(wanted)
		return struct{}{}, wholly(op.Operate(io, ledger.Object, rados.OperationNoFlag))
	})
	return err
}

// presentKeys are those of the keys that the object's omap has.
func presentKeys(io *rados.IOContext, object string, keys []string) ([]string, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	op := rados.CreateReadOp()
	defer op.Release()
	step := op.GetOmapValuesByKeys(keys)
	if err := operate(op, io, object); err != nil {
		if isErrno(err, enoent) {
			return nil, nil
		}
		return nil, err
	}
	var present []string
	for {
		kv, err := step.Next()
		if err != nil {
			return nil, err
		}
		if kv == nil {
			return present, nil
		}
		present = append(present, kv.Key)
	}
}

// wholly is the errno of a write operation as a whole.
func wholly(err error) error {
	var whole rados.OperationError
	if errors.As(err, &whole) && whole.OpError != nil {
		return whole.OpError
	}
	return err
}

// ReadRecords lists the records behind a key, page by page.
func (s *Site) ReadRecords(ctx context.Context, ledger replay.LedgerRef, after string) ([]replay.Record, error) {
	var records []replay.Record
	for {
		page, err := inLedger(ctx, s, opLedger, ledger, func(io *rados.IOContext) (recordPage, error) {
			return readRecordPage(io, ledger.Object, after)
		})
		if err != nil {
			return nil, err
		}
		records = append(records, page.records...)
		if !page.more || len(page.records) == 0 {
			return records, nil
		}
		after = records[len(records)-1].Key
	}
}

type recordPage struct {
	records []replay.Record
	more    bool
}

// readRecordPage reads one page; an object that is not there has none.
func readRecordPage(io *rados.IOContext, object, after string) (recordPage, error) {
	omap := make(map[string][]byte)
	_, more, err := readOmapPage(io, object, "", after, omap)
	if isErrno(err, enoent) {
		return recordPage{}, nil
	}
	page := recordPage{more: more}
	for _, key := range slices.Sorted(maps.Keys(omap)) {
		page.records = append(page.records, replay.Record{Key: key, Value: omap[key]})
	}
	return page, err
}

// RemoveRecords removes records, all in one operation.
func (s *Site) RemoveRecords(ctx context.Context, ledger replay.LedgerRef, keys []string) error {
	keys = slices.Clone(keys)
	_, err := inLedger(ctx, s, opForget, ledger, func(io *rados.IOContext) (struct{}, error) {
		if len(keys) == 0 {
			return struct{}{}, nil
		}
		op := rados.CreateWriteOp()
		defer op.Release()
		op.RmOmapKeys(keys)
		err := wholly(op.Operate(io, ledger.Object, rados.OperationNoFlag))
		if isErrno(err, enoent) {
			err = nil
		}
		return struct{}{}, err
	})
	return err
}
