package sim

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/drover-io/drover/replay"
)

// ledger is one object with an omap and a lock.
type ledger struct {
	Records map[string][]byte `json:"records,omitempty"`
	Lease   *lease            `json:"lease,omitempty"`
}

// lease is the lock on a ledger.
type lease struct {
	Cookie string    `json:"cookie"`
	Holder string    `json:"holder"`
	Until  time.Time `json:"until"`
}

// ledger runs a call on a ledger, whose object need not exist: l is nil then.
func (s *Site) ledger(ctx context.Context, op string, ref replay.LedgerRef, f func(p *pool, l *ledger) error) error {
	return s.do(ctx, op, ref.String(), func(c *cluster) error {
		if _, err := c.mustSpace(replay.Pool{Name: ref.Pool}); err != nil {
			return err
		}
		if err := ref.Check(); err != nil {
			return err
		}
		p := c.pool(ref.Pool)
		return f(p, p.Ledgers[ref.Object])
	})
}

// makeLedger makes the object of a ledger. That is what a full pool refuses; to
// the omap of an object that is there it lets be added
// (ceph src/osd/PrimaryLogPG.cc, prepare_transaction).
func (p *pool) makeLedger(object string) (*ledger, error) {
	if p.Quota > 0 && p.used() >= p.Quota {
		return nil, fail(edquot, "pool quota is reached")
	}
	l := &ledger{Records: map[string][]byte{}}
	if p.Ledgers == nil {
		p.Ledgers = map[string]*ledger{}
	}
	p.Ledgers[object] = l
	return l, nil
}

// AppendRecords stores all records whose keys are not there yet.
func (s *Site) AppendRecords(ctx context.Context, ref replay.LedgerRef, records []replay.Record) error {
	return s.ledger(ctx, "AppendRecords", ref, func(p *pool, l *ledger) (err error) {
		if err := replay.CheckRecords(records); err != nil || len(records) == 0 {
			return err
		}
		if l == nil {
			if l, err = p.makeLedger(ref.Object); err != nil {
				return err
			}
		}
		if l.Records == nil {
			l.Records = map[string][]byte{}
		}
		for _, r := range records {
			if _, there := l.Records[r.Key]; !there {
				l.Records[r.Key] = append([]byte{}, r.Value...)
			}
		}
		return nil
	})
}

// ReadRecords lists the records behind a key.
func (s *Site) ReadRecords(ctx context.Context, ref replay.LedgerRef, after string) (records []replay.Record, err error) {
	err = s.ledger(ctx, "ReadRecords", ref, func(_ *pool, l *ledger) error {
		records = l.list(after)
		return nil
	})
	return records, err
}

func (l *ledger) list(after string) []replay.Record {
	if l == nil {
		return nil
	}
	var records []replay.Record
	for _, key := range slices.Sorted(maps.Keys(l.Records)) {
		if key > after {
			records = append(records, replay.Record{Key: key, Value: append([]byte{}, l.Records[key]...)})
		}
	}
	return records
}

// RemoveRecords removes records.
func (s *Site) RemoveRecords(ctx context.Context, ref replay.LedgerRef, keys []string) error {
	return s.ledger(ctx, "RemoveRecords", ref, func(_ *pool, l *ledger) error {
		if l != nil {
			for _, key := range keys {
				delete(l.Records, key)
			}
		}
		return nil
	})
}

// held is the lease while it lasts.
func (l *ledger) held(now time.Time) *lease {
	if l == nil || l.Lease == nil || !now.Before(l.Lease.Until) {
		return nil
	}
	return l.Lease
}

// AcquireLease takes or prolongs the lease.
func (s *Site) AcquireLease(ctx context.Context, ref replay.LedgerRef, wanted replay.Lease, renew bool) error {
	return s.ledger(ctx, "AcquireLease", ref, func(p *pool, l *ledger) (err error) {
		if err := wanted.Check(); err != nil {
			return err
		}
		now := s.w.state.Now
		held := l.held(now)
		switch {
		case renew && (held == nil || held.Cookie != wanted.Cookie):
			return fail(enoent, "the lease is lost")
		case held != nil && held.Cookie != wanted.Cookie:
			return &heldError{holder: held.Holder}
		case l == nil:
			if l, err = p.makeLedger(ref.Object); err != nil {
				return err
			}
		}
		l.Lease = &lease{Cookie: wanted.Cookie, Holder: wanted.Holder, Until: now.Add(wanted.TTL)}
		return nil
	})
}

// heldError tells who has a lease.
type heldError struct{ holder string }

func (e *heldError) Error() string { return "the lease is held by " + e.holder }
func (e *heldError) Unwrap() error { return replay.ErrHeld }

// ReleaseLease gives a lease back.
func (s *Site) ReleaseLease(ctx context.Context, ref replay.LedgerRef, cookie string) error {
	return s.ledger(ctx, "ReleaseLease", ref, func(_ *pool, l *ledger) error {
		if held := l.held(s.w.state.Now); held != nil && held.Cookie == cookie {
			l.Lease = nil
		}
		return nil
	})
}

// LeaseHolder tells who holds the lease.
func (s *Site) LeaseHolder(ctx context.Context, ref replay.LedgerRef) (holder replay.Lease, ok bool, err error) {
	err = s.ledger(ctx, "LeaseHolder", ref, func(_ *pool, l *ledger) error {
		now := s.w.state.Now
		if held := l.held(now); held != nil {
			holder, ok = replay.Lease{Cookie: held.Cookie, Holder: held.Holder, TTL: held.Until.Sub(now)}, true
		}
		return nil
	})
	return holder, ok, err
}

// Ledger is what a ledger of a site holds, whether the site answers or not.
func (w *World) Ledger(site string, ref replay.LedgerRef) []replay.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.site(site); c != nil {
		if p := c.pool(ref.Pool); p != nil {
			return p.Ledgers[ref.Object].list("")
		}
	}
	return nil
}

// Ledgers names the objects of a pool that are ledgers, sorted.
func (w *World) Ledgers(site, pool string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.site(site); c != nil {
		if p := c.pool(pool); p != nil {
			return slices.Sorted(maps.Keys(p.Ledgers))
		}
	}
	return nil
}
