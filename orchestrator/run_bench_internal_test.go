package orchestrator

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/drover-io/drover/plans"
	"github.com/drover-io/drover/replay"
)

// freeWorld is two sites whose calls cost nothing: what is left is the engine's
// own cost. Replay takes no time.
type freeWorld struct {
	refs  []replay.ImageRef
	index map[replay.ImageRef]int
	steps []atomic.Int32 // of each image: 0 primary at a, 1 demoted, 2 primary at b
	looks [2][3]replay.Image
}

// freeSite is one of them. It keeps no records: the book does.
type freeSite struct {
	Site // nil: what a switchover does not call
	w    *freeWorld
	n    int
}

var freeUUIDs = [2]string{"uuid-a", "uuid-b"}

func newFreeWorld(images int) *freeWorld {
	w := &freeWorld{index: map[replay.ImageRef]int{}, steps: make([]atomic.Int32, images)}
	for i := range images {
		w.refs = append(w.refs, replay.Pool{Name: "rbd"}.Image(fmt.Sprintf("volume-%05d", i)))
		w.index[w.refs[i]] = i
	}
	at := func(tag uint64) []replay.Position { return []replay.Position{{Tag: tag}} }
	clients := func(peer string, tag uint64) []replay.JournalClient {
		return []replay.JournalClient{{Committed: at(tag)}, {ID: peer, Committed: at(tag)}}
	}
	mine := replay.JournalTag{TID: 1}
	theirs := replay.JournalTag{TID: 1, Owner: freeUUIDs[0]}
	demotion := replay.JournalTag{TID: 2, Owner: replay.OwnerOrphan, PredecessorTag: 1, CommitValid: true}
	replayed := demotion
	replayed.PredecessorOwner = freeUUIDs[0]
	made := func(role replay.Role, demoted bool, journal *replay.Journal) replay.Image {
		return replay.Image{Role: role, Demoted: demoted, Mode: replay.ModeJournal, State: replay.StateEnabled, GlobalID: "one", Journal: journal}
	}
	demotedA := made(replay.RoleSecondary, true, &replay.Journal{Clients: clients(freeUUIDs[1], 2), Tags: []replay.JournalTag{mine, demotion}})
	journalB := &replay.Journal{Clients: clients(freeUUIDs[0], 2), Tags: []replay.JournalTag{theirs, replayed}}
	w.looks[0] = [3]replay.Image{
		made(replay.RolePrimary, false, &replay.Journal{Clients: clients(freeUUIDs[1], 1), Tags: []replay.JournalTag{mine}}), demotedA, demotedA,
	}
	w.looks[1] = [3]replay.Image{
		made(replay.RoleSecondary, false, &replay.Journal{Clients: clients(freeUUIDs[0], 1), Tags: []replay.JournalTag{theirs}}),
		made(replay.RoleSecondary, true, journalB), made(replay.RolePrimary, false, journalB),
	}
	return w
}

func (s freeSite) Name() string { return string(rune('a' + s.n)) }
func (freeSite) Close() error   { return nil }

func (s freeSite) Image(_ context.Context, ref replay.ImageRef) (replay.Image, error) {
	i := s.w.looks[s.n][s.w.steps[s.w.index[ref]].Load()]
	i.Ref = ref
	return i, nil
}

func (s freeSite) LookAt(ctx context.Context, pool replay.Pool, names []string, _ replay.Detail, seen func(string, replay.Image, error)) error {
	for _, name := range names {
		image, err := s.Image(ctx, pool.Image(name))
		seen(name, image, err)
	}
	return nil
}

func (s freeSite) PoolMirroring(context.Context, replay.Pool) (replay.PoolMirroring, error) {
	return replay.PoolMirroring{UUID: freeUUIDs[s.n]}, nil
}

func (s freeSite) Demote(_ context.Context, ref replay.ImageRef) error {
	s.w.steps[s.w.index[ref]].Store(1)
	return nil
}

func (s freeSite) DemoteUnused(ctx context.Context, ref replay.ImageRef, _ func([]replay.ImageUser) error) error {
	return s.Demote(ctx, ref)
}

func (freeSite) Announce(context.Context, replay.ImageRef) error { return nil }

// Blocklist may be called, and knows no such address.
func (freeSite) Blocklist(context.Context, string, time.Duration) error { return replay.ErrInvalid }

func (s freeSite) Promote(_ context.Context, ref replay.ImageRef, _ bool) error {
	s.w.steps[s.w.index[ref]].Store(2)
	return nil
}

func (freeSite) AppendRecords(context.Context, replay.LedgerRef, []replay.Record) error { return nil }

func (freeSite) ReadRecords(context.Context, replay.LedgerRef, string) ([]replay.Record, error) {
	return nil, nil
}

func (freeSite) AcquireLease(context.Context, replay.LedgerRef, replay.Lease, bool) error { return nil }

func (freeSite) ReleaseLease(context.Context, replay.LedgerRef, string) error { return nil }

func (s freeSite) OwnAddresses(context.Context) ([]string, error) {
	return []string{fmt.Sprintf("192.0.2.%d:0/1", 1+s.n)}, nil
}

func (freeSite) Abandoned() int { return 0 }

func (freeSite) LeaseHolder(context.Context, replay.LedgerRef) (replay.Lease, bool, error) {
	return replay.Lease{}, false, nil
}

const freePlan = `
version: 1
name: shop
direction: two-way
primary: a
sites:
  - {name: a, conf: /etc/ceph/a.conf, daemon: {run: process}}
  - {name: b, conf: /etc/ceph/b.conf, daemon: {run: process}}
pools:
  - {name: rbd, images: [{glob: "volume-*"}]}
`

// The engine's own cost may be no more than this.
const (
	maxStepCPU   = 200 * time.Microsecond
	maxRunMemory = 200 << 20
)

// BenchmarkRun switches images over between sites whose calls cost nothing, and
// tells processor time for an image a step, and memory.
func BenchmarkRun(b *testing.B) {
	for _, images := range []int{1000, 10000} {
		b.Run(fmt.Sprint("images=", images), func(b *testing.B) {
			var (
				cpu   time.Duration
				steps int64
				peak  uint64
			)
			for b.Loop() {
				c, n, m := freeRun(b, images)
				cpu, steps, peak = cpu+c, steps+n, max(peak, m)
			}
			each := cpu / time.Duration(max(steps, 1))
			b.ReportMetric(float64(each.Nanoseconds()), "cpu-ns/step")
			b.ReportMetric(float64(peak)/(1<<20), "MiB")
			b.ReportMetric(float64(steps)/float64(b.N), "steps/op")
			if each > maxStepCPU || peak > maxRunMemory {
				b.Errorf("%v an image a step, %d MiB", each, peak>>20)
			}
		})
	}
}

// TestFreeRun wants the sites of the benchmark to have all that a switchover calls.
func TestFreeRun(t *testing.T) {
	if _, steps, _ := freeRun(t, 50); steps == 0 {
		t.Error("no step was taken")
	}
}

// freeRun is one switchover of that many images.
func freeRun(tb testing.TB, images int) (cpu time.Duration, steps int64, peak uint64) {
	tb.Helper()
	plan, err := plans.Parse("plan.yaml", []byte(freePlan))
	if err != nil {
		tb.Fatal(err)
	}
	debug.FreeOSMemory()
	before := memoryInUse()
	w := newFreeWorld(images)
	sites := OpenSites(tb.Context(), plan, func(_ context.Context, s plans.Site) (Site, error) {
		return freeSite{w: w, n: int(s.Name[0] - 'a')}, nil
	}, nil)
	book, err := ReadBook(tb.Context(), plan, sites)
	if err != nil {
		tb.Fatal(err)
	}
	moved := make([]RunImage, images)
	for i, ref := range w.refs {
		moved[i] = RunImage{Ref: ref, Mode: replay.ModeJournal}
	}
	p := &Prepared{Run: newRun(plan, book.now(), Switchover, "a", "b", ""), book: book}
	p.Run.Units = unitsOf(plan, moved)
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				peak = max(peak, memoryInUse())
			}
		}
	})
	began := processTime(tb)
	r, err := Start(tb.Context(), plan, sites, p, RunOptions{Progress: func(e RunEvent) {
		if e.Kind == RunStepEnd {
			steps++
		}
	}})
	cpu = processTime(tb) - began
	close(done)
	watch.Wait()
	if err != nil || r.Count(UnitMoved) != images {
		tb.Fatalf("%v: %d moved", err, r.Count(UnitMoved))
	}
	if err := sites.Close(); err != nil {
		tb.Fatal(err)
	}
	return cpu, steps, peak - min(peak, before)
}

// memoryInUse is the memory in use or not yet collected.
func memoryInUse() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func processTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
