package orchestrator

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/user"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
	"github.com/drover-io/drover/replay/parallel"
)

// Ledger keeps the records of a plan at a site, and its lease.
type Ledger interface {
	AppendRecords(ctx context.Context, ledger replay.LedgerRef, records []replay.Record) error
	ReadRecords(ctx context.Context, ledger replay.LedgerRef, after string) ([]replay.Record, error)
	RemoveRecords(ctx context.Context, ledger replay.LedgerRef, keys []string) error

	AcquireLease(ctx context.Context, ledger replay.LedgerRef, lease replay.Lease, renew bool) error
	ReleaseLease(ctx context.Context, ledger replay.LedgerRef, cookie string) error
	LeaseHolder(ctx context.Context, ledger replay.LedgerRef) (holder replay.Lease, ok bool, err error)
}

// Book is what is remembered of a plan: runs, halts, approvals, tombstones. It
// lies at every site, in the ledger "ledger.PLAN" of the plan's first pool; the
// book is the union of what the sites hold. Entries are only ever added, so
// that no site's can contradict another's, and a site that was away catches up.
//
// A Book is safe for concurrent use. One that is only read needs no Close.
type Book struct {
	plan   *plans.Plan
	ref    replay.LedgerRef
	by     string        // who writes: user@host
	answer time.Duration // how long a site may take to answer
	now    func() time.Time
	hangs  *hangs // nil: each look is one by itself
	// panicked is told of a panic while records are written; nil: Close panics.
	panicked func(value any, stack []byte)
	shelves  []*shelf // one for each site, in the plan's order

	ctx     context.Context // of writes in the background
	cancel  context.CancelFunc
	writers parallel.Group

	reconciling sync.Mutex // one at a time, held before mu

	mu      sync.Mutex
	closed  bool
	clock   keyClock
	must    []string
	values  map[string][]byte // records by key
	entries []Entry           // in order of key
	// standing are the entries that stand until another takes them back, by
	// kind, in order of key.
	standing   map[EntryKind][]Entry
	unreadable []string // keys of records that are no entries
	halts      haltView
	tombstones tombstoneView
	leases     map[*Lease]struct{}
	// outdated names entries that need not be kept, by all that there are; nil: all
	// are kept. See [Book.Reconcile].
	outdated func([]Entry) (keys []string)
}

// ReadBook reads the plan's book at all sites at once. A site that does not
// answer in the plan's answer time, or that cannot be read, is an error of that
// site alone; see [Book.Faults]. ReadBook fails when no site can be read. It
// writes nothing.
func ReadBook(ctx context.Context, plan *plans.Plan, sites *Sites) (*Book, error) {
	return readLedger(ctx, plan, sites, "ledger")
}

// readLedger reads another ledger of the plan, KIND.PLAN, as a book of its own, with
// a lease of its own.
func readLedger(ctx context.Context, plan *plans.Plan, sites *Sites, kind string) (*Book, error) {
	if len(plan.Pools) == 0 {
		return nil, refusal("name a pool in the plan", "a plan without pools has no place for its records")
	}
	var writer [4]byte
	_, _ = rand.Read(writer[:]) // never fails: crypto/rand
	b := &Book{
		plan:     plan,
		ref:      replay.LedgerRef{Pool: plan.Pools[0].Name, Object: kind + "." + plan.Name},
		by:       whoWrites(),
		answer:   answerTime(plan),
		now:      sites.now,
		hangs:    sites.hangs,
		panicked: sites.panicked,
		clock:    keyClock{writer: hex.EncodeToString(writer[:])},
		values:   map[string][]byte{},
		standing: map[EntryKind][]Entry{},
		leases:   map[*Lease]struct{}{},
	}
	b.ctx, b.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for i := range sites.entries {
		e := &sites.entries[i]
		s := &shelf{book: b, index: i, name: e.plan.Name, wake: make(chan struct{}, 1)}
		if e.site != nil {
			s.site = e.site
		} else {
			s.readFault, s.writeFault = e.err, e.err
		}
		b.shelves = append(b.shelves, s)
	}
	if _, _, err := b.readAll(ctx, true); err != nil {
		b.cancel()
		return nil, err
	}
	return b, nil
}

// whoWrites is user@host, as far as they are known.
func whoWrites() string {
	name := ""
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, _ := os.Hostname()
	return oneLine(cmp.Or(name, fmt.Sprintf("uid %d", os.Getuid())) + "@" + cmp.Or(host, "unknown host"))
}

// oneLine makes a text fit for where only one line goes.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// Entries lists all entries, in order of key.
func (b *Book) Entries() []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.entries)
}

// Unreadable lists the keys of records that are no entries: what somebody
// else put there, or was damaged. They are kept and copied all the same.
func (b *Book) Unreadable() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.unreadable)
}

// Faults tells for each site that could not be read, or not written to, when it
// was last tried, why.
func (b *Book) Faults() map[string]error {
	b.mu.Lock()
	defer b.mu.Unlock()
	faults := map[string]error{}
	for _, s := range b.shelves {
		if err := s.fault(); err != nil {
			faults[s.name] = err
		}
	}
	return faults
}

// list takes records into the book and answers with the entries that are new,
// in order of key. b.mu is held.
func (b *Book) list(records []replay.Record, now time.Time) []Entry {
	var fresh []Entry
	for _, r := range records {
		if _, known := b.values[r.Key]; known {
			continue
		}
		b.values[r.Key] = r.Value
		b.clock.saw(r.Key, now)
		if e, err := decodeEntry(r); err == nil {
			fresh = append(fresh, e)
		} else {
			b.unreadable = append(b.unreadable, r.Key)
		}
	}
	sortEntries(fresh)
	b.entries = mergeEntries(b.entries, fresh)
	for kind, entries := range byKind(fresh) {
		b.standing[kind] = mergeEntries(b.standing[kind], entries)
	}
	return fresh
}

// byKind sorts out the entries that stand until taken back.
func byKind(entries []Entry) map[EntryKind][]Entry {
	var out map[EntryKind][]Entry
	for _, e := range entries {
		switch e.Kind {
		case EntryHalt, EntryClear, EntryApproval, EntryTombstone, EntryRemoval, EntrySession, EntrySessionEnd, EntryShutOut, EntrySilence, EntryExpire, EntryAcknowledge:
			if out == nil {
				out = map[EntryKind][]Entry{}
			}
			out[e.Kind] = append(out[e.Kind], e)
		}
	}
	return out
}

func sortEntries(entries []Entry) {
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
}

// mergeEntries adds entries, both in order; new ones mostly come last.
func mergeEntries(entries, fresh []Entry) []Entry {
	if len(fresh) == 0 {
		return entries
	}
	at, _ := slices.BinarySearchFunc(entries, fresh[0].Key, func(e Entry, key string) int { return strings.Compare(e.Key, key) })
	entries = append(entries, fresh...)
	if at < len(entries)-len(fresh) {
		sortEntries(entries[at:])
	}
	return entries
}

// keys are the keys of all records, in order. b.mu is held.
func (b *Book) keys() []string { return slices.Sorted(maps.Keys(b.values)) }
